"""From frames of overlapping windows to rows: what a network says frame by frame, averaged where windows overlap."""

from collections.abc import Sequence

import numpy as np

from soundpost.errors import SettingsError, ShapeError

LARGEST_LOGIT = 50.0


def overlap_average_max(frames: np.ndarray, per_row: int) -> np.ndarray:
    """Windows of which each begins one row later, laid on one line, averaged, and the maximum over each row's frames.

    The line is cut by half of what a window has beyond a row in front, and by the rest behind, so that a row lies in
    the middle of its own window.

    Args:
        frames: (windows, frames, classes), window i beginning at frame i * per_row.
        per_row: frames of a row; at most those of a window.

    Returns:
        (windows, classes).

    Source: BirdCLEF 2026, 2nd place, after the winner of 2025.
    """
    windows, length, classes = frames.shape
    if not 0 < per_row <= length:
        raise ShapeError(f"{per_row} frames in a row and {length} in its window. Give at most as many as a window has.")
    total = (windows - 1) * per_row + length
    line, counts = np.zeros((total, classes)), np.zeros((total, 1))
    for i in range(windows):
        line[i * per_row : i * per_row + length] += frames[i]
        counts[i * per_row : i * per_row + length] += 1
    front = (length - per_row) // 2
    middle = (line / counts)[front : front + windows * per_row]
    return middle.reshape(windows, per_row, classes).max(axis=1)


def frame_line(
    frames: np.ndarray,
    starts: Sequence[float],
    frames_per_second: int,
    window: float,
    seconds: float,
    attention: np.ndarray | None = None,
    pad: float = 0.0,
) -> np.ndarray:
    """Windows that begin anywhere, averaged on one line of frames, and then one answer for each row of the recording.

    Args:
        frames: (windows, frames, classes): probabilities, or logits where attention is given.
        starts: when each window begins, in seconds.
        frames_per_second: how dense the line is.
        window: length of a row, in seconds.
        seconds: length of the recording; what windows hold beyond it is dropped.
        attention: (windows, frames, classes) before the softmax over a row's frames; None takes the rows' maximum.
        pad: what stands behind the end in a short last row.

    Returns:
        (rows, classes).

    Source: BirdCLEF 2023, 1st place.
    """
    per_row = round(window * frames_per_second)
    line = _rows_of(_line(frames, starts, frames_per_second, seconds), per_row, pad)
    if attention is None:
        return line.max(axis=1)
    scores = _rows_of(_line(attention, starts, frames_per_second, seconds), per_row, pad)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return (_sigmoid(line) * shares).sum(axis=1)


def clip_frame(
    clip: np.ndarray, frames: np.ndarray, weights: tuple[float, float] = (0.5, 0.5), space: str = "probability"
) -> np.ndarray:
    """The clip-wise answer mixed with the maximum of the frame-wise ones.

    Args:
        clip: logits (windows, classes).
        frames: logits (windows, frames, classes).
        weights: shares of the clip-wise answer and of the maximum.
        space: "probability": sigmoids are mixed; "logit": logits are.

    Returns:
        (windows, classes): probabilities or logits, whichever was mixed.
    """
    if space not in ("probability", "logit"):
        raise SettingsError(f"clip_frame space = '{space}'; known: probability, logit. Correct it.")
    loudest = frames.max(axis=1)
    if space == "logit":
        return weights[0] * clip + weights[1] * loudest
    return weights[0] * _sigmoid(clip) + weights[1] * _sigmoid(loudest)


def _line(frames: np.ndarray, starts: Sequence[float], frames_per_second: int, seconds: float) -> np.ndarray:
    """(frames of the recording, classes): the mean of all windows that cover a frame, 0 where none does."""
    total = round(seconds * frames_per_second)
    line, counts = np.zeros((total, frames.shape[2])), np.zeros((total, 1))
    for values, start in zip(frames, starts, strict=True):
        first = round(start * frames_per_second)
        count = max(0, min(len(values), total - first))
        line[first : first + count] += values[:count]
        counts[first : first + count] += 1
    return line / np.maximum(counts, 1)


def _rows_of(line: np.ndarray, per_row: int, pad: float) -> np.ndarray:
    missing = -len(line) % per_row
    return np.pad(line, ((0, missing), (0, 0)), constant_values=pad).reshape(-1, per_row, line.shape[1])


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)))
