"""Which clips a person should look at: the least certain, the silent and the mended, with picture and sound."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from soundpost.audio.decode import AudioSettings, decode
from soundpost.contest.clips import find_clips
from soundpost.errors import ClipError
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.report_page import charts
from soundpost.report_page.run_file import RunFile

SAMPLE_RATE = 22_050  # Hz, of pictures and of what is played
HEARD_SECONDS = 12.0  # as much of a clip, at most, is shown and played
TOP = 3  # labels that stand beside a clip


@dataclass(frozen=True)
class Shown:
    """One clip on the page."""

    name: str
    why: str
    labels: tuple[tuple[str, float], ...] = ()  # likeliest first
    picture: str = ""  # address of a PNG; empty where the clip is not here
    sound: str = ""  # address of what a player plays; empty where there is none
    truth: str = ""


def paths_of(run: RunFile) -> dict[str, Path]:
    """Where the clips of a run lie, by name, as far as they are here."""
    if not run.names or not run.test_dir.is_dir():
        return {}
    return {clip.name: clip.path for clip in find_clips(run.names, run.test_dir).clips if clip.path}


def least_certain(run: RunFile, count: int) -> list[str]:
    """Names of the answered clips whose likeliest label is least likely."""
    if not run.probabilities.size:
        return []
    order = np.argsort(run.probabilities.max(axis=1), kind="stable")
    return [run.names[i] for i in order if run.names[i] not in run.unanswered][:count]


def shown(run: RunFile, name: str, why: str, path: Path | None, plays: bool, truth: Sequence[str] = ()) -> Shown:
    """A clip with its likeliest labels and, where it lies here, its picture and its sound."""
    labels: tuple[tuple[str, float], ...] = ()
    if run.probabilities.size and name in run.names:
        row = run.probabilities[run.names.index(name)]
        labels = tuple((run.labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:TOP])
    if path is None:
        return Shown(name, why, labels, truth=", ".join(truth))
    try:
        waveform = decode(path, AudioSettings(sample_rate=SAMPLE_RATE, max_seconds=HEARD_SECONDS)).waveform
    except ClipError as error:
        return Shown(name, f"{why}: {error}", labels, truth=", ".join(truth))
    picture = charts.spectrogram(_decibels(waveform), len(waveform) / SAMPLE_RATE)
    return Shown(name, why, labels, picture, _playable(waveform) if plays else "", ", ".join(truth))


def _decibels(waveform: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram (bins, frames) below its loudest cell, in dB."""
    settings = LogMelSettings(SAMPLE_RATE, n_fft=1024, hop_length=256, n_mels=64, fmin=40.0, pad_mode="constant")
    made = LogMel(settings)(torch.from_numpy(waveform)[None])[0, 0].numpy()
    return np.asarray(made - made.max())


def _playable(waveform: np.ndarray) -> str:
    """The address of an Ogg file that every browser plays."""
    target = io.BytesIO()
    soundfile.write(target, np.clip(waveform, -1, 1), SAMPLE_RATE, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(target.getvalue()).decode()
