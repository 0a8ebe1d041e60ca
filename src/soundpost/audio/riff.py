"""WAV and its wider kin as chunks: sizes that were never written, a coding's own count of samples.

Source: the RIFF/WAVE specification, EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64).
"""

import struct
from dataclasses import dataclass
from mmap import mmap

from soundpost.audio.mended_file import Piece

FORMS = (b"RIFF", b"RF64", b"BW64")
MPEG_LAYER_III = 0x0055  # the format's tag
MOST_CHUNKS = 1000  # before the samples; a file with more is damaged
LARGEST = 0xFFFFFFFF - 64  # bytes of samples that a plain WAV can promise


@dataclass(frozen=True)
class Wave:
    """What stands in front of the samples."""

    form: bytes
    fmt: bytes  # the whole chunk with its head
    tag: int  # the number of the coding
    fact: int  # samples, as the fact chunk says; 0: there is none
    samples: range  # where the samples lie; it ends with the file at the latest
    promised: int  # bytes of samples, as the header says, RF64's wide count included


def read(data: mmap) -> Wave | None:
    """The chunks up to the samples; None where there are no samples or this is no such file."""
    if data[:4] not in FORMS or data[8:12] != b"WAVE":
        return None
    fmt, fact, wide, at = b"", 0, 0, 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(data):
            return None
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = at + 8
        if name == b"ds64":
            wide = int.from_bytes(data[body + 8 : body + 16], "little")
        elif name == b"fmt ":
            fmt = data[at : body + size]
        elif name == b"fact":
            fact = int.from_bytes(data[body : body + 4], "little")
        elif name == b"data":
            promised = wide if data[:4] != b"RIFF" and size == 0xFFFFFFFF else size
            if len(fmt) < 24:
                return None
            end = min(len(data), body + promised)
            return Wave(data[:4], fmt, int.from_bytes(fmt[8:10], "little"), fact, range(body, end), promised)
        at = body + size + size % 2
    return None


def has_lost_its_size(data: mmap, wave: Wave) -> bool:
    """Whether a header promises no samples and what follows are no chunks either: the recorder had no time to say."""
    if wave.promised:
        return False
    at = wave.samples.start
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if not name.isascii() or not name.decode("ascii").isprintable() or at + 8 + size > len(data):
            return True
        at += 8 + size + size % 2
    return False


def plain(data: mmap, wave: Wave) -> list[Piece]:
    """The same samples as a plain WAV; without a promise, all bytes to the end of the file are samples."""
    start = wave.samples.start
    size = min(wave.promised or len(data) - start, len(data) - start, LARGEST)
    head = b"WAVE" + wave.fmt + b"\0" * (len(wave.fmt) % 2) + b"data" + struct.pack("<I", size)
    return [b"RIFF" + struct.pack("<I", len(head) + size) + head, range(start, start + size)]
