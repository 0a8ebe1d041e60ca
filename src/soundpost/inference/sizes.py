"""How large a recipe's spectrograms and windows are, known before any clip is read."""

from soundpost.ensemble.recipes import Recipe
from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import build
from soundpost.views import VIEWS
from soundpost.views.view import View

LONG_SECONDS = 600.0  # a clip of this length has the longest window that any clip can have
TYPICAL_SECONDS = 8.0  # the costs of passes are compared by a clip of this length before they are measured

Shape = tuple[int, int, int]  # channels, bins, frames


class Sizes:
    """The views of recipes and the shapes of what they cut, each built once."""

    def __init__(self) -> None:
        self._views: dict[tuple[str, int], View] = {}
        self._shapes: dict[tuple[str, float], Shape] = {}

    def view(self, recipe: Recipe, number: int) -> View:
        """A view of a recipe, built once."""
        key = (recipe.name, number)
        if key not in self._views:
            named = recipe.views[number]
            self._views[key] = build(VIEWS, named.name, named.settings, "view", where=f"{recipe.name} [[views]]")
        return self._views[key]

    def shape(self, recipe: Recipe, seconds: float) -> Shape:
        """(channels, bins, frames) of the spectrogram of a clip of that length."""
        key = (recipe.name, seconds)
        if key not in self._shapes:
            front_end = build(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
            rate = int(recipe.audio.get("sample_rate", 44100)) or 44100
            self._shapes[key] = front_end.shape(round(seconds * rate))
        return self._shapes[key]

    def longest_window(self, recipe: Recipe, seconds: float = LONG_SECONDS) -> int:
        """Frames of the longest window that a clip of that length can have; as it stands, that any clip can have."""
        frames = self.shape(recipe, seconds)[2]
        return max(w.frames for number in range(len(recipe.views)) for w in self.view(recipe, number).windows(frames))

    def typical_frames(self, recipe: Recipe, number: int) -> int:
        """Windows x frames that a view of a recipe shows of a typical clip."""
        windows = self.view(recipe, number).windows(self.shape(recipe, TYPICAL_SECONDS)[2])
        return sum(window.frames for window in windows)
