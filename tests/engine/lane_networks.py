"""What stand-ins for networks have in common when a lane is given them."""

import torch

from soundpost.views.view import View


class LaneNetwork:
    """One member on the CPU, in float32, whose windows share nothing."""

    device = torch.device("cpu")
    n_members = 1

    def on_cpu(self) -> "LaneNetwork":
        """It is there."""
        return self

    def in_float32(self) -> None:
        """There is no more exact one."""

    def can_share(self, view: View) -> bool:
        """Windows are answered by themselves."""
        return False
