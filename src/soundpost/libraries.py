"""A compiled network without its weights, which every fold of its recipe brings along.

Windows have one shape and come in any number from two up. The library is called through the plain C interface of
torch's ahead-of-time compiler, without Python's lock, so that lanes run beside each other.
"""

import ctypes
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soundpost.trials import SAME_BOUND, Choice

DONE = "library.json"  # in a folder with a library; what it was made for
LEAST_GAIN = 1.03  # times as fast, at least, for a compiled network to be used
MOST_WINDOWS = 512


class Library:
    """A compiled network without its weights.

    Args:
        folder: where compile_network() left it.
        lanes: threads that may call at the same time.
        tell: takes one sentence for the log about each member.
    """

    def __init__(self, folder: Path, lanes: int, tell: Callable[[str], None]) -> None:
        told = json.loads((folder / DONE).read_text())
        self.shape, self.names = torch.Size(told["shape"]), told["names"]
        self.choice, self.tell = Choice(LEAST_GAIN, SAME_BOUND, tell), tell
        self._library = ctypes.CDLL(told["path"])
        self._handle = ctypes.c_void_p()
        make = self._library.AOTInductorModelContainerCreateWithDevice
        if make(ctypes.byref(self._handle), lanes, b"cpu", None):
            raise RuntimeError("the compiled library cannot be set up")

    def fits(self, inputs: Tensor) -> bool:
        """Whether these prepared windows are such as it was made for."""
        is_laid_out = inputs.is_contiguous(memory_format=torch.channels_last)
        return inputs.shape[1:] == self.shape and 2 <= len(inputs) <= MOST_WINDOWS and is_laid_out

    def weights(self, network: nn.Module) -> list[Tensor]:
        """A network's weights in the library's order.

        Raises:
            ValueError: the network was folded in another way than the one that was compiled.
        """
        found = weights_of(network)
        if described(found) != self.names:
            raise ValueError("its layers are not those that were compiled")
        return list(found.values())

    def __call__(self, inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Logits of windows that fit."""
        given = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors([inputs, *weights])
        handles = (ctypes.c_void_p * len(given))(*map(_pointer, given))
        made = (ctypes.c_void_p * 1)()
        n_given, n_made = ctypes.c_size_t(len(given)), ctypes.c_size_t(1)
        if self._library.AOTInductorModelContainerRun(self._handle, handles, n_given, made, n_made, None, None):
            raise RuntimeError("the compiled network failed")
        return torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs([_capsule(made[0], None, None)])[0]


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """What a network computes with: its parameters and buffers of floating type, by name."""
    found = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: tensor.detach() for name, tensor in found.items() if tensor.is_floating_point()}


def described(weights: dict[str, Tensor]) -> list[list[Any]]:
    """Names, shapes and strides, by which two networks can be told apart."""
    return [[name, list(tensor.shape), list(tensor.stride())] for name, tensor in weights.items()]


def _pointer(capsule: Any) -> int | None:
    return _pointer_of(capsule, None)


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
