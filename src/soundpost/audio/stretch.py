"""A stretch in the middle of a long recording, without the memory and the time that its beginning would take."""

from pathlib import Path

import soundfile

from soundpost.audio import reading
from soundpost.audio.downmix import Downmix
from soundpost.audio.reading import Reading

BLOCK = 1 << 16  # sample times read at once, so that a header's promise never decides how much memory is taken


def read(path: Path, start_seconds: float, seconds: float) -> Reading:
    """So many seconds from a second on, as one channel.

    soundfile goes to the place at once; where it cannot, everything before is read and dropped.

    Raises:
        ClipError: the file cannot be read, or ends before the stretch.
    """
    reading.size_of(path)
    try:
        return _sought(path, start_seconds, seconds)
    except (soundfile.SoundFileError, OSError, ValueError, TypeError):
        whole = reading.read(path, start_seconds + seconds)
    first = round(start_seconds * whole.rate)
    if first >= len(whole.waveform):
        raise reading.ended(path, start_seconds, len(whole.waveform) / whole.rate)
    whole.waveform = whole.waveform[first:].copy()
    return whole


def _sought(path: Path, start_seconds: float, seconds: float) -> Reading:
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        first, left = round(start_seconds * rate), round(seconds * rate)
        if first >= file.frames:
            raise reading.ended(path, start_seconds, file.frames / rate)
        mix = Downmix()
        file.seek(first)
        while left > 0 and len(block := file.read(min(BLOCK, left), dtype="float32", always_2d=True)):
            mix.add(block)
            left -= len(block)
    if not mix.count:
        raise reading.ended(path, start_seconds, start_seconds)
    return reading.mended(mix, rate)
