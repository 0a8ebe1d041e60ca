"""Clips composed of sources: the same by the same generator, each source as it was, cut, and at other speeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import waveform

from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.training.bank import Bank, at_speed, build_bank, trim
from soundpost.training.compose import Composer, ComposeSettings


@pytest.fixture
def bank() -> Bank:
    """A bank of random mel powers."""
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 41, (2, 8), generator=random)
    powers = torch.rand(int(lengths.sum()), 16, generator=random) ** 4
    begins = (lengths.flatten().cumsum(0) - lengths.flatten()).view(2, 8)
    return Bank(powers, begins, lengths, torch.eye(3)[torch.arange(8) % 3])


def source_of(bank: Bank, speed: int, source: int) -> torch.Tensor:
    """Mel powers of one source at one speed, (frames, mels)."""
    begin, length = int(bank.begins[speed, source]), int(bank.lengths[speed, source])
    return bank.powers[begin : begin + length]


def test_bank_with_one_long_clip_holds_every_frame_once() -> None:
    """Short clips are not padded to the ten minutes of one: memory grows by what there is."""
    front_end = LogMel(LogMelSettings(8000, n_fft=256, hop_length=160, n_mels=16, pad_mode="constant"))
    waveforms = [waveform(seconds, seed)[::2] for seed, seconds in enumerate((0.5, 60.0, 0.7))]

    bank = build_bank(waveforms, np.eye(3, dtype=np.float32), front_end, (1.0, 2.0), torch.device("cpu"))

    assert len(bank.powers) == int(bank.lengths.sum())
    for source, heard in enumerate(waveforms):
        for place, speed in enumerate((1.0, 2.0)):
            played = at_speed(torch.from_numpy(trim(heard)), speed)
            expected = 10 ** (front_end(played[None])[0, 0].T / 10)
            torch.testing.assert_close(source_of(bank, place, source), expected)


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

    columns = {tuple(column.tolist()) for speed in (0, 1) for column in source_of(bank, speed, 4).round(decimals=4)}
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
