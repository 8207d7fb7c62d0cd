"""Storage to the bit: what every format stores takes the bits that it claims, is enough to decode, and adds up by rows.

Parametrised over ``formats.names()``: a new format is held to this from the day it is registered.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from simulator import formats
from simulator.formats import ROW_BLOCK, Encoded

pytestmark = pytest.mark.kernels

WHOLE = {"gobo3", "gobo4", "llm_int8", "olaccel4", "ovp4_auto"}
"""Formats that look at all rows at once, whatever shares a scale."""
SHAPES = [(1, 1, 1), (2, 3, 13), (1, 5, 64), (3, 2, 6), (2, 9, 33), (1, 8, 7)]
OPTIONS = [
    *((name, {}) for name in formats.names()),
    *((f"int{bits}_asym", {"group": 8}) for bits in range(2, 9)),
    ("int4_asym", {"group": 16}),
    *(("biscaled6", {"block": block}) for block in (16, 32, 64)),
    *(("adaptivfloat8", {"bits": bits, "exp_bits": 2}) for bits in (4, 5, 6, 7)),
    *(("abfloat", {"exp_bits": e, "man_bits": m}) for e, m in ((1, 0), (1, 1), (2, 2), (3, 2), (3, 3), (4, 3))),
    *((name, {"dictionary": "fp16"}) for name in ("gobo3", "gobo4")),
    ("ant4", {"type_per": "operand"}),
    ("ovp4", {"pair_rule": "left"}),
    ("ovp8", {"outlier_format": "e2m5"}),
    ("olaccel4", {"outlier_share": 0.2}),
    ("llm_int8", {"threshold": 1.0}),
]
every_format = pytest.mark.parametrize("name", formats.names())
every_option = pytest.mark.parametrize(
    "which", OPTIONS, ids=lambda which: "-".join(map(str, [which[0], *which[1].values()]))
)


def heavy_tailed(seed, shape):
    """Some rows all zero, some values far out."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * rng.choice([1, 1, 1, 1, 12], shape)
    x[..., -1, :] *= rng.integers(0, 2)
    return x.astype(np.float32)


def test_the_list_covers_every_format():
    assert {name for name, _ in OPTIONS} == set(formats.names())


@every_option
@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bytes_stored_are_the_bits_claimed(which, granularity, shape):
    encoding = formats.get(which[0], **which[1])
    for seed in range(3):
        for operand in encoding.encode_operand(heavy_tailed(seed, shape), granularity, "three_sigma"):
            claimed = encoding.stored(operand)
            assert 8 * sum(array.nbytes for array in encoding.packed(operand).values()) == claimed.total_bits
            assert claimed.values == shape[1] * shape[2]
            assert claimed.payload_bits == claimed.values * encoding.bits
            assert claimed.bits_per_value == claimed.total_bits / claimed.values
            assert min(claimed.padding_bits, claimed.scale_bits, claimed.index_bits) >= 0


@every_format
def test_what_is_stored_is_whole_bytes_without_spare_ones(name):
    """Padding never hides a byte: each array that is stored has less than a group, or a block, of it per row."""
    encoding = formats.get(name)
    for K in range(1, 70):
        (operand,) = encoding.encode_operand(heavy_tailed(1, (1, 1, K)), "row", "absmax")
        unit = encoding.values_per_group * encoding.bits
        assert encoding.stored(operand).padding_bits < max(unit, 8) + 8


def unpacked(name, encoding, arrays, rows, K):
    """An operand from nothing but the stored arrays, the format and the shape."""
    arrays = dict(arrays)
    if name.endswith("_asym"):  # a bit stream, most significant bit first
        count = arrays["scale"].size
        bits = np.unpackbits(arrays["zero_point"])[: count * encoding.bits].reshape(count, -1)
        zero = (bits @ (1 << np.arange(encoding.bits)[::-1])).astype(np.uint8)
        arrays["zero_point"] = zero.reshape(arrays["scale"].shape)
    if name == "adaptivfloat8":  # the biases stand for the scales
        arrays["scale"] = np.ldexp(np.float32(1), arrays["exp_bias"].astype(np.int32) - 4)
    codes, scale = arrays.pop("codes"), arrays.pop("scale", np.ones(1, np.float32))
    assert len(codes) == rows
    return Encoded(codes, scale if scale.shape == (rows, 1) else scale.reshape(()), K, arrays)


@every_format
@pytest.mark.parametrize("granularity", ["tensor", "row"])
def test_what_is_stored_is_enough_to_decode(name, granularity):
    encoding = formats.get(name)
    for operand in encoding.encode_operand(heavy_tailed(2, (2, 5, 21)), granularity, "absmax"):
        again = unpacked(name, encoding, encoding.packed(operand), 5, 21)
        assert np.array_equal(encoding.decode_operand(again), encoding.decode_operand(operand))
        assert np.array_equal(again.value_scale, operand.value_scale)


