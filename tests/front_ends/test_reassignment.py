"""Reassigned energy: what the formula gives when it is written out, whatever the length, the level and the process."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.front_ends.landing import between, in_full
from soundpost.front_ends.narrow_bands import PRECISIONS, Spectrum
from soundpost.front_ends.picture_stack import PictureStack, PictureStackSettings
from soundpost.front_ends.reassigned_picture import ReassignedPicture, ReassignedPictureSettings
from soundpost.front_ends.reassignment import Grid, compile_for, reassigned

TOLERANCE = {True: 1e-9, False: 5e-4}  # as a part of all energy, in float64 and in float32
# Cells and their energy as a process of its own computes them, and the threads that it has then.
PROCESS = """
import hashlib, os, sys, torch
from soundpost.front_ends.reassignment import Grid, reassigned
torch.set_num_threads(1)
waveform = torch.sin(torch.arange(6000) ** 1.5 / 900)
before = len(os.listdir("/proc/self/task"))
energy, visits = reassigned(waveform, Grid(2.0, 100, 8.0, 0.004, 0.5, 2, False))
threads = len(os.listdir("/proc/self/task")) - before
print(hashlib.sha256(energy.numpy().tobytes() + visits.numpy().tobytes()).hexdigest(), threads)
"""


def grid(q: float = 2.0, double: bool = True, samples: int = 4410) -> Grid:
    """Few rows and filters, none of them so narrow that it lies between two bins of a waveform of that length."""
    return Grid(q, 100, 8.0, max(0.02, 6 * q / samples), 0.5, 2, double)


def sound(samples: int, level: float = 0.3, seed: int = 0) -> Tensor:
    """(samples,) of a rising tone in noise that dies away."""
    n = np.arange(samples)
    noise = np.random.default_rng(seed).standard_normal(samples) * np.exp(-3 * n / samples)
    return torch.from_numpy((level * (np.sin(n * (0.1 + n / samples)) + 0.3 * noise)).astype(np.float32))


def written_out(waveform: Tensor, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Energy and visits by two transforms of the whole length for each filter, in float64."""
    samples = len(waveform)
    spectrum, frequency = np.fft.fft(waveform.numpy().astype(np.float64)), np.arange(samples) / samples
    frequency = np.where(frequency > 0.5, frequency - 1, frequency)
    energy, visits = np.zeros((grid.rows, grid.columns(samples))), np.zeros((grid.rows, grid.columns(samples)))
    for centre, width in grid.filters():
        gauss = np.exp(-((frequency - centre) ** 2) / (2 * width**2))
        seen = np.fft.ifft(gauss * spectrum)
        shift = np.fft.ifft(-(frequency - centre) / width * gauss * spectrum) / (seen + 1e-300)
        later = np.arange(1, samples + 1) + shift.imag / (2 * np.pi * width)
        higher = centre - width * shift.real
        kept = (np.abs(shift) < 0.5) & (higher > grid.fmin) & (higher < grid.fmax) & (later >= 1) & (later < samples)
        column = np.round(later[kept] / grid.hop_length + 0.5).astype(int) - 1
        row = np.round(1 - grid.rows_per_octave * np.log2(higher[kept] / grid.fmax)).astype(int) - 1
        np.add.at(energy, (row, column), np.abs(seen[kept]) ** 2)
        np.add.at(visits, (row, column), 1)
    return energy, visits


def assert_as_written_out(waveform: Tensor, grid: Grid) -> None:
    """Energies differ by little of their sum, and visits by few of their number."""
    energy, visits = (found.numpy() for found in reassigned(waveform, grid))
    expected, visited = written_out(waveform, grid)
    assert visited.sum() > len(waveform), "too little was kept for the comparison to mean anything"
    assert np.abs(expected - energy).sum() <= TOLERANCE[grid.double] * expected.sum()
    assert np.abs(visited - visits).sum() <= (1e-5 if grid.double else 1e-3) * visited.sum()


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("samples", [127, 1009, 3969, 4410, 6144])
def test_reassigned_energy_is_that_of_the_formula_at_every_length(samples: int, q: float, double: bool) -> None:
    """A short one, a prime, odd and even strides, powers of two; filters narrower and wider than their distance."""
    assert_as_written_out(sound(samples), grid(q, double, samples))


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("level", [1e-6, 1.0, 1e4])
def test_reassigned_energy_is_that_of_the_formula_at_every_level(level: float, double: bool) -> None:
    """Faint and absurdly loud clips lose nothing, and everything stays a number."""
    waveform = sound(4410, level)
    assert_as_written_out(waveform, grid(1.0, double))
    assert torch.isfinite(reassigned(waveform, grid(1.0, double))[0]).all()


