"""The stretches that say most about a label, as wav files, for checking by ear."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from soundpost.errors import SettingsError
from soundpost.tag.detections import Detection

ORDERS = ("score", "loudness")
CANDIDATES = 20  # times the asked count: the most certain stretches, of which the loudest are taken
SILENCE_DB = -200.0  # dB of full scale


def write_segments(folder: Path, detections: Iterable[Detection], count: int, order: str) -> int:
    """Write folder/LABEL/SCORE_RECORDING_BEGIN-END.wav, 16 bit, at the recording's own rate and channels.

    Args:
        folder: made where it is not there.
        detections: those of all recordings.
        count: stretches of each label, at most.
        order: "score": the most certain; "loudness": the loudest of the most certain CANDIDATES x count.

    Returns:
        How many files were written.

    Raises:
        SettingsError: the folder cannot be written.
    """
    by_label: dict[str, list[Detection]] = defaultdict(list)
    for detection in detections:
        by_label[detection.label].append(detection)
    written = 0
    for label, found in by_label.items():
        found.sort(key=lambda d: -d.score)
        best = found[:count]
        if order == "loudness":
            best = sorted(found[: CANDIDATES * count], key=lambda d: -loudness_db(d))[:count]
        for detection in best:
            stem = re.sub(r"[^\w.-]+", "_", detection.recording.name)
            name = f"{detection.score:.3f}_{stem}_{detection.begin:.1f}-{detection.end:.1f}.wav"
            path = folder / re.sub(r"[^\w.-]+", "_", label) / name
            samples, rate = _samples(detection)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, samples, rate, subtype="PCM_16")
            except (OSError, soundfile.SoundFileError) as error:
                raise SettingsError(f"--segments {path}: {error}. Name a folder that can be written.") from error
            written += 1
    return written


def loudness_db(detection: Detection) -> float:
    """Root mean square of a stretch over all channels, in dB of full scale."""
    samples, _ = _samples(detection)
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return 10 * np.log10(power) if power > 0 else SILENCE_DB


def _samples(detection: Detection) -> tuple[np.ndarray, int]:
    """(samples, channels) float32 of a stretch that has been read before, and its rate in Hz."""
    with soundfile.SoundFile(detection.recording.path) as file:
        begin = round(detection.begin * file.samplerate)
        file.seek(begin)
        samples = file.read(round(detection.end * file.samplerate) - begin, dtype="float32", always_2d=True)
        return samples, file.samplerate
