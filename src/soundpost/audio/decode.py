"""File -> waveform: read, resampled, trimmed and brought to length; the door of this package.

A header is believed only as far as the samples bear it out. What can be decoded is used, and what had to be mended
is said in remarks; a file without one usable sample is a ClipError.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundpost.audio import ffmpeg, libsndfile, reading, trim
from soundpost.audio.resample import RESAMPLERS
from soundpost.errors import ClipError, SettingsError

PROBED_SECONDS = 1800.0  # s; what only ffmpeg reads is counted so far
LENGTH_RULES = ("any", "at_least", "at_least_from_head", "at_least_around_sound", "loudest")


@dataclass(frozen=True)
class AudioSettings:
    """How a file becomes the waveform that a recipe works on."""

    sample_rate: int = 44100  # Hz; other rates are resampled; 0 keeps each file's own
    trim_db: float = 0.0  # dB below the loudest frame; quieter beginnings and ends are cut off; 0 cuts nothing
    trim_pad_mode: str = "reflect"  # "reflect" as librosa until 0.8, "constant" (zeros) as librosa since 0.9
    # "any": as it is. "at_least": shorter clips between zeros. "loudest": exactly length_samples, the loudest stretch.
    # "at_least_from_head": what is too short after trimming is replaced by the head of the untrimmed clip, as the
    # first place of Freesound 2019 had it. "at_least_around_sound": what was meant by that.
    length_rule: str = "any"
    length_samples: int = 0  # samples, of the length rule
    max_seconds: float = 1800.0  # s; what lies beyond is not read, with a remark
    start_seconds: float = 0.0  # s; what lies before is not read
    resampler: str = "soxr"  # "soxr" as librosa since 0.10, "sinc" as torchaudio

    def __post_init__(self) -> None:
        if self.length_rule not in LENGTH_RULES:
            known = ", ".join(LENGTH_RULES)
            raise SettingsError(f"length_rule '{self.length_rule}' is not known; known: {known}. Correct [audio].")
        if self.trim_pad_mode not in ("reflect", "constant"):
            raise SettingsError(
                f"trim_pad_mode '{self.trim_pad_mode}' is not known; known: reflect, constant. Correct [audio]."
            )
        if self.resampler not in RESAMPLERS:
            known = ", ".join(RESAMPLERS)
            raise SettingsError(f"resampler '{self.resampler}' is not known; known: {known}. Correct [audio].")
        if self.sample_rate < 0 or self.trim_db < 0 or self.max_seconds <= 0 or self.length_samples < 0:
            raise SettingsError(f"[audio] holds a negative number or no time at all: {self}. Correct it.")
        if self.length_rule != "any" and self.length_samples < 4:
            raise SettingsError(
                f"length_rule '{self.length_rule}' with length_samples {self.length_samples}. Give a length in samples."
            )


@dataclass(frozen=True)
class Probe:
    """What a header promises."""

    samples: int  # per channel; a header may lie
    sample_rate: int  # Hz
    channels: int


@dataclass(frozen=True)
class Decoded:
    """A waveform and what had to be mended to get it."""

    waveform: np.ndarray  # (samples,) float32 mono, at least one sample, finite
    sample_rate: int  # Hz
    remarks: tuple[str, ...] = ()  # one sentence each, for the report; empty for a sound file
    silent: str = ""  # a sentence for the report where nothing can be heard
    second_reader: str = ""  # a sentence for the report where ffmpeg had to read it


def probe(path: Path) -> Probe:
    """Length, rate and channels as the header gives them; what soundfile cannot open is decoded to be counted.

    Raises:
        ClipError: the file is missing, empty or no audio file.
    """
    reading.size_of(path)
    try:
        take = libsndfile.announced(path)
        return Probe(take.promised or 0, take.rate, take.channels)
    except (libsndfile.Refused, OSError) as error:
        reason = f"soundfile: {error}"
    try:
        answer = ffmpeg.read(path, PROBED_SECONDS)
    except (ffmpeg.FfmpegError, OSError) as error:
        raise ClipError(f"{path.name}: no audio file that can be read ({reason}; {error}). {reading.ADVICE}") from error
    return Probe(answer.mix.count, answer.rate, answer.channels)


def decode(path: Path, settings: AudioSettings, stretch: tuple[float, float] | None = None) -> Decoded:
    """A file as mono float32 at the asked rate, trimmed and brought to length: as many true samples as there are.

    Channels are averaged; samples that are no number become 0.

    Args:
        path: the file.
        settings: the recipe's [audio].
        stretch: begin and length in seconds of what is wanted of it, as if that were a file of its own; None: all.

    Raises:
        ClipError: the file is missing, empty, no audio file, holds not one sample, or has an absurd rate.
    """
    if stretch is None and settings.start_seconds:
        stretch = (settings.start_seconds, settings.max_seconds)
    read = reading.read(path, settings.max_seconds, stretch)
    waveform, rate = at_rate(read.waveform, read.rate, settings)

    def sentence(words: str) -> str:
        return f"{path.name}: {words}" if words else ""

    remarks = tuple(sentence(words) for words in read.remarks)
    return Decoded(waveform, rate, remarks, sentence(read.silent), sentence(read.second_reader))


def at_rate(waveform: np.ndarray, rate: int, settings: AudioSettings) -> tuple[np.ndarray, int]:
    """A mono waveform (samples,) at any rate as decode would give it, and its rate in Hz."""
    if settings.sample_rate and rate != settings.sample_rate:
        waveform = RESAMPLERS[settings.resampler](waveform, rate, settings.sample_rate)
        rate = settings.sample_rate
    return fit(waveform, settings), rate


def fit(waveform: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """A decoded waveform trimmed and brought to length as the settings say, contiguous."""
    start, end = 0, len(waveform)
    if settings.trim_db:
        start, end = trim.trim(waveform, settings.trim_db, settings.trim_pad_mode)
    rule, samples = settings.length_rule, settings.length_samples
    if rule == "loudest":
        waveform = trim.loudest(waveform[start:end], samples)
    elif rule == "at_least_from_head" and end - start < samples:
        # Half the trimmed length is taken for the middle of the trimmed region, so the stretch is always the
        # untrimmed clip's head. It is a slip of the published code that its weights were trained with (argus, a.4).
        waveform = trim.around(waveform, (end - start) // 2, samples)
    elif rule == "at_least_around_sound" and end - start < samples:
        waveform = trim.around(waveform, (start + end) // 2, samples)
    else:
        waveform = trim.centred(waveform[start:end], samples)
    return np.ascontiguousarray(waveform, np.float32)
