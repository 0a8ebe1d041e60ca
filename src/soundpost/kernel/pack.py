"""Named arrays -> a pack (pack_format.py), each tensor with as few bits as its measured effect allows. Never bundled.

A tensor's bit width is one for all members of a recipe. Which one: with every tensor at its widest coding, the tensor
whose narrowing costs the least damage for each byte it saves is narrowed, again and again, until the budget is
met. Damage is the relative squared error of the weights, times what such an error does to the answers, which the
caller's `effect` measures once for each tensor. Sizes are entropies, which the xz of a pack meets within some 3 %;
where the packs turn out larger than the budget, it is done again for as much less.
"""

import json
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from soundpost.ensemble.pack_format import DTYPES, VERSION, dequantise, widen
from soundpost.errors import WeightsError
from soundpost.kernel.squant import round_together

Arrays = Mapping[str, np.ndarray]
Effect = Callable[[str, Arrays], float]

BITS = tuple(half / 2 for half in range(6, 25))  # 3 ... 12; only small and very sensitive tensors get over 8
PROBE_BITS = 6  # about what most tensors get: effects are in proportion to squared errors near there only
MATRIX_VALUES = 128  # a tensor of fewer values stays half precision
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


@dataclass(frozen=True)
class Packed:
    """Packs of all members of a recipe, and how they came to be."""

    packs: Mapping[str, bytes]  # member -> pack
    bits: Mapping[str, float]  # tensor -> bit width
    sensitivity: Mapping[str, float]  # tensor -> effect of a relative squared error of 1


def pack_members(members: Mapping[str, Arrays], effect: Effect | None, budget_bytes: int) -> Packed:
    """Packs of all members in at most that many bytes, with the least damage to their answers.

    Args:
        members: name -> arrays by name; the same names and shapes in each.
        effect: (member, arrays) -> how far the member's answers move from those of its own weights, as a mean squared
            difference of logits or probabilities on some clips. None: every tensor's relative error counts the same.
        budget_bytes: of all packs together.

    Raises:
        WeightsError: members that differ in names or shapes, a value that is not finite, or more bytes than the budget
            at the narrowest.
    """
    _check(members)
    sensitivity = measure(members, effect)
    target = float(budget_bytes)
    while True:
        bits = choose_bits(members, sensitivity, target)
        packs = {name: pack(arrays, bits) for name, arrays in members.items()}
        total = sum(map(len, packs.values()))
        if total <= budget_bytes:
            return Packed(packs, bits, sensitivity)
        if all(width == BITS[0] for width in bits.values()):
            raise WeightsError(
                f"{len(members)} members need {total:,} bytes at {BITS[0]:g} bits, the budget is {budget_bytes:,}. "
                "Pack fewer members, or send them by a dataset."
            )
        target *= min(budget_bytes / total, 0.999)


def measure(members: Mapping[str, Arrays], effect: Effect | None) -> dict[str, float]:
    """How much each tensor's relative squared error moves the answers, as the mean over the members.

    Args:
        members: name -> arrays by name.
        effect: as for pack_members; None gives 1 for each tensor.

    Returns:
        tensor -> effect for a relative squared error of 1, found at PROBE_BITS and taken to be in proportion.
    """
    tensors = _tensors(members)
    if effect is None:
        return dict.fromkeys(tensors, 1.0)
    return {
        tensor: float(np.mean([_probed(effect, name, arrays, tensor) for name, arrays in members.items()]))
        for tensor in tensors
    }


def choose_bits(
    members: Mapping[str, Arrays], sensitivity: Mapping[str, float], budget_bytes: float
) -> dict[str, float]:
    """The bit width of each tensor, so that the sizes sum to the budget with the least damage."""
    tensors = _tensors(members)
    damage, size = {}, {}
    for tensor in tensors:
        for bits in BITS:
            errors, sizes = zip(*(_cost(arrays[tensor], bits) for arrays in members.values()), strict=True)
            damage[tensor, bits] = sensitivity[tensor] * float(np.mean(errors))
            size[tensor, bits] = sum(sizes)
    fixed = sum(len(pack({n: a for n, a in arrays.items() if n not in tensors}, {})) for arrays in members.values())
    chosen = dict.fromkeys(tensors, BITS[-1])

    def cheapest(tensor: str) -> tuple[float, str, float]:
        """Damage for each byte saved, at the narrower width where that is least."""
        now = tensor, chosen[tensor]
        prices = (
            ((damage[tensor, bits] - damage[now]) / max(size[now] - size[tensor, bits], 1e-9), tensor, bits)
            for bits in BITS
            if bits < chosen[tensor]
        )
        return min(prices)

    while fixed + sum(size[tensor, bits] for tensor, bits in chosen.items()) > budget_bytes:
        wide = [tensor for tensor in tensors if chosen[tensor] > BITS[0]]
        if not wide:
            break
        _, tensor, bits = min(map(cheapest, wide))
        chosen[tensor] = bits
    return chosen


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
            planes += [_planes(scales), _planes(values)]
        else:
            coding = "half" if _fits_half(array) else "raw"
            planes.append(_planes(array.astype(np.float16) if coding == "half" else array))
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


def _check(members: Mapping[str, Arrays]) -> None:
    shapes = {name: {n: a.shape for n, a in arrays.items()} for name, arrays in members.items()}
    first = next(iter(shapes), None)
    for name, shape in shapes.items():
        if shape != shapes[first]:
            odd = sorted(n for n in shape.keys() | shapes[first].keys() if shape.get(n) != shapes[first].get(n))
            raise WeightsError(
                f"members {first} and {name} differ in {', '.join(odd[:5])}. Pack members of one network together."
            )


def _tensors(members: Mapping[str, Arrays]) -> list[str]:
    """Names of the arrays that are quantised: the same in each member."""
    arrays = next(iter(members.values()), {})
    return sorted(name for name, a in arrays.items() if a.ndim > 1 and a.size >= MATRIX_VALUES and a.dtype.kind == "f")


def _cost(array: np.ndarray, bits: float) -> tuple[float, float]:
    """Relative squared error, and entropy of values and scales in bytes."""
    values, scales = quantise(array, bits)
    power = float(np.square(array, dtype=np.float64).sum())
    error = float(np.square(array - dequantise(values, scales), dtype=np.float64).sum())
    return error / max(power, 1e-30), _entropy_bytes(values) + scales.nbytes


def _entropy_bytes(values: np.ndarray) -> float:
    """What an ideal coder needs for the byte planes of whole numbers, each with one distribution."""
    planes = np.frombuffer(_planes(values), np.uint8).reshape(values.itemsize, -1)
    counts = [np.bincount(plane) for plane in planes]
    shares = [count[count > 0] / values.size for count in counts]
    return sum(float(-(share * np.log2(share)).sum()) for share in shares) * values.size / 8


def _probed(effect: Effect, member: str, arrays: Arrays, tensor: str) -> float:
    values, scales = quantise(arrays[tensor], PROBE_BITS)
    coarse = {**arrays, tensor: dequantise(values, scales).astype(arrays[tensor].dtype)}
    return effect(member, coarse) / max(_cost(arrays[tensor], PROBE_BITS)[0], 1e-30)


def _fits_half(array: np.ndarray) -> bool:
    if array.dtype not in (np.float32, np.float64):
        return False
    with np.errstate(over="ignore"):
        back = array.astype(np.float16).astype(array.dtype)
    return bool((np.abs(back - array) <= HALF_ERROR * np.abs(array)).all())


def _planes(array: np.ndarray) -> bytes:
    """Little endian bytes, all lowest first."""
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, -1).T.tobytes() if flat.size else b""
