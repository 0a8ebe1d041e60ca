"""How large a recipe's spectrograms and windows are, known before any clip is read."""

from soundpost.audio.windows import WindowSettings
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import SettingsError
from soundpost.front_ends import FRONT_ENDS
from soundpost.front_ends.front_end import Compiling, FrontEnd
from soundpost.front_ends.row_pictures import RowPictures
from soundpost.registry import build, settings_from
from soundpost.views import VIEWS
from soundpost.views.rows import Overlap, Piece, RowsView
from soundpost.views.view import View

LONG_SECONDS = 600.0  # a clip of this length has the longest window that any clip can have
TYPICAL_SECONDS = 8.0  # the costs of passes are compared by a clip of this length before they are measured
DEFAULT_RATE = 44100  # Hz, where a recipe says nothing or keeps each file's own

Shape = tuple[int, int, int]  # channels, bins, frames


class Sizes:
    """The views of recipes and the shapes of what they cut, each built once."""

    def __init__(self) -> None:
        self.row_seconds = 0.0  # s, of a window where rows are windows of recordings; 0: rows are clips
        self.typical_seconds = TYPICAL_SECONDS  # how long a clip or a stretch usually is
        self._views: dict[tuple[str, int], View] = {}
        self._shapes: dict[tuple[str, float], Shape] = {}
        self._pictures: dict[str, RowPictures] = {}

    def view(self, recipe: Recipe, number: int) -> View:
        """A view of a recipe, built once; of every row's piece, where rows are windows."""
        key = (recipe.name, number)
        if key not in self._views:
            named = recipe.views[number]
            view: View = build(VIEWS, named.name, named.settings, "view", where=f"{recipe.name} [[views]]")
            if self.row_seconds:
                pictures = self._row_pictures(recipe)
                overlap = pictures.overlap()
                view = RowsView(
                    view,
                    lambda frames: [Piece(*piece) for piece in pictures.pieces(frames)],
                    Overlap(*overlap) if overlap else None,
                )
            self._views[key] = view
        return self._views[key]

    def shape(self, recipe: Recipe, seconds: float) -> Shape:
        """(channels, bins, frames) of the spectrogram of a clip of that length, or of the rows that it has."""
        key = (recipe.name, seconds)
        if key not in self._shapes:
            if self.row_seconds:
                self._shapes[key] = self._row_pictures(recipe).shape(max(1, round(seconds / self.row_seconds)))
            else:
                self._shapes[key] = _front_end(recipe).shape(round(seconds * _rate(recipe)))
        return self._shapes[key]

    def compile(self, recipe: Recipe) -> None:
        """Compile what a recipe's spectrograms are computed with, where anything is compiled for them."""
        front_end = _front_end(recipe)
        if isinstance(front_end, Compiling):
            front_end.compile()

    def windows(self, recipe: Recipe) -> WindowSettings:
        """What a recipe's network hears for each row of a recording.

        Raises:
            SettingsError: [windows] has a setting that is not known, or [audio] keeps each file's own rate.
        """
        given: WindowSettings = settings_from(WindowSettings, recipe.windows, f"{recipe.name} [windows]")
        if not int(recipe.audio.get("sample_rate", DEFAULT_RATE)):
            raise SettingsError(f"{recipe.name}: windows need one sample rate. Set sample_rate in [audio].")
        return given.for_rows(self.row_seconds)

    def heard(self, recipe: Recipe, first: int, count: int, total: int) -> tuple[int, int]:
        """Which rows a recipe's network hears so that some of a recording can be answered; see RowPictures.heard."""
        return self._row_pictures(recipe).heard(first, count, total)

    def _row_pictures(self, recipe: Recipe) -> RowPictures:
        if recipe.name not in self._pictures:
            self._pictures[recipe.name] = RowPictures(_front_end(recipe), self.windows(recipe), _rate(recipe))
        return self._pictures[recipe.name]

    def longest_window(self, recipe: Recipe, seconds: float = LONG_SECONDS) -> int:
        """Frames of the longest window that a clip of that length can have; as it stands, that any clip can have."""
        frames = self.shape(recipe, seconds)[2]
        return max(w.frames for number in range(len(recipe.views)) for w in self.view(recipe, number).windows(frames))

    def typical_frames(self, recipe: Recipe, number: int) -> int:
        """Windows x frames that a view of a recipe shows of a typical clip."""
        windows = self.view(recipe, number).windows(self.shape(recipe, self.typical_seconds)[2])
        return sum(window.frames for window in windows)


def _front_end(recipe: Recipe) -> FrontEnd:
    front_end: FrontEnd = build(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
    return front_end


def _rate(recipe: Recipe) -> int:
    return int(recipe.audio.get("sample_rate", DEFAULT_RATE)) or DEFAULT_RATE
