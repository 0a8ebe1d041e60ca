"""Devices that are trusted only after they computed: a GPU that torch was not built for, several, none."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundpost.errors import DeviceError
from soundpost.inference import devices
from soundpost.inference.devices import beside_computing, choose_devices, choose_precision, trouble
from soundpost.resources.memory import cores
from soundpost.resources.memory_budget import CUDNN_PLANS

BUILT = ["sm_70", "sm_75", "sm_80", "sm_90", "sm_120"]  # among what the torch in Kaggle's image was built for


Spoil = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes torch see GPUs of these capabilities; the CPU computes in their place, and what it gives can be spoilt."""

    def make(*capabilities: tuple[int, int], spoil: Spoil = dict) -> None:
        layers, to = devices._layers, Tensor.to
        on_gpu: list[bool] = []

        def moved(self: Tensor, place: object, *rest: object, **others: object) -> Tensor:
            if isinstance(place, torch.device) and place.type == "cuda":
                on_gpu.append(True)
                return self
            return to(self, place, *rest, **others)

        def computed(operands: list[Tensor]) -> dict[str, Tensor]:
            is_on_gpu = bool(on_gpu)
            on_gpu.clear()
            return spoil(layers(operands)) if is_on_gpu else layers(operands)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT)
        monkeypatch.setattr(Tensor, "to", moved)
        monkeypatch.setattr(devices, "_layers", computed)

    return make


def spoilt(name: str, dtype: torch.dtype, change: Callable[[Tensor], Tensor]) -> Spoil:
    """One layer's answer in one precision changed."""

    def spoil(answers: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: change(a) if (key, a.dtype) == (name, dtype) else a for key, a in answers.items()}

    return spoil


def raises(text: str) -> Spoil:
    """Whatever is computed ends in an error."""

    def spoil(answers: dict[str, Tensor]) -> dict[str, Tensor]:
        raise RuntimeError(text)

    return spoil


def test_gpu_that_torch_has_no_kernels_for_is_not_used(gpus: Callable[..., None]) -> None:
    """A P100 says that it is available and dies at the first operation; the cores are used instead."""
    gpus((6, 0))

    assert choose_devices("auto") == ["cpu"] * cores()
    with pytest.raises(DeviceError, match=r"no CUDA device works \(capability 6\.0 is not among"):
        choose_devices("cuda")


@pytest.mark.parametrize("layer", ["convolution", "linear layer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("change", [lambda a: a * 1.5, lambda a: a * torch.nan], ids=["wrong", "no number"])
def test_gpu_that_computes_wrong_is_not_used(
    layer: str, dtype: torch.dtype, change: Callable[[Tensor], Tensor], gpus: Callable[..., None]
) -> None:
    """What networks are made of is computed in both precisions and compared with the CPU's numbers."""
    gpus((7, 5), spoil=spoilt(layer, dtype, change))

    precision = str(dtype).removeprefix("torch.")
    assert trouble("cuda:0").startswith(f"a {layer} in {precision} came out ")
    assert choose_devices("auto") == ["cpu"] * cores()


@pytest.mark.parametrize(
    "text",
    ["cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "nvrtc: error: invalid value for --gpu-architecture (-arch)", ""],
)
def test_gpu_whose_libraries_raise_is_not_used(text: str, gpus: Callable[..., None]) -> None:
    """Eight ones can be added without cuDNN; a convolution cannot be made."""
    gpus((7, 5), spoil=raises(text))

    assert trouble("cuda:0") == f"RuntimeError: {text or 'no message'}"
    assert choose_devices("auto") == ["cpu"] * cores()


def test_rounding_of_half_precision_is_no_trouble(gpus: Callable[..., None]) -> None:
    """Another device adds in another order."""
    gpus((7, 5), spoil=spoilt("convolution", torch.float16, lambda a: a * (1 + 2**-10)))

    assert trouble("cuda:0") == ""


def test_processor_passes_the_check_that_gpus_must_pass() -> None:
    """Without a stand-in: the numbers are compared with those that the same layers give in float32."""
    assert trouble("cpu") == ""


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


def test_weights_go_to_a_gpu_through_a_queue_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the queue is entered, filled, left, and waited for; a processor has none."""
    said: list[str] = []

    class Stream:
        def __init__(self, device: str) -> None:
            said.append(f"queue on {device}")

        def synchronize(self) -> None:
            said.append("waited for")

    @contextmanager
    def inside(stream: Stream) -> Iterator[None]:
        said.append("entered")
        yield
        said.append("left")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", inside)
    with beside_computing("cpu"):
        said.append("filled on a processor")
    with beside_computing("cuda:1"):
        said.append("filled")
    assert said == ["filled on a processor", "queue on cuda:1", "entered", "filled", "left", "waited for"]


def test_plans_of_cudnn_are_bounded_before_a_device_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs the host memory, which is counted; a bound that was set by hand stands."""
    monkeypatch.delenv("TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", raising=False)
    choose_devices("cpu")
    assert os.environ["TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT"] == str(CUDNN_PLANS)
    monkeypatch.setenv("TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "7")
    choose_devices("cpu")
    assert os.environ["TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT"] == "7"
