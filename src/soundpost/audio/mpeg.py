"""MPEG audio as frames: joined files taken apart, foreign bytes left out, and a count of frames that is true.

The decoder stops after as many frames as the first frame's Xing tag promises, and where there is no tag it guesses
from the first bit rate. A walk from header to header, which reads a few bytes of each frame, knows better.

Source: ISO/IEC 11172-3 and 13818-3 for headers; the Xing tag as encoders write it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from mmap import mmap
from typing import NamedTuple

from soundpost.audio.mended_file import Piece

KBITS = {  # (is MPEG 1, layer) -> kbit/s by index; index 0 is a free rate, which says no length
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz, by the version's two bits
TAGS = (b"Xing", b"Info")
CONFIRMING = 3  # frames of one kind in a row that count as sound where no frame was expected
FURTHEST = 1 << 20  # bytes without a frame, beyond which the search for the first one ends
MOST_TRIED = 1 << 19  # places where a frame was looked for in vain; about a second


class Frame(NamedTuple):
    """What a header says."""

    length: int  # bytes
    samples: int
    rate: int  # Hz
    version: int  # the header's two bits; 3 is MPEG 1
    layer: int
    kbits: int
    kind: tuple[int, int, int]  # rate, version and layer, which do not change within a stream
    side: int  # bytes before a tag: the header and what layer III keeps beside the sound of two channels
    side_of_one: int  # the same for one channel


@dataclass
class Stream:
    """Frames of one kind that one encoder wrote in one go."""

    first: Frame
    kbits: int  # kbit/s of its first frame of sound
    count_at: int | None  # where the Xing tag keeps its count of frames; None: there is no such count
    promised: int  # frames, as the tag says
    n_frames: int = 0  # without the tag's own
    spans: list[list[int]] = field(default_factory=list)  # [start, stop] of each piece
    is_variable: bool = False  # frames have several bit rates

    def take(self, at: int, frame: Frame) -> None:
        """Add the frame at a position of the file."""
        if self.spans and self.spans[-1][1] == at:
            self.spans[-1][1] += frame.length
        else:
            self.spans.append([at, at + frame.length])
        self.n_frames += 1
        if frame.kbits != self.kbits:
            self.is_variable = True

    @property
    def pieces(self) -> list[range]:
        """Where its frames lie, without what stands between them."""
        return [range(*span) for span in self.spans]

    def is_right(self) -> bool:
        """Whether the decoder will read all of it from the file as it is."""
        counted = self.n_frames <= self.promised if self.count_at else not self.is_variable
        return counted and len(self.spans) == 1


def walk(data: mmap, start: int, stop: int) -> list[Stream]:
    """The streams of a file in order; bytes that belong to none are in none.

    Args:
        data: the whole file.
        start: where the first frame may begin; what is no frame is skipped.
        stop: where the last one ends at the latest.
    """
    found: list[Stream] = []
    for at, frame in _frames(data, start, stop):
        tag = _tag(data, at, frame)
        if tag or not found or found[-1].first.kind != frame.kind:
            count_at, promised = tag or (None, 0)
            after = _frame(data, at + frame.length) if tag else frame
            found.append(Stream(frame, (after or frame).kbits, count_at, promised, -int(tag is not None)))
        found[-1].take(at, frame if not tag else frame._replace(kbits=found[-1].kbits))
    return [stream for stream in found if stream.n_frames > 0]


def pieces(data: mmap, stream: Stream) -> list[Piece]:
    """What a decoder reads the whole stream from: its frames alone, behind a count of them that is true."""
    count = struct.pack(">I", stream.n_frames)
    if stream.count_at:
        head = stream.pieces[0]
        before, after = range(head.start, stream.count_at), range(stream.count_at + 4, head.stop)
        return [before, count, after, *stream.pieces[1:]]
    if stream.first.layer != 3:
        return list(stream.pieces)
    at = stream.pieces[0].start
    tag = data[at : at + 4] + bytes(_side(data, at, stream.first) - 4) + b"Xing" + struct.pack(">I", 1) + count
    return [tag.ljust(stream.first.length, b"\0"), *stream.pieces]


def _frames(data: mmap, at: int, stop: int) -> Iterator[tuple[int, Frame]]:
    kind: tuple[int, int, int] | None = None  # what the frames before were; None where nothing is expected
    searched = 0  # bytes in which no frame was found so far; -1 once there was one
    tried = 0
    while at >= 0 and at + 4 <= stop and searched <= FURTHEST and tried <= MOST_TRIED:
        frame = _frame(data, at)
        if frame and at + frame.length <= stop and (frame.kind == kind or _is_confirmed(data, at, stop)):
            yield at, frame
            kind, searched = frame.kind, -1
            at += frame.length
        else:
            found = data.find(b"\xff", at + 1, stop)
            searched += found - at if searched >= 0 else 0
            tried += 1
            kind, at = None, found


def _is_confirmed(data: mmap, at: int, stop: int) -> bool:
    """Whether frames of one kind follow each other from here, or from here to the end."""
    kind = None
    for number in range(CONFIRMING):
        if at == stop:
            return number > 0
        frame = _frame(data, at)
        if frame is None or at + frame.length > stop or (kind is not None and frame.kind != kind):
            return False
        kind, at = frame.kind, at + frame.length
    return True


def _frame(data: mmap, at: int) -> Frame | None:
    return _read(data[at : at + 3])


@lru_cache(1 << 12)
def _read(head: bytes) -> Frame | None:
    if len(head) < 3 or head[0] != 0xFF:
        return None
    _, second, third = head
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    index, rate_index, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if second < 0xE0 or version == 1 or layer == 4 or index in (0, 15) or rate_index == 3:
        return None
    is_first = version == 3
    kbits, rate = KBITS[is_first, layer][index], RATES[version][rate_index]
    samples = 384 if layer == 1 else 576 if layer == 3 and not is_first else 1152
    length = (12_000 * kbits // rate + padding) * 4 if layer == 1 else samples * 125 * kbits // rate + padding
    sides = (36, 21) if is_first else (21, 13)
    return Frame(length, samples, rate, version, layer, kbits, (rate, version, layer), *sides)


def _side(data: mmap, at: int, frame: Frame) -> int:
    return frame.side_of_one if data[at + 3] >= 0xC0 else frame.side


def _tag(data: mmap, at: int, frame: Frame) -> tuple[int | None, int] | None:
    """(Where a Xing tag keeps its count or None, the count), or None where there is no tag."""
    tag = at + _side(data, at, frame)
    if frame.layer != 3 or data[tag : tag + 4] not in TAGS:
        return None
    if not data[tag + 7] & 1:
        return None, 0
    return tag + 8, int.from_bytes(data[tag + 8 : tag + 12], "big")
