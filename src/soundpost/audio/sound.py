"""Something to be heard, wherever it lies: a file, a stretch of one, or a waveform in memory; and many, in batches."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundpost.audio.decode import AudioSettings, at_rate, decode, probe
from soundpost.errors import ClipError, SettingsError

BATCH = 64  # sounds whose waveforms are in memory together
BATCH_SECONDS = 600.0  # as much audio is in them, unless one alone is longer
DECODERS = 4  # threads


@dataclass(frozen=True)
class Sound:
    """Something to be heard: a file, a stretch of one, or a waveform."""

    source: Path | np.ndarray  # an array is mono, (samples,) float32
    sample_rate: int = 0  # Hz, of an array
    stretch: tuple[float, float] | None = None  # begin and length in seconds, of a file

    def seconds(self) -> float:
        """Its length; 0 where a file's header cannot be read."""
        if isinstance(self.source, np.ndarray):
            return len(self.source) / self.sample_rate
        try:
            header = probe(self.source)
        except ClipError:
            return 0.0
        return min(header.samples / max(1, header.sample_rate), self.stretch[1] if self.stretch else float("inf"))

    def waveform(self, settings: AudioSettings) -> np.ndarray:
        """As a recipe hears it, (samples,) float32.

        Raises:
            ClipError: a file that cannot be read.
        """
        if isinstance(self.source, np.ndarray):
            return at_rate(self.source, self.sample_rate, settings)[0]
        return decode(self.source, settings, self.stretch).waveform


def from_array(audio: np.ndarray, sample_rate: int) -> Sound:
    """A waveform (samples,) or, as soundfile reads it, (samples, channels), of floats in [-1, 1] or whole numbers.

    Raises:
        SettingsError: no rate, another shape, nothing in it, or values that are no numbers.
    """
    if sample_rate <= 0:
        raise SettingsError(f"a waveform with sample_rate {sample_rate}. Give its rate in Hz: sample_rate=44100.")
    if audio.ndim not in (1, 2) or audio.size == 0 or (audio.ndim == 2 and audio.shape[1] > audio.shape[0]):
        raise SettingsError(f"a waveform of shape {audio.shape}. Give (samples,) or (samples, channels).")
    if np.issubdtype(audio.dtype, np.integer):
        audio = audio / -float(np.iinfo(audio.dtype).min or -1)
    mono = (audio if audio.ndim == 1 else audio.mean(axis=1)).astype(np.float32)
    if not np.isfinite(mono).all():
        raise SettingsError("a waveform with values that are no numbers. Replace them first: numpy.nan_to_num(audio).")
    return Sound(mono, sample_rate)


def batches(sounds: Sequence[Sound], most: int = 0) -> Iterator[list[int]]:
    """Numbers of sounds that are heard together, in order: at most BATCH of them and BATCH_SECONDS of audio.

    Args:
        sounds: all of them.
        most: so many in a batch, where that is less than BATCH; 0: BATCH.
    """
    limit = min(BATCH, most or BATCH)
    numbers: list[int] = []
    total = 0.0
    for number, sound in enumerate(sounds):
        seconds = sound.seconds()
        if numbers and (len(numbers) == limit or total + seconds > BATCH_SECONDS):
            yield numbers
            numbers, total = [], 0.0
        numbers.append(number)
        total += seconds
    if numbers:
        yield numbers


def hear(sounds: Sequence[Sound], settings: AudioSettings) -> list[np.ndarray | ClipError]:
    """Each sound's waveform as a recipe hears it, or why there is none."""

    def one(sound: Sound) -> np.ndarray | ClipError:
        try:
            return sound.waveform(settings)
        except ClipError as error:
            return error

    with ThreadPoolExecutor(DECODERS) as pool:
        return list(pool.map(one, sounds))
