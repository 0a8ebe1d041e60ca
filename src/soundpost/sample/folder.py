"""Synthesises a small test folder, damaged files included: python -m soundpost.sample.folder --out sample

OUT/test/               clips of 0.3-30 s, 44.1 kHz, 16 bit; OUT is the same to the byte for the same seed
OUT/sample_submission.csv   fname and one column per label, all zero
OUT/truth.csv           fname, labels of the clips that can be heard
"""

import argparse
import csv
import io
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator

from soundpost.arguments import Parser
from soundpost.sample.sounds import RATE, SOUNDS

SHORTEST, LONGEST = 0.3, 30.0  # s
# Columns as Freesound Audio Tagging 2019 names them, where it has the label.
COLUMNS = {
    "Clock_tick": "Tick-tock",
    "Dog_bark": "Bark",
    "Fire_crackling": "Crackle",
    "Person_sneeze": "Sneeze",
    "Rain": "Raindrop",
    "Sea_waves": "Waves_and_surf",
}
UNKNOWN = ("Accordion", "Applause", "Meow", "Printer")  # columns that no member of the shipped weights knows


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder that the command line names; exit status 0."""
    parser = Parser(prog="soundpost sample", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("sample"), help="folder to write (default: sample)")
    parser.add_argument("--clips", type=int, default=40, help="number of sound clips (default 40)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    total = make(options.out, options.clips, options.seed)
    print(f"{options.out}: {total} files in test/, sample_submission.csv, truth.csv")
    return 0


def make(out: Path, n_clips: int, seed: int) -> int:
    """Write the whole folder and return how many files its test/ holds; other files in it are left alone.

    Args:
        out: made where it is missing.
        n_clips: sound clips; every label comes in turn, every fourth clip has a second one.
        seed: what everything is drawn from.
    """
    test = out / "test"
    test.mkdir(parents=True, exist_ok=True)
    heard: dict[str, tuple[str, ...]] = {}
    labels = tuple(SOUNDS)
    for number, samples in enumerate(_lengths(n_clips, np.random.default_rng([seed, 0]))):
        random = np.random.default_rng([seed, 1, number])
        chosen: tuple[str, ...] = (labels[number % len(labels)],)
        if number % 4 == 3:
            chosen = (*chosen, labels[(number + int(random.integers(1, len(labels)))) % len(labels)])
        name = f"{random.integers(1 << 32):08x}" + (".flac" if number % 20 == 19 else ".wav")
        soundfile.write(test / name, _clip(random, samples, chosen), RATE, subtype="PCM_16")
        heard[name] = chosen
    damaged = _damaged(np.random.default_rng([seed, 2]))
    for name, content in damaged.items():
        (test / name).write_bytes(content)
    columns = sorted([*(COLUMNS.get(label, label) for label in labels), *UNKNOWN])
    names = sorted([*heard, *damaged])
    _write_csv(out / "sample_submission.csv", ["fname", *columns], ([name, *[0] * len(columns)] for name in names))
    truth = ([name, ",".join(sorted(COLUMNS.get(label, label) for label in heard[name]))] for name in sorted(heard))
    _write_csv(out / "truth.csv", ["fname", "labels"], truth)
    return len(names)


def _lengths(count: int, random: Generator) -> list[int]:
    """Odd numbers of samples, log-uniform between the shortest and the longest, in no order."""
    place = (random.permutation(count) + random.random(count)) / max(1, count)
    return [int(SHORTEST * (LONGEST / SHORTEST) ** x * RATE) | 1 for x in place]


def _clip(random: Generator, samples: int, labels: tuple[str, ...]) -> np.ndarray:
    """Sounds one after the other, at some level up to full scale, (samples,) int16."""
    edges = [samples * part // len(labels) for part in range(len(labels) + 1)]
    parts = []
    for label, start, end in zip(labels, edges, edges[1:], strict=False):
        sound = SOUNDS[label](random, end - start)
        parts.append(sound / np.abs(sound).max(initial=1e-9))
    level = 10 ** (random.uniform(-20, -1) / 20)
    return np.round(np.concatenate(parts) * level * 32767).astype("<i2")


def _damaged(random: Generator) -> dict[str, bytes]:
    """File name -> content of what goes wrong in real folders."""
    seconds = SOUNDS["Dog_bark"](random, 2 * RATE)
    whole = _wav(seconds / np.abs(seconds).max())
    broken = seconds.astype(np.float32)
    broken[RATE : RATE + 441] = np.nan
    return {
        "damaged_0_bytes.wav": b"",
        "damaged_header_only.wav": _wav(np.zeros(0)),
        "damaged_text.wav": b"This is no audio file, whatever its name says.\n" * 20,
        "damaged_cut.wav": whole[: len(whole) // 3],
        "damaged_not_numbers.wav": _float_wav(broken),
    }


def _wav(waveform: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _float_wav(waveform: np.ndarray) -> bytes:
    """By hand: the library would write the time of day into the header of a float file."""
    samples = waveform.astype("<f4").tobytes()
    layout = struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
