"""The smallest recipe that learns, as TOML, and the tones that it learns from, for the tests of training."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 8000  # Hz
TINY = """
[audio]
sample_rate = 8000
[front_end]
name = "log_mel"
sample_rate = 8000
n_fft = 256
hop_length = 160
n_mels = 16
[[views]]
name = "whole"
[model]
name = "compact"
bins = 16
widths = [4, 6]
strides = [2, 2]
"""


def write_tone(path: Path, number: int, seconds: float, random: np.random.Generator, noise: float = 0.05) -> None:
    """A low tone for an even number, a high one for an odd one, in noise."""
    time = np.arange(int(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * (2500 if number % 2 else 300) * time)
    soundfile.write(path, 0.3 * tone + noise * random.standard_normal(len(time)), RATE, subtype="PCM_16")
