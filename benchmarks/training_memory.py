"""Peak memory of training with one ten-minute clip among short ones, and without it, for each kind of input.

python benchmarks/training_memory.py [--clips 40] [--minutes 10]
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from measuring import run

RATE = 44100  # Hz
SECONDS = 5  # a short clip's length
FRONT_END = """
[audio]
sample_rate = 44100
[front_end]
name = "log_mel"
sample_rate = 44100
n_fft = 2048
hop_length = 882
n_mels = 64
top_db = 0.0
[[views]]
name = "whole"
[model]
name = "compact"
strides = [2, 2, 2, 1]
[loss]
name = "bce"
[optimiser]
name = "adam"
rate = 1e-3
[[stages]]
epochs = 1
batch = 16
"""
INPUTS = {
    "composed": '[input]\nname = "composed"\n',
    "spectrograms, cropped": '[input]\nname = "spectrograms"\n[[augment]]\nname = "place"\nframes = 200\n',
    "waveforms, cropped": '[input]\nname = "waveforms"\n[[augment]]\nname = "place"\nframes = 176400\n',
    "windows": '[input]\nname = "windows"\n',
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder, arguments.clips, arguments.minutes)
        print(f"| input | {arguments.clips} clips of {SECONDS} s | and one of {arguments.minutes:g} minutes |")
        print("|---|---|---|")
        for kind, tables in INPUTS.items():
            (folder / "plan.toml").write_text(f"format = 1\n{tables}{FRONT_END}")
            peaks = [peak_bytes(folder, table, f"{kind}-{table}") for table in ("short", "long")]
            print(f"| {kind} | {peaks[0] / 1e6:,.0f} MB | {peaks[1] / 1e6:,.0f} MB |", flush=True)


def make_clips(folder: Path, count: int, minutes: float) -> None:
    """Noise in two folds and two labels; short.csv names the short clips, long.csv the long one as well."""
    random = np.random.default_rng(0)
    rows = [["fname", "labels", "fold"]]
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", random.uniform(-0.5, 0.5, SECONDS * RATE), RATE, subtype="PCM_16")
        rows.append([f"{number}.wav", "high" if number % 2 else "low", str(1 + number // 2 % 2)])
    soundfile.write(folder / "long.wav", random.uniform(-0.5, 0.5, int(minutes * 60 * RATE)), RATE, subtype="PCM_16")
    for name, more in (("short", []), ("long", [["long.wav", "low", "2"]])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([*rows, *more])


def peak_bytes(folder: Path, table: str, out: str) -> int:
    """The most that training one member took; it hears the long clip."""
    words = ["--curated", f"{folder / f'{table}.csv'}:{folder}", "--out", str(folder / out), "--device", "cpu"]
    command = [sys.executable, "-m", "soundpost.training", str(folder / "plan.toml"), *words, "--folds", "1"]
    usage = run(command)
    if usage.status:
        sys.exit(f"{' '.join(command)}\n{usage.output}")
    return usage.peak_bytes


if __name__ == "__main__":
    main()
