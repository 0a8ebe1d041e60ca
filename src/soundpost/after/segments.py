"""One public smoothing step of 2026, as its code computes it (its own description names another method)."""

import numpy as np

from soundpost.after.table import Table, for_each_recording

SMALLEST = 1e-9  # probability; what is less likely has the logit of this


def log_sum_exp_segments(
    table: Table,
    beta: float = 4.5,
    radius: int = 1,
    mean: float = 0.175,
    threshold: float = 0.06,
    blend: float = 0.4,
) -> np.ndarray:
    """A soft maximum over neighbouring logits, then a mean over two rows to both sides where the answer jumps.

    Args:
        table: all rows.
        beta: sharpness of the soft maximum.
        radius: rows to both sides that it looks at, the ends repeated.
        mean: share of the recording's mean.
        threshold: a jump to the next row above this is smoothed.
        blend: share of the mean over the rows around a jump.

    Source: a public kernel of 2026; the sum has no mean in it, so it raises every answer.
    """

    def step(x: np.ndarray) -> np.ndarray:
        clipped = np.clip(x, SMALLEST, 1 - SMALLEST)
        logits = np.log(clipped) - np.log1p(-clipped)
        padded = np.pad(logits, ((radius, radius), (0, 0)), mode="edge")
        around = np.stack([padded[i : i + len(x)] for i in range(2 * radius + 1)])
        top = around.max(axis=0)
        soft = top + np.log(np.exp(beta * (around - top)).sum(axis=0)) / beta
        raised = 1 / (1 + np.exp(-soft))
        raised = (1 - mean) * raised + mean * raised.mean(axis=0, keepdims=True)
        result = raised.copy()
        for t in range(len(x) - 1):
            jumps = np.abs(raised[t + 1] - raised[t]) > threshold
            near = raised[max(0, t - 2) : t + 3].mean(axis=0)
            result[t, jumps] = (1 - blend) * raised[t, jumps] + blend * near[jumps]
        return np.clip(result, 0.0, 1.0)

    return for_each_recording(table, step)
