"""Packs: what goes in comes out, as exactly as its bit width says, in the bytes that the format promises."""

import base64
import lzma

import numpy as np
import pytest

from soundpost.ensemble.pack_format import unpack, widen
from soundpost.errors import WeightsError
from soundpost.kernel.bit_allocation import BITS, choose_bits, measure, pack_members
from soundpost.kernel.build import PACKS_BYTES
from soundpost.kernel.pack import pack, quantise

# The body of GOLDEN_ARRAYS' pack, by hand: length, header, then for each array its planes.
GOLDEN_ARRAYS = {
    "a": np.array([[1.0, -0.5], [0.0, 0.0]], np.float32),
    "b": np.array([1.0, -2.0], np.float32),
    "c": np.array(258, np.int64),
}
GOLDEN_HEADER = b'[1,[["a","float32",[2,2],"int8"],["b","float32",[2],"half"],["c","int64",[],"raw"]]]'
GOLDEN_BODY = (
    len(GOLDEN_HEADER).to_bytes(4, "little")
    + GOLDEN_HEADER
    + bytes([0xAB, 0x00, 0x3E, 0x00])  # scales: 1/3, rounded up to the upper half 0x3EAB of a float32; and 0
    # 1 / 0.334 = 2.99 and -0.5 / 0.334 = -1.497: 3 and -2, since 3 and -1 would both be too much; the empty channel.
    + bytes([3, 0xFE, 0, 0])
    + bytes([0x00, 0x00, 0x3C, 0xC0])  # float16 0x3C00 and 0xC000
    + bytes([2, 1, 0, 0, 0, 0, 0, 0])
)


def _network(seed: int, channels: int = 24) -> dict[str, np.ndarray]:
    """Arrays as a small convolutional network has them: channels of different size, norms, a counter."""
    rng = np.random.default_rng(seed)

    def convolution(out: int, into: int) -> np.ndarray:
        sizes = np.exp(rng.normal(0, 0.5, (out, 1, 1, 1)))
        return (rng.standard_t(6, (out, into, 3, 3)) * sizes).astype(np.float32)

    return {
        "first.weight": convolution(channels, 2),
        "second.weight": convolution(channels, channels),
        "third.weight": convolution(2 * channels, channels),
        "norm.running_mean": rng.normal(0, 3, channels).astype(np.float32),
        "norm.running_var": np.exp(rng.normal(0, 1, channels)).astype(np.float32),
        "norm.num_batches_tracked": np.array(1234567890123),
    }


def test_pack_golden_arrays_gives_golden_body() -> None:
    """The bytes under the xz stream are those that the format's page describes."""
    assert lzma.decompress(pack(GOLDEN_ARRAYS, {"a": 3})) == GOLDEN_BODY


def test_unpack_golden_body_gives_arrays() -> None:
    """A pack of this version can be read for ever: scale times whole number, dtypes and shapes as they were."""
    arrays = unpack(lzma.compress(GOLDEN_BODY), "golden")

    assert list(arrays) == ["a", "b", "c"]
    np.testing.assert_array_equal(arrays["a"], np.array([[3, -2], [0, 0]]) * np.float32(0.333984375))
    np.testing.assert_array_equal(arrays["b"], GOLDEN_ARRAYS["b"])
    np.testing.assert_array_equal(arrays["c"], GOLDEN_ARRAYS["c"])
    assert [a.dtype for a in arrays.values()] == [np.float32, np.float32, np.int64]


def test_pack_order_of_arrays_gives_same_bytes() -> None:
    """The order of the names is the pack's own."""
    arrays = _network(0)

    assert pack(arrays, {}) == pack(dict(reversed(arrays.items())), {})


@pytest.mark.parametrize("bits", BITS)
def test_pack_quantised_is_near_each_value(bits: int) -> None:
    """No value moves further than its rounding allows, most by half a step, and the largest of a channel is not cut."""
    weights = _network(1)["second.weight"]
    steps = np.abs(weights).max((1, 2, 3), keepdims=True) / (2 ** (bits - 1) - 1) * (1 + 1 / 128)  # scales round up

    errors = np.abs(unpack(pack({"w": weights}, {"w": bits}), "pack")["w"] - weights) / steps

    assert errors.max() <= 1.5
    assert (errors <= 0.5).mean() > 0.9


def test_pack_unquantised_arrays_keep_what_matters() -> None:
    """Batch norm statistics come back to 1 in 2,000; counters and values beyond half precision to the last bit."""
    arrays = {**_network(2), "large": np.array([1e6, 3.0], np.float32), "tiny": np.array([1e-7, 1.0], np.float32)}

    restored = unpack(pack(arrays, {}), "pack")

    for name in ("norm.num_batches_tracked", "large", "tiny"):
        np.testing.assert_array_equal(restored[name], arrays[name])
    for name in ("norm.running_mean", "norm.running_var"):
        np.testing.assert_allclose(restored[name], arrays[name], rtol=2**-11)


def test_pack_odd_shapes_come_back() -> None:
    """Arrays without values, without axes, of whole numbers and truths are arrays, too."""
    arrays = {
        "empty": np.zeros((0, 3), np.float32),
        "none": np.array(2.5, np.float64),
        "truth": np.array([True, False]),
        "bytes": np.arange(5, dtype=np.uint8),
        "silent": np.zeros((16, 16), np.float32),
    }

    restored = unpack(pack(arrays, {"silent": 4}), "pack")

    for name, array in arrays.items():
        np.testing.assert_array_equal(restored[name], array)
        assert restored[name].dtype == array.dtype


