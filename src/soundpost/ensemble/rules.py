"""Rules that combine inputs into one answer for each clip, by name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce

import numpy as np

SMALLEST = 1e-15  # probability; what is less likely has the logit of this


def mean(inputs: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted arithmetic mean of probabilities.

    Args:
        inputs: each (clips, classes); a row whose weight is 0 is not read.
        weights: (inputs, clips), summing to 1 over the inputs.

    Returns:
        (clips, classes), float64.
    """
    return _sum(w * p for p, w in _weighed(inputs, weights))


def geometric_mean(inputs: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted geometric mean of probabilities; one zero makes the answer zero. Arguments as mean's."""
    with np.errstate(divide="ignore"):
        logs = [np.where(w > 0, w * np.log(np.where(w > 0, p, 1.0)), 0.0) for p, w in _weighed(inputs, weights)]
        geometric: np.ndarray = np.exp(_sum(logs))
    return geometric


def power_mean(inputs: Sequence[np.ndarray], weights: np.ndarray, exponent: float = 2.0) -> np.ndarray:
    """Weighted power mean of probabilities: above exponent 1 the confident inputs count more. Arguments as mean's."""
    with np.errstate(divide="ignore"):  # a negative exponent makes infinity of a zero, and zero of that again
        powers = [np.where(w > 0, w * np.where(w > 0, p, 1.0) ** exponent, 0.0) for p, w in _weighed(inputs, weights)]
        root: np.ndarray = _sum(powers) ** (1 / exponent)
    return root


def rank_mean(inputs: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Classes ordered by their mean rank within the clip, on the mean scale of the inputs. Arguments as mean's.

    Ranks are taken within a clip, so that its answer depends on no other clip; the k-th smallest answer lies where the
    mean of the k-th smallest probabilities lies, so that one input alone comes back unchanged.
    """
    scale = _sum(w * np.sort(p, axis=1) for p, w in _weighed(inputs, weights))
    ranks = _sum(w * _ranks(p) for p, w in _weighed(inputs, weights))
    below = np.clip(np.floor(ranks).astype(np.intp), 0, ranks.shape[1] - 1)
    above = np.minimum(below + 1, ranks.shape[1] - 1)
    low, high = np.take_along_axis(scale, below, 1), np.take_along_axis(scale, above, 1)
    between: np.ndarray = low + (ranks - below) * (high - low)
    return between


def half_geometric_half_rms(inputs: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The mean of the geometric mean and the root mean square, "vlom" of BirdCLEF 2023. Arguments as mean's."""
    halves: np.ndarray = (geometric_mean(inputs, weights) + power_mean(inputs, weights, 2.0)) / 2
    return halves


def logit_mean(
    inputs: Sequence[np.ndarray], weights: np.ndarray, single_label: bool = False, smallest: float = SMALLEST
) -> np.ndarray:
    """Weighted mean of what stood before the sigmoid, or before the softmax. Arguments as mean's.

    Args:
        inputs: as mean's.
        weights: as mean's.
        single_label: the probabilities of a clip sum to 1, they came from a softmax.
        smallest: probability; what is less likely, or likelier than 1 less it, has its logit.
    """
    likely = [(np.clip(np.where(w > 0, p, 0.5), smallest, 1 - smallest), w) for p, w in _weighed(inputs, weights)]
    if single_label:
        scores = _sum(w * np.log(p) for p, w in likely)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        normalised: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
        return normalised
    sigmoid: np.ndarray = 1 / (1 + np.exp(-_sum(w * (np.log(p) - np.log1p(-p)) for p, w in likely)))
    return sigmoid


def _sum(terms: Iterable[np.ndarray]) -> np.ndarray:
    """The sum of at least one array."""
    total: np.ndarray = reduce(np.add, terms)
    return total


def _weighed(inputs: Sequence[np.ndarray], weights: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One input after the other in float64, zero where it has no weight, beside its weights (clips, 1)."""
    for probabilities, weight in zip(inputs, weights[:, :, None], strict=True):
        yield np.where(weight > 0, probabilities, 0.0).astype(np.float64), weight


def _ranks(probabilities: np.ndarray) -> np.ndarray:
    """Rank of each class within its clip, 0 the smallest; equal ones share the mean of their ranks."""
    # A stable order gives equal values their ranks from left to right; the mirrored one from right to left.
    forward = probabilities.argsort(1, kind="stable").argsort(1)
    mirrored = probabilities[:, ::-1].argsort(1, kind="stable").argsort(1)[:, ::-1]
    return (forward + mirrored) / 2


BLENDS: dict[str, Callable[..., np.ndarray]] = {
    "mean": mean,
    "geometric_mean": geometric_mean,
    "power": power_mean,
    "rank": rank_mean,
    "logit": logit_mean,
    "half_geometric_half_rms": half_geometric_half_rms,
}
