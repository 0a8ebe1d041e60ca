"""Labelled clips from a folder and a csv, and their mel powers at several speeds, ready to be composed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from soundpost.errors import SettingsError

SILENCE = 0.01  # of the peak; what is quieter at a recording's ends is not part of the sound


@dataclass(frozen=True)
class Table:
    """Clips with their labels and folds, in the order of the csv."""

    files: tuple[str, ...]
    labels: tuple[str, ...]  # of all clips, sorted: the order of the network's outputs
    truth: np.ndarray  # (clips, classes) float32, 0 or 1
    folds: tuple[str, ...]  # one per clip

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds that there are, sorted."""
        return tuple(sorted(set(self.folds)))


@dataclass(frozen=True)
class Bank:
    """Mel powers of trimmed sources at several speeds; what a training clip is composed of."""

    powers: Tensor  # (speeds, sources, frames, mels) float32, zero after a source's end
    lengths: Tensor  # (speeds, sources) frames, at least 1
    truth: Tensor  # (sources, classes) float32


def read_table(path: Path, make_folds: int | None, seed: int) -> Table:
    """Clips of a csv with fname, labels (comma separated) and, if folds are not to be made, fold.

    Args:
        path: the csv; FSDKaggle2019's train_curated.csv is one.
        make_folds: how many folds to deal the clips into; None takes the csv's own.
        seed: of the dealing.

    Raises:
        SettingsError: a column is missing.
    """
    csv = pd.read_csv(path, dtype=str, keep_default_na=False)
    needed = {"fname", "labels"} if make_folds else {"fname", "labels", "fold"}
    missing = sorted(needed - set(csv.columns))
    if missing:
        raise SettingsError(f"{path}: no column {', '.join(missing)}. Add it; without folds give --folds.")
    several = [row.split(",") for row in csv["labels"]]
    labels = tuple(sorted({label for row in several for label in row}))
    truth = np.zeros((len(several), len(labels)), np.float32)
    for clip, row in enumerate(several):
        truth[clip, [labels.index(label) for label in row]] = 1
    folds = _deal(truth, make_folds, seed) if make_folds else tuple(csv["fold"])
    return Table(tuple(csv["fname"]), labels, truth, folds)


def read_labels(path: Path, labels: Sequence[str], aliases: Mapping[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    """File names and truth (clips, classes) of a csv with fname and labels, in the given order of classes.

    Args:
        path: the csv.
        labels: in the order of the classes.
        aliases: label -> the other name that the csv may use for it.

    Raises:
        SettingsError: a column is missing, or a label is none of the given.
    """
    csv = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := sorted({"fname", "labels"} - set(csv.columns)):
        raise SettingsError(f"{path}: no column {', '.join(missing)}. Add it.")
    own = {alias: label for label, alias in aliases.items()}
    several = [[own.get(label, label) for label in row.split(",")] for row in csv["labels"]]
    if strange := sorted({label for row in several for label in row} - set(labels)):
        raise SettingsError(f"{path}: labels {', '.join(strange)}; known: {', '.join(labels)}. Correct them.")
    return tuple(csv["fname"]), np.array([[label in row for label in labels] for row in several], np.float32)


def _deal(truth: np.ndarray, n_folds: int, seed: int) -> tuple[str, ...]:
    """Folds that share every label set out evenly: clips shuffled, sorted by rarest label, dealt like cards."""
    order = np.random.default_rng(seed).permutation(len(truth))
    rarest = np.where(truth > 0, truth.sum(0), np.inf).argmin(1)
    dealt = order[np.argsort(rarest[order], kind="stable")]
    folds = np.empty(len(truth), int)
    folds[dealt] = np.arange(len(truth)) % n_folds
    return tuple(str(fold + 1) for fold in folds)


def trim(waveform: np.ndarray) -> np.ndarray:
    """The waveform without its near-silent ends and with peak 1; (samples,) -> (fewer samples,)."""
    level = np.abs(waveform)
    peak = level.max(initial=0.0)
    if peak == 0:
        return waveform
    loud = np.flatnonzero(level > SILENCE * peak)
    return waveform[loud[0] : loud[-1] + 1] / peak


def at_speed(waveform: Tensor, speed: float) -> Tensor:
    """The waveform (samples,) played faster (speed > 1) or slower, pitch and all; straight lines between samples."""
    if speed == 1:
        return waveform
    last = len(waveform) - 1
    at = torch.arange(max(1, int(len(waveform) / speed)), device=waveform.device, dtype=torch.float64) * speed
    before = at.long().clamp(max=last)
    after = (before + 1).clamp(max=last)
    return torch.lerp(waveform[before], waveform[after], (at - before).to(waveform.dtype))


def build_bank(
    waveforms: Sequence[np.ndarray],
    truth: np.ndarray,
    front_end: Callable[[Tensor], Tensor],
    speeds: Sequence[float],
    device: torch.device,
) -> Bank:
    """Mel powers of every waveform, trimmed, at every speed.

    Args:
        waveforms: one (samples,) per source.
        truth: (sources, classes).
        front_end: (batch, samples) -> (batch, 1, mels, frames) in dB.
        speeds: 1 is the recording's own.
        device: where the bank lives.
    """
    rows: list[list[Tensor]] = [[] for _ in speeds]
    for waveform in tqdm(waveforms, desc="mel powers", unit="clip"):
        trimmed = torch.from_numpy(trim(waveform)).to(device)
        for row, speed in zip(rows, speeds, strict=True):
            row.append(10 ** (front_end(at_speed(trimmed, speed)[None])[0, 0].T / 10))
    lengths = torch.tensor([[len(powers) for powers in row] for row in rows], device=device)
    bank = torch.zeros(len(speeds), len(waveforms), int(lengths.max()), rows[0][0].shape[1], device=device)
    for speed, row in enumerate(rows):
        for source, powers in enumerate(row):
            bank[speed, source, : len(powers)] = powers
    return Bank(bank, lengths, torch.from_numpy(truth).to(device))
