"""What every member has answered so far, clip by clip, in files that outlive a crash of the engine."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from soundpost.ensemble.blend import Blend
from soundpost.ensemble.column_blend import blend_columns
from soundpost.ensemble.columns import ColumnMap
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.inference.activation import probabilities_of_array

ROWS = 1024  # clips that are blended at a time, so that memory does not grow with their number
ABSENT, ADDING, ADDED = 0, 1, 2  # how a pass stands at a clip; ADDING lasts only while its answer is summed


class Predictions:
    """Sums over passes for each member and clip, and which pass has answered which clip.

    Args:
        members: those of this run, in order.
        n_clips: rows of the submission.
        passes: (member, view) of every pass of the plan, in any fixed order.
        folder: where the tables live; those that an earlier engine of the same run left there are taken up again.
    """

    def __init__(
        self,
        members: Sequence[tuple[Recipe, Member]],
        n_clips: int,
        passes: Sequence[tuple[int, int]],
        folder: Path,
    ) -> None:
        self.n_clips = n_clips
        self._members = members
        self._row = {key: i for i, key in enumerate(passes)}
        self._member_of = np.array([member for member, _ in passes])
        folder.mkdir(parents=True, exist_ok=True)
        self._marks, are_marks_known = _table(folder / "marks.npy", np.uint8, (len(passes), n_clips))
        self._sums: list[np.ndarray] = []
        for i, (recipe, _) in enumerate(members):
            sums, are_sums_known = _table(folder / f"sums-{i}.npy", np.float32, (n_clips, len(recipe.labels)))
            self._sums.append(sums)
            if not (are_marks_known and are_sums_known):  # one without the other says nothing
                sums[...] = 0.0
                self._marks[self._member_of == i] = ABSENT
        self.not_finite: dict[str, np.ndarray] = {}  # as blended last: who -> (clips,) bool: its rows left out
        self._mend()
        self._is_changed = self.answered()

    def _mend(self) -> None:
        """Forget all of a member about a clip whose sum an engine died in the middle of."""
        for row, clip in np.argwhere(self._marks == ADDING):
            member = self._member_of[row]
            self._sums[member][clip] = 0.0
            self._marks[self._member_of == member, clip] = ABSENT

    def add(self, member: int, view: int, clip: int, answer: np.ndarray) -> None:
        """One clip's answer, averaged over the windows of one pass: (classes,) probabilities or logits."""
        row = self._row[member, view]
        self._marks[row, clip] = ADDING
        self._sums[member][clip] += answer
        self._marks[row, clip] = ADDED
        self._is_changed[clip] = True

    def take_changed(self) -> np.ndarray:
        """Clips that have got an answer since the last call, their numbers; at first all that have one."""
        changed = self._is_changed.nonzero()[0]
        self._is_changed[:] = False
        return changed

    def name(self, member: int) -> str:
        """A member's name, recipe/fold."""
        return self._members[member][1].name

    def seen(self, member: int, view: int) -> np.ndarray:
        """Which clips a pass has answered: (clips,) bool."""
        return np.asarray(self._marks[self._row[member, view]] == ADDED)

    def total(self) -> int:
        """How many answers there are, over passes and clips."""
        return int((self._marks == ADDED).sum())

    def answered(self) -> np.ndarray:
        """Which clips have any answer: (clips,) bool."""
        return np.asarray((self._marks == ADDED).any(axis=0))

    def blended(
        self,
        blend: Blend,
        maps: Mapping[str, ColumnMap],
        priors: Sequence[float],
        clips: np.ndarray | None = None,
        of_members: np.ndarray | None = None,
    ) -> np.ndarray:
        """The submission as it stands: members' answers blended, in the columns of the submission.

        Args:
            blend: how this run's members are blended.
            maps: classes -> columns, by recipe name.
            priors: (columns,); what stands where nobody knows, or nobody has answered.
            clips: numbers of the clips that are wanted, as each one's row depends on its own answers alone; None: all.
            of_members: (members,) bool, whose answers count; None: everybody's.

        Returns:
            (clips, columns) float64 in [0, 1].
        """
        wanted = np.arange(self.n_clips) if clips is None else clips
        result = np.tile(np.asarray(priors), (len(wanted), 1))
        for spoilt in self.not_finite.values():
            spoilt[wanted] = False
        for start in range(0, len(result), ROWS):
            rows = slice(start, start + ROWS)
            self._blend(blend, maps, result[rows], wanted[rows], of_members)
        return np.asarray(np.clip(result, 0.0, 1.0))

    def done(self) -> np.ndarray:
        """Who has answered what: (members, clips) bool."""
        marked = self._marks == ADDED
        return np.stack([marked[self._member_of == i].any(axis=0) for i in range(len(self._members))])

    def members_of(self, recipe: str) -> np.ndarray:
        """Which members are a recipe's: (members,) bool."""
        return np.array([member_of.name == recipe for member_of, _ in self._members])

    def _blend(
        self,
        blend: Blend,
        maps: Mapping[str, ColumnMap],
        result: np.ndarray,
        clips: np.ndarray,
        of_members: np.ndarray | None,
    ) -> None:
        """Put the answers of some clips where priors are now."""
        seen = self._marks[:, clips] == ADDED
        n_clips, n_columns = result.shape
        table = np.zeros((len(self._members), n_clips, n_columns), np.float32)
        done = np.zeros((len(self._members), n_clips), bool)
        knows = np.zeros((len(self._members), n_columns), bool)
        for i, (recipe, _) in enumerate(self._members):
            count = seen[self._member_of == i].sum(axis=0)
            done[i] = (count > 0) & (of_members is None or of_members[i])
            mean = self._sums[i][clips] / np.maximum(count, 1)[:, None]
            if recipe.average == "logit":
                mean = probabilities_of_array(mean, recipe.activation)
            chosen = maps[recipe.name]
            table[i][:, list(chosen.columns)] = mean[:, list(chosen.classes)]
            knows[i, list(chosen.columns)] = True
        for name, spoilt in blend_columns(blend, table, done, knows, result).items():
            self.not_finite.setdefault(name, np.zeros(self.n_clips, bool))[clips] |= spoilt


def _table(path: Path, dtype: type, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
    """A table in a file, and whether an earlier engine left it there; zeros in plain memory where there is no room.

    A file gets its name only when all of its bytes are really there. So one that could not be had leaves nothing
    behind that another engine could take for answers.
    """
    if _is_whole(path, dtype, shape):
        return np.lib.format.open_memmap(path, mode="r+").view(np.ndarray), True
    aside = path.with_name(path.name + ".part")
    try:
        path.unlink(missing_ok=True)
        table = np.lib.format.open_memmap(aside, mode="w+", dtype=dtype, shape=shape)
        with aside.open("r+b") as file:  # a hole in a mapped file is a SIGBUS once the disk is full
            os.posix_fallocate(file.fileno(), 0, max(1, aside.stat().st_size))
        aside.rename(path)
        return table.view(np.ndarray), False
    except (OSError, ValueError):
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        return np.zeros(shape, dtype), False


def _is_whole(path: Path, dtype: type, shape: tuple[int, ...]) -> bool:
    """Whether a file holds all of such a table; opened to be read, as one that is too short is else filled up."""
    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return False
    return bool(found.shape == shape and found.dtype == dtype)
