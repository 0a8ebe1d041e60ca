"""Folds that share a batch: windows are cut, moved and prepared once for all members of a recipe."""

from collections.abc import Sequence

import torch
from torch import Tensor

from soundpost.inference.predictor import Predictor
from soundpost.views.view import View


class Team:
    """Members of one recipe on one device that answer the same windows; used as one Predictor is.

    Args:
        members: at least two.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)
        self.device = members[0].device

    def on_cpu(self) -> "Team":
        """The same members on the CPU, for a window that fits no GPU."""
        return Team([member.on_cpu() for member in self.members])

    @torch.inference_mode()
    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """Answers (windows, members, classes) of stacked windows, see Predictor."""
        inputs = self.members[0].prepare(batch, view)
        for member in self.members:
            member.settle(inputs)
        return torch.stack([member.answer(inputs) for member in self.members], dim=1)
