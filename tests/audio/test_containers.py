"""Containers: files read as they should have been, bounds on the search in damaged ones, and what is left alone."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from making import (
    RATE,
    mp3,
    of_samples,
    ogg_without_a_page,
    opus,
    pages,
    replaced,
    sound,
    variable_mp3,
    vorbis,
    written,
)

from soundpost.audio import containers, ffmpeg, mpeg, ogg
from soundpost.audio.decode import AudioSettings, Probe, decode, probe
from soundpost.audio.mended_file import MendedFile
from soundpost.errors import ClipError

AS_IT_IS = AudioSettings(sample_rate=0)
MP3_FRAME = 1152  # samples


@pytest.fixture(autouse=True)
def no_second_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mended here is mended without ffmpeg."""
    monkeypatch.setenv(ffmpeg.PROGRAM_VARIABLE, "")


@contextmanager
def mapped(path: Path, content: bytes) -> Iterator[mmap]:
    """The content as a file in memory."""
    path.write_bytes(content)
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        yield data


@given(data=st.data())
@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
def test_mended_file_reads_and_seeks_like_its_pieces_in_memory(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the pieces, every read at every place gives the bytes of their concatenation."""
    content = bytes(range(256)) * 2
    path = tmp_path_factory.mktemp("mended") / "file"
    path.write_bytes(content)
    spans = st.tuples(st.integers(0, 512), st.integers(0, 512)).map(lambda span: range(min(span), max(span)))
    pieces = data.draw(st.lists(st.one_of(st.binary(max_size=20), spans), max_size=5))
    whole = b"".join(piece if isinstance(piece, bytes) else content[piece.start : piece.stop] for piece in pieces)
    plain = io.BytesIO(whole)
    with MendedFile(path, pieces) as mended:
        for offset, size in data.draw(st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 700)), max_size=6)):
            assert mended.seek(offset) == plain.seek(offset)
            assert mended.read(size) == plain.read(size)
            assert mended.tell() == plain.tell()
        assert mended.seek(0, os.SEEK_END) == len(whole)
        assert mended.seek(-len(whole), os.SEEK_CUR) == 0
        assert mended.read() == whole


def test_mended_file_whose_disk_file_shrank_ends_early(tmp_path: Path) -> None:
    """A file that is cut while it is read ends; nothing waits for the rest."""
    (tmp_path / "file").write_bytes(b"0123456789")
    with MendedFile(tmp_path / "file", [b"ab", range(10)]) as mended:
        (tmp_path / "file").write_bytes(b"012")
        assert mended.read() == b"ab012"


def test_checksum_of_a_page_is_the_one_that_encoders_write(tmp_path: Path) -> None:
    """All pages of a file agree."""
    content = vorbis()
    starts = [*pages(content), len(content)]
    for start, stop in pairwise(starts):
        said = int.from_bytes(content[start + 22 : start + 26], "little")
        assert ogg.crc(replaced(content[start:stop], 22, bytes(4))) == said


@pytest.mark.parametrize("make", [mp3, variable_mp3], ids=["with a Xing tag", "without"])
def test_walk_counts_the_frames_of_a_file(make: object, tmp_path: Path) -> None:
    """One stream in one piece, whose frames hold all of the sound and the encoder's delay."""
    with mapped(tmp_path / "file", make()) as data:
        (stream,) = mpeg.walk(data, 0, len(data))
    samples = stream.n_frames * MP3_FRAME
    assert len(stream.pieces) == 1
    assert stream.first.rate <= samples <= stream.first.rate + 3 * MP3_FRAME


@pytest.mark.parametrize(
    ("junk", "streams"),
    [(bytes(3 << 20), 2), (b"\xff\xfb\x90\x00" * (1 << 18), 2), (b"\xff" * (1 << 20), 1), (b"\xff\xfb" * (1 << 20), 1)],
    ids=["zeros", "headers too near", "ones", "beginnings of headers"],
)
def test_walk_over_foreign_bytes_ends_after_so_many_vain_tries(junk: bytes, streams: int, tmp_path: Path) -> None:
    """A file made to be slow costs the rest of the file, not the run's time."""
    with mapped(tmp_path / "file", mp3() + junk + mp3(seed=1)) as data:
        assert len(mpeg.walk(data, 0, len(data))) == streams


def test_walk_of_a_file_without_frames_ends_soon(tmp_path: Path) -> None:
    """Beyond a megabyte without a frame nothing is looked for."""
    with mapped(tmp_path / "file", bytes(mpeg.FURTHEST + 9) + mp3()) as data:
        assert mpeg.walk(data, 0, len(data)) == []


def test_chain_of_more_links_than_are_read_gives_the_first_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain without end costs bounded time."""
    monkeypatch.setattr(containers, "MOST_STREAMS", 3)
    (tmp_path / "clip.opus").write_bytes(opus() * 5)
    decoded = decode(tmp_path / "clip.opus", AS_IT_IS)
    assert len(decoded.waveform) == 3 * 48_000
    assert "beyond 3 no more are read" in decoded.remarks[0]


def test_chain_is_read_no_further_than_max_seconds(tmp_path: Path) -> None:
    """The bound holds over all links together."""
    (tmp_path / "clip.opus").write_bytes(opus() * 4)
    decoded = decode(tmp_path / "clip.opus", AudioSettings(sample_rate=0, max_seconds=2.5))
    assert len(decoded.waveform) == 120_000
    assert "only the first 2.5 s were read" in decoded.remarks[-1]


def test_chain_of_which_a_page_is_missing_says_so(tmp_path: Path) -> None:
    """What one of the links lost is a remark, as it is for a single stream."""
    (tmp_path / "clip.ogg").write_bytes(vorbis() + ogg_without_a_page())
    decoded = decode(tmp_path / "clip.ogg", AS_IT_IS)
    assert 44_100 < len(decoded.waveform) < 88_200
    assert "header promises 88,200 samples, file holds" in decoded.remarks[-1]
    assert "there is no ffmpeg here" in decoded.remarks[-1]


def test_probe_of_a_chain_counts_all_its_links(tmp_path: Path) -> None:
    """A forecast knows the whole length, at the rate of the first."""
    (tmp_path / "clip.ogg").write_bytes(vorbis(44_100) + vorbis(32_000, seed=1))
    assert probe(tmp_path / "clip.ogg") == Probe(samples=88_200, sample_rate=44_100, channels=1)


def test_decode_of_flac_of_unknown_length_gives_every_block(tmp_path: Path) -> None:
    """Over several blocks of reading, the last one is there."""
    samples = np.tile(sound(), (15, 1))[: 15 * RATE - 77]
    content = of_samples(samples, "FLAC", "PCM_16")
    (tmp_path / "clip.flac").write_bytes(replaced(content, 21, bytes([content[21] & 0xF0]) + bytes(4)))
    decoded = decode(tmp_path / "clip.flac", AS_IT_IS)
    assert len(decoded.waveform) == len(samples)
    assert np.abs(decoded.waveform - samples[:, 0]).max() <= 1 / 32768
    assert decoded.remarks == ()


def test_decode_of_damaged_flac_without_ffmpeg_gives_all_before_the_damage(tmp_path: Path) -> None:
    """What lies in the same block of reading as the damage, and before it, is not thrown away."""
    samples = np.tile(sound(), (8, 1))
    content = of_samples(samples, "FLAC", "PCM_16")
    at = int(len(content) * 0.9)
    (tmp_path / "clip.flac").write_bytes(replaced(content, at, b"\xaa" * 40))
    decoded = decode(tmp_path / "clip.flac", AS_IT_IS)
    count = len(decoded.waveform)
    assert 0.85 * len(samples) < count < 0.91 * len(samples)
    assert np.abs(decoded.waveform - samples[:count, 0]).max() <= 1 / 32768
    assert "there is no ffmpeg here" in decoded.remarks[0]


def test_wav_that_is_truly_empty_stays_a_clip_error(tmp_path: Path) -> None:
    """Chunks that follow an empty one are no samples."""
    head = written("WAV", "PCM_16")[:40] + bytes(4)
    (tmp_path / "clip.wav").write_bytes(head + b"LIST\x04\0\0\0INFO")
    with pytest.raises(ClipError, match="header promises 0 samples, file holds none"):
        decode(tmp_path / "clip.wav", AS_IT_IS)


def test_fact_that_cannot_be_meant_is_not_believed(tmp_path: Path) -> None:
    """A count far below what the blocks hold cuts nothing off."""
    content = written("WAV", "MS_ADPCM", rate=44_100)
    at = content.index(b"fact") + 8
    (tmp_path / "clip.wav").write_bytes(replaced(content, at, (9).to_bytes(4, "little")))
    assert len(decode(tmp_path / "clip.wav", AS_IT_IS).waveform) > 44_100


def test_file_of_a_thousand_channels_is_read_in_small_blocks(tmp_path: Path) -> None:
    """The width of a file does not decide how much is read at once."""
    soundfile.write(tmp_path / "clip.wav", np.full((3000, 1000), 0.25, np.float32), RATE, subtype="FLOAT")
    decoded = decode(tmp_path / "clip.wav", AS_IT_IS)
    assert decoded.waveform.tolist() == [0.25] * 3000
