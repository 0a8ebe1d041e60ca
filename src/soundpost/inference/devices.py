"""Devices that really work, and the precision they are good at."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from soundpost.errors import DeviceError, KitError, sentence
from soundpost.resources.memory import cores
from soundpost.resources.memory_budget import CUDNN_PLANS

BFLOAT16_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}  # as /proc/cpuinfo calls them on x86 and on Arm
TOLERANCE = {
    torch.float32: 1e-4,
    torch.float16: 1e-2,
}  # largest difference, relative to the CPU's largest number


def choose_devices(asked: str) -> list[str]:
    """One entry for each lane: every GPU that computes, or "cpu" once for each core.

    A GPU counts only when this torch has kernels for it and some real operations give the right answers: on a card
    that torch was not built for, is_available() is True and the first operation fails.

    Args:
        asked: "auto", "cpu", "cuda" (all of them), or names with commas.

    Raises:
        DeviceError: a device that was asked for by name is not there or does not work.
    """
    os.environ.setdefault("TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", str(CUDNN_PLANS))  # read when cuDNN is first used
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32; where less will do, half precision is used
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if names in (["auto"], ["cuda"]):
        found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        reasons = {name: trouble(name) for name in found}
        working = [name for name in found if not reasons[name]]
        if names == ["cuda"] and not working:
            told = "; ".join(reasons.values()) or "torch sees none"
            raise DeviceError(f"--device cuda: no CUDA device works ({told}). Use --device auto or cpu.")
        return working or ["cpu"] * cores()
    for name in names:
        if name != "cpu" and (reason := trouble(name)):
            raise DeviceError(f"--device {name}: {reason}. Use --device auto or cpu.")
    return names if names != ["cpu"] else ["cpu"] * cores()


def trouble(name: str) -> str:
    """Why a device cannot be used; empty when it can."""
    try:
        verify(torch.device(name))
    except KitError as error:
        return str(error)
    except Exception as error:  # whatever torch, a driver or a library raises costs the device, and is named
        return sentence(error)
    return ""


def verify(device: torch.device) -> None:
    """Let a device compute what networks are made of, and compare its numbers with the CPU's.

    A sum of eight ones needs no cuDNN and no cuBLAS; a convolution and a linear layer do, in each precision.

    Raises:
        DeviceError: torch was not built for the device, or it computes something else.
        Whatever an operation raises on the device.
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        built = [int(arch.split("_")[1].rstrip("af")) for arch in torch.cuda.get_arch_list() if "_" in arch]
        if built and not any(arch // 10 == major and arch <= 10 * major + minor for arch in built):
            raise DeviceError(f"capability {major}.{minor} is not among those torch was built for ({built})")
    for dtype, tolerance in TOLERANCE.items():
        operands = [_numbers(shape).to(dtype) for shape in ((2, 3, 16, 20), (8, 3, 3, 3), (2, 32), (8, 32))]
        expected = _layers([operand.float() for operand in operands])
        found = _layers([operand.to(device) for operand in operands])
        for name, answer in found.items():
            right = expected[name]
            difference = float((answer.cpu().float() - right).abs().max())
            if not difference <= tolerance * float(right.abs().max()):
                precision = str(dtype).removeprefix("torch.")
                raise DeviceError(
                    f"a {name} in {precision} came out {difference:.3g} away from the CPU's, whose largest number is "
                    f"{float(right.abs().max()):.3g}"
                )


def _numbers(shape: tuple[int, ...]) -> Tensor:
    """Numbers between -1 and 1, the same at every call."""
    return torch.arange(prod(shape), dtype=torch.float32).mul(0.7).sin().reshape(shape)


@torch.inference_mode()
def _layers(operands: list[Tensor]) -> dict[str, Tensor]:
    """What a small convolution and a linear layer give, on the operands' device and in their type."""
    pictures, filters, rows, weights = operands
    pictures = pictures.contiguous(memory_format=torch.channels_last)  # as networks of pictures get them
    return {
        "convolution": functional.conv2d(pictures, filters, padding=1),
        "linear layer": functional.linear(rows, weights),
    }


def choose_precision(asked: str, device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The precision to begin with: half where there are units for it, unless asked otherwise; see half_choice.

    Args:
        asked: "auto", or one by name.
        device: "cpu", "cuda:0", ...
        cpuinfo: what the system says about its processors; where it says nothing they are taken to have no such units.
    """
    if asked != "auto":
        return asked
    if device != "cpu":
        return "float16"
    flags: set[str] = set()
    with suppress(OSError):
        flags.update(cpuinfo.read_text().split())
    return "bfloat16" if flags & BFLOAT16_UNITS else "float32"


@contextmanager
def beside_computing(device: str) -> Iterator[None]:
    """What is copied to a GPU meanwhile goes through a queue of its own, and is there at the end.

    In the common queue weights would stand behind the batches under way, and these behind the weights. Memory that was
    filled so goes back to this queue alone; a network is let go when none of its batches is under way.
    """
    if not device.startswith("cuda"):
        yield
        return
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()
