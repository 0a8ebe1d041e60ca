"""One member on one device: stacked windows in, probabilities (or logits, where the recipe averages those) out.

A row's answer depends on its window alone: evaluation mode, no padding, no statistics over the batch. What the
batch size changes is the order of sums inside the device's kernels, so answers agree to the last bits.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy, deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from soundpost import registry
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.errors import WeightsError
from soundpost.inference.activation import probabilities_of
from soundpost.inference.autotune import Choice, half_choice
from soundpost.inference.fuse_batch_norm import CONVOLUTIONS, fold_batch_norms, logits_of
from soundpost.models import MODELS
from soundpost.views.view import View, Window


def build(recipe: Recipe, member: Member, arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """The member's network in evaluation mode, on the CPU, built from recipe and arrays alone.

    Raises:
        WeightsError: names or shapes of the arrays are not those of the network; the message lists both sides.
        SettingsError: the recipe names a model or a setting that is not known.
    """
    model: nn.Module = registry.build(MODELS, recipe.model.name, recipe.model.settings, "model", len(recipe.labels))
    wanted = model.state_dict()
    missing, unexpected = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
    shapes = [
        f"{name} {tuple(arrays[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(set(wanted) & set(arrays))
        if tuple(arrays[name].shape) != tuple(wanted[name].shape)
    ]
    if missing or unexpected or shapes:
        raise WeightsError(
            f"member {member.name} does not fit model '{recipe.model.name}': missing {missing[:3] or 'none'}, "
            f"unexpected {unexpected[:3] or 'none'}, shapes {shapes[:3] or 'agree'}. Import the weights again."
        )
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()})
    return model.eval()


class Predictor:
    """One member's network on one device, at one precision.

    Args:
        recipe: of the member.
        member: one of its folds.
        arrays: the member's state dict.
        device: "cpu", "cuda:0", ...
        precision: "float32", "float16" or "bfloat16"; half precision is tried on the first batch, and given up
            (is_half becomes False) where that does not hold.
        choice: of half precision, shared by the members of a recipe; its own when there is none.
    """

    def __init__(
        self,
        recipe: Recipe,
        member: Member,
        arrays: Mapping[str, np.ndarray],
        device: str,
        precision: str,
        choice: Choice | None = None,
    ) -> None:
        self.recipe = recipe
        self.member = member
        self.device = torch.device(device)
        self.model = build(recipe, member, arrays).to(self.device, memory_format=torch.channels_last)
        self._is_folded = self._is_settled = False
        self._choice = choice or half_choice()
        self.half = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(precision)
        self.is_half = self.half is not None
        self._twin: Predictor | None = None

    @property
    def n_bytes(self) -> int:
        """Of the network's weights."""
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())

    def on_cpu(self) -> "Predictor":
        """The same member on the CPU, for a window that fits no GPU; made once."""
        if self._twin is None:
            self._twin = copy(self)
            self._twin.device, self._twin.is_half, self._twin._is_settled = torch.device("cpu"), False, True
            self._twin.model = deepcopy(self.model).to("cpu", torch.float32)
        return self._twin

    @torch.inference_mode()
    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """Answers of stacked windows.

        Args:
            batch: (windows, channels, bins, frames), as View.cut makes them, any float type, any device.
            view: the rule that cut them.

        Returns:
            (windows, classes) float32 on the device: probabilities, or logits where recipe.average is "logit".
        """
        inputs = self.prepare(batch, view)
        self.settle(inputs)
        return self.answer(inputs)

    @torch.inference_mode()
    def rehearse(self, batch: Tensor, view: View) -> None:
        """Do what a call does, with windows that are made up; they decide nothing about precision.

        On a CPU this is done in float32, which takes the most memory.
        """
        inputs = self.prepare(batch, view)
        self._fold(inputs)
        self.through(self.model, inputs, self.is_half and self.device.type != "cpu")

    def prepare(self, batch: Tensor, view: View) -> Tensor:
        """Stacked windows as the network takes them, on the device."""
        inputs = view.prepare(batch.to(self.device, torch.float32, non_blocking=True))
        return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs

    def settle(self, inputs: Tensor) -> None:
        """With the first prepared windows: fold the network, decide about half precision."""
        if not self._is_settled:
            with self._choice.lock:
                if not self._is_settled:
                    self._fold(inputs)
                    if self.is_half:
                        self._settle_half(inputs)
                    self._is_settled = True

    def answer(self, inputs: Tensor) -> Tensor:
        """Answers of prepared windows by the settled network."""
        return self.through(self.model, inputs, self.is_half)

    def through(self, network: Callable[[Tensor], Any], inputs: Tensor, is_half: bool) -> Tensor:
        """Prepared windows through a network that gives logits, up to the recipe's answers."""
        with torch.autocast(self.device.type, self.half) if is_half else nullcontext():
            logits = logits_of(network(inputs))
        answers: Tensor = logits.float()
        return answers if self.recipe.average == "logit" else probabilities_of(answers, self.recipe.activation)

    def probabilities(self, answers: Tensor) -> Tensor:
        """Answers as probabilities, whatever the recipe averages."""
        return probabilities_of(answers, self.recipe.activation) if self.recipe.average == "logit" else answers

    def _fold(self, inputs: Tensor) -> None:
        if not self._is_folded:
            self.model = fold_batch_norms(self.model, inputs[:1])
            self._is_folded = True

    def _settle_half(self, inputs: Tensor) -> None:
        rounded = _rounded(self.model, self.half)
        exact, half = (
            lambda model=model, is_half=is_half: self.probabilities(self.through(model, inputs, is_half))
            for model, is_half in ((self.model, False), (rounded, True))
        )
        name = str(self.half).removeprefix("torch.")
        self.is_half = self._choice.takes(self.member.name, name, exact, half, self.device)
        if self.is_half:
            self.model = rounded


def _rounded(model: nn.Module, half: torch.dtype | None) -> nn.Module:
    """A copy with its convolutions and linear layers in half precision, where autocast would round at every call."""
    model = deepcopy(model)
    for module in model.modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            module.to(half)
    return model


def stack(spectrograms: Sequence[np.ndarray], windows: Sequence[Window], view: View, pinned: bool = False) -> Tensor:
    """Windows of clips as one batch, cut one after the other into it.

    Args:
        spectrograms: each (channels, bins, frames), one for each window (the same one may come again).
        windows: which part of each.
        view: the rule that cuts.
        pinned: page-locked memory, for a copy to a GPU that does not wait.

    Returns:
        (windows, channels, bins, frames) in the spectrograms' type.
    """
    first = view.cut(torch.from_numpy(spectrograms[0]), windows[0])
    if len(windows) == 1 and not pinned:
        return first[None]
    batch = torch.empty((len(windows), *first.shape), dtype=first.dtype, pin_memory=pinned)
    batch[0] = first
    for i in range(1, len(windows)):
        batch[i] = view.cut(torch.from_numpy(spectrograms[i]), windows[i])
    return batch
