"""Sound files of some two hundred kinds, against ffmpeg's own decoding of the same files."""

from pathlib import Path

import numpy as np
import pytest
import soxr
from kinds import KINDS, Kind, table
from making import FFMPEG, heard

from soundpost.audio import ffmpeg, libsndfile
from soundpost.audio.decode import AudioSettings, Decoded, decode
from soundpost.audio.mended_file import MendedFile
from soundpost.errors import ClipError

AS_IT_IS = AudioSettings(sample_rate=0)
ROOT = Path(__file__).resolve().parents[2]
NEEDS_FFMPEG = [kind for kind in KINDS if kind.alone != "the same"]


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of the files that soundfile was given with mended containers."""
    paths: list[Path] = []

    class Counted(MendedFile):
        def __init__(self, path: Path, pieces: object) -> None:
            paths.append(path)
            super().__init__(path, pieces)

    monkeypatch.setattr(libsndfile, "MendedFile", Counted)
    return paths


def in_step(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, float]:
    """By how many samples ours is late at the best match, and the correlation there, in which lost samples count."""
    size = 2 * max(len(ours), len(theirs))
    products = np.fft.irfft(np.fft.rfft(ours, size) * np.fft.rfft(theirs, size).conj(), size)
    late = int(products.argmax())
    norm = np.sqrt(np.square(ours, dtype=np.float64).sum() * np.square(theirs, dtype=np.float64).sum())
    return (late if late < size // 2 else late - size), float(products[late] / norm)


def oracle(kind: Kind, content: bytes, folder: Path) -> tuple[np.ndarray, int]:
    """What must come out: (samples,) and its rate in Hz."""
    if kind.expected:
        return kind.expected(), kind.rate
    sounds = [heard(part, folder) for part in (kind.parts() if kind.parts else [content])]
    rate = kind.rate or sounds[0][1]
    waveforms = [sound if own == rate else soxr.resample(sound, own, rate) for sound, own in sounds]
    return np.nan_to_num(np.concatenate(waveforms)), rate


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_decode_of_a_kind_agrees_with_ffmpeg_in_count_place_and_shape(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mended: list[Path]
) -> None:
    """As many samples, at the same place, of the same shape, by the reader that the table names."""
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, FFMPEG)
    path = tmp_path / f"{kind.stem}{kind.suffix}"
    path.write_bytes(kind.make())
    theirs, rate = oracle(kind, path.read_bytes(), tmp_path)

    decoded = decode(path, AS_IT_IS)

    late, correlation = in_step(decoded.waveform, theirs)
    assert decoded.sample_rate == rate
    assert abs(len(decoded.waveform) - len(theirs)) <= kind.spare
    assert kind.samples in (None, len(decoded.waveform))
    assert abs(late) <= kind.spare
    assert correlation >= kind.correlation
    assert reader(decoded, mended) == kind.reader
    assert kind.remark in " ".join(decoded.remarks)
    assert bool(decoded.remarks) == bool(kind.remark)
    assert not decoded.silent


def reader(decoded: Decoded, mended: list[Path]) -> str:
    """Who read the file."""
    if decoded.second_reader:
        assert "read by ffmpeg" in decoded.second_reader
        return "ffmpeg"
    return "mended" if mended else "soundfile"


@pytest.mark.parametrize("kind", NEEDS_FFMPEG, ids=lambda kind: kind.name)
def test_decode_of_a_kind_without_ffmpeg_names_what_would_help(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What soundfile gets is kept; either way the log says that ffmpeg is missing."""
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, "")
    path = tmp_path / f"{kind.stem}{kind.suffix}"
    path.write_bytes(kind.make())

    if kind.alone == "nothing":
        with pytest.raises(ClipError, match="no ffmpeg here"):
            decode(path, AS_IT_IS)
    else:
        decoded = decode(path, AS_IT_IS)
        assert len(decoded.waveform) > 0
        assert "no ffmpeg here" in decoded.remarks[-1]


def test_kinds_have_names_of_their_own() -> None:
    """A row of the table is one test."""
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_table_of_kinds_in_docs_is_the_one_that_is_tested() -> None:
    """`python docs/list_sound_files.py` writes it anew."""
    assert table() in (ROOT / "docs" / "sound_files.md").read_text("utf-8")
