"""Waveforms of 16 bits take half the room, and no waveform loses anything."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundpost.audio.decode import AudioSettings, decode
from soundpost.training.sixteen_bits import as_waveform, kept
from soundpost.training.store import build_store

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.uniform(-1, 1, 1001)


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", np.int16), ("PCM_U8", np.int16), ("PCM_24", np.float32), ("FLOAT", np.float32)]
)
def test_decoded_file_comes_back_to_the_last_bit(subtype: str, dtype: type, tmp_path: Path) -> None:
    """Files of 8 and 16 bits are kept in 16; what has more bits is kept whole, its quietest bins too."""
    soundfile.write(tmp_path / "clip.wav", NOISE, 44100, subtype=subtype)
    waveform = decode(tmp_path / "clip.wav", AudioSettings(sample_rate=44100)).waveform
    samples = kept(waveform)
    assert samples.dtype == dtype
    np.testing.assert_array_equal(as_waveform(samples).numpy(), waveform)


@pytest.mark.parametrize("waveform", [[0.5, -1.0, 0.0], [1.0, 0.5], [1.5, -2.0], [2.0**-16], []])
def test_waveform_beyond_or_between_the_steps_is_kept_whole(waveform: list[float]) -> None:
    """Full scale itself is one step too many for 16 bits, and is not cut to the step below."""
    values = np.array(waveform, np.float32)
    np.testing.assert_array_equal(as_waveform(kept(values)).numpy(), values)


def test_store_holds_clips_of_both_kinds_side_by_side(tmp_path: Path) -> None:
    """An odd number of 16-bit samples is followed by a clip that is kept whole."""
    clips = [np.float32([0.5, 0.25, -0.5]), np.float32([0.1, 0.2]), np.float32([-1.0])]
    store = build_store(tmp_path, ["clips"], lambda row: kept(clips[row]), 3)
    assert [store[row].dtype for row in range(3)] == [np.int16, np.float32, np.int16]
    assert store.shapes == [(3,), (2,), (1,)]
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(as_waveform(store[row]).numpy(), clip)
