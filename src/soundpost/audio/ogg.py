"""Ogg as pages: chains taken apart into links, FLAC taken out of its pages, Opus decoded at its full band.

Sources: RFC 3533 (pages), RFC 7845 (Opus in Ogg), the Ogg mapping of FLAC.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from mmap import mmap
from typing import NamedTuple

from soundpost.audio.mended_file import Piece

CAPTURE = b"OggS"
HEADER = 27  # bytes of a page before its table of segments
BEGINNING = 0x02  # flag of the page that opens a logical stream
FLAC_HEAD = b"\x7fFLAC"
FLAC_PREFIX = 9  # bytes that stand before "fLaC" in the first packet
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz at which an Opus decoder runs
LARGEST_OPENING = 4096  # bytes of a page that opens a stream; those of the known codings have less than 100
CRC_POLYNOMIAL = 0x04C11DB7


class Page(NamedTuple):
    """Where a page lies in the file."""

    start: int
    body: int  # first byte after the table of segments
    stop: int
    flags: int
    serial: int


@dataclass
class Link:
    """One stretch of a chain: logical streams that begin together."""

    pages: list[Page] = field(default_factory=list)


def streams(data: mmap, most: int) -> list[list[Piece]] | None:
    """What soundfile has to be given for each link, in order; None where the file can be read as it is.

    Args:
        data: the whole file; only headers of pages are looked at.
        most: links that are looked for; what comes later is left out.
    """
    links = _links(data, most)
    if not links:
        return None
    mended = [_pieces(data, link) for link in links]
    if len(links) == 1 and mended[0] is None and links[0].pages[0].start == 0:
        return None
    ends = [link.pages[0].start for link in links[1:]] + [len(data)]
    return [
        [range(link.pages[0].start, end)] if pieces is None else pieces
        for link, pieces, end in zip(links, mended, ends, strict=True)
    ]


def crc(page: bytes) -> int:
    """The checksum of a page whose own checksum field holds zeros."""
    table, value = _table(), 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value


@cache
def _table() -> tuple[int, ...]:
    """What each byte does to the checksum."""
    values = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 & 0xFFFFFFFF) ^ (CRC_POLYNOMIAL if value >> 31 else 0)
        values.append(value)
    return tuple(values)


def _pages(data: mmap) -> Iterator[Page]:
    at = 0
    while True:
        if data[at : at + 4] != CAPTURE:
            at = data.find(CAPTURE, at)
            if at < 0:
                return
        if at + HEADER > len(data):
            return
        flags, n_segments = data[at + 5], data[at + 26]
        if data[at + 4] != 0 or flags > 7:
            at += 4
            continue
        body = at + HEADER + n_segments
        stop = body + sum(data[at + HEADER : body])
        yield Page(at, body, min(stop, len(data)), flags, int.from_bytes(data[at + 14 : at + 18], "little"))
        at = stop


def _links(data: mmap, most: int) -> list[Link]:
    links: list[Link] = []
    opening = False  # whether the page before opened a stream too
    for page in _pages(data):
        opens = bool(page.flags & BEGINNING) and (not links or opening or _is_sound(data, page))
        if opens and not opening:
            if len(links) == most:
                break
            links.append(Link())
        opening = opens
        if links:
            links[-1].pages.append(page)
    return links


def _is_sound(data: mmap, page: Page) -> bool:
    """Whether a page that opens a stream in the middle of the file is one, and no chance of bytes."""
    if page.stop - page.start > LARGEST_OPENING:
        return False
    content = bytearray(data[page.start : page.stop])
    said = int.from_bytes(content[22:26], "little")
    content[22:26] = bytes(4)
    return crc(bytes(content)) == said


def _pieces(data: mmap, link: Link) -> list[Piece] | None:
    first = link.pages[0]
    body = data[first.body : min(first.stop, first.body + 19)]
    if body.startswith(FLAC_HEAD):
        # In Ogg, FLAC's metadata and frames are whole packets, so the bodies of its pages in order are a FLAC file.
        bodies: list[Piece] = [range(p.body, p.stop) for p in link.pages[1:] if p.serial == first.serial]
        return [range(first.body + FLAC_PREFIX, first.stop), *bodies]
    if body.startswith(b"OpusHead") and len(body) == 19:
        rate = int.from_bytes(body[12:16], "little")
        full = next((known for known in OPUS_RATES if known >= rate > 0), OPUS_RATES[-1])
        if rate not in OPUS_RATES:
            page = bytearray(data[first.start : first.stop])
            at = first.body - first.start + 12
            page[at : at + 4] = struct.pack("<I", full)
            page[22:26] = bytes(4)
            page[22:26] = struct.pack("<I", crc(bytes(page)))
            return [bytes(page), range(first.stop, link.pages[-1].stop)]
    return None
