"""Folds that share a batch: windows are cut, moved and prepared once for all members of a recipe."""

from collections.abc import Sequence

import torch
from torch import Tensor

from soundpost.inference.predictor import Predictor
from soundpost.views.view import View


class FoldGroup:
    """Members of one recipe on one device that answer the same windows; keeps the protocol BatchModel.

    Args:
        members: at least two.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)
        self.device = members[0].device

    @property
    def n_members(self) -> int:
        """How many networks see every window."""
        return len(self.members)

    def on_cpu(self) -> "FoldGroup":
        """The same members on the CPU, for a window that fits no GPU."""
        return FoldGroup([member.on_cpu() for member in self.members])

    def in_float32(self) -> "FoldGroup | None":
        """The same members in float32 on their device; None where none of them is in half precision."""
        exact = [member.in_float32() for member in self.members]
        if not any(exact):
            return None
        return FoldGroup([twin or member for twin, member in zip(exact, self.members, strict=True)])

    def can_share(self, view: View) -> bool:
        """Whether all members compute once what the windows of this view have in common."""
        return all(member.can_share(view) for member in self.members)

    @torch.inference_mode()
    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """Answers (windows, members, classes) of stacked windows, see Predictor."""
        inputs = self.members[0].prepare(batch, view)
        sharing = self.members[0].sharing(batch, view)
        for member in self.members:
            member.settle(inputs, sharing)
        return torch.stack([member.answer(inputs, sharing) for member in self.members], dim=1)
