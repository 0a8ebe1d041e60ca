"""Errors of a device are known by type and by words, whatever library below torch raised them."""

import pytest
import torch

from soundpost.errors import DeviceError, WeightsError
from soundpost.inference.device_errors import is_ambiguous, is_device_error, is_out_of_memory

BROKEN = [
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: no kernel image is available for execution on the device",
    "CUDA error: unspecified launch failure",
    "cuda runtime error (77) : an illegal memory access was encountered",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
    "nvrtc: error: invalid value for --gpu-architecture (-arch)",
    "CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle, ...)`",
    "cublasLt ran into an error!",
    "cuFFT error: CUFFT_INTERNAL_ERROR",
    "Found no NVIDIA driver on your system.",
]
FULL = [
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 14.56 GiB",
    "CUDA error: out of memory",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuFFT error: CUFFT_ALLOC_FAILED",
]
EITHER = [
    "GET was unable to find an engine to execute this computation",
    "FIND was unable to find an engine to execute this computation",
    "Unable to find a valid cuDNN algorithm to run convolution",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "CUDNN_BACKEND_ENGINE: cannot get a workspace of 1073741824 bytes",
]
OTHERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    ValueError("a kernel that nobody has written"),
    FileNotFoundError("[Errno 2] No such file or directory: '/workspace/list'"),
    ZeroDivisionError("float division by zero"),
    WeightsError("member CUDA/1 does not fit: out of memory is the name of its array. Import the weights again."),
]


@pytest.mark.parametrize("text", BROKEN)
def test_error_of_a_broken_device_is_no_lack_of_memory(text: str) -> None:
    """A smaller batch would not help, another device would."""
    assert is_device_error(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize("text", FULL)
def test_lack_of_device_memory_is_known_by_every_library_s_words(text: str) -> None:
    """It comes from the device, and a smaller batch may fit."""
    assert is_out_of_memory(RuntimeError(text))
    assert is_device_error(RuntimeError(text))
    assert not is_ambiguous(RuntimeError(text))


@pytest.mark.parametrize("text", EITHER)
def test_workspace_texts_are_both_until_a_smaller_batch_has_been_tried(text: str) -> None:
    """Torch uses the same words for a workspace without room and for a library that does not work."""
    assert is_out_of_memory(RuntimeError(text))
    assert is_device_error(RuntimeError(text))
    assert is_ambiguous(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=["torch", "C++", "numpy", "system"],
)
def test_lack_of_host_memory_is_no_device_error(error: Exception) -> None:
    """The cores cannot be given up."""
    assert is_out_of_memory(error)
    assert not is_device_error(error)


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_other_errors_are_neither(error: Exception) -> None:
    """A network's own mistake costs that network, whichever device or member its text names."""
    assert not is_device_error(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no words at all"),
        torch.cuda.DeferredCudaCallError("no words at all"),
        DeviceError("cuda:0: 8 x 2 came out as 24"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_device_errors_are_known_by_their_types(error: Exception) -> None:
    """Their text may change with the next release."""
    assert is_device_error(error)
    assert is_out_of_memory(error) is isinstance(error, torch.OutOfMemoryError)


def test_accelerator_error_is_a_device_error_where_torch_has_one() -> None:
    """The type of torch since 2.8 is looked up by name, so that a torch without it imports the module, too."""
    kind = getattr(torch, "AcceleratorError", None)
    if kind is None:
        pytest.skip("this torch has no AcceleratorError")
    assert is_device_error(kind("no words at all"))
