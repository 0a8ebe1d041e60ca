"""The device that trains, after it was found to work."""

import torch

from soundpost.errors import DeviceError


def working_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        DeviceError: it does not work here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise DeviceError(f"--device {name} does not work here ({first}). Use --device cpu.") from error
    return device
