"""The compact network: any length in, a row's answer its own, and deaf to how loud a clip is."""

import pytest
import torch
from torch import nn

from soundpost.models.compact import Compact, CompactSettings, Level

SMALL = CompactSettings(bins=16, widths=(4, 6, 8), strides=(2, 1, 2))
N_CLASSES = 5


@pytest.fixture
def network() -> nn.Module:
    """A small network in evaluation mode with running statistics that are not their initial ones."""
    torch.manual_seed(0)
    network = Compact(SMALL, N_CLASSES)
    network.train()
    with torch.no_grad():
        nn.init.normal_(network.place, std=0.1)
        for _ in range(3):
            network(_clips(4, 50))
    return network.eval()


def _clips(count: int, frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    return 15 * torch.randn(count, 1, SMALL.bins, frames, generator=generator) - 40


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 250, 1501])
@torch.inference_mode()
def test_compact_any_length_gives_one_finite_logit_per_class(network: nn.Module, frames: int) -> None:
    """From a single frame to half a minute, odd or even."""
    logits = network(_clips(2, frames))

    assert logits.shape == (2, N_CLASSES)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("frames", [1, 33, 400])
@torch.inference_mode()
def test_compact_row_is_the_same_alone_and_in_a_batch(network: nn.Module, frames: int) -> None:
    """Batch mates change nothing but the last bits."""
    clips = _clips(5, frames)

    together = network(clips)

    for row in range(5):
        torch.testing.assert_close(network(clips[row : row + 1])[0], together[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gain_db", [-30.0, 12.0])
@torch.inference_mode()
def test_compact_louder_or_quieter_clip_gives_the_same_answer(network: nn.Module, gain_db: float) -> None:
    """Level is taken out before anything is learned."""
    clips = _clips(3, 60)

    torch.testing.assert_close(network(clips + gain_db), network(clips), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_compact_silence_gives_a_finite_answer(network: nn.Module) -> None:
    """Digital silence, the floor of the front end in every bin, is an input like any other."""
    assert torch.isfinite(network(torch.full((1, 1, SMALL.bins, 40), -100.0))).all()


@torch.inference_mode()
def test_level_steady_sound_vanishes_from_the_channel_of_what_moves() -> None:
    """A sound that stays the same has its colour in the first channel and nothing in the second."""
    colour = torch.linspace(-20, 0, 16)[None, None, :, None].expand(1, 1, 16, 30)

    in_clip, in_band = Level(60.0)(colour)[0]

    assert in_clip.std() > 0.1
    torch.testing.assert_close(in_band, torch.full((16, 30), 0.5))


@torch.inference_mode()
def test_level_floor_hides_what_is_far_below_the_mean() -> None:
    """Digital silence and silence 70 dB down look the same with a floor of 60 dB."""
    quiet, silent = torch.zeros(1, 1, 16, 30), torch.zeros(1, 1, 16, 30)
    quiet[..., 20:], silent[..., 20:] = -70.0, -100.0

    torch.testing.assert_close(Level(60.0)(quiet), Level(60.0)(silent), rtol=0, atol=1e-5)


def test_compact_default_size_is_a_quarter_of_a_million_at_most() -> None:
    """Four members with ten labels stay below the million parameters that a kernel has room for."""
    parameters = sum(value.numel() for value in Compact(CompactSettings(), 10).parameters())

    assert 4 * parameters < 1_000_000


def test_compact_other_number_of_bins_is_refused(network: nn.Module) -> None:
    """The place on the frequency axis belongs to the front end that the network was made for."""
    with pytest.raises(RuntimeError, match="must match the size"):
        network(torch.zeros(1, 1, 2 * SMALL.bins, 30))
