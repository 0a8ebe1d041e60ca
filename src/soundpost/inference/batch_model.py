"""What answers a batch, one member or several of one recipe, seen from outside."""

from typing import Protocol

import torch
from torch import Tensor

from soundpost.views.view import View


class BatchModel(Protocol):
    """Stacked windows in, answers out, on one device; a Predictor and a FoldGroup are used alike."""

    device: torch.device

    @property
    def n_members(self) -> int:
        """How many networks see every window."""
        ...

    def on_cpu(self) -> "BatchModel":
        """The same on the CPU in float32, for a window that has no room on a GPU."""
        ...

    def in_float32(self) -> "BatchModel | None":
        """The same in float32 on its device, for rows that half precision spoilt; None where it is not in half."""
        ...

    def can_share(self, view: View) -> bool:
        """Whether what the windows of a view have in common is computed once, if they come in one batch."""
        ...

    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """Answers of stacked windows: (windows, classes), of several members (windows, members, classes)."""
        ...
