"""Front ends against the functions they replace: CPU seconds for a minute of audio, and memory for a long clip.

    python benchmarks/front_ends.py [--clips 40] [--repeats 5] [--turns 3] [--only log_mel]

Ours and theirs take turns on the same clips, whose lengths are log-normal (median 5 s, at most 30 s, 44.1 kHz), each in
a process of its own, because threads that one library leaves spinning are counted against whoever comes next. A turn
counts its best repeat; the table has medians over turns, of times and of ratios. Both are given decoded waveforms.
Ours runs on one thread, as in a worker; theirs on one and then on as many as its libraries start by themselves, as in
a plain notebook. Peak memory is that of one call on ten minutes of audio, above what the process held before.
"theirs" is librosa's function of the same name; for the reassigned picture, the formula written out in numpy, on one
excerpt of 2 s; and once the log-mel as it is usually written in torch: torch.stft, its magnitudes squared, times the
whole filter bank. The row "its rfft" is the transform of the log-mel's frames and nothing else, by torch and by scipy,
which librosa calls. What a front end compiles at its first call is not counted, and printed below the table.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RATE = 44100  # Hz
EXCERPT = 44100  # samples; what the reassigned picture is made of, 2 s at 22.05 kHz
# Row -> cycles in a filter's standard deviation, of each picture that is made of the excerpt.
REASSIGNED = {"reassigned, q 1": (1.0,), "reassigned, q 8": (8.0,), "reassigned, q 1, 4, 8": (1.0, 4.0, 8.0)}
Call = Callable[[np.ndarray], Any]

LOG_MEL = {"n_fft": 2560, "hop_length": 690, "n_mels": 128, "fmin": 20}
PICTURE = {"n_fft": 4480, "hop_length": 746, "n_mels": 224, "fmin": 20}
PCEN = {"n_fft": 5120, "hop_length": 689, "n_mels": 256, "fmin": 0}
STFT = {"n_fft": 256, "hop_length": 128}


def theirs(name: str) -> Call:
    """The straightforward way to the same numbers."""
    import librosa

    def mel(y: np.ndarray, options: dict[str, int]) -> np.ndarray:
        return librosa.feature.melspectrogram(y=y, sr=RATE, pad_mode="reflect", **options)

    def log_mel(y: np.ndarray) -> np.ndarray:
        return librosa.power_to_db(mel(y, LOG_MEL))

    def deltas(y: np.ndarray) -> np.ndarray:
        level = log_mel(y)
        return np.stack([level, librosa.feature.delta(level), librosa.feature.delta(level, order=2)])

    def picture(y: np.ndarray) -> np.ndarray:
        level = librosa.power_to_db(mel(y, PICTURE))
        level = (level - level.mean()) / (level.std() + 1e-6)
        return (255 * (level - level.min()) / (level.max() - level.min())).astype(np.uint8)

    def pcen(y: np.ndarray) -> np.ndarray:
        constants = {"gain": 0.6, "bias": 0.1, "power": 0.2, "eps": 1e-9, "zi": np.zeros((256, 1))}
        return librosa.pcen(mel(y, PCEN), sr=RATE, hop_length=PCEN["hop_length"], **constants)

    def torch_stft() -> Call:
        import torch

        bank = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=2560, n_mels=128, fmin=20))
        window = torch.hann_window(2560)

        def log_mel(y: np.ndarray) -> torch.Tensor:
            spectrum = torch.stft(torch.from_numpy(y), 2560, 690, window=window, return_complex=True)
            level = 10 * torch.log10((bank @ spectrum.abs().square()).clamp(min=1e-10))
            return level.clamp(min=level.max() - 80)

        return log_mel

    if name == "log_mel, torch.stft":
        return torch_stft()
    if name == "log_mel, its rfft":
        import scipy.fft

        return lambda y: scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(y, 2560)[::690])
    if name in REASSIGNED:
        return lambda y: [plain_reassignment(y, q) for q in REASSIGNED[name]]
    return {
        "trim": librosa.effects.trim,
        "log_mel": log_mel,
        "log_mel, 2 deltas": deltas,
        "picture": picture,
        "pcen": pcen,
        "log_stft": lambda y: np.log(np.abs(librosa.stft(y, pad_mode="reflect", **STFT)) + 1e-4),
    }[name]


def ours(name: str) -> Call:
    """The kit's way."""
    import torch

    from soundpost.audio.trim import trim
    from soundpost.front_ends.log_mel import LogMel, LogMelSettings
    from soundpost.front_ends.log_stft import LogStft, LogStftSettings
    from soundpost.front_ends.pcen import Pcen, PcenSettings
    from soundpost.front_ends.picture import Picture, PictureSettings
    from soundpost.front_ends.reassigned_picture import ReassignedPicture, ReassignedPictureSettings
    from soundpost.front_ends.reassignment import compile_for, reassigned

    torch.set_num_threads(1)
    if name == "trim":
        return lambda y: trim(y, 60.0, "constant")
    if name in REASSIGNED:
        grids = [ReassignedPicture(ReassignedPictureSettings(q=q)).grid for q in REASSIGNED[name]]
        compile_for(grids[0])
        return lambda y: [reassigned(torch.from_numpy(y), grid) for grid in grids]
    if name == "log_mel, its rfft":
        return lambda y: [torch.fft.rfft(part) for part in torch.from_numpy(y).unfold(0, 2560, 690).split(200)]
    front_end = {
        "log_mel": lambda: LogMel(LogMelSettings(**LOG_MEL)),
        "log_mel, torch.stft": lambda: LogMel(LogMelSettings(**LOG_MEL)),
        "log_mel, 2 deltas": lambda: LogMel(LogMelSettings(**LOG_MEL, deltas=2)),
        "picture": lambda: Picture(PictureSettings(sample_rate=RATE, **PICTURE)),
        "pcen": lambda: Pcen(PcenSettings(**PCEN)),
        "log_stft": lambda: LogStft(LogStftSettings(**STFT)),
    }[name]()
    return lambda y: front_end(torch.from_numpy(y)[None])


