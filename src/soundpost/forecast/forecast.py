"""What a hidden test set will cost, foretold from rates measured on a small folder; arithmetic alone.

A pass takes its forward passes and, when its spectrograms are new, decoding and features. Without a GPU all of these
share the cores; with one the cores work beside it, and the slower side decides. Passes run in the order of the plan
until the time is up, so those that fit are a prefix of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NAMED = 3  # passes that a verdict names before it only counts
LONG_SECONDS = 600.0  # a verdict tells more than this in minutes


@dataclass(frozen=True)
class FrontEndCost:
    """What one front end's spectrograms cost for each second of audio."""

    decode_seconds: float  # on one core
    feature_seconds: float  # on one core
    n_bytes: float


@dataclass(frozen=True)
class PassCost:
    """What one pass of the plan costs."""

    name: str
    front_end: str  # digest: passes with the same one share spectrograms
    forward_seconds: float  # on one lane, for each second of audio
    once_seconds: float = 0.0  # clock seconds, however much audio there is: trials, and what is warmed up


@dataclass(frozen=True)
class Capacity:
    """What the machine has that is to run the whole set."""

    cores: int
    lanes: int  # devices; without a GPU the cores themselves
    on_gpu: bool
    resident_bytes: int  # what all processes hold, without spectrograms
    cache_bytes: int  # most spectrograms in memory
    disk_bytes: int  # most spilled spectrograms


@dataclass(frozen=True)
class Load:
    """What is to be run, and what the run costs beside its passes."""

    clips: int
    audio_seconds: float  # length of all clips together
    limit_seconds: float
    start_seconds: float  # until the first pass can begin
    end_seconds: float  # the last write, and the exit
    overhead: float  # wall clock over what the rates alone explain, at least 1
    unit: str = "clips"  # what is counted, in words
    reserve_seconds: float = 0.0  # before the limit, when a run stops its passes: more than what the end takes


@dataclass(frozen=True)
class Step:
    """One pass as foretold."""

    name: str
    seconds: float
    ends: float  # seconds since the run began
    fits: bool


@dataclass(frozen=True)
class Forecast:
    """The whole run as foretold."""

    stages: Mapping[str, float]  # seconds of one core or lane; not of the clock
    steps: tuple[Step, ...]
    memory_bytes: int
    disk_bytes: int
    recomputed: float  # share of the spectrograms, 0 to 1, that no tier has room for
    verdict: str

    @property
    def fits(self) -> bool:
        """Whether at least the first pass, which gives every clip an answer, ends in time."""
        return self.steps[0].fits

    def lines(self, limit_seconds: float) -> list[str]:
        """The forecast as lines for the log, the verdict last."""
        width = max(len(step.name) for step in self.steps)
        rows = [f"{name}: {seconds:,.1f} s" for name, seconds in self.stages.items()]
        table = [
            f"{step.name:<{width}}  {step.seconds:>9,.1f} s, ends at {step.ends:>9,.1f} s of {limit_seconds:,.0f} s"
            + ("" if step.fits else ": too late")
            for step in self.steps
        ]
        lost = f"; {self.recomputed:.0%} of the spectrograms fit nowhere and are computed again in each pass"
        room = f"peak memory {self.memory_bytes / 1e9:,.2f} GB, {self.disk_bytes / 1e9:,.2f} GB spilled to disk"
        return [
            "seconds of cores and lanes: " + ", ".join(rows),
            *table,
            room + (lost if self.recomputed else ""),
            f"verdict: {self.verdict}",
        ]


def foretell(
    passes: Sequence[PassCost], front_ends: Mapping[str, FrontEndCost], capacity: Capacity, load: Load
) -> Forecast:
    """How long the passes take over the expected clips, what they need, and which of them end in time.

    Args:
        passes: in the order of the plan, at least one.
        front_ends: costs by digest.
        capacity: what the machine has.
        load: what is expected.
    """
    audio = load.audio_seconds
    wanted = {digest: front_ends[digest].n_bytes * audio for digest in {p.front_end for p in passes}}
    total = sum(wanted.values())
    room = capacity.cache_bytes + capacity.disk_bytes
    recomputed = max(0.0, 1.0 - room / total) if total else 0.0
    stages = {"start": load.start_seconds, "decode": 0.0, "features": 0.0, "forward": 0.0, "end": load.end_seconds}
    steps: list[Step] = []
    now, seen, in_time = load.start_seconds, set(), True
    for work in passes:
        cost = front_ends[work.front_end]
        share = recomputed if work.front_end in seen else 1.0
        seen.add(work.front_end)
        decode, features = share * cost.decode_seconds * audio, share * cost.feature_seconds * audio
        forward = work.forward_seconds * audio
        seconds = work.once_seconds + load.overhead * clock_seconds(decode + features, forward, capacity)
        now += seconds
        in_time = in_time and now + max(load.end_seconds, load.reserve_seconds) <= load.limit_seconds
        steps.append(Step(work.name, seconds, now, in_time))
        for stage, part in (("decode", decode), ("features", features), ("forward", forward)):
            stages[stage] += part
    return Forecast(
        stages=stages,
        steps=tuple(steps),
        memory_bytes=round(capacity.resident_bytes + min(total, capacity.cache_bytes)),
        disk_bytes=round(min(capacity.disk_bytes, max(0.0, total - capacity.cache_bytes))),
        recomputed=recomputed,
        verdict=_verdict(steps, load),
    )


def clock_seconds(computing: float, forward: float, capacity: Capacity) -> float:
    """How long it takes by the clock, for so many seconds of cores and of lanes, if nothing ever waits."""
    if capacity.on_gpu:
        return max(computing / capacity.cores, forward / capacity.lanes)
    return (computing + forward) / capacity.cores


def _verdict(steps: Sequence[Step], load: Load) -> str:
    limit, clips = _clock(load.limit_seconds), f"{load.clips:,} {load.unit}"
    in_time, late = [step for step in steps if step.fits], [step.name for step in steps if not step.fits]
    if not late:
        ends = _clock(steps[-1].ends + load.end_seconds)
        return f"fits: {_count(len(steps))} over {clips} end at {ends} of {limit}"
    if not in_time:
        left = max(0.0, load.limit_seconds - max(load.end_seconds, load.reserve_seconds) - load.start_seconds)
        share = min(1.0, left / max(1e-9, steps[0].seconds))
        return (
            f"does not fit: the first pass alone would end at {_clock(steps[0].ends)} of {limit}; about {share:.0%} of "
            f"{clips} would get an answer"
        )
    named = ", ".join(late[:NAMED]) + (f" and {len(late) - NAMED} more" if len(late) > NAMED else "")
    return (
        f"fits without passes {named}: {_count(len(in_time))} of {len(steps)} over {clips} end at "
        f"{_clock(in_time[-1].ends + load.end_seconds)} of {limit}"
    )


def _count(passes: int) -> str:
    return f"{passes} pass" if passes == 1 else f"{passes} passes"


def _clock(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < LONG_SECONDS else f"{seconds / 60:,.0f} min"
