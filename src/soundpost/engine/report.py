"""What happened to whom: every fallback counted, every clip that lost something named, and told at the end."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAMED = 12  # clips that a list names before it only counts


@dataclass(frozen=True)
class Units:
    """What is counted, in words: rows that are clips, unless they are windows of recordings."""

    worked: str = "clips"  # what workers decode and a pass goes through
    files: str = "clips"  # what lies in the folder
    answers: str = "clips"  # what a pass answers and the submission holds
    lost: str = "its row holds the class priors"  # what becomes of a clip without any answer


WINDOWS = Units("stretches of recordings", "recordings", "rows", "its rows hold the means of their columns")


@dataclass
class Report:
    """The books of one run."""

    n_clips: int = 0  # units.worked
    n_answers: int = 0  # units.answers; 0: as many as there are clips
    units: Units = Units()
    missing: dict[str, str] = field(default_factory=dict)  # clip -> reason: no such file
    unreadable: dict[str, str] = field(default_factory=dict)  # clip -> reason
    unfinished: dict[str, str] = field(default_factory=dict)  # clip -> reason: earlier passes answered, later ones not
    too_large: dict[str, str] = field(default_factory=dict)  # clip -> the latest pass in which it fitted no device, why
    not_finite: dict[str, str] = field(default_factory=dict)  # clip -> whose answer for it was left out of the blend
    remarks: dict[str, None] = field(default_factory=dict)  # clips that were mended, one sentence each, in order
    silent: dict[int, str] = field(default_factory=dict)  # clip -> sentence: it was read and holds no sound
    second_reader: dict[int, str] = field(default_factory=dict)  # clip -> sentence: ffmpeg had to read it
    members_skipped: dict[str, str] = field(default_factory=dict)  # member -> reason
    warnings: list[str] = field(default_factory=list)  # sentences about rows and columns that may be a slip
    is_slip: bool = False  # whether not one row has a file, and nobody can expect that the clips come later
    devices_lost: dict[str, str] = field(default_factory=dict)  # device -> reason
    passes_failed: dict[str, str] = field(default_factory=dict)  # pass -> why no batch of it was answered
    counts: Counter[str] = field(default_factory=Counter)  # any other fallback -> how often
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # by stage
    spectrograms: Counter[tuple[str, str]] = field(default_factory=Counter)  # digest, front end -> how often computed
    audio_seconds: float = 0.0  # decoded in all
    passes_done: int = 0
    passes_cut: str = ""  # name of the pass that the deadline interrupted
    passes_planned: int = 0

    def skip(self, member: str, reason: str) -> None:
        """A member is left out."""
        self.members_skipped[member] = reason

    def count_cache(self, counts: Counter[str]) -> None:
        """What went wrong with spectrograms, as their cache counted it."""
        for what in ("damaged", "disk full", "pressure", "not kept", "evicted"):
            if counts[what]:
                self.counts[f"spectrograms {what}"] = counts[what]

    def count_seconds(self, elapsed: float, lanes: int, write_seconds: float) -> None:
        """The run has taken so long, on so many lanes, and its slowest write so long."""
        predicting = lanes * (elapsed - self.seconds["start"])
        self.seconds["idle (lanes)"] = max(0.0, predicting - self.seconds["forward (lanes)"])
        self.seconds["last write"] = write_seconds
        self.seconds["in all"] = elapsed

    def left_out(self, name: str, clips: Sequence[str]) -> None:
        """Count and name the clips for which a member, a second-level fold or a stage gave a row that is not finite."""
        self.counts[f"rows of {name} not finite"] = len(clips)
        for clip in clips:
            self.not_finite[clip] = f"{self.not_finite[clip]}, {name}" if clip in self.not_finite else f"{clip}: {name}"

    def decoded(self, clip: int, remarks: tuple[str, ...], silent: str, second_reader: str) -> None:
        """Take down what a worker had to say about a clip; what it says again for another front end counts once."""
        self.remarks |= dict.fromkeys(remarks)
        if silent:
            self.silent[clip] = silent
        if second_reader:
            self.second_reader[clip] = second_reader

    def lines(self, n_answered: int, n_rows: int = 0) -> list[str]:
        """The report as lines for the log.

        Args:
            n_answered: clips, or stretches of recordings, all of whose rows have at least one member's answer.
            n_rows: rows that have one, where they are windows.
        """
        lost = len(self.missing) + len(self.unreadable)
        unreached = self.n_clips - n_answered - lost
        rows = f"{n_rows:,} of {self.n_answers:,} rows predicted; " if self.n_answers else ""
        predicted = f"{rows}{n_answered:,} of {self.n_clips:,} {self.units.worked}{'' if rows else ' predicted'}"
        lines = [
            f"{predicted}, {len(self.unreadable):,} unreadable, "
            f"{len(self.missing):,} not in the folder, {max(0, unreached):,} not reached; "
            f"{self.passes_done} of {self.passes_planned} passes complete"
            + (f", {len(self.passes_failed)} failed" if self.passes_failed else "")
            + (f", {self.passes_cut} cut short by the deadline" if self.passes_cut else "")
        ]
        lines += [f"pass failed: {name}: no batch was answered: {why}" for name, why in self.passes_failed.items()]
        lines += [f"device lost: {reason}" for reason in self.devices_lost.values()]
        lines += _listed(f"unreadable, {self.units.lost}", self.unreadable)
        lines += _listed("lost to later passes, its row holds what the earlier ones answered", self.unfinished)
        lines += _listed("too large for memory, without the answer of one pass or more", self.too_large)
        lines += _listed("not finite, its row holds what the others answered, else the class priors", self.not_finite)
        lines += _listed(f"no such file, {self.units.lost}", self.missing)
        lines += _listed("mended", {remark: remark for remark in self.remarks})
        lines += _listed(f"silent, {len(self.silent):,} in all", self.silent)
        lines += _listed(f"second reader, {len(self.second_reader):,} in all", self.second_reader)
        lines += [f"member skipped: {name}: {reason}" for name, reason in self.members_skipped.items()]
        counted = ", ".join(f"{what} {n:,}" for what, n in sorted(self.counts.items()) if n)
        if counted:
            lines.append(f"fallbacks: {counted}")
        if self.spectrograms:
            computed = ", ".join(f"{front_end} {n:,}" for (_, front_end), n in self.spectrograms.items())
            lines.append(f"spectrograms computed: {computed}")
        if self.seconds:
            lines.append("seconds: " + ", ".join(f"{stage} {s:.1f}" for stage, s in self.seconds.items()))
        return lines


def _listed(what: str, reasons: Mapping[Any, str]) -> list[str]:
    lines = [f"{what}: {reason}" for reason in list(reasons.values())[:NAMED]]
    if len(reasons) > NAMED:
        lines.append(f"{what}: {len(reasons) - NAMED:,} more")
    return lines
