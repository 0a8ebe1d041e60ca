"""Two readers, one waveform: soundfile first, ffmpeg where soundfile refuses, gives up or reads too little."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundpost.audio import ffmpeg, libsndfile
from soundpost.audio.downmix import Downmix
from soundpost.audio.resample import RATES
from soundpost.errors import ClipError

ADVICE = "Its row gets the fallback; if many files say so, re-attach the dataset."
LOUDEST = float(1 << 31)  # |amplitude|; louder is damage, and its square would leave float32


@dataclass
class Reading:
    """One channel of a whole file at its own rate."""

    waveform: np.ndarray  # (samples,) float32, at least one sample, finite
    rate: int  # Hz
    remarks: list[str] = field(default_factory=list)  # half a sentence each
    silent: str = ""  # half a sentence where nothing can be heard
    second_reader: str = ""  # half a sentence where ffmpeg read it, with the reason


@dataclass
class _Gathered:
    """One reader's samples, and how it is asked again for one channel alone."""

    mix: Downmix
    rate: int
    remarks: list[str]
    again: Callable[[int], Downmix]
    second_reader: str = ""


def read(path: Path, max_seconds: float, stretch: tuple[float, float] | None = None) -> Reading:
    """A file's samples as one channel, mended where they have to be.

    Args:
        path: the file.
        max_seconds: s; what lies beyond is not read.
        stretch: begin and length in s of what alone is wanted; None: all. Where a file cannot be entered in its middle,
            it is read from its beginning on.

    Raises:
        ClipError: the file is missing, empty, no audio file, holds not one sample, or has an absurd rate.
    """
    size = size_of(path)
    gathered = _sought(path, *stretch) if stretch else None
    if gathered is None:
        gathered = _gathered(path, size, sum(stretch) if stretch else max_seconds)
        if stretch:
            _enter(gathered, stretch[0], path)
    remarks = list(gathered.remarks)
    channel = gathered.mix.better_channel()
    if channel is not None:
        gathered.mix = gathered.again(channel)
        remarks.append(f"its channels cancel each other; channel {channel + 1} alone was taken")
    result = mended(gathered.mix, gathered.rate)
    result.remarks = remarks + result.remarks
    result.second_reader = gathered.second_reader
    return result


def mended(mix: Downmix, rate: int) -> Reading:
    """What was gathered as finite samples, with what had to be done for that, and whether it is silent."""
    waveform, remarks = _finite(mix.waveform())
    low, high = waveform.min(), waveform.max()
    silent = ""
    if low == high:
        silent = f"all {len(waveform):,} samples are {low:g}" if len(waveform) > 1 else "it holds a single sample"
    return Reading(waveform, rate, remarks, silent)


def ended(path: Path, start_seconds: float, seconds: float) -> ClipError:
    """The error for a stretch that begins where its file holds nothing any more."""
    return ClipError(
        f"{path.name}: it ends at {seconds:,.1f} s, and rows from {start_seconds:,.1f} s on are wanted. {ADVICE}"
    )


def _sought(path: Path, begin: float, seconds: float) -> _Gathered | None:
    """A stretch of a file that is as its header says; None for any other file."""
    with suppress(libsndfile.Refused, OSError):
        take = libsndfile.read_stretch(path, begin, seconds)
        if take and RATES[0] <= take.rate <= RATES[1]:
            return _Gathered(take.mix, take.rate, [], lambda channel: _channel(path, begin, seconds, channel))
    return None


def _channel(path: Path, begin: float, seconds: float, channel: int) -> Downmix:
    take = libsndfile.read_stretch(path, begin, seconds, channel)
    assert take is not None  # it was there a moment ago
    return take.mix


def _enter(gathered: _Gathered, begin_seconds: float, path: Path) -> None:
    """Forget what lies before a stretch.

    Raises:
        ClipError: nothing lies behind that.
    """
    before = gathered.mix
    again = gathered.again
    begin = round(begin_seconds * gathered.rate)
    if begin >= before.count:
        raise ended(path, begin_seconds, before.count / gathered.rate)
    gathered.mix = before.without_head(begin)
    gathered.again = lambda channel: again(channel).without_head(begin)


def size_of(path: Path) -> int:
    """Bytes of a file that can be looked at.

    Raises:
        ClipError: the file is missing or empty.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ClipError(f"{path.name}: cannot be opened ({error.strerror}). Re-attach the dataset.") from error
    if size == 0:
        raise ClipError(f"{path.name}: 0 bytes. {ADVICE}")
    return size


def _gathered(path: Path, size: int, max_seconds: float) -> _Gathered:
    take: libsndfile.Take | None = None
    try:
        take = libsndfile.read(path, max_seconds)
        reason = f"soundfile: {take.remarks[-1]}" if take.remarks else "soundfile finds no samples"
    except (libsndfile.Refused, OSError) as error:
        reason = f"soundfile: {error}"
    if take and not RATES[0] <= take.rate <= RATES[1]:
        raise ClipError(f"{path.name}: header says {take.rate:,} Hz, which no recording has. {ADVICE}")
    first = None
    if take and take.mix.count:
        first = _Gathered(
            take.mix, take.rate, take.remarks, lambda channel: libsndfile.read(path, max_seconds, channel).mix
        )
        if take.is_whole:
            return first
    try:
        answer = ffmpeg.read(path, max_seconds)
        if not RATES[0] <= answer.rate <= RATES[1]:
            raise ffmpeg.FfmpegError(f"ffmpeg says {answer.rate:,} Hz, which no recording has")
    except (ffmpeg.FfmpegError, OSError) as error:
        if first:
            first.remarks[-1] += f"; {error}"
            return first
        if take:
            words = (
                f"header promises {take.promised or 0:,} samples, file holds none ({size:,} bytes; {reason}; {error})"
            )
        else:
            words = f"{size:,} bytes that are no audio file that can be read ({reason}; {error})"
        raise ClipError(f"{path.name}: {words}. {ADVICE}") from error
    if first and answer.mix.count / answer.rate <= first.mix.count / first.rate:
        first.remarks[-1] += "; ffmpeg reads no more of it"
        return first
    most = max(1, round(max_seconds * answer.rate))
    remarks = [answer.stopped] if answer.stopped else []
    if answer.mix.count > most:
        remarks.append(f"only the first {max_seconds:g} s were read")
    return _Gathered(
        answer.mix.cut(most),
        answer.rate,
        remarks,
        lambda channel: ffmpeg.read(path, max_seconds, channel).mix.cut(most),
        f"read by ffmpeg ({reason})",
    )


def _finite(waveform: np.ndarray) -> tuple[np.ndarray, list[str]]:
    remarks = []
    count = len(waveform)
    low, high = waveform.min(), waveform.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # one NaN makes both NaN
        broken = ~np.isfinite(waveform)
        remarks.append(f"{int(broken.sum()):,} of {count:,} samples were no numbers and became 0")
        waveform[broken] = 0.0
        low, high = waveform.min(), waveform.max()
    if max(-low, high) > LOUDEST:
        remarks.append(f"samples louder than {LOUDEST:g} were cut to it")
        np.clip(waveform, -LOUDEST, LOUDEST, out=waveform)
    return waveform, remarks