@every_format
@pytest.mark.parametrize(("method", "K"), [("absmax", 5), ("absmax", 32), ("absmax", 65), ("mse", 5)])
def test_rows_stand_alone_where_the_format_says_so(name, method, K):
    """Blocks of rows, encoded one after another, are stored as the whole operand is: bytes, and bits claimed."""
    encoding = formats.get(name)
    assert encoding.rows_alone == (name not in WHOLE)
    if not encoding.rows_alone:
        return
    x = heavy_tailed(3, (1, 3 * ROW_BLOCK + 5, K))
    (whole,) = encoding.encode_operand(x, "row", method)
    blocks = [
        encoding.encode_operand(x[:, first : first + step], "row", method)[0]
        for first, step in ((0, ROW_BLOCK), (ROW_BLOCK, 2 * ROW_BLOCK), (3 * ROW_BLOCK, 5))
    ]
    expected, parts = encoding.packed(whole), [encoding.packed(block) for block in blocks]
    for what, array in expected.items():
        joined = np.concatenate([part[what] for part in parts])
        assert (joined.dtype, joined.tolist()) == (array.dtype, array.tolist()), what
    assert sum(encoding.stored(block).total_bits for block in blocks) == encoding.stored(whole).total_bits


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_rows_of_the_others_do_not(name):
    """Else they could be encoded in blocks too."""
    encoding = formats.get(name)
    x = np.random.default_rng(0).standard_normal((1, 16, 64)).astype(np.float32)
    x[0, 8:] = np.sign(x[0, 8:]) * 16.0 ** np.random.default_rng(1).integers(0, 2, (8, 64))
    (whole,) = encoding.encode_operand(x, "row", "absmax")
    halves = [encoding.encode_operand(x[:, rows], "row", "absmax")[0] for rows in (slice(8), slice(8, None))]
    decoded = [encoding.decode_operand(half) * half.value_scale for half in halves]
    assert not np.array_equal(np.concatenate(decoded), encoding.decode_operand(whole) * whole.value_scale)


@every_format
def test_calibration_has_an_influence_where_the_format_says_so(name):
    encoding = formats.get(name)
    x = heavy_tailed(4, (1, 8, 64))
    stored = [encoding.packed(encoding.encode_operand(x, "row", m)[0]) for m in ("absmax", "mse", "three_sigma")]
    same = [all(np.array_equal(stored[0][what], other[what]) for what in stored[0]) for other in stored[1:]]
    assert all(same) == (not encoding.calibrated)


# Victims


def victims(x, decoded, largest_normal):
    """Values other than zero that come back as zero beside an outlier, pair by pair."""
    count = 0
    for row, back in zip(x, decoded, strict=True):
        for k in range(len(row)):
            other = k ^ 1
            if other < len(row) and abs(int(back[other])) > largest_normal and row[k] != 0:
                assert back[k] == 0
                count += 1
    return count


@pytest.mark.parametrize(("name", "largest"), [("ovp4", 7), ("ovp4_flint", 16), ("ovp8", 127)])
@pytest.mark.parametrize("pair_rule", ["larger", "left"])
@pytest.mark.parametrize("K", [1, 2, 7, 32])
def test_victims_are_counted(name, largest, pair_rule, K):
    encoding = formats.get(name, pair_rule=pair_rule)
    rng = np.random.default_rng(K)
    x = rng.standard_normal((4, 6, K)).astype(np.float32) * rng.choice([0, 1, 1, 40], (4, 6, K)).astype(np.float32)
    found = 0
    for values, operand in zip(x, encoding.encode_operand(x, "row", "three_sigma"), strict=True):
        expected = victims(values, encoding.decode_operand(operand), largest)
        assert encoding.victims(operand, values) == expected
        assert expected <= encoding.census(operand)["outliers"]
        found += expected
    assert found or K < 32, "the test is about victims"


def test_a_zero_beside_an_outlier_is_no_victim_but_a_small_value_is():
    ovp4 = formats.get("ovp4")
    x = np.array([[0, 96, 1e-3, 96, 96, 12, 7, 7]], np.float32)
    operand = Encoded(ovp4.encode(x, 1.0), np.float32(1), 8)
    assert (ovp4.census(operand), ovp4.victims(operand, x)) == ({"outliers": 3}, 2)


def test_victims_of_both_types_of_ovp4_auto():
    auto = formats.get("ovp4_auto")
    counts = Counter()
    for seed in range(8):
        x = np.random.default_rng(seed).standard_normal((1, 16, 256)).astype(np.float32)
        x[0, :, 5 : 5 + 10 * (seed % 2) + 1 : 2] *= 8
        (operand,) = auto.encode_operand(x, "row", "mse")
        kind = max(auto.census(operand), key=auto.census(operand).get)
        found = auto.victims(operand, x[0])
        assert found == victims(x[0], auto.decode_operand(operand), {"ovp4": 7, "ovp4_flint": 16}[kind])
        counts[kind] += found
    assert min(counts["ovp4"], counts["ovp4_flint"]) > 0, "both types were chosen and have victims"


@pytest.mark.parametrize("name", [n for n in formats.names() if not n.startswith("ovp")])
def test_other_formats_have_no_victims(name):
    x = heavy_tailed(5, (1, 4, 16))
    (operand,) = formats.get(name).encode_operand(x, "row", "absmax")
    assert formats.get(name).victims(operand, x[0]) == 0
