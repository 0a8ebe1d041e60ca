"""Steps that scale the rows of a recording by what the whole recording says about a class.

All change the order of rows of one column across recordings, which is what a macro ROC-AUC looks at.
"""

import numpy as np

from soundpost.after.table import Table, for_each_recording
from soundpost.errors import SettingsError

SMALLEST = 1e-6
METHODS = ("topk_mean", "topk_geom", "noisy_or", "mean_max", "topk_mean_max")


def top_k_scale(table: Table, k: int = 2, power: float = 1.0) -> np.ndarray:
    """Each value times the mean of its column's k largest values in the recording, to a power (2026)."""
    return for_each_recording(table, lambda x: x * _largest(x, k).mean(axis=0, keepdims=True) ** power)


def maximum_power(table: Table, power: float = 0.4) -> np.ndarray:
    """Each value times its column's maximum in the recording, to a power; a column of zeros stays zero (2026)."""
    return for_each_recording(table, lambda x: x * x.max(axis=0, keepdims=True) ** power)


def maximum_blend(table: Table, alpha: float = 0.1) -> np.ndarray:
    """1 - alpha of the value and alpha of its column's maximum in the recording (2026)."""
    return for_each_recording(table, lambda x: (1 - alpha) * x + alpha * x.max(axis=0, keepdims=True))


def file_scale_clipped(table: Table, mode: str = "topk_mean", value: float = 3) -> np.ndarray:
    """Scale by the mean of the `value` largest, or by the maximum to the power `value`, and clip to [0, 1] (2026).

    Args:
        table: all rows.
        mode: "topk_mean" or "max_power".
        value: k, or the exponent.
    """
    if mode not in ("topk_mean", "max_power"):
        raise SettingsError(f"[[after]] file_scale_clipped mode = '{mode}'; known: topk_mean, max_power. Correct it.")

    def step(x: np.ndarray) -> np.ndarray:
        if mode == "topk_mean":
            scale = _largest(x, int(value)).mean(axis=0, keepdims=True)
        else:
            scale = np.maximum(x.max(axis=0, keepdims=True), SMALLEST) ** value
        return np.clip(x * scale, 0.0, 1.0)

    return for_each_recording(table, step)


def presence_gate(
    table: Table, method: str = "topk_mean", k: int = 2, gamma: float = 1.0, strength: float = 1.0
) -> np.ndarray:
    """Each value times (1 - strength + strength * presence ** gamma), presence being the recording's (2026).

    Args:
        table: all rows.
        method: how rows become the presence of a class in the recording; one of METHODS.
        k: rows that the top-k methods look at.
        gamma: exponent of the presence.
        strength: 0 leaves everything as it is.
    """
    if method not in METHODS:
        raise SettingsError(f"[[after]] presence_gate method = '{method}'; known: {', '.join(METHODS)}. Correct it.")

    def step(x: np.ndarray) -> np.ndarray:
        presence = np.clip(_presence(x, method, k), SMALLEST, 1.0)
        return x * (1 - strength + strength * presence**gamma)

    return for_each_recording(table, step)


def _presence(x: np.ndarray, method: str, k: int) -> np.ndarray:
    """(rows, columns) of one recording -> (columns,)."""
    if method == "topk_geom":
        return np.exp(np.log(_largest(np.maximum(x, SMALLEST), k)).mean(axis=0))
    if method == "noisy_or":
        return 1 - np.prod(1 - x, axis=0)
    mean = x.mean(axis=0) if method == "mean_max" else _largest(x, k).mean(axis=0)
    return mean if method == "topk_mean" else (mean + x.max(axis=0)) / 2


def _largest(x: np.ndarray, k: int) -> np.ndarray:
    """The k largest values of each column, all of them where there are fewer."""
    return np.sort(x, axis=0)[-min(k, len(x)) :]
