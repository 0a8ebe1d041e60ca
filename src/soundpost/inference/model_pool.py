"""The members of a run: their networks, loaded while others predict, the views and the sizes of their recipes."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from soundpost.audio.windows import WindowSettings
from soundpost.ensemble.passes import Pass, all_passes
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.ensemble.weights_folder import Assets
from soundpost.errors import KitError, SettingsError
from soundpost.front_ends import FRONT_ENDS
from soundpost.front_ends.front_end import FrontEnd
from soundpost.front_ends.row_pictures import RowPictures
from soundpost.inference.autotune import Choice, half_choice
from soundpost.inference.devices import choose_precision
from soundpost.inference.fold_group import Team
from soundpost.inference.predictor import Predictor
from soundpost.registry import build, settings_from
from soundpost.views import VIEWS
from soundpost.views.rows import Piece, RowsView
from soundpost.views.view import View

LONG_SECONDS = 600.0  # of a clip that has the longest window that any clip can have
TYPICAL_SECONDS = 8.0  # of a clip, by which the costs of passes are compared before they are measured

Shape = tuple[int, int, int]


class Roster:
    """Who takes part, and what is known of them before anything is measured.

    Args:
        assets: submission, recipes and weights.
        names: members to use, recipe/fold; empty: all.
        n_views: view sets of each recipe to use, the cheapest first; 0: all.
        precision: "auto", "float32", "float16" or "bfloat16".
        skipped: told the name of a member that is left out, and why.

    Raises:
        SettingsError: a name that no member has.
    """

    def __init__(
        self, assets: Assets, names: Sequence[str], n_views: int, precision: str, skipped: Callable[[str, str], None]
    ) -> None:
        self.recipes = assets.submission.recipes
        self.members = _chosen([(r, m) for r in self.recipes for m in r.members], names)
        self.passes = [p for p in all_passes(self.members) if not n_views or p.view < n_views]
        self.devices: list[str] = []  # to be set before the first network is asked for
        self.notes: deque[str] = deque()  # what lanes have found out, for the log
        self._assets = assets
        self._precision = precision
        self._tell = skipped
        self._skipped: set[int] = set()
        self._loader = ThreadPoolExecutor(1, "loader")
        self._loaded: dict[int, Future[dict[str, Predictor]]] = {}
        self._choices: dict[tuple[str, str], Choice] = {}
        self._views: dict[tuple[str, int], View] = {}
        self._shapes: dict[tuple[str, float], Shape] = {}
        self.row_seconds = 0.0  # s, of a window where rows are windows of recordings; 0: rows are clips
        self.typical_seconds = TYPICAL_SECONDS  # of a clip or a stretch

    # ------------------------------------------------------------ networks

    def open_passes(self) -> list[Pass]:
        """Passes of the members that have not been left out."""
        return [p for p in self.passes if p.member not in self._skipped]

    def predictors(self, number: int) -> dict[str, Predictor] | None:
        """A member's network on every device; None, and it is named and left out, when its weights cannot be used."""
        try:
            return self.load(number).result()
        except KitError as error:
            self.skip(number, str(error))
            return None

    def team(self, numbers: Sequence[int]) -> dict[str, Team]:
        """Loaded members of one recipe as a team on every device."""
        loaded = [self.load(number).result() for number in numbers]
        return {device: Team([predictors[device] for predictors in loaded]) for device in loaded[0]}

    def load(self, number: int) -> Future[dict[str, Predictor]]:
        """Begin to load a member's network, beside whatever goes on."""
        if number not in self._loaded:
            self._loaded[number] = self._loader.submit(self._build, *self.members[number])
        return self._loaded[number]

    def unload(self, number: int) -> None:
        """No pass needs this member's network any more."""
        self._loaded.pop(number, None)

    def skip(self, number: int, reason: str) -> None:
        """Leave a member out from now on."""
        if number not in self._skipped:
            self._skipped.add(number)
            self._tell(self.members[number][1].name, reason)

    def _build(self, recipe: Recipe, member: Member) -> dict[str, Predictor]:
        arrays = self._assets.arrays(member)
        predictors = {}
        for device in dict.fromkeys(self.devices):
            precision = choose_precision(self._precision, device)
            key = (recipe.name, precision)
            choice = self._choices.setdefault(key, half_choice(self._precision == "auto", self.notes.append))
            predictors[device] = Predictor(recipe, member, arrays, device, precision, choice)
        return predictors

    # ------------------------------------------------------------ views and sizes

    def view(self, recipe: Recipe, number: int) -> View:
        """A view of a recipe, built once."""
        key = (recipe.name, number)
        if key not in self._views:
            named = recipe.views[number]
            view: View = build(VIEWS, named.name, named.settings, "view", where=f"{recipe.name} [[views]]")
            if self.row_seconds:
                pictures = self._row_pictures(recipe)
                view = RowsView(view, lambda frames: [Piece(*piece) for piece in pictures.pieces(frames)])
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

    def windows(self, recipe: Recipe) -> WindowSettings:
        """What a recipe's network hears for each row of a recording.

        Raises:
            SettingsError: [windows] has a setting that is not known, or [audio] keeps each file's own rate.
        """
        given: WindowSettings = settings_from(WindowSettings, recipe.windows, f"{recipe.name} [windows]")
        if not int(recipe.audio.get("sample_rate", _DEFAULT_RATE)):
            raise SettingsError(f"{recipe.name}: windows need one sample rate. Set sample_rate in [audio].")
        return given.for_rows(self.row_seconds)

    def _row_pictures(self, recipe: Recipe) -> RowPictures:
        return RowPictures(_front_end(recipe), self.windows(recipe), _rate(recipe))

    def longest_window(self, recipe: Recipe, seconds: float = LONG_SECONDS) -> int:
        """Frames of the longest window that a clip of that length can have; as it stands, that any clip can have."""
        frames = self.shape(recipe, seconds)[2]
        return max(w.frames for number in range(len(recipe.views)) for w in self.view(recipe, number).windows(frames))

    def typical_frames(self, work: Pass) -> int:
        """Windows x frames that a pass shows of a typical clip."""
        recipe = self.members[work.member][0]
        windows = self.view(recipe, work.view).windows(self.shape(recipe, self.typical_seconds)[2])
        return sum(window.frames for window in windows)


_DEFAULT_RATE = 44100  # Hz, where a recipe says nothing or keeps each file's own


def _front_end(recipe: Recipe) -> FrontEnd:
    front_end: FrontEnd = build(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
    return front_end


def _rate(recipe: Recipe) -> int:
    return int(recipe.audio.get("sample_rate", _DEFAULT_RATE)) or _DEFAULT_RATE


def _chosen(members: list[tuple[Recipe, Member]], names: Sequence[str]) -> list[tuple[Recipe, Member]]:
    if not names:
        return members
    known = {member.name: (recipe, member) for recipe, member in members}
    absent = [name for name in names if name not in known]
    if absent:
        raise SettingsError(f"--members {', '.join(absent)}: not here; known: {', '.join(known)}. Correct the list.")
    return [known[name] for name in names]
