"""Clips composed of sources: the same by the same generator, each source as it was, cut, and at other speeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from soundpost.training.bank import Bank, at_speed, trim
from soundpost.training.compose import Composer, ComposeSettings


@pytest.fixture
def bank() -> Bank:
    """A bank of random mel powers."""
    random = torch.Generator().manual_seed(0)
    powers = torch.rand(2, 8, 40, 16, generator=random) ** 4
    lengths = torch.randint(20, 41, (2, 8), generator=random)
    powers *= (torch.arange(40) < lengths[..., None])[..., None]
    return Bank(powers, lengths, torch.eye(3)[torch.arange(8) % 3])


def test_composer_same_generator_state_gives_the_same_batch(bank: Bank) -> None:
    """Clips and targets follow from the generator; each first source's label is heard."""
    first = torch.arange(8)
    batches = [Composer(bank, ComposeSettings(), torch.Generator().manual_seed(3)).batch(first, 25) for _ in range(2)]

    (clips, targets), (clips_again, targets_again) = batches
    assert clips.shape == (8, 1, 16, 25)
    assert torch.isfinite(clips).all()
    assert torch.equal(clips, clips_again)
    assert torch.equal(targets, targets_again)
    torch.testing.assert_close(targets[first, first % 3], torch.full((8,), 1 - ComposeSettings().smoothing / 2))


def test_composer_single_source_untouched_keeps_its_colour(bank: Bank) -> None:
    """With all that changes a sound turned off, a clip is a stretch of its source, looped, at some level."""
    settings = ComposeSettings(
        layers=(1.0, 0.0, 0.0),
        gain_db=0.0,
        stretch=0.0,
        silence=0.0,
        gaps=0.0,
        tilt_db=0.0,
        ripple_db=0.0,
        background=0.0,
        mask_bands=0,
        mask_frames=0.0,
    )
    clips, targets = Composer(bank, settings, torch.Generator().manual_seed(0)).batch(torch.tensor([4]), 8)
    shifted, _ = Composer(bank, replace(settings, shift_bands=2), torch.Generator().manual_seed(1)).batch(
        torch.tensor([4]), 8
    )

    columns = {tuple(column.tolist()) for speed in bank.powers[:, 4] for column in speed.round(decimals=4)}
    inner = {column[2:-2] for column in columns}
    assert all(tuple(column.round(decimals=4).tolist()) in columns for column in 10 ** (clips[0, 0].T / 10))
    assert targets[0].round().tolist() == [0, 1, 0]
    for column in (10 ** (shifted[0, 0].T / 10)).round(decimals=4):
        assert any(tuple(column[2 + move : 14 + move].tolist()) in inner for move in (-2, -1, 0, 1, 2))


def test_trim_cuts_near_silence_and_sets_the_peak() -> None:
    """What is below a hundredth of the peak at the ends is no part of a sound."""
    trimmed = trim(np.array([0.0, 0.001, 0.5, 0.0, -0.25, 0.002], np.float32))

    assert trimmed.tolist() == [1.0, 0.0, -0.5]
    assert trim(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_at_speed_twice_as_fast_takes_every_other_sample() -> None:
    """Speed changes length and pitch together."""
    assert at_speed(torch.arange(9.0), 2.0).tolist() == [0, 2, 4, 6]
    assert at_speed(torch.arange(3.0), 0.5).tolist() == [0, 0.5, 1, 1.5, 2, 2]
