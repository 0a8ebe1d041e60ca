"""How many bits each tensor of a recipe's members gets, by what they do to the answers. Never bundled.

A tensor's bit width is one for all members of a recipe. Which one: with every tensor at its widest coding, the tensor
whose narrowing costs the least damage for each byte it saves is narrowed, again and again, until the budget is
met. Damage is the relative squared error of the weights, times what such an error does to the answers, which the
caller's `effect` measures once for each tensor. Sizes are entropies, which the xz of a pack meets within some 3 %;
where the packs turn out larger than the budget, it is done again for as much less.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from soundpost.ensemble.pack_format import dequantise
from soundpost.errors import WeightsError
from soundpost.kernel.pack import Arrays, byte_planes, pack, quantise

Effect = Callable[[str, Arrays], float]

BITS = tuple(half / 2 for half in range(6, 25))  # 3 ... 12; only small and very sensitive tensors get over 8
PROBE_BITS = 6  # about what most tensors get: effects are in proportion to squared errors near there only
MATRIX_VALUES = 128  # a tensor of fewer values stays half precision


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
        budget_bytes: what all packs together may take.

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


def _check(members: Mapping[str, Arrays]) -> None:
    shapes = {name: {n: a.shape for n, a in arrays.items()} for name, arrays in members.items()}
    first = next(iter(shapes), "")
    for name, shape in shapes.items():
        if shape != shapes[first]:
            odd = sorted(n for n in shape.keys() | shapes[first].keys() if shape.get(n) != shapes[first].get(n))
            raise WeightsError(
                f"members {first} and {name} differ in {', '.join(odd[:5])}. Pack members of one network together."
            )


def _tensors(members: Mapping[str, Arrays]) -> list[str]:
    """Names of the arrays that are quantised: the same in each member."""
    arrays: Arrays = next(iter(members.values()), {})
    return sorted(name for name, a in arrays.items() if a.ndim > 1 and a.size >= MATRIX_VALUES and a.dtype.kind == "f")


def _cost(array: np.ndarray, bits: float) -> tuple[float, float]:
    """Relative squared error, and entropy of values and scales in bytes."""
    values, scales = quantise(array, bits)
    power = float(np.square(array, dtype=np.float64).sum())
    error = float(np.square(array - dequantise(values, scales), dtype=np.float64).sum())
    return error / max(power, 1e-30), _entropy_bytes(values) + scales.nbytes


def _entropy_bytes(values: np.ndarray) -> float:
    """What an ideal coder needs for the byte planes of whole numbers, each with one distribution."""
    planes = np.frombuffer(byte_planes(values), np.uint8).reshape(values.itemsize, -1)
    counts = [np.bincount(plane) for plane in planes]
    shares = [count[count > 0] / values.size for count in counts]
    return sum(float(-(share * np.log2(share)).sum()) for share in shares) * values.size / 8


def _probed(effect: Effect, member: str, arrays: Arrays, tensor: str) -> float:
    values, scales = quantise(arrays[tensor], PROBE_BITS)
    coarse = {**arrays, tensor: dequantise(values, scales).astype(arrays[tensor].dtype)}
    return effect(member, coarse) / max(_cost(arrays[tensor], PROBE_BITS)[0], 1e-30)
