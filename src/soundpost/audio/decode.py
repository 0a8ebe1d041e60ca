"""File -> waveform: the only module that sees a decoder.

A header is believed only as far as the samples bear it out. What can be decoded is used, and what had to be mended
is said in remarks; a file without one usable sample is a ClipError.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from soundpost.audio import trim
from soundpost.errors import ClipError, SettingsError

BLOCK = 1 << 16  # sample times read at once, so that a header's promise never decides how much memory is taken
ADVICE = "Its row gets the fallback; if many clips say so, re-attach the dataset."
RATES = (1000, 1_000_000)  # Hz; a header that says anything else is damaged, and resampling it would fill the memory
LYING_SIZE = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)  # as the decoder logs it
LOUDEST = float(1 << 31)  # |amplitude|; louder is damage, and its square would leave float32
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

    def __post_init__(self) -> None:
        if self.length_rule not in LENGTH_RULES:
            known = ", ".join(LENGTH_RULES)
            raise SettingsError(f"length_rule '{self.length_rule}' is not known; known: {known}. Correct [audio].")
        if self.trim_pad_mode not in ("reflect", "constant"):
            raise SettingsError(
                f"trim_pad_mode '{self.trim_pad_mode}' is not known; known: reflect, constant. Correct [audio]."
            )
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


def probe(path: Path) -> Probe:
    """Length, rate and channels as the header gives them; no sample is decoded.

    Raises:
        ClipError: the file is missing, empty or no audio file.
    """
    with _open(path) as file:
        return Probe(max(0, file.frames), file.samplerate, file.channels)


def decode(path: Path, settings: AudioSettings) -> Decoded:
    """A file as mono float32 at the asked rate, trimmed and brought to length: as many true samples as there are.

    Channels are averaged; samples that are no number become 0.

    Raises:
        ClipError: the file is missing, empty, no audio file, holds not one sample, or has an absurd rate.
    """
    waveform, rate, remarks = _read(path, settings.max_seconds, settings.start_seconds)
    if settings.sample_rate and rate != settings.sample_rate:
        waveform, rate = _resample(waveform, rate, settings.sample_rate), settings.sample_rate
    return Decoded(fit(waveform, settings), rate, remarks)


def fit(waveform: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """A decoded waveform trimmed and brought to length as the settings say, contiguous."""
    start, end = 0, len(waveform)
    if settings.trim_db:
        start, end = trim.trim(waveform, settings.trim_db, settings.trim_pad_mode)
    rule, samples = settings.length_rule, settings.length_samples
    if rule == "loudest":
        waveform = trim.loudest(waveform[start:end], samples)
    elif rule == "at_least_from_head" and end - start < samples:
        # Half the trimmed length is taken for the middle of the trimmed region, so the stretch is always the head
        # of the untrimmed clip. A slip of the published code that its weights were trained with (argus, a.4).
        waveform = trim.around(waveform, (end - start) // 2, samples)
    elif rule == "at_least_around_sound" and end - start < samples:
        waveform = trim.around(waveform, (start + end) // 2, samples)
    else:
        waveform = trim.centred(waveform[start:end], samples)
    return np.ascontiguousarray(waveform, np.float32)


def _open(path: Path) -> soundfile.SoundFile:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ClipError(f"{path.name}: cannot be opened ({error.strerror}). Re-attach the dataset.") from error
    if size == 0:
        raise ClipError(f"{path.name}: 0 bytes. {ADVICE}")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").rstrip(".")
        raise ClipError(
            f"{path.name}: {size:,} bytes that are no audio file that can be read ({reason}). {ADVICE}"
        ) from error


def _read(path: Path, max_seconds: float, start_seconds: float = 0.0) -> tuple[np.ndarray, int, tuple[str, ...]]:
    remarks = []
    with _open(path) as file:
        promised, rate = file.frames, file.samplerate
        if not RATES[0] <= rate <= RATES[1]:
            raise ClipError(f"{path.name}: header says {rate:,} Hz, which no recording has. {ADVICE}")
        first = min(round(start_seconds * rate), promised)
        if first:
            file.seek(first)
            promised -= first
        wanted = min(promised, max(1, round(max_seconds * rate)))
        lie = LYING_SIZE.search(file.extra_info)
        if lie:
            remarks.append(f"header promises {int(lie[1]):,} bytes of samples, file holds {int(lie[2]):,}")
        blocks, count = [], 0
        while count < wanted:
            try:
                block = file.read(min(BLOCK, wanted - count), dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                remarks.append(f"decoding stopped after {count:,} samples ({str(error).rstrip('.')})")
                break
            if len(block) == 0:
                break
            blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
            count += len(block)
    if count == 0:
        said = f"; {remarks[0]}" if remarks else ""
        raise ClipError(
            f"{path.name}: header promises {promised:,} samples, file holds none "
            f"({path.stat().st_size:,} bytes{said}). {ADVICE}"
        )
    if count < wanted:
        remarks = remarks or [f"header promises {promised:,} samples, file holds {count:,}"]
    elif wanted < promised:
        remarks.append(f"only the first {max_seconds:g} s of {promised / rate:,.0f} s were read")
    waveform = np.concatenate(blocks)
    broken = ~np.isfinite(waveform)
    if broken.any():
        remarks.append(f"{int(broken.sum()):,} of {count:,} samples were no numbers and became 0")
        waveform[broken] = 0.0
    if np.abs(waveform).max() > LOUDEST:
        remarks.append(f"samples louder than {LOUDEST:g} were cut to it")
        np.clip(waveform, -LOUDEST, LOUDEST, out=waveform)
    return waveform, rate, tuple(f"{path.name}: {remark}" for remark in remarks)


def _resample(waveform: np.ndarray, old: int, new: int) -> np.ndarray:
    """What librosa.resample gives by default, without the seconds that importing librosa takes."""

    resampled = soxr.resample(waveform, old, new, quality="soxr_hq")
    samples = -(-len(waveform) * new // old)
    return np.pad(resampled[:samples], (0, max(0, samples - len(resampled))))
