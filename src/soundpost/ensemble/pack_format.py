"""The pack: named arrays in few bytes, quantised per channel. This is its decoder; packing.py writes it.

pack    = xz stream of (length, header, planes)
length  = bytes of the header, uint32, little endian
header  = JSON [1, [[name, dtype, shape, coding], ...]], names sorted; the leading 1 is the version of the format
planes  = for each array in that order, by its coding:
          "raw"    its values, little endian, as byte planes: all lowest bytes, ..., all highest
          "half"   its values as float16, as byte planes
          "int8"   quantised: one scale per channel (first axis), the upper 16 bits of a float32, as byte planes; then
                   one whole number per value, which times its channel's scale is the value
          "int16"  the same with whole numbers of 16 bits, as byte planes
Byte planes lie beside each other because equal bytes near each other compress. A product of scale and whole number fits
float32 exactly, so a pack gives the same arrays on every machine.
"""

import json
import lzma
import math

import numpy as np

from soundpost.errors import WeightsError

VERSION = 1
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
CODINGS = ("raw", "half", "int8", "int16")


def unpack(data: bytes, where: str) -> dict[str, np.ndarray]:
    """The named arrays of a pack, in their own dtypes and shapes.

    Args:
        data: a pack.
        where: what the pack is called, for messages.

    Raises:
        WeightsError: not a pack, cut, of a newer version, or with bytes left over.
    """
    try:
        body = lzma.decompress(data, lzma.FORMAT_XZ)
        end = 4 + int.from_bytes(body[:4], "little")
        version, entries = json.loads(body[4:end])
    except (lzma.LZMAError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{where}: not a pack of weights, {len(data)} bytes ({error}). Build the kernel again."
        ) from error
    if version != VERSION:
        raise WeightsError(f"{where}: pack version {version}, this kit reads {VERSION}. Use the kit that wrote it.")
    planes = _Planes(body, end, where)
    arrays = {name: _array(planes, dtype, tuple(shape), coding, where) for name, dtype, shape, coding in entries}
    if planes.at != len(body):
        raise WeightsError(f"{where}: {len(body) - planes.at} bytes after the last array. Build the kernel again.")
    return arrays


def widen(scales: np.ndarray) -> np.ndarray:
    """Scales as float32 from their upper 16 bits: (channels,) uint16 -> (channels,)."""
    widened: np.ndarray = (scales.astype("<u4") << 16).view("<f4")
    return widened


def dequantise(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Weights from whole numbers: (channels, ...) int8 or int16, by (channels,) scales as uint16 -> float32."""
    of_channels: np.ndarray = widen(scales).reshape(-1, *[1] * (values.ndim - 1))
    weights: np.ndarray = values.astype(np.float32) * of_channels
    return weights


class _Planes:
    """The bytes after the header, taken from front to back."""

    def __init__(self, body: bytes, at: int, where: str) -> None:
        self.body, self.at, self.where = body, at, where

    def take(self, dtype: str, count: int) -> np.ndarray:
        """The next count values, put together again from their byte planes."""
        width = np.dtype(dtype).itemsize
        piece = np.frombuffer(self.body[self.at : self.at + width * count], np.uint8)
        if len(piece) != width * count:
            raise WeightsError(f"{self.where}: cut after {len(self.body)} bytes. Build the kernel again.")
        self.at += width * count
        little_endian = np.dtype(dtype).newbyteorder("<")
        return np.ascontiguousarray(piece.reshape(width, count).T).view(little_endian).reshape(count)


def _array(planes: _Planes, dtype: str, shape: tuple[int, ...], coding: str, where: str) -> np.ndarray:
    if dtype not in DTYPES or coding not in CODINGS:
        raise WeightsError(f"{where}: array of {dtype}, coded {coding!r}, not known. Use the kit that wrote it.")
    count = math.prod(shape)
    if coding == "raw":
        array = planes.take(dtype, count)
    elif coding == "half":
        array = planes.take("float16", count)
    else:
        scales = planes.take("uint16", shape[0])
        array = dequantise(planes.take(coding, count).reshape(shape), scales)
    return array.reshape(shape).astype(dtype)
