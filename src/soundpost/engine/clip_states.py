"""What becomes of each clip in one pass: absent, ready, answered window by window, closed."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundpost.after.frames import overlap_average_max
from soundpost.engine.batching import Groups, Unit
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.ensemble.recipes import Recipe
from soundpost.spectrograms.cache import Key
from soundpost.views.view import View, Window

ATTEMPTS = 2  # how often a clip is tried in one pass, when its worker dies or its spectrogram is damaged
MAX_UNITS = 512  # windows in one batch


@dataclass(frozen=True)
class PassPlan:
    """One pass of the plan, or several that share their batches: what is shown to whom."""

    works: Sequence[Pass]  # which members, and the view that is the same for all of them
    recipe: Recipe  # whose folds these are
    view: View  # what is shown of each clip
    keep: bool  # whether a later pass needs the same spectrograms


class ClipStates:
    """The clips that lack an answer of one pass, and the windows of theirs that wait for a batch."""

    def __init__(self, session: Session, plan: PassPlan) -> None:
        self._session = session
        self._plan = plan
        self.is_over = False  # nobody waits for answers any more
        self.digest = plan.recipe.digest()
        self._seen = [session.predictions.seen(work.member, work.view) for work in plan.works]
        seen = session.contest.of_clips(np.all(self._seen, axis=0))
        todo = [i for i, clip in enumerate(session.clips) if clip.path and not seen[i] and i not in session.dead]
        cached = [i for i in todo if self.key(i) in session.cache]
        known = set(cached)
        self.cached = deque(sorted(cached, key=lambda i: session.cache.shape(self.key(i))[2]))
        self.absent = deque(sorted((i for i in todo if i not in known), key=lambda i: session.clips[i].n_bytes))
        self.open = set(todo)  # clips that need something yet
        self.failed = 0  # clips that folds could not answer together, because one of them raised
        self._attempts: Counter[int] = Counter()
        self.windows: dict[int, tuple[Window, ...]] = {}  # what is shown of each ready clip
        self._sums: dict[tuple[int, int], np.ndarray] = {}  # clip and row -> weighted sum of its windows so far
        self._weights: dict[tuple[int, int], float] = {}  # clip and row -> sum of its windows' weights
        self._pending: dict[int, set[int]] = {}  # windows of ready clips that lack their answer
        self._turns: Counter[int] = Counter()  # how often a clip has been made ready
        self._away: Counter[int] = Counter()  # windows of a clip that lanes may be reading
        self.failures: Counter[str] = Counter()  # why windows have no answer
        self.groups = Groups(session.batch_frames[plan.recipe.name], MAX_UNITS)
        lengths = Counter(window.frames for clip in cached for window in self._windows_of(clip))
        self.groups.expect(lengths, unknown_clips=len(self.absent))
        self._frames_seen = self._bytes_seen = 0

    @property
    def frames_left(self) -> float:
        """Expected windows x frames of the open clips, by those that have been ready."""
        n_bytes = sum(self._session.clips[clip].n_bytes for clip in self.open)
        return n_bytes * self._frames_seen / max(1, self._bytes_seen)

    def heard(self, clip: int) -> tuple[int, int]:
        """Which rows of its recording a stretch's network hears: number of the first one, and how many."""
        windows = self._session.contest.windows
        if windows is None:
            return 0, 1
        stretch = windows.stretches[clip]
        return self._session.models.sizes.heard(self._plan.recipe, stretch.first, len(stretch.answers), stretch.total)

    def key(self, clip: int) -> Key:
        """Under which the clip's spectrogram is cached."""
        return Key(self.digest, clip)

    def is_pending(self, unit: Unit) -> bool:
        """Whether the answer of a window is waited for; one of a turn before the clip's latest is not."""
        return unit.turn == self._turns[unit.clip] and unit.window in self._pending.get(unit.clip, ())

    def is_wanted(self, clip: int) -> bool:
        """Whether the clip's spectrogram is needed: it is open, or a lane may be reading it."""
        return clip in self.open or self._away[clip] > 0

    def ready(self, clip: int, known: bool) -> None:
        """The clip's spectrogram is there: its windows join the groups.

        Args:
            clip: its row.
            known: whether the groups expected its windows by length.
        """
        windows = self._windows_of(clip)
        self._turns[clip] += 1
        self.windows[clip] = windows
        for window in windows:
            place = (clip, window.row)
            self._weights[place] = self._weights.get(place, 0.0) + window.weight
        self._pending[clip] = set(range(len(windows)))
        self._frames_seen += sum(window.frames for window in windows)
        self._bytes_seen += self._session.clips[clip].n_bytes
        turn = self._turns[clip]
        self.groups.add([Unit(clip, i, window.frames, turn) for i, window in enumerate(windows)], known)

    def sent(self, units: Sequence[Unit]) -> None:
        """These windows are a lane's: the spectrograms of their clips stay where they are until they come back."""
        self._away.update(unit.clip for unit in units)

    def came_back(self, units: Sequence[Unit]) -> None:
        """A lane reads these windows no more, whatever came of them."""
        for unit in units:
            self._away[unit.clip] -= 1
            if not self.is_wanted(unit.clip):
                self._session.cache.release(self.key(unit.clip))

    def put_back(self, units: Sequence[Unit]) -> None:
        """A lane was lost with these windows: those that are still waited for join another batch."""
        self.groups.put_back([unit for unit in units if self.is_pending(unit)])

    def add(self, unit: Unit, row: np.ndarray) -> None:
        """Answers of a pending window, (classes,) or (members, classes); the last one closes its clip."""
        clip, windows = unit.clip, self.windows[unit.clip]
        place = (clip, windows[unit.window].row)
        share = windows[unit.window].weight / self._weights[place]
        answer = row if share == 1 else self._sums.get(place, 0.0) + row * np.float32(share)
        self._sums[place] = answer
        self._pending[clip].discard(unit.window)
        if self._pending[clip]:
            return
        rows = sorted({window.row for window in windows})
        answers = self._from_frames([self._sums[clip, row] for row in rows])
        for target, number in zip(self._session.contest.answers_of(clip), self._own_rows(clip), strict=True):
            self._answer(target, answers[number - rows[0]])
        self.close(clip)

    def _from_frames(self, answers: list[np.ndarray]) -> Sequence[np.ndarray]:
        """Frame-wise answers of windows that overlap, (frames, classes) for each member, as answers of their rows."""
        if not self._has_frames:
            return answers
        settings = self._session.models.sizes.windows(self._plan.recipe)
        n_works, rows = len(self._plan.works), np.stack(answers)
        frames = rows.reshape(len(rows), n_works, *rows.shape[-2:])
        per_row = int(frames.shape[2] * settings.seconds // (settings.context_seconds or settings.seconds))
        of_works = [overlap_average_max(frames[:, work], per_row) for work in range(n_works)]
        return list(np.stack(of_works, axis=1).astype(np.float32))

    @property
    def _has_frames(self) -> bool:
        sizes = self._session.models.sizes
        return bool(sizes.row_seconds) and bool(sizes.windows(self._plan.recipe).frames)

    def _answer(self, target: int, answer: np.ndarray) -> None:
        """The answers of one row, (classes,) or (members, classes), join the predictions."""
        works, predictions = self._plan.works, self._session.predictions
        for work, seen, part in zip(works, self._seen, answer.reshape(len(works), -1), strict=True):
            if not np.isfinite(part).all():
                self._session.report.counts[f"answers of {predictions.name(work.member)} not finite"] += 1
                self.failures["its answers are not finite"] += 1
            elif not seen[target]:
                predictions.add(work.member, work.view, target, part)

    def batch_failed(self, units: Sequence[Unit], error: str) -> None:
        """A batch raised: that costs its clips this one pass.

        Of folds that share batches it costs nothing yet: they answer those clips once more, one after the other.
        """
        lost = [unit for unit in units if self.is_pending(unit)]
        self.failures[error] += len(lost)
        if len(self._plan.works) > 1:
            self.failed += len(lost)
        else:
            self._session.report.counts[f"{self._session.report.units.worked} failed in {self._name()} ({error})"] += (
                len(lost)
            )
        for clip in {unit.clip for unit in lost}:
            self.close(clip)

    def lose(self, clip: int, reason: str) -> None:
        """A window that fits no device costs its clip this pass, or, where folds share batches, its place in them."""
        self.failures[reason] += 1
        if len(self._plan.works) > 1:
            self.failed += 1
        else:
            report, clip_name = self._session.report, self._session.clips[clip].name
            report.counts[f"{report.units.worked} that fit no device in {self._name()}"] += 1
            report.too_large[clip_name] = f"{clip_name}: {self._name()}: {reason}"
        self.close(clip)

    def damaged(self, clip: int, units: Sequence[Unit]) -> None:
        """The clip's spectrogram could not be read back: it is computed again, unless that has happened before.

        Args:
            clip: its row.
            units: windows of it that were to be read.
        """
        if not any(map(self.is_pending, units)):
            return  # another lane has found it, too
        self._session.cache.damaged(self.key(clip))
        self._session.report.counts["damaged spectrograms recomputed"] += 1
        self._forget_windows(clip)
        self.groups.reopen()
        self.try_again(clip, f"its spectrogram was damaged {ATTEMPTS} times")

    def try_again(self, clip: int, reason: str) -> None:
        """The clip's spectrogram did not come to be, or was lost; it is tried again or given up."""
        self._attempts[clip] += 1
        if self._attempts[clip] >= ATTEMPTS:
            self.give_up(clip, f"{self._session.clips[clip].name}: {reason}")
        else:
            self.absent.appendleft(clip)

    def give_up(self, clip: int, reason: str) -> None:
        """The clip, which was to be computed, cannot be: not in this pass, nor in any other."""
        self.groups.cancel()
        session = self._session
        session.dead.add(clip)
        is_answered = session.contest.of_clips(session.predictions.answered())[clip]
        told = session.report.unfinished if is_answered else session.report.unreadable
        told[session.clips[clip].name] = reason
        self.close(clip)

    def close(self, clip: int) -> None:
        """Nothing more is needed of this clip in this pass."""
        self.open.discard(clip)
        if not self.is_wanted(clip):
            self._session.cache.release(self.key(clip))
        self._forget_windows(clip)

    def _forget_windows(self, clip: int) -> None:
        """The clip is not ready any more: what waits of it is dropped, and what comes of it is not used."""
        if self._pending.get(clip):
            self.groups.remove(clip)
        self.windows.pop(clip, None)
        for row in range(self.heard(clip)[1]):
            self._sums.pop((clip, row), None)
            self._weights.pop((clip, row), None)
        self._pending.pop(clip, None)

    def _windows_of(self, clip: int) -> tuple[Window, ...]:
        """What is shown of a clip; of a stretch only the rows that are asked for, where they need no others."""
        windows = self._plan.view.windows(self._session.cache.shape(self.key(clip))[2])
        if self._session.contest.windows is None or self._has_frames:
            return tuple(windows)
        own = self._own_rows(clip)
        return tuple(window for window in windows if window.row in own)

    def _own_rows(self, clip: int) -> range:
        """A clip's rows by their places in its spectrogram; of a stretch, those that are asked for."""
        windows = self._session.contest.windows
        first = windows.stretches[clip].first - self.heard(clip)[0] if windows else 0
        return range(first, first + len(self._session.contest.answers_of(clip)))

    def _name(self) -> str:
        return self._session.predictions.name(self._plan.works[0].member)
