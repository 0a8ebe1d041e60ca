"""What a network says to windows of noise: whether it takes them, is alone what it is in a batch, and gives logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from soundpost.errors import KitError, WeightsError, sentence
from soundpost.importers.tried_windows import tried_windows

SAME_ALONE = 1e-3  # share of the largest answer that another order of sums may change when a window has company


def probe(
    network: nn.Module, table: Mapping[str, Any], n_classes: int, where: str, is_logits: bool = False
) -> tuple[float, float]:
    """Show the network noise of several lengths as every view cuts it; what does not fit together is said now.

    Args:
        network: with its weights, in evaluation mode.
        table: audio, front end, views and activation of the recipe.
        n_classes: how many labels there are.
        where: the checkpoint, for messages.
        is_logits: a person has said that answers within [0, 1] are logits all the same.

    Returns:
        The least and the largest answer.

    Raises:
        WeightsError: windows that the network does not take, answers of another shape or that are not finite, answers
            that depend on the batch, or probabilities where logits are expected and the other way round.
    """
    views = table.get("views", [{"name": "whole"}])
    batches = tried_windows(table.get("audio", {}), table["front_end"], views, where)
    answers = torch.cat([_answer(network, batch, n_classes, where) for batch in batches])
    if not torch.isfinite(answers).all():
        raise WeightsError(f"{where}: answers to noise are not finite. Take another checkpoint, or check the settings.")
    least, most = float(answers.min()), float(answers.max())
    refuse_other_activation(least, most, table.get("activation", "sigmoid"), where, is_logits, len(answers))
    return least, most


def refuse_other_activation(
    least: float, most: float, activation: str, where: str, is_logits: bool, n_windows: int
) -> None:
    """Refuse answers that are probabilities already where they would be taken for logits, and the other way round.

    Raises:
        WeightsError: with the range of the answers and what to write.
    """
    is_within = least >= 0 and most <= 1
    found = f"{where}: {n_windows} windows of noise gave answers from {least:.4g} to {most:.4g}"
    if activation == "none" and not is_within:
        raise WeightsError(
            f'{found}; activation = "none" takes them for probabilities. Say "sigmoid" or "softmax" in the settings.'
        )
    if activation != "none" and is_within and not is_logits:
        raise WeightsError(
            f"{found}, never outside [0, 1]: they look like probabilities, and a {activation} on top would change the "
            'order of labels in the blend. Say activation = "none" in the settings, name an output of logits, or, if '
            "they are logits all the same, say --logits."
        )


@torch.inference_mode()
def _answer(network: nn.Module, batch: Tensor, n_classes: int, where: str) -> Tensor:
    """Answers (windows, classes), checked in shape, each window alone and all together."""
    together = _called(network, batch, where)
    alone = torch.cat([_called(network, window[None], where) for window in batch])
    if together.shape != (len(batch), n_classes):
        raise WeightsError(
            f"{where}: the network answers {tuple(together.shape)} for {len(batch)} windows and {n_classes} labels. It "
            f"must return logits (batch, {n_classes})."
        )
    if alone.shape != together.shape or (alone - together).abs().max() > SAME_ALONE * together.abs().max().clamp(min=1):
        raise WeightsError(
            f"{where}: a window alone is answered otherwise than beside another. Keep statistics over the batch, "
            "dropout and random numbers out of forward."
        )
    return alone


def _called(network: nn.Module, batch: Tensor, where: str) -> Tensor:
    try:
        answer: Any = network(batch)
    except KitError as error:
        raise type(error)(f"{where}: {error}") from error
    except Exception as error:  # code of somebody else may raise anything
        raise WeightsError(
            f"{where}: the network does not take {tuple(batch.shape)}, (batch, channels, bins, frames), "
            f"({sentence(error)}). Correct the view, the front end, axes and channels in [model], or the network."
        ) from error
    found = answer[0] if isinstance(answer, Sequence) else answer
    if not isinstance(found, Tensor):
        raise WeightsError(f"{where}: the network answers with {type(found).__name__}. Return logits (batch, classes).")
    return found.float()
