"""Logits to probabilities, the one place where a recipe's activation is applied, for tensors and for arrays."""

import numpy as np
import torch
from torch import Tensor

from soundpost.errors import WeightsError

NO_PROBABILITY = 1e-3  # how far from [0, 1] rounding may take a probability


def probabilities_of(logits: Tensor, activation: str) -> Tensor:
    """Probabilities in the shape of the logits (..., classes), on their device and in their type.

    Args:
        logits: what a network gives; minus infinity is a probability of 0, NaN stays NaN.
        activation: "sigmoid", each class by itself, "softmax", the classes of a row sum to 1, or "none", where they are
            probabilities already.
    """
    if activation == "none":
        return logits
    return logits.softmax(dim=-1) if activation == "softmax" else logits.sigmoid()


def probabilities_of_array(logits: np.ndarray, activation: str) -> np.ndarray:
    """The same for an array, by the same kernels, so that both agree to the last bit on a CPU."""
    probabilities: np.ndarray = probabilities_of(torch.from_numpy(logits), activation).numpy()
    return probabilities


def refuse_no_probabilities(values: Tensor, member: str) -> None:
    """Refuse numbers beyond [0, 1] where a recipe says that its network gives probabilities.

    Args:
        values: any shape; those that are not finite are another's business.
        member: its name.

    Raises:
        WeightsError: with the range that was seen.
    """
    finite = values[values.isfinite()]
    if finite.numel() and (float(finite.min()) < -NO_PROBABILITY or float(finite.max()) > 1 + NO_PROBABILITY):
        least, most = float(finite.min()), float(finite.max())
        raise WeightsError(
            f"member {member}: answers from {least:.4g} to {most:.4g} are no probabilities, which "
            'activation = "none" takes them for. Say "sigmoid" or "softmax" in its recipe.toml.'
        )
