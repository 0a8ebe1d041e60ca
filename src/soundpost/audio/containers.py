"""What a container promises and what soundfile has to be given instead of the file where the container is at fault.

This is the one extra look that a clip gets beyond decoding. It reads headers alone, and of plain PCM not even those.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from soundpost.audio import mpeg, ogg, riff
from soundpost.audio.mended_file import Piece

BLOCK_CODINGS = ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32")
FLAC_HEAD = b"fLaC\0\0\0\x22"  # a file's first word and the head of its STREAMINFO
LARGEST_BLOCK = 1 << 14  # samples per channel in one block of such a coding, at most
MOST_STREAMS = 1000  # in a chain; what comes later is left out, with a remark
SLACK_FRAMES = 4  # MPEG frames that encoder delay and padding may take from the count


@dataclass(frozen=True)
class Layout:
    """One file's streams, and how much they hold."""

    streams: Sequence[Sequence[Piece]] = ()  # to be read one after the other; empty: read the file as it is
    remark: str = ""  # half a sentence about what was mended or is missing
    samples: int | None = None  # in all, if the container says so better than the decoder does
    slack: int = 0  # samples that may be missing from that number in a sound file
    trims: bool = False  # whether what is decoded beyond that number is padding


AS_IT_IS = Layout()


def look(path: Path, container: str, coding: str, frames: int) -> Layout:
    """How a file has to be read.

    Args:
        path: a file that is not empty.
        container: soundfile's name for it, such as "WAV"; empty where soundfile refuses the file.
        coding: soundfile's name for that, such as "PCM_16".
        frames: samples per channel that soundfile announces.

    Raises:
        OSError: the file cannot be read.
    """
    if container in ("WAV", "WAVEX", "RF64"):
        if coding in BLOCK_CODINGS or coding == "MPEG_LAYER_III" or frames == 0:
            with _mapped(path) as data:
                return _of_wave(data, coding)
        return AS_IT_IS
    if container in ("OGG", "MP3", "FLAC", ""):
        with _mapped(path) as data:
            if container == "FLAC":
                return _of_flac(data)
            if container == "MP3":
                return _of_mpeg(data, range(len(data)))
            if data[:4] in riff.FORMS:
                return _of_wave(data, coding)
            return _of_ogg(data) if ogg.CAPTURE in data[: 1 << 16] else _of_mpeg(data, range(len(data)))
    return AS_IT_IS


@contextmanager
def _mapped(path: Path) -> Iterator[mmap]:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        yield data


def _of_wave(data: mmap, coding: str) -> Layout:
    wave = riff.read(data)
    if wave is None:
        return AS_IT_IS
    if wave.tag == riff.MPEG_LAYER_III and coding:
        return _of_mpeg(data, wave.samples)
    if riff.has_lost_its_size(data, wave):
        return Layout([riff.plain(data, wave)], "header promises no samples; all that follows it was read")
    if not coding and wave.form == b"BW64":
        return Layout([riff.plain(data, wave)])
    if coding in BLOCK_CODINGS and wave.fact:
        return Layout(samples=wave.fact, trims=True)
    return AS_IT_IS


def _of_ogg(data: mmap) -> Layout:
    streams = ogg.streams(data, MOST_STREAMS)
    if streams is None:
        return AS_IT_IS
    return _chain(streams, f"{len(streams):,} Ogg streams joined" if len(streams) > 1 else "")


def _of_mpeg(data: mmap, where: range) -> Layout:
    streams = mpeg.walk(data, where.start, where.stop)
    if not streams:
        return AS_IT_IS
    if len(streams) == 1 and streams[0].is_right():
        samples, count, promised = streams[0].first.samples, streams[0].n_frames, streams[0].promised
        # Some encoders count the frame that holds the tag too.
        remark = f"header promises {promised:,} frames, file holds {count:,}" if count < promised - 1 else ""
        return Layout(remark=remark, samples=count * samples, slack=SLACK_FRAMES * samples)
    gaps = sum(len(stream.pieces) - 1 for stream in streams)
    words = [f"{len(streams):,} MPEG streams joined"] if len(streams) > 1 else []
    words += [f"foreign bytes left out in {gaps:,} places"] if gaps else []
    slack = SLACK_FRAMES * sum(stream.first.samples for stream in streams)
    return _chain([mpeg.pieces(data, stream) for stream in streams], ", ".join(words), slack)


def _of_flac(data: mmap) -> Layout:
    starts, at = [], data.find(FLAC_HEAD)
    while at >= 0:
        starts.append(at)
        at = data.find(FLAC_HEAD, at + len(FLAC_HEAD))
    if len(starts) < 2:
        return AS_IT_IS
    ends = [*starts[1:], len(data)]
    streams = [[range(start, end)] for start, end in zip(starts, ends, strict=True)]
    return _chain(streams, f"{len(starts):,} FLAC streams joined")


def _chain(streams: Sequence[Sequence[Piece]], remark: str, slack: int = 0) -> Layout:
    if len(streams) >= MOST_STREAMS:
        remark += f"; beyond {MOST_STREAMS:,} no more are read"
    return Layout(streams[:MOST_STREAMS], remark, slack=slack)
