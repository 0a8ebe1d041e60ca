"""Reading published weight files without executing anything in them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from soundpost.errors import WeightsError


def load_checkpoint(path: Path) -> Any:
    """What torch.save wrote, in the zip container or the older one, as plain values and tensors on the CPU.

    Raises:
        WeightsError: not such a file, or one that holds more than plain values and tensors.
    """
    try:
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, BadZipFile) as error:
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(
            f"{path}: {reason or type(error).__name__}. Give a checkpoint of tensors and plain values; a file that "
            "needs code of its own to be read is not imported."
        ) from error


def _numbers() -> list[Any]:
    """What numpy's numbers and arrays are made of in a file: a training loop's best score is often an np.float64.

    None of these runs anything; numpy 1 and 2 write the same functions under two names.
    """
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    named = [
        (function, f"{package}.multiarray.{name}")
        for function, name in ((scalar, "scalar"), (array, "_reconstruct"))
        for package in ("numpy.core", "numpy._core")
    ]
    kinds = [value for value in vars(np.dtypes).values() if isinstance(value, type)]
    return [*named, np.ndarray, np.dtype, *kinds]


def single_precision(arrays: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """Named tensors with every floating one in float32; those of mixed-precision training come in float16.

    Raises:
        WeightsError: an entry that is no tensor.
    """
    strangers = [name for name, value in arrays.items() if not isinstance(value, Tensor)]
    if strangers:
        raise WeightsError(f"{where}: {strangers[0]} is no tensor. Give a state dict of tensors alone.")
    return {
        name: (value.float() if value.is_floating_point() else value).contiguous() for name, value in arrays.items()
    }
