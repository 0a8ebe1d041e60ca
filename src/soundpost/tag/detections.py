"""What was heard where: stretches of recordings, and the labels that stand out in each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from soundpost.audio.decode import probe
from soundpost.audio.sound import Sound
from soundpost.audio.stretches import cut
from soundpost.contest.audio_files import AudioFile
from soundpost.errors import ClipError
from soundpost.tagger import Tagger

LONG_SECONDS = 30.0  # a recording that is longer is cut into stretches, unless a window is asked for
WINDOW_SECONDS = 10.0  # length of those stretches
TOGETHER = 64  # stretches that are asked about at once


@dataclass(frozen=True)
class Detection:
    """One label in one stretch of a recording."""

    recording: AudioFile
    begin: float  # s from the beginning of the recording
    end: float  # s
    label: str
    score: float  # probability


@dataclass(frozen=True)
class Heard:
    """One recording with all that was heard in it, or why nothing could be."""

    recording: AudioFile
    seconds: float = 0.0  # length of the recording
    sample_rate: int = 0  # Hz, of the file
    detections: tuple[Detection, ...] = ()
    error: str = ""  # empty where it could be read


@dataclass(frozen=True)
class Choice:
    """Which stretches are asked about, and which labels are told."""

    window_seconds: float = (
        0.0  # length of a stretch; 0: WINDOW_SECONDS for recordings over LONG_SECONDS, else the whole
    )
    hop_seconds: float = 0.0  # from one stretch to the next; 0: the window
    top: int = 3  # labels of a stretch, at most
    threshold: float = 0.0  # least score of a label that is told


def stretches(seconds: float, choice: Choice) -> list[tuple[float, float]]:
    """Begin and length in seconds of every stretch of a recording; together they cover it."""
    window = choice.window_seconds or (WINDOW_SECONDS if seconds > LONG_SECONDS else seconds)
    return cut(seconds, window, choice.hop_seconds)


def detect(tagger: Tagger, recordings: Iterable[AudioFile], choice: Choice) -> Iterator[Heard]:
    """Every recording in order with its detections, likeliest first within a stretch; many are asked about at once."""
    waiting: list[tuple[AudioFile, float, int, list[Sound]]] = []
    for recording in recordings:
        try:
            header = probe(recording.path)
        except ClipError as error:
            yield from _answered(tagger, waiting, choice)
            waiting = []
            yield Heard(recording, error=str(error))
            continue
        seconds = header.samples / max(1, header.sample_rate)
        parts = stretches(seconds, choice)
        # A header may lie about the length of a file that is heard whole, so that one is read to its end.
        sounds = [Sound(recording.path, stretch=stretch if len(parts) > 1 else None) for stretch in parts]
        waiting.append((recording, seconds, header.sample_rate, sounds))
        if sum(len(one[3]) for one in waiting) >= TOGETHER:
            yield from _answered(tagger, waiting, choice)
            waiting = []
    yield from _answered(tagger, waiting, choice)


def _answered(
    tagger: Tagger, waiting: Sequence[tuple[AudioFile, float, int, list[Sound]]], choice: Choice
) -> Iterator[Heard]:
    table, unreadable = tagger.answers([sound for one in waiting for sound in one[3]])
    row = 0
    for recording, seconds, rate, sounds in waiting:
        rows = range(row, row + len(sounds))
        row += len(sounds)
        errors = [str(unreadable[i]) for i in rows if i in unreadable]
        if len(errors) == len(sounds):
            yield Heard(recording, seconds, rate, error=errors[0])
            continue
        found: list[Detection] = []
        for i, sound in zip(rows, sounds, strict=True):
            begin, length = sound.stretch or (0.0, seconds)
            found += _likeliest(tagger.labels, table[i], choice, recording, begin, begin + length)
        yield Heard(recording, seconds, rate, tuple(found), "; ".join(errors))


def _likeliest(
    labels: Sequence[str], row: np.ndarray, choice: Choice, recording: AudioFile, begin: float, end: float
) -> Iterator[Detection]:
    if np.isnan(row).any():
        return
    for i in np.argsort(-row, kind="stable")[: choice.top]:
        if row[i] >= choice.threshold:
            yield Detection(recording, begin, end, labels[i], float(row[i]))
