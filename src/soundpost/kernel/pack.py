"""Named arrays -> a pack (ensemble/pack_format.py), each tensor with the bits that it is given. Never bundled."""

import json
import lzma
from collections.abc import Mapping

import numpy as np

from soundpost.ensemble.pack_format import DTYPES, VERSION, widen
from soundpost.errors import WeightsError
from soundpost.kernel.squant import round_together

Arrays = Mapping[str, np.ndarray]

HALF_ERROR = 2.0**-11  # largest relative error that a coding as float16 may bring
# Literal coding without neighbours as context: quantised weights have none that helps.
_XZ = [
    {
        "id": lzma.FILTER_LZMA2,
        "dict_size": 1 << 24,
        "lc": 0,
        "lp": 0,
        "pb": 0,
        "mode": lzma.MODE_NORMAL,
        "mf": lzma.MF_BT4,
        "nice_len": 273,
    }
]


def pack(arrays: Arrays, bits: Mapping[str, float]) -> bytes:
    """One pack, the same bytes for the same arrays and widths.

    Args:
        arrays: by name; any order.
        bits: tensor -> bit width; an array that is not named keeps half precision where that is exact to 1 in 2,000,
            and every bit elsewhere.

    Raises:
        WeightsError: a value that is not finite, or a dtype that a pack cannot hold.
    """
    header, planes = [], []
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.name not in DTYPES or not np.isfinite(array).all():
            raise WeightsError(
                f"{name}: {array.dtype} with {np.count_nonzero(~np.isfinite(array))} values that are not finite. "
                "Train or import the member again."
            )
        if name in bits:
            values, scales = quantise(array, bits[name])
            coding = values.dtype.name
            planes += [byte_planes(scales), byte_planes(values)]
        else:
            coding = "half" if _fits_half(array) else "raw"
            planes.append(byte_planes(array.astype(np.float16) if coding == "half" else array))
        header.append([name, array.dtype.name, list(array.shape), coding])
    text = json.dumps([VERSION, header], separators=(",", ":")).encode()
    body = len(text).to_bytes(4, "little") + text + b"".join(planes)
    return lzma.compress(body, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_XZ)


def quantise(array: np.ndarray, bits: float) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of at most that many bits with sign, and one scale per channel.

    Args:
        array: (channels, ...), finite.
        bits: 2 ... 16; 2 ** bits different numbers, about: 22 either way for 5.5.

    Returns:
        (channels, ...) int8 or int16, and (channels,) uint16: upper halves of float32 scales, rounded up so that the
        largest value of a channel still fits.
    """
    most = round(2 ** (bits - 1)) - 1
    largest = np.abs(array).reshape(len(array), -1).max(1) / most
    raised = (largest.astype("<f4").view("<u4").astype(np.uint64) + 0xFFFF) >> 16
    scales = raised.astype(np.uint16)
    steps = widen(scales).astype(np.float64).reshape(-1, *[1] * (array.ndim - 1))
    in_steps = np.divide(array, steps, out=np.zeros(array.shape), where=steps > 0)
    return np.clip(round_together(in_steps), -most, most).astype(np.int8 if most < 128 else np.int16), scales


def _fits_half(array: np.ndarray) -> bool:
    if array.dtype not in (np.float32, np.float64):
        return False
    with np.errstate(over="ignore"):
        back = array.astype(np.float16).astype(array.dtype)
    return bool((np.abs(back - array) <= HALF_ERROR * np.abs(array)).all())


def byte_planes(array: np.ndarray) -> bytes:
    """The bytes of an array's values, all lowest ones first, as a pack holds them."""
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, -1).T.tobytes() if flat.size else b""
