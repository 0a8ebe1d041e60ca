"""Devices that really work, and the precision they are good at."""

from contextlib import suppress
from pathlib import Path

import torch

from soundpost.errors import DeviceError
from soundpost.resources.memory import cores

BFLOAT16_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}  # as /proc/cpuinfo calls them on x86 and on Arm


def choose_devices(asked: str) -> list[str]:
    """One entry for each lane: every GPU that computes, or "cpu" once for each core.

    A GPU counts only when this torch has kernels for it and one real operation gives the right answer: on a card
    that torch was not built for, is_available() is True and the first operation fails.

    Args:
        asked: "auto", "cpu", "cuda" (all of them), or names with commas.

    Raises:
        DeviceError: a device that was asked for by name is not there or does not work.
    """
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if names in (["auto"], ["cuda"]):
        found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        working = [name for name in found if not trouble(name)]
        if names == ["cuda"] and not working:
            reasons = "; ".join(trouble(name) for name in found) or "torch sees none"
            raise DeviceError(f"--device cuda: no CUDA device works ({reasons}). Use --device auto or cpu.")
        names = working or ["cpu"]
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32; where less will do, half precision is used
    for name in names:
        if name != "cpu" and (reason := trouble(name)):
            raise DeviceError(f"--device {name}: {reason}. Use --device auto or cpu.")
    return names if names != ["cpu"] else ["cpu"] * cores()


def trouble(name: str) -> str:
    """Why a device cannot be used; empty when it can."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            major, minor = torch.cuda.get_device_capability(device)
            built = [int(arch.split("_")[1].rstrip("af")) for arch in torch.cuda.get_arch_list() if "_" in arch]
            if built and not any(arch // 10 == major and arch <= 10 * major + minor for arch in built):
                return f"capability {major}.{minor} is not among those torch was built for ({built})"
        total = (torch.ones(8, device=device) * 2).sum().item()
        return "" if total == 16.0 else f"8 x 2 came out as {total}"
    except (RuntimeError, AssertionError, ValueError) as error:
        return str(error).splitlines()[0]


def choose_precision(asked: str, device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The precision to begin with: half where there are units for it, unless asked otherwise; see trials.half_choice.

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
