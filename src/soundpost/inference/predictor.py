"""One member on one device: stacked windows in, probabilities (or logits, where the recipe averages those) out.

A row's answer depends on its window alone: evaluation mode, no padding, no statistics over the batch. What the
batch size changes is the order of sums inside the device's kernels, so answers agree to the last bits.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from copy import copy
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from soundpost.ensemble.recipes import Member, Recipe
from soundpost.errors import ShapeError, sentence
from soundpost.inference.activation import probabilities_of, refuse_no_probabilities
from soundpost.inference.autotune import DECIDING_WINDOWS, LARGE_TIMES, Choice, half_choice
from soundpost.inference.backends.candidates import TRIED_WINDOWS, Candidates
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_recipe import graph_candidates
from soundpost.inference.device_errors import is_out_of_memory
from soundpost.inference.fuse_batch_norm import fold_batch_norms, logits_of
from soundpost.inference.network import build, copy_on_cpu, rounded
from soundpost.inference.shared_windows import Sharing, can_share, shared_logits, sharing_of
from soundpost.inference.standing_weights import stand_weights
from soundpost.views.view import View


class Predictor:
    """One member's network on one device, at one precision; keeps the protocol BatchModel.

    Args:
        recipe: the member's.
        member: one of its folds.
        arrays: the member's state dict.
        device: "cpu", "cuda:0", ...
        precision: "float32", "float16" or "bfloat16"; half precision is tried on the first batch that tells
            something, once more on one that is much larger, and given up (is_half becomes False) where it does not
            hold.
            Batches before the first trial are answered in float32.
        choice: decides about half precision, shared by the members of a recipe; its own when there is none.
        candidates: runtimes for the member's graph, the only ones of a recipe that is an ONNX file; tried on the first
            batch where the device is the CPU.
    """

    n_members = 1

    def __init__(
        self,
        recipe: Recipe,
        member: Member,
        arrays: Mapping[str, np.ndarray],
        device: str,
        precision: str,
        choice: Choice | None = None,
        candidates: Candidates | None = None,
    ) -> None:
        self.recipe = recipe
        self.member = member
        is_graph = recipe.is_graph
        self.device = torch.device("cpu" if is_graph else device)
        self._candidates = candidates or (graph_candidates(recipe, arrays) if is_graph else None)
        if is_graph and self._candidates is not None:
            network: nn.Module = self._candidates.first(member.name)
        else:
            network = build(recipe, member, arrays)
        self.model: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._exact = self.model  # the network in float32, whatever the other one is rounded to
        self._is_folded = is_graph
        self._least_windows = 1.0  # fewer windows than this decide nothing
        self._is_tried = False  # whether half precision has had its first trial
        self._answering = self.model, False  # the network and whether in half precision, as one, for other lanes' sake
        self._by_torch = self._answering  # the same, less a runtime that was taken
        self._choice = choice or half_choice()
        self.half = None if is_graph else {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(precision)
        self.is_half = self.half is not None
        self._cpu_twin: Predictor | None = None
        self._float32_twin: Predictor | None = None

    @property
    def n_bytes(self) -> int:
        """Size of the network's weights, in float32 and in half precision where both are kept."""
        networks = {id(model): model for model in (self.model, self._exact, self._by_torch[0])}
        graphs = sum(model.n_bytes for model in networks.values() if isinstance(model, GraphNetwork))
        return graphs + sum(tensor.nbytes for model in networks.values() for tensor in model.state_dict().values())

    def coming_bytes(self, is_alone: bool) -> int:
        """Host memory that runtimes may still take; see Candidates."""
        return 0 if self._candidates is None else self._candidates.coming_bytes(is_alone)

    def on_cpu(self) -> "Predictor":
        """The same member on the CPU in float32, for a window that fits no GPU; made once, without the GPU's memory."""
        if self._cpu_twin is None:
            self._cpu_twin = self._twin(torch.device("cpu"), copy_on_cpu(self._exact))
        return self._cpu_twin

    def in_float32(self) -> "Predictor | None":
        """The same member in float32 on its device, for rows that half precision spoilt; None where it is not in half.

        A number beyond 65,504 is infinite in float16, and any batch may hold the first one.
        """
        if not self.is_half:
            return None
        if self._float32_twin is None:
            self._float32_twin = self._twin(self.device, self._exact)
        return self._float32_twin

    def by_torch(self) -> "Predictor":
        """The same member without a runtime, for who listens to its layers; itself where it is an ONNX file."""
        if self._candidates is None or self.recipe.is_graph:
            return self
        return self._twin(self.device, self._exact)

    def _twin(self, device: torch.device, model: nn.Module) -> "Predictor":
        twin = copy(self)
        twin.device, twin.model, twin._exact = device, model, model
        twin._answering = twin._by_torch = model, False
        twin._candidates = self._candidates if self.recipe.is_graph else None
        twin.is_half, twin._is_folded, twin._least_windows = False, True, inf
        return twin

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
        sharing = self.sharing(batch, view)
        self.settle(inputs, sharing)
        return self.answer(inputs, sharing)

    @torch.inference_mode()
    def rehearse(self, batch: Tensor, view: View) -> None:
        """Do what a call does, with windows that are made up; they decide nothing about precision.

        On a CPU this is done in float32, which takes the most memory.
        """
        inputs = self.prepare(batch, view)
        self._fold(inputs)
        is_half = self.is_half and self.device.type != "cpu"
        self.through(self._over(self.model, self.sharing(batch, view)), inputs, is_half)

    def prepare(self, batch: Tensor, view: View) -> Tensor:
        """Stacked windows as the network takes them, on the device."""
        inputs = view.prepare(batch.to(self.device, torch.float32, non_blocking=True))
        return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs

    def settle(self, inputs: Tensor, sharing: Sharing | None = None) -> None:
        """With the first prepared windows fold the network and choose its runtime; with enough, decide about half.

        The first windows that overlap decide whether torch, which computes once what they share, answers such ones.
        """
        self._settle_once(inputs)
        if self._candidates is not None and sharing is not None and sharing.runs:
            with self._choice.lock:
                (network, is_half), (taken, _) = self._by_torch, self._answering
                self._candidates.settle_overlap(
                    self.member.name,
                    inputs,
                    sharing,
                    lambda some: self.through(taken, some, is_half=False),
                    lambda some, few: self.through(self._over(network, few), some, is_half),
                )

    def _settle_once(self, inputs: Tensor) -> None:
        windows = len(inputs)
        if windows < self._least_windows:
            return
        with self._choice.lock:
            if windows < self._least_windows:
                return
            self._fold(inputs)
            if self.half is not None and windows < DECIDING_WINDOWS[self.device.type]:
                self._least_windows = DECIDING_WINDOWS[self.device.type]
                return
            if self.half is not None:
                self._settle_half(inputs)
            is_first, self._is_tried = not self._is_tried, True
            if is_first and self._candidates is not None:
                self._settle_backend(inputs, self._candidates)
            is_final = self.half is None or not is_first or isinstance(self.model, GraphNetwork)
            self._least_windows = inf if is_final else LARGE_TIMES * windows

    def can_share(self, view: View) -> bool:
        """Whether the network computes what windows of this view have in common only once."""
        return can_share(self._exact, view, self.device)

    def sharing(self, batch: Tensor, view: View) -> Sharing | None:
        """What stacked windows have in common; None where the network shares nothing."""
        return sharing_of(self._exact, view, batch) if self.can_share(view) else None

    def answer(self, inputs: Tensor, sharing: Sharing | None = None) -> Tensor:
        """Answers of prepared windows by the settled network; by torch's, from now on, where a runtime gives none."""
        model, is_half = self._answering
        if not isinstance(model, GraphNetwork):
            return self.through(self._over(model, sharing), inputs, is_half)
        if isinstance(self._exact, GraphNetwork):
            return self.through(model, inputs, is_half=False)
        if self._candidates is not None and sharing is not None and self._candidates.is_slower(inputs, sharing):
            network, is_half = self._by_torch
            return self.through(self._over(network, sharing), inputs, is_half)
        try:
            return self.through(model, inputs, is_half=False)
        except (RuntimeError, ShapeError) as error:
            if is_out_of_memory(error):
                raise
            if self._candidates is not None:
                self._candidates.taken = ""
                self._candidates.choice.tell(f"{self.member.name}: torch from now on, as {sentence(error)}")
        self.model = self._exact
        self._answering = self._exact, False
        return self.through(self._over(self._exact, sharing), inputs, is_half=False)

    def through(self, network: Callable[[Tensor], Any], inputs: Tensor, is_half: bool) -> Tensor:
        """Prepared windows through a network that gives logits, up to the recipe's answers.

        In half precision a row with a logit that is not finite is NaN altogether: a sigmoid would make a sure 1 of it.
        """
        with torch.autocast(self.device.type, self.half) if is_half else nullcontext():
            logits = logits_of(network(inputs)).float()
        if is_half:
            logits = logits.where(logits.isfinite().all(dim=-1, keepdim=True), torch.nan)
        if self.recipe.activation == "none":
            refuse_no_probabilities(logits, self.member.name)
        return logits if self.recipe.average == "logit" else probabilities_of(logits, self.recipe.activation)

    def in_half(self, inputs: Tensor) -> nn.Module:
        """The network with its layers rounded to the half precision that was asked for; in float32 if none was.

        Args:
            inputs: prepared windows, with which it is folded.
        """
        self._fold(inputs)
        return self._exact if self.half is None else rounded(self._exact, self.half)

    def probabilities(self, answers: Tensor) -> Tensor:
        """Answers as probabilities, whatever the recipe averages."""
        return probabilities_of(answers, self.recipe.activation) if self.recipe.average == "logit" else answers

    def _over(self, model: nn.Module, sharing: Sharing | None) -> Callable[[Tensor], Any]:
        """The network as a function of prepared windows."""
        return model if sharing is None else lambda inputs: shared_logits(model, inputs, sharing)

    def _fold(self, inputs: Tensor) -> None:
        if not self._is_folded:
            self.model = self._exact = fold_batch_norms(stand_weights(self.model, inputs[:1]), inputs[:1])
            self._answering = self._by_torch = self.model, False
            self._is_folded = True

    def _settle_half(self, inputs: Tensor) -> None:
        half_network = self.model if self.model is not self._exact else self.in_half(inputs)
        exact, half = (
            lambda model=model, is_half=is_half: self.probabilities(self.through(model, inputs, is_half))
            for model, is_half in ((self._exact, False), (half_network, True))
        )
        name = str(self.half).removeprefix("torch.")
        self.is_half = self._choice.takes(self.member.name, name, exact, half, self.device, len(inputs))
        self.model = half_network if self.is_half else self._exact
        self._answering = self._by_torch = self.model, self.is_half

    @torch.inference_mode()
    def _settle_backend(self, inputs: Tensor, candidates: Candidates) -> None:
        """Take what is fastest of what computes now and the runtimes whose answers agree with those in float32."""
        usual = "torch" if not isinstance(self.model, GraphNetwork) else candidates.names[0]
        some = inputs[:TRIED_WINDOWS]
        ways: dict[str, Callable[[], Tensor]] = {
            usual: lambda: self.probabilities(self.through(self.model, some, self.is_half))
        }
        for name in candidates.names:
            if name != usual:
                ways[name] = lambda name=name: self.probabilities(  # type: ignore[misc]
                    self.through(candidates.network(name), some, is_half=False)
                )
        exact = (lambda: self.probabilities(self.through(self._exact, some, is_half=False))) if self.is_half else None
        taken = candidates.choice.take(self.member.name, ways, exact)
        if taken != usual:
            self.model = candidates.network(taken)
            self.is_half = False
            self._answering = self.model, False
            if isinstance(self._exact, GraphNetwork):
                self._exact = self.model
                self._by_torch = self._answering
            else:
                candidates.taken = taken
        candidates.close()
