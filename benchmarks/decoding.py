"""Decoding against bare soundfile: CPU time of a good sound file, with everything that decode looks at besides.

    python benchmarks/decoding.py [--turns 7]

Ours is soundpost.audio.decode at the file's own rate, nothing trimmed; theirs is soundfile.read in float32 and the mean
of the channels, which looks at no container and mends nothing. Both take turns on the same file of noise at 44.1 kHz;
the table has each one's median, in milliseconds, and their ratio. What lies above 1 is the price of looking.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from soundpost.audio.decode import AudioSettings, decode

RATE = 44100  # Hz
AS_IT_IS = AudioSettings(sample_rate=0)
TURN_SECONDS = 0.05  # CPU time that a turn takes at least


def theirs(path: Path) -> np.ndarray:
    """The usual two lines."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)


def ours(path: Path) -> np.ndarray:
    """The kit's."""
    return decode(path, AS_IT_IS).waveform


def seconds(call: Callable[[Path], np.ndarray], path: Path) -> float:
    """CPU seconds of one call, over as many as fill a turn."""
    count, began = 0, time.process_time()
    while time.process_time() - began < TURN_SECONDS:
        call(path)
        count += 1
    return (time.process_time() - began) / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    turns = parser.parse_args().turns
    print(f"{'kind':6} {'channels':>8} {'seconds':>7} {'theirs':>8} {'ours':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("wav", "flac", "ogg", "mp3"):
            for channels in (1, 2):
                for length in (1, 5, 30):
                    path = Path(folder) / f"clip.{suffix}"
                    noise = np.random.default_rng(0).normal(0, 0.1, (length * RATE, channels))
                    soundfile.write(path, noise, RATE)
                    pairs = [(seconds(theirs, path), seconds(ours, path)) for _ in range(turns)]
                    bare, full = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
                    ratio = statistics.median(full / bare for bare, full in pairs)
                    print(f"{suffix:6} {channels:8} {length:7} {bare:8.2f} {full:8.2f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
