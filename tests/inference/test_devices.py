"""Devices that are trusted only after they computed: a GPU that torch was not built for, several, none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from soundpost.errors import DeviceError
from soundpost.inference.devices import choose_devices, choose_precision, trouble
from soundpost.resources.memory import cores

BUILT = ["sm_70", "sm_75", "sm_80", "sm_90", "sm_120"]  # of the torch in Kaggle's image, among others


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes torch see GPUs of these capabilities; the real operation is done on the CPU."""

    def make(*capabilities: tuple[int, int], answer: float = 2.0) -> None:
        ones = torch.ones
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT)
        monkeypatch.setattr(torch, "ones", lambda *sizes, device: ones(*sizes) * answer / 2)

    return make


def test_gpu_that_torch_has_no_kernels_for_is_not_used(gpus: Callable[..., None]) -> None:
    """A P100 says that it is available and dies at the first operation; the cores are used instead."""
    gpus((6, 0))

    assert choose_devices("auto") == ["cpu"] * cores()
    with pytest.raises(DeviceError, match=r"no CUDA device works \(capability 6\.0 is not among"):
        choose_devices("cuda")


def test_gpu_that_computes_wrong_is_not_used(gpus: Callable[..., None]) -> None:
    """One real operation is done and its answer looked at."""
    gpus((7, 5), answer=3.0)

    assert trouble("cuda:0") == "8 x 2 came out as 24.0"
    assert choose_devices("auto") == ["cpu"] * cores()


def test_two_gpus_are_both_used(gpus: Callable[..., None]) -> None:
    """Half of a T4 x2 session is not left idle."""
    gpus((7, 5), (7, 5))

    assert choose_devices("auto") == ["cuda:0", "cuda:1"]


def test_one_of_two_gpus_that_works_is_used_alone(gpus: Callable[..., None]) -> None:
    """What works is used, what does not is left."""
    gpus((6, 0), (12, 0))

    assert choose_devices("auto") == ["cuda:1"]


def test_device_asked_for_by_name_that_is_not_there_is_refused() -> None:
    """A name is an order, not a wish."""
    with pytest.raises(DeviceError, match=r"--device cuda:9: .*Use --device auto or cpu"):
        choose_devices("cpu,cuda:9")


@pytest.mark.parametrize(
    ("asked", "device", "flags", "precision"),
    [
        ("auto", "cpu", "avx2 avx512f", "float32"),
        ("auto", "cpu", "avx512f avx512_bf16", "bfloat16"),
        ("auto", "cpu", "asimd bf16 i8mm", "bfloat16"),
        ("auto", "cuda:0", "avx2", "float16"),
        ("bfloat16", "cpu", "avx2", "bfloat16"),
        ("float32", "cuda:0", "amx_bf16", "float32"),
    ],
)
def test_precision_begins_with_half_where_there_are_units_for_it(
    asked: str, device: str, flags: str, precision: str, tmp_path: Path
) -> None:
    """A T4 has units for float16 and none for bfloat16; of processors some have the latter."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\n")

    assert choose_precision(asked, device, cpuinfo) == precision


def test_precision_of_a_processor_that_says_nothing_is_float32(tmp_path: Path) -> None:
    """A system without /proc/cpuinfo."""
    assert choose_precision("auto", "cpu", tmp_path / "absent") == "float32"
