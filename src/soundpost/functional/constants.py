"""Small tables of numbers on a device, brought there once."""

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


def constant(values: Numbers, like: Tensor) -> Tensor:
    """These numbers as a tensor of the type and on the device of another; not to be changed.

    A tensor made from numbers is copied to a GPU by a call that waits for all that is queued there, so it is kept.
    """
    if like.device.type == "cpu":
        return torch.tensor(values, dtype=like.dtype)
    return _kept(values, like.dtype, like.device)


@lru_cache(maxsize=256)
def _kept(values: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # so that training may use it as well
        return torch.tensor(values, dtype=dtype, device=device)
