"""The synthesised test folder: the same to the byte, of the promised lengths, with the promised damage."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundpost.audio.decode import AudioSettings, decode
from soundpost.errors import ClipError
from soundpost.sample.folder import COLUMNS, UNKNOWN, main
from soundpost.sample.sounds import RATE, SOUNDS

N_CLIPS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one or two clips of each label."""
    out = tmp_path_factory.mktemp("sample")
    assert main(["--out", str(out), "--clips", str(N_CLIPS)]) == 0
    return out


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_sample_made_twice_is_the_same_to_the_byte(folder: Path, tmp_path: Path) -> None:
    """The same seed writes the same files; another seed does not."""
    main(["--out", str(tmp_path / "again"), "--clips", str(N_CLIPS)])
    main(["--out", str(tmp_path / "other"), "--clips", str(N_CLIPS), "--seed", "1"])

    assert _bytes(tmp_path / "again") == _bytes(folder)
    assert set(_bytes(tmp_path / "other")) != set(_bytes(folder))


def test_sample_made_into_a_full_folder_changes_nothing(folder: Path) -> None:
    """Writing over a finished folder leaves the same bytes."""
    before = _bytes(folder)

    main(["--out", str(folder), "--clips", str(N_CLIPS)])

    assert _bytes(folder) == before


def test_sample_clips_have_odd_lengths_within_range(folder: Path) -> None:
    """Sound clips are 0.3-30 s of an odd number of samples at 44.1 kHz and can be heard."""
    for name, _ in _rows(folder / "truth.csv")[1:]:
        waveform, rate = soundfile.read(folder / "test" / name)

        assert rate == RATE
        assert 0.3 * RATE <= len(waveform) <= 30 * RATE
        assert len(waveform) % 2 == 1
        assert 0.05 < np.abs(waveform).max() < 1


def test_sample_csv_lists_every_file_and_columns_nobody_knows(folder: Path) -> None:
    """The sample submission has a row for each file, sorted columns, aliases and unknown ones among them."""
    header, *rows = _rows(folder / "sample_submission.csv")

    assert sorted(row[0] for row in rows) == sorted(path.name for path in (folder / "test").iterdir())
    assert header == ["fname", *sorted(header[1:])]
    assert set(header[1:]) == {COLUMNS.get(label, label) for label in SOUNDS} | set(UNKNOWN)
    assert {value for row in rows for value in row[1:]} == {"0"}


def test_sample_truth_names_columns_of_the_submission(folder: Path) -> None:
    """Every label of the truth is a column, and each of the ten sounds is there."""
    columns = set(_rows(folder / "sample_submission.csv")[0][1:])
    labels = {label for _, row in _rows(folder / "truth.csv")[1:] for label in row.split(",")}

    assert labels == columns - set(UNKNOWN)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("damaged_0_bytes.wav", "0 bytes"),
        ("damaged_header_only.wav", "file holds none"),
        ("damaged_text.wav", "no audio file"),
    ],
)
def test_sample_damaged_beyond_use_is_refused_by_the_decoder(folder: Path, name: str, reason: str) -> None:
    """Files without one usable sample are clip errors with their reason."""
    with pytest.raises(ClipError, match=reason):
        decode(folder / "test" / name, AudioSettings())


@pytest.mark.parametrize("name", ["damaged_cut.wav", "damaged_not_numbers.wav"])
def test_sample_damaged_in_part_is_decoded_with_a_remark(folder: Path, name: str) -> None:
    """Cut files and files with NaN give finite samples, and the decoder says so."""
    decoded = decode(folder / "test" / name, AudioSettings())

    assert np.isfinite(decoded.waveform).all()
    assert len(decoded.remarks) == 1


@pytest.mark.parametrize("label", sorted(SOUNDS))
@pytest.mark.parametrize("samples", [1, 7, 13231])
def test_sound_of_any_length_is_finite(label: str, samples: int) -> None:
    """Each sound has exactly the asked length, is finite, and the same for the same generator."""
    sound = SOUNDS[label](np.random.default_rng(3), samples)

    assert sound.shape == (samples,)
    assert np.isfinite(sound).all()
    assert np.array_equal(sound, SOUNDS[label](np.random.default_rng(3), samples))