def plain_reassignment(y: np.ndarray, q: float) -> np.ndarray:
    """The published formula, one filter after the other, in double precision."""
    samples, rows = len(y), 224
    spectrum, frequency = np.fft.fft(y.astype(np.float64)), np.arange(samples) / samples
    frequency = np.where(frequency > 0.5, frequency - 1, frequency)
    energy, instant = np.zeros((rows, -(-samples // 197))), np.arange(1, samples + 1)
    for line in range(rows * 10):
        centre = 1.4e-3 * 2 ** (line / 262)
        width = centre / (2 * np.pi * q)
        gauss = np.exp(-((frequency - centre) ** 2) / (2 * width**2))
        seen = np.fft.ifft(gauss * spectrum)
        shift = np.fft.ifft(-(frequency - centre) / width * gauss * spectrum) / (seen + 1e-20)
        later, higher = instant + shift.imag / (2 * np.pi * width), centre - width * shift.real
        kept = (np.abs(shift) < 0.5) & (higher > 1.4e-3) & (higher < 0.5) & (later >= 1) & (later < samples)
        column = np.round(later[kept] / 197 + 0.5).astype(int) - 1
        row = np.round(1 - 26.2 * np.log2(higher[kept] / 0.5)).astype(int) - 1
        np.add.at(energy, (row, column), np.abs(seen[kept]) ** 2)
    return energy


CONTESTANTS = (("ours", 1), ("theirs", 1), ("theirs", 0))  # and threads; 0: what the libraries start
NAMES = (
    "trim",
    "log_mel",
    "log_mel, torch.stft",
    "log_mel, its rfft",
    "log_mel, 2 deltas",
    "picture",
    "pcen",
    "log_stft",
    *REASSIGNED,
)


def make_waveforms(count: int) -> list[np.ndarray]:
    """Noise that dies away, of log-normal lengths."""
    random = np.random.default_rng(0)
    seconds = np.clip(random.lognormal(np.log(5), 0.8, count), 0.3, 30)
    lengths = (seconds * RATE).astype(int)
    return [(0.3 * random.standard_normal(n) * np.exp(-3 * np.linspace(0, 1, n))).astype(np.float32) for n in lengths]


def cpu_seconds(call: Call, waveforms: list[np.ndarray]) -> float:
    """CPU seconds of the whole process, threads of its libraries included."""
    started = time.process_time()
    for waveform in waveforms:
        call(waveform)
    return time.process_time() - started


def best_of(name: str, who: str, clips: int, repeats: int) -> float:
    """CPU seconds for a minute of audio, of the best repeat."""
    slow = name in REASSIGNED
    waveforms = [make_waveforms(1)[0][:EXCERPT]] if slow else make_waveforms(clips)
    minutes = sum(map(len, waveforms)) / (EXCERPT / 2 if slow else RATE) / 60
    call = {"theirs": theirs, "ours": ours}[who](name)
    call(waveforms[0][:22050])
    return min(cpu_seconds(call, waveforms) for _ in range(1 if slow else repeats)) / minutes


def compile_seconds() -> float:
    """CPU seconds in which a process loads the compiler and compiles what reassigned pictures are computed with."""
    from soundpost.front_ends.reassigned_picture import ReassignedPicture, ReassignedPictureSettings

    front_end = ReassignedPicture(ReassignedPictureSettings())
    started = time.process_time()
    front_end.compile()
    return time.process_time() - started


def peak_bytes(name: str, who: str) -> int:
    """How much a call on ten minutes adds to the largest size that the process ever had."""
    waveform = np.random.default_rng(0).standard_normal(600 * RATE, dtype=np.float32)
    call = {"theirs": theirs, "ours": ours}[who](name)
    call(waveform[:RATE])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call(waveform)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def child(task: str, threads: int, *arguments: str) -> Any:
    """What a task prints in a process of its own, whose libraries are told how many threads to start (0: nothing)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    if threads:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [sys.executable, __file__, "--task", task, *arguments]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=NAMES, help="one row of the table")
    parser.add_argument("--task", choices=("time", "compile", "peak"), help=argparse.SUPPRESS)
    parser.add_argument("--who", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task == "time":
        print(json.dumps(best_of(arguments.only, arguments.who, arguments.clips, arguments.repeats)))
        return
    if arguments.task == "compile":
        print(json.dumps(compile_seconds()))
        return
    if arguments.task == "peak":
        print(json.dumps(peak_bytes(arguments.only, arguments.who)))
        return
    print("| front end | ours | theirs, 1 thread | ratio | theirs, as it comes | ratio | peak, ours | peak, theirs |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    options = ["--clips", str(arguments.clips), "--repeats", str(arguments.repeats)]
    for name in [arguments.only] if arguments.only else NAMES:
        turns = [
            [child("time", threads, "--only", name, "--who", who, *options) for who, threads in CONTESTANTS]
            for _ in range(arguments.turns)
        ]
        mine, one, free = (f"{statistics.median(times) * 1e3:.1f} ms" for times in zip(*turns, strict=True))
        against_one, against_free = (f"{statistics.median(t[i] / t[0] for t in turns):.1f}" for i in (1, 2))
        peaks = ["-", "-"]
        if name not in REASSIGNED:
            found = [child("peak", 1, "--only", name, "--who", who) for who in ("ours", "theirs")]
            peaks = [f"{size / 2**20:,.0f} MiB" for size in found]
        print("|", " | ".join([name, mine, one, against_one, free, against_free, *peaks]), "|", flush=True)
    if arguments.only in (None, *REASSIGNED):
        seconds = [child("compile", 1) for _ in range(arguments.turns)]
        print(f"\nReassigned pictures: compiled in {statistics.median(seconds):.1f} CPU s, once before workers fork.")


if __name__ == "__main__":
    main()
