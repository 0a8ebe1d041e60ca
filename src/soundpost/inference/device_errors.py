"""Errors that mean a device, not a network: known by their types and by their words, in one place for all.

Torch raises most of them as plain RuntimeError, and the libraries below it name themselves in the text. Some texts
have two meanings: a cuDNN that finds no engine, or a library that could not be initialised, may lack memory for its
workspace or may be broken. Those are both a device error and a possible lack of memory: who meets one tries a smaller
batch first, and when that does not help either, takes the device for broken.
"""

import re

import torch

from soundpost.errors import DeviceError, KitError

# Names of types in torch 2.10 to 2.13; those that a build does not have are left out.
_TYPES: tuple[type[BaseException], ...] = tuple(
    found
    for module, name in (
        (torch, "AcceleratorError"),
        (torch.cuda, "CudaError"),
        (torch.cuda, "DeferredCudaCallError"),
    )
    if isinstance(found := getattr(module, name, None), type)
)

# Words of CUDA and of the libraries that torch calls on a GPU. The case matters: "cuda:0" alone only names a device.
_DEVICE_WORDS = re.compile(
    r"CUDA|cuda runtime error|cudaError|cuDNN|CUDNN|cuBLAS|CUBLAS|cublas|cuFFT|CUFFT|cuSOLVER|cusolver"
    r"|nvrtc|NVRTC|NVML|NVIDIA driver|no kernel image|device-side assert|PyTorch no longer supports this GPU"
)

# Texts that say outright that a device or the host had no room.
_MEMORY_WORDS = re.compile(
    r"out of memory|not enough memory|bad_alloc|can't allocate memory|[Cc]annot allocate memory"
    r"|ALLOC_FAILED|ALLOCATION_FAILED|cudaErrorMemoryAllocation"
)

# Texts that may mean either: no memory for a workspace, or a library that does not work on this device.
_WORKSPACE_WORDS = re.compile(
    r"unable to find an engine to execute this computation|[Uu]nable to find a valid cuDNN algorithm"
    r"|(?:CUDNN|CUBLAS|CUSOLVER|CUFFT)_(?:STATUS_)?NOT_INITIALIZED|workspace"
)


def is_device_error(error: BaseException) -> bool:
    """Whether an exception comes from a GPU or its libraries, so that the same batch may do well on another device.

    Lack of a GPU's memory is among them; ask is_out_of_memory first where that is met otherwise.

    Args:
        error: what a network, a copy or a library raised.
    """
    if isinstance(error, DeviceError):
        return True
    if isinstance(error, KitError):
        return False
    if isinstance(error, (*_TYPES, torch.OutOfMemoryError)):
        return True
    return bool(_DEVICE_WORDS.search(str(error))) or is_ambiguous(error)


def is_broken_device(error: BaseException) -> bool:
    """Whether an exception means a device that does not work, rather than one that is full."""
    return is_device_error(error) and (is_ambiguous(error) or not is_out_of_memory(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means, or may mean, that a device or the host had no room for a tensor or a workspace."""
    if isinstance(error, KitError):
        return False
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return bool(_MEMORY_WORDS.search(str(error))) or is_ambiguous(error)


def is_ambiguous(error: BaseException) -> bool:
    """Whether an exception may mean lack of memory for a workspace, or a device that does not work."""
    if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
        return False
    text = str(error)
    return bool(_WORKSPACE_WORDS.search(text)) and not _MEMORY_WORDS.search(text)
