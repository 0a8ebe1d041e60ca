"""A long clip among short ones takes its own memory and not that of all: sizes of what is allocated, counted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from soundpost.training.augmentations import AUGMENTATIONS, BY_CLIP
from soundpost.training.bank import Bank, at_speed, build_bank
from soundpost.training.clips import Clips
from soundpost.training.inputs.chain import ChainMaterial
from soundpost.training.inputs.composed import Composed, ComposedSettings
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.plan import Plan, StageSettings

MELS = 8
LONG, SHORT, COUNT = 60_000, 600, 12  # frames or samples, and how many clips: the last is the long one
LENGTHS = [SHORT] * (COUNT - 1) + [LONG]


class Allocations(TorchDispatchMode):
    """The largest storage of any tensor that is made meanwhile, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return made


def waveform(samples: int) -> np.ndarray:
    """Noise that no trimming shortens."""
    return np.where(np.arange(samples) % 2, 1, -1).astype(np.float32)


def one_frame_a_sample(waveforms: Tensor) -> Tensor:
    """(batch, samples) -> (batch, 1, mels, samples), dB."""
    return torch.zeros(len(waveforms), 1, MELS, waveforms.shape[1])


def a_bank(speeds: Sequence[float] = (0.5, 1.0)) -> Bank:
    """A bank of eleven short sources and a long one."""
    waveforms = (waveform(samples) for samples in LENGTHS)
    return build_bank(waveforms, np.eye(COUNT, dtype=np.float32), one_frame_a_sample, speeds, torch.device("cpu"))


def test_bank_made_of_a_long_clip_allocates_once_what_it_holds() -> None:
    """Nothing beside the bank itself is larger than the long clip's own spectrogram."""
    with Allocations() as seen:
        bank = a_bank()

    assert seen.largest == bank.powers.untyped_storage().nbytes()


def test_members_share_the_powers_of_the_bank(tmp_path: Path) -> None:
    """Each member hears other clips; none of them gets a copy."""
    front_end = {"name": "log_mel", "sample_rate": 1000, "hop_length": 10}
    shared = Shared(Plan("x", front_end=front_end), clips(), torch.device("cpu"), tmp_path)
    composed = Composed(ComposedSettings(longest=1.0), shared)
    composed.__dict__["bank"] = a_bank()

    material = composed.material(Heard((11, 0), np.eye(COUNT, dtype=np.float32)[[11, 0]], ("curated",) * 2), stage())

    assert material.composer.bank.powers.data_ptr() == composed.bank.powers.data_ptr()
    assert material.composer.bank.lengths.tolist() == [[2 * LONG, 2 * SHORT], [LONG, SHORT]]


def test_at_speed_needs_no_places_for_all_samples_at_once() -> None:
    """Places are in 64 bits, several arrays of them: for a long clip they come in stretches."""
    long = torch.from_numpy(waveform(2_000_000))

    with Allocations() as seen:
        played = at_speed(long, 0.8)

    assert seen.largest == played.untyped_storage().nbytes() == 4 * 2_500_000


def test_composed_batch_beside_a_long_clip_is_as_long_as_batches_are(tmp_path: Path) -> None:
    """What is drawn from the bank is the batch's length, whatever lies in the bank."""
    front_end = {"name": "log_mel", "sample_rate": 1000, "hop_length": 10}
    shared = Shared(Plan("x", front_end=front_end), clips(), torch.device("cpu"), tmp_path)
    composed = Composed(ComposedSettings(longest=1.0), shared)
    composed.__dict__["bank"] = a_bank()
    material = composed.material(heard(), stage())

    with Allocations() as seen:
        batch = material.batch(torch.tensor([11, 0, 1, 2]), 0, torch.Generator().manual_seed(0))

    assert batch.inputs.shape[-1] <= 100
    assert seen.largest < 4 * 4 * 3 * 100 * MELS * 4  # bytes: batch, layers, frames, mels; places in 64 bits


# ------------------------------------------------------------ clips through a chain


def stage() -> StageSettings:
    """Batches of four."""
    return StageSettings(batch=4)


def clips() -> Clips:
    """Twelve clips without files."""
    names = tuple(str(number) for number in range(COUNT))
    truth = np.eye(COUNT, dtype=np.float32)
    sources = ("curated",) * COUNT
    paths = tuple(Path(name) for name in names)
    return Clips(paths, ("",) * COUNT, sources, names, truth, ("1",) * COUNT, {"curated": "all"}, names)


def heard() -> Heard:
    """All of them."""
    return Heard(tuple(range(COUNT)), np.eye(COUNT, dtype=np.float32), ("curated",) * COUNT)


def chain(tmp_path: Path, *augment: dict[str, Any]) -> ChainMaterial:
    """What a stage learns from, whose clips hold their own places: 0, 1, 2 ..."""
    own = StageSettings(batch=COUNT, augment=augment, sampler={"name": "every_clip"})
    shared = Shared(Plan("x", sets={"curated": {}}), clips(), torch.device("cpu"), tmp_path)
    return ChainMaterial(heard(), own, shared, lambda row: torch.arange(float(LENGTHS[row])).expand(1, 4, -1).clone())


@pytest.mark.parametrize(
    "augment",
    [
        ({"name": "crop", "frames": 500},),
        ({"name": "place", "frames": 500},),
        ({"name": "pad", "frames": 700}, {"name": "crop", "frames": 500}),
        ({"name": "adaptive_crop", "frames": 500, "bins": 4},),
    ],
    ids=["crop", "place", "pad and crop", "adaptive crop"],
)
def test_chain_cuts_a_long_clip_before_it_lies_beside_others(
    tmp_path: Path, augment: tuple[dict[str, Any], ...]
) -> None:
    """The largest thing allocated is a few arrays of the long clip alone, not twelve of its length."""
    material = chain(tmp_path, *augment, {"name": "reverse"})

    with Allocations() as seen:
        batch = material.batch(torch.arange(COUNT), 0, torch.Generator().manual_seed(0))

    assert batch.inputs.shape == (COUNT, 1, 4, 500)
    assert seen.largest <= LONG * 4 * 8  # bytes: its own four bands, or places of its frames, in 64 bits
    assert seen.largest < COUNT * LONG * 4 * 4 / 4


def test_chain_parts_that_see_all_clips_come_after_those_that_cut(tmp_path: Path) -> None:
    """A part that needs the batch ends the run of those that see one clip at a time."""
    material = chain(tmp_path, {"name": "crop", "frames": 500}, {"name": "reverse"}, {"name": "pad", "frames": 500})

    assert [one.by_clip for one in material.augmentations] == [True, False, True]
    assert material.batch(torch.arange(2), 0, torch.Generator().manual_seed(0)).inputs.shape[-1] == 500
    assert set(BY_CLIP) < set(AUGMENTATIONS)


def test_chain_off_parts_leave_clips_long(tmp_path: Path) -> None:
    """What is off from an epoch on is off for single clips, too."""
    material = chain(tmp_path, {"name": "crop", "frames": 500, "off_from": 2})

    lengths = [
        material.batch(torch.tensor([0, 1]), epoch, torch.Generator().manual_seed(0)).lengths.tolist()
        for epoch in (1, 2)
    ]

    assert lengths == [[500, 500], [SHORT, SHORT]]
