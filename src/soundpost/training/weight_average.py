"""The average of the weights along the way, and the learning rate that goes with it."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def learning_rate(step: int, steps: int, warm_up: int, peak: float) -> float:
    """Straight up to the peak over warm_up steps, then along a cosine to nearly nothing at the last step."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done)))


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics; short-sighted in the beginning."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0
        averaged = self.network.state_dict()
        floating = [name for name, value in averaged.items() if value.is_floating_point()]
        self._mine = [averaged[name] for name in floating]
        self._theirs = [network.state_dict()[name] for name in floating]

    @torch.no_grad()
    def update(self) -> None:
        """Move a little towards the network as it is now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"updates": self.updates, "network": self.network.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one was."""
        self.updates = state["updates"]
        self.network.load_state_dict(state["network"])