def test_pack_value_not_finite_is_refused() -> None:
    """A network that diverged is named when it is packed, not when it answers."""
    with pytest.raises(WeightsError, match=r"w: float32 with 1 values that are not finite"):
        pack({"w": np.array([1.0, np.nan], np.float32)}, {})


def test_pack_fortran_order_and_big_endian_give_same_bytes() -> None:
    """The bytes are those of the values, however they lie in memory."""
    weights = _network(3)["second.weight"]

    expected = pack({"w": weights}, {"w": 6})

    assert pack({"w": np.asfortranarray(weights)}, {"w": 6}) == expected
    assert pack({"w": weights.astype(">f4")}, {"w": 6}) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (GOLDEN_BODY[:-1], "cut after"),
        (GOLDEN_BODY + b"x", "1 bytes after the last array"),
        (GOLDEN_BODY.replace(b"[1,[[", b"[2,[["), "pack version 2, this kit reads 1"),
        (GOLDEN_BODY.replace(b'"half"', b'"help"'), "coded 'help', not known"),
        (GOLDEN_BODY.replace(b'"int64"', b'"int65"'), "array of int65"),
        (b"\x09", "not a pack"),
    ],
)
def test_unpack_damaged_body_is_refused(body: bytes, words: str) -> None:
    """What a pack does not say in full is refused with the file's name, never guessed."""
    with pytest.raises(WeightsError, match=f"fold1.pack.*{words}"):
        unpack(lzma.compress(body), "fold1.pack")


def test_unpack_bytes_that_are_no_xz_are_refused() -> None:
    """A file that was never a pack is called so."""
    with pytest.raises(WeightsError, match=r"fold1.pack: not a pack of weights, 5 bytes"):
        unpack(b"hello", "fold1.pack")


def test_quantise_scales_are_never_below_the_exact_ones() -> None:
    """Scales round up, so that the largest whole number is the largest that the width allows."""
    weights = _network(4)["third.weight"]

    values, scales = quantise(weights, 5)

    assert values.max() <= 15
    assert values.min() >= -15
    assert (widen(scales) >= np.abs(weights).max((1, 2, 3)) / 15).all()


@pytest.mark.parametrize("bits_per_value", [3.5, 5.4, 7.0])
def test_pack_members_budget_is_kept_and_used(bits_per_value: float) -> None:
    """All packs together stay within the budget, and do not waste a tenth of it."""
    members = {f"compact/{fold}": _network(fold) for fold in range(2)}
    values = sum(array.size for arrays in members.values() for array in arrays.values())
    budget = int(values * bits_per_value / 8)

    total = sum(map(len, pack_members(members, None, budget).packs.values()))

    assert 0.9 * budget <= total <= budget


def test_pack_members_one_million_values_fit_beside_the_source() -> None:
    """Four members of a quarter million weights each take the share of a kernel that is theirs, at 4 bits or more."""
    rng = np.random.default_rng(0)
    members = {
        f"compact/{fold}": {f"stage{i}.weight": rng.normal(size=(128, 488)).astype(np.float32) for i in range(4)}
        for fold in range(4)
    }

    packed = pack_members(members, None, PACKS_BYTES)

    assert sum(len(base64.b85encode(pack)) for pack in packed.packs.values()) <= 650_000
    assert min(packed.bits.values()) >= 4


def test_pack_members_twice_gives_same_bytes() -> None:
    """Nothing in a pack depends on the day."""
    members = {"compact/1": _network(1), "compact/2": _network(2)}

    first, second = (pack_members(members, None, 30_000) for _ in range(2))

    assert first == second


def test_pack_members_budget_too_small_is_refused() -> None:
    """A budget that the narrowest widths pass is named, with what to do."""
    with pytest.raises(WeightsError, match=r"1 members need [\d,]+ bytes at 3 bits, the budget is 1,000.*dataset"):
        pack_members({"compact/1": _network(1)}, None, 1000)


def test_pack_members_different_networks_are_refused() -> None:
    """Bit widths are shared, so the tensors have to be the same ones."""
    with pytest.raises(WeightsError, match=r"compact/1 and compact/2 differ in first.weight"):
        pack_members({"compact/1": _network(1), "compact/2": _network(1, channels=16)}, None, 10**6)


def test_choose_bits_follows_the_measured_effect() -> None:
    """The tensor that the answers hang on gets more bits than when another one does."""
    members = {"compact/1": _network(1)}
    original = members["compact/1"]

    def effect_of(decisive: str) -> dict[str, int]:
        def effect(member: str, arrays: dict[str, np.ndarray]) -> float:
            assert member == "compact/1"
            return sum(
                (1.0 if name == decisive else 1e-4) * float(np.square(arrays[name] - original[name]).mean())
                for name in ("second.weight", "third.weight")
            )

        return choose_bits(members, measure(members, effect), 11_000)

    assert effect_of("second.weight")["second.weight"] > effect_of("third.weight")["second.weight"]
    assert effect_of("third.weight")["third.weight"] > effect_of("second.weight")["third.weight"]


def test_measure_without_effect_counts_relative_errors_alike() -> None:
    """The fallback knows the weights only."""
    assert measure({"compact/1": _network(1)}, None) == dict.fromkeys(
        ["first.weight", "second.weight", "third.weight"], 1.0
    )