def test_reassigned_energy_of_a_clipped_tone_is_that_of_the_formula() -> None:
    """A square wave at full scale has lines far from each other and digital silence between none of them."""
    assert_as_written_out(sound(4410, 1e3).clamp(-1, 1), grid(4.0))


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
def test_reassigned_silence_has_neither_energy_nor_visits(double: bool) -> None:
    """Nothing divided by nothing lies nowhere."""
    energy, visits = reassigned(torch.zeros(4410), grid(1.0, double))
    assert (float(energy.abs().sum()), int(visits.sum())) == (0.0, 0)


def test_reassigned_energy_of_a_long_clip_is_that_of_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pieces of whole cells, the last one shorter, and no energy crosses from one to another."""
    monkeypatch.setattr("soundpost.front_ends.reassignment.SAMPLES_AT_ONCE", 2050)
    waveform = sound(4567)
    energy, visits = reassigned(waveform, grid())
    parts = [written_out(piece, grid()) for piece in waveform.split(2000)]
    expected, visited = (np.concatenate(each, 1) for each in zip(*parts, strict=True))
    assert expected.shape == tuple(energy.shape)
    assert np.abs(expected - energy.numpy()).sum() <= 1e-6 * expected.sum()
    assert np.abs(visited - visits.numpy()).sum() <= 1e-4 * visited.sum()


def test_reassigned_lengths_take_both_ways() -> None:
    """What is compared above covers outputs at a low rate, with odd and even strides, and outputs in full."""
    strides = {
        output.stride
        for samples in (127, 1009, 3969, 4410, 6144)
        for q in (0.5, 1.0, 2.0, 8.0)
        for output in Spectrum(sound(samples), torch.float32).outputs(grid(q, samples=samples).filters())
    }
    assert {1, 2, 3, 4, 7, 9} <= strides


def test_reassigned_cells_are_the_same_to_the_bit_in_another_process() -> None:
    """What a worker computes is what the next one computes, and compiled code starts no thread."""
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROCESS]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    energy, visits = reassigned(torch.sin(torch.arange(6000) ** 1.5 / 900), Grid(2.0, 100, 8.0, 0.004, 0.5, 2, False))
    assert [hashlib.sha256(energy.numpy().tobytes() + visits.numpy().tobytes()).hexdigest(), "0"] == told


def test_compiling_beforehand_leaves_nothing_to_compile() -> None:
    """A picture finds compiled what compile_for has compiled, so that forked workers compile nothing."""
    compile_for(grid(double=False))
    add_up = between(PRECISIONS[torch.float32].taps // 2)
    before = (len(in_full.signatures), len(add_up.signatures))  # type: ignore[attr-defined]
    for samples in (1009, 4410):
        reassigned(sound(samples), grid(double=False))
    assert before == (len(in_full.signatures), len(add_up.signatures))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "front_end",
    [ReassignedPicture(ReassignedPictureSettings()), PictureStack(PictureStackSettings(("log_db", "q1")))],
    ids=["picture", "stack"],
)
def test_front_end_without_numba_is_refused_with_what_to_do(
    front_end: ReassignedPicture | PictureStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has installed the kit without it reads which package is missing, before a clip is read and at a clip."""
    monkeypatch.delattr("soundpost.front_ends.landing")
    monkeypatch.delitem(sys.modules, "soundpost.front_ends.landing")
    monkeypatch.setitem(sys.modules, "numba", None)
    words = "reassigned pictures are computed by numba, which cannot be used here .*numba.* Install one that fits"
    with pytest.raises(SettingsError, match=words):
        front_end.compile()
    with pytest.raises(SettingsError, match=words):
        front_end(sound(1000)[None])


def test_import_of_reassigned_pictures_leaves_numba_out() -> None:
    """Numba is loaded by the first picture, not by whoever asks for a shape."""
    code = (
        "import sys; from soundpost.front_ends.picture_stack import PictureStack, PictureStackSettings as S; "
        "PictureStack(S()).shape(100); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)
