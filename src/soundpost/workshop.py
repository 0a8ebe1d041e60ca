"""Which networks are compiled beside the run, and when: where that pays back, and what comes of it for the members."""

from collections.abc import Callable
from pathlib import Path

from soundpost.compiling import COMPILE_BYTES, Compiler, is_possible, pays_back
from soundpost.errors import sentence
from soundpost.libraries import Library
from soundpost.plan import Pass
from soundpost.recipes import Recipe
from soundpost.roster import TYPICAL_SECONDS, Roster
from soundpost.settings import RunSettings

COMPARED_SECONDS = (0.1, 8.0, 80.0)  # of clips; where all of them have windows of one length, all clips have


class Workshop:
    """One compiler for the run's recipes, one after the other.

    Args:
        settings: of the run.
        folder: private, for what the compiler writes.
        say: prints one line of the log.
    """

    def __init__(self, settings: RunSettings, folder: Path, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._compiler = Compiler(folder)
        self._say = say
        self._asked: list[Recipe] = []  # the latest last

    @property
    def is_busy(self) -> bool:
        """Whether the compiler is at work."""
        return self._compiler.is_running

    @property
    def pids(self) -> list[int]:
        """Of its processes."""
        return self._compiler.pids

    def collect(self, roster: Roster, lanes: int) -> None:
        """Hand what the compiler made, if it is done, to the members of its recipe.

        Args:
            roster: of the run.
            lanes: threads that predict at the same time.
        """
        result = self._compiler.result()
        if isinstance(result, Path):
            try:
                roster.hand_out(self._asked[-1], Library(result, lanes, roster.notes.append))
            except Exception as error:  # whatever it is, the networks go on as they are
                result = sentence(error)
        if isinstance(result, str):
            self._say(f"{self._asked[-1].name}: not compiled: {result}")

    def consider(self, roster: Roster, work: Pass, seconds: float, lanes: int, has_room: Callable[[int], bool]) -> None:
        """Begin to compile the network of a pass, if that is possible and pays back.

        Args:
            roster: of the run.
            work: the pass that runs, on a CPU.
            seconds: of the clock, of forward passes through this network that are to come and that there is time for.
            lanes: cores that predict.
            has_room: makes room for so many bytes, or says that there is none.
        """
        recipe, member = roster.members[work.member]
        if recipe in self._asked or self._settings.attempt or not self._is_possible(roster, work):
            return
        if not pays_back(seconds, lanes) or not has_room(COMPILE_BYTES):
            return
        self._asked.append(recipe)
        self._say(f"{recipe.name}: compiling beside the run")
        self._compiler.start(
            assets=self._settings.assets,
            input_root=self._settings.input_root,
            recipe=recipe.name,
            member=member.name,
            view=work.view,
            shape=roster.shape(recipe, TYPICAL_SECONDS),
        )

    def _is_possible(self, roster: Roster, work: Pass) -> bool:
        """Whether there is a compiler, for float32, and the pass shows windows of one length alone."""
        recipe, _ = roster.members[work.member]
        predictors = roster.predictors(work.member) or {}
        view = roster.view(recipe, work.view)
        shapes = [roster.shape(recipe, seconds) for seconds in COMPARED_SECONDS]
        lengths = {window.frames for shape in shapes for window in view.windows(shape[2])}
        is_float = not any(predictor.is_half for predictor in predictors.values())
        return is_float and len(lengths) == 1 and is_possible()

    def give_up(self, reason: str) -> None:
        """End what the compiler is at, and say why."""
        self._compiler.stop()
        self._say(f"{self._asked[-1].name}: not compiled: {reason}")

    def close(self) -> None:
        """End the compiler without a word."""
        self._compiler.stop()
