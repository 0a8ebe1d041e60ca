"""Which rows and which samples of a recording are heard so that some of its rows can be answered."""

import numpy as np
import pytest

from soundpost.audio.windows import Samples, WindowSettings, merged, ring_parts
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.front_ends.row_pictures import MOST_ROWS, RowPictures
from soundpost.front_ends.window_picture import WindowPicture, WindowPictureSettings

RATE = 1000  # Hz
MELS = LogMel(LogMelSettings(sample_rate=RATE, n_fft=64, hop_length=50, n_mels=8))
ONE_FLOOR = WindowPicture(WindowPictureSettings(sample_rate=RATE, n_fft=64, hop_length=50, n_mels=8, scope="recording"))


@pytest.mark.parametrize(
    ("settings", "rows", "heard"),
    [
        (WindowSettings(), (7, 3, 500), (7, 3)),
        (WindowSettings(context_seconds=20.0), (7, 3, 500), (7, 3)),
        (WindowSettings(context_seconds=20.0, frames="overlap_average_max"), (7, 3, 500), (5, 7)),
        (WindowSettings(context_seconds=10.0, frames="overlap_average_max"), (0, 4, 5), (0, 5)),
        (WindowSettings(scope="recording"), (7, 3, 500), (0, MOST_ROWS)),
        (WindowSettings(scope="recording"), (250, 3, 300), (240, 60)),
        (WindowSettings(scope="recording", context_seconds=8.0), (0, 12, 12), (0, 12)),
    ],
)
def test_rows_are_heard_with_all_that_their_answers_depend_on(
    settings: WindowSettings, rows: tuple[int, int, int], heard: tuple[int, int]
) -> None:
    """Windows alone, those whose frames overlap, or all rows of one spectrogram; never beyond the recording."""
    assert RowPictures(MELS, settings, RATE).heard(*rows) == heard


def test_rows_whose_pictures_have_one_floor_are_heard_together() -> None:
    """A front end that looks for the loudest of all windows is given all of them."""
    assert RowPictures(ONE_FLOOR, WindowSettings(), RATE).heard(7, 3, 500) == (0, MOST_ROWS)


def test_moved_windows_hear_both_ends_of_a_recording_where_its_ring_is_joined() -> None:
    """The first row, 1.25 s later, begins in the last 1.25 s; of a whole recording one part is enough."""
    shifts = WindowSettings(shifts=(0.0, 1.25, -1.25), shift_weights=(1.0, 1.0, 1.0))
    pictures = RowPictures(MELS, shifts, RATE)
    assert pictures.parts(0, 1, 12) == [(0, 6250), (58750, 60000)]
    assert pictures.parts(5, 1, 12) == [(23750, 31250)]
    assert pictures.parts(11, 1, 12) == [(53750, 60000), (0, 1250)]
    assert pictures.parts(0, 12, 12) == [(0, 60000)]


@pytest.mark.parametrize("shift", [0, 3, -4, 9, 10, 25])
@pytest.mark.parametrize(("begin", "end"), [(0, 10), (2, 7), (8, 10)])
def test_ring_is_the_recording_rolled(shift: int, begin: int, end: int) -> None:
    """Parts that are taken and joined are what numpy rolls, whichever of them were read."""
    waveform = np.arange(1, 11, dtype=np.float32)
    parts = ring_parts(begin, end, shift, 10)
    read = Samples([(first, waveform[first:last]) for first, last in merged(parts)])
    np.testing.assert_array_equal(np.roll(waveform, shift)[begin:end], read.joined(parts))


def test_samples_beyond_a_recordings_end_are_silence_in_a_ring_and_missing_elsewhere() -> None:
    """Padding of windows is what [windows] says; a ring has its full length."""
    read = Samples([(0, np.ones(4, np.float32))])
    assert read.taken(2, 9).tolist() == [1, 1]
    assert read.joined([(2, 5), (0, 1)]).tolist() == [1, 1, 0, 1]
