"""What the first pass of a recipe costs: rates behind its first clips, and beside them what is spent once.

The first clips of a pass pay for trials of precision and runtimes and for whatever is warmed up. In a small folder that
would pass for the price of every clip, so rates count from the moment when a part of the clips has its answer.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from soundpost.engine.pass_run import PassRun
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.forecast.forecast import Capacity, clock_seconds

WARM_SHARE = 0.1  # so many of the clips are answered before the rates count
LEAST_SHARE = 0.3  # so much of the audio must be left behind that moment, or the whole pass counts
DECODE, FEATURES, FORWARD = "decode (CPU)", "features (CPU)", "forward (lanes)"


class Reading(NamedTuple):
    """The books of a pass at one moment."""

    clock: float  # s
    decode: float  # s, of cores
    features: float  # s, of cores
    forward: float  # s, of lanes
    decoded: float  # s of audio, after trimming and the length rule
    answered: float  # s of audio, as the headers say it

    def since(self, before: "Reading") -> "Reading":
        """What was added."""
        return Reading(*(late - early for late, early in zip(self, before, strict=True)))


NOTHING = Reading(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Measured:
    """What one second of audio costs in the first pass of one recipe, as its headers say it."""

    clips: int  # answered in the whole pass
    audio_seconds: float  # the same in seconds
    mean_decoded: float  # s, a clip after trimming and the length rule
    decode: float  # s of cores
    features: float  # s of cores
    forward: float  # s of lanes
    clock: float  # s, over the measured part
    explained: float  # s that the measured part would have taken if nothing ever waited
    once_seconds: float  # s of the clock, before the rates count, that these do not explain


class FirstPass:
    """One pass of a dry run, and the books before it, behind its first clips, and at its end.

    Args:
        session: shared with the other passes.
        work: the pass.
        lengths: clip -> seconds, as the headers say them.
        capacity: what the machine has.
    """

    def __init__(self, session: Session, work: Pass, lengths: Mapping[str, float], capacity: Capacity) -> None:
        self._session = session
        self._work = work
        self._lengths = lengths
        self._capacity = capacity
        self._began = self._read()
        self._warm: Reading | None = None

    def look(self, pass_run: PassRun) -> None:
        """To be called between any two pieces of news of the pass."""
        if self._warm is None and pass_run.done >= max(1, WARM_SHARE * pass_run.total):
            self._warm = self._read()

    def measured(self) -> Measured | None:
        """What it cost; None where it answered no clip."""
        end, clips = self._read(), len(self.names())
        whole = end.since(self._began)
        if not clips:
            return None
        audio = max(1e-3, end.answered)
        first, part = NOTHING, whole
        if self._warm is not None and end.answered - self._warm.answered >= LEAST_SHARE * audio:
            first, part = self._warm.since(self._began), end.since(self._warm)
        # Decoding runs ahead of the answers, and counts by the audio that it decoded meanwhile.
        decoding = part if part.decoded > 0 else whole
        kept = whole.decoded / audio / max(1e-9, decoding.decoded)
        forward = part.forward / max(1e-3, part.answered)
        explained = max(1e-6, clock_seconds(part.decode + part.features, part.forward, self._capacity))
        overhead = max(1.0, part.clock / explained)
        needed = clock_seconds(first.decode + first.features, forward * first.answered, self._capacity)
        return Measured(
            clips=clips,
            audio_seconds=audio,
            mean_decoded=whole.decoded / clips,
            decode=decoding.decode * kept,
            features=decoding.features * kept,
            forward=forward,
            clock=part.clock,
            explained=explained,
            once_seconds=max(0.0, first.clock - overhead * needed),
        )

    def names(self) -> list[str]:
        """Clips that have their answer."""
        session = self._session
        answered = session.contest.of_clips(session.predictions.seen(self._work.member, self._work.view))
        return [clip.name for clip, seen in zip(session.clips, answered, strict=True) if seen]

    def _read(self) -> Reading:
        report = self._session.report
        return Reading(
            time.monotonic(),
            report.seconds[DECODE],
            report.seconds[FEATURES],
            report.seconds[FORWARD],
            report.audio_seconds,
            sum(self._lengths[name] for name in self.names()),
        )
