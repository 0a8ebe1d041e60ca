"""NAdam as Keras 2.1.5 ran it: its step counter is one ahead from the start."""

from typing import Any

import torch


class NAdamKeras(torch.optim.NAdam):
    """torch's NAdam whose first step believes to be the second; see case "nadam" of qrfaction."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; before the first one the counter is put ahead."""
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None and not self.state[value]:
                    self.state[value].update(
                        step=torch.tensor(1.0),
                        mu_product=torch.tensor(1.0),
                        exp_avg=torch.zeros_like(value),
                        exp_avg_sq=torch.zeros_like(value),
                    )
        return super().step(closure)
