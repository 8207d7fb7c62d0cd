"""Integers, small floats, zero points, AdaptivFloat and scales per group: every code, every tie, every complaint."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator import formats
from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats import Format
from simulator.formats.base import Encoded, expand_groups
from tests import naive
from tests import naive_int_float as oracle

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar divide")
"""Kernels run as plain Python (``make nojit``) warn of quotients beyond float32; compiled ones do not."""

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
ALL_WIDTHS = (*WIDTHS, 16)
FLOATS = tuple(oracle.FLOATS)
SCALED = [*(f"int{b}" for b in ALL_WIDTHS), *(n for n in FLOATS if n != "bf16")]
SYMMETRIC = [*SCALED, "bf16"]
ASYMMETRIC = [f"int{b}_asym" for b in WIDTHS]
ADAPTIVE = [(b, e) for b in range(4, 9) for e in range(1, 6) if e < b]
DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
}
GROUP_OF = {1: 8, 2: 4, 3: 8, 4: 2, 5: 8, 6: 4, 7: 8, 8: 1, 16: 1}
quick = settings(deadline=None, max_examples=300)

widths = pytest.mark.parametrize("bits", WIDTHS)
all_widths = pytest.mark.parametrize("bits", ALL_WIDTHS)
floats = pytest.mark.parametrize("name", FLOATS)
symmetric = pytest.mark.parametrize("name", SYMMETRIC)
adaptive = pytest.mark.parametrize(("bits", "exp_bits"), ADAPTIVE)


def refused(error, call, *args, **kwargs):
    """The whole message of the one error that the call must raise."""
    with pytest.raises(error) as info:
        call(*args, **kwargs)
    return str(info.value)


def one(fmt, *values, scale=1.0):
    """Grid values of one row of values."""
    return fmt.decode(fmt.encode(np.array([values], np.float32), scale), len(values))[0].tolist()


def heavy_tailed(seed, shape):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * np.exp(1.5 * rng.standard_normal(shape))).astype(np.float32)


def every_code(bits):
    """All codes of a width as packed rows of whole groups: every code at every place of a group."""
    group = GROUP_OF[bits]
    codes = [[(code + place) % 2**bits for place in range(group)] for code in range(2**bits)]
    return codes, np.array([oracle.pack(row, bits) for row in codes], np.uint8)


def float_codes(name, codes):
    """Packed rows of one value each."""
    bits = oracle.float_bits(name)
    if bits == 16:
        return np.asarray(codes, "<u2").view(np.uint8).reshape(-1, 2)
    return np.array([oracle.pack([int(c)], bits) for c in codes], np.uint8)


def near(x):
    """A value and its float32 neighbours."""
    x = np.float32(x)
    return [np.nextafter(x, np.float32(-np.inf)), x, np.nextafter(x, np.float32(np.inf))]


scales = st.one_of(
    st.just(1.0),
    st.integers(-12, 12).map(lambda e: 2.0**e),
    st.floats(2.0**-10, 2.0**10, width=32),
    st.sampled_from([1.1754943508222875e-38, 1e-30, 3e38]),
)
any_float = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)


# Symmetric integers


@pytest.mark.kernels
@widths
def test_every_integer_code_at_every_place_of_a_group(bits):
    fmt = formats.get(f"int{bits}")
    codes, packed = every_code(bits)
    decoded = fmt.decode(packed, GROUP_OF[bits])
    assert decoded.dtype == np.int32
    assert decoded.tolist() == [[naive.twos_complement(c, bits) for c in row] for row in codes]
    assert decoded.min() == -(2 ** (bits - 1))


@pytest.mark.kernels
@widths
def test_integer_codes_round_trip_but_for_the_most_negative_one(bits):
    fmt, n = formats.get(f"int{bits}"), 2 ** (bits - 1) - 1
    codes, packed = every_code(bits)
    values = fmt.decode(packed, GROUP_OF[bits])
    again = fmt.encode(values.astype(np.float32), 1.0)
    clipped = [[c if c != n + 1 else -n for c in row] for row in codes]
    assert again.tolist() == [oracle.pack(row, bits) for row in clipped]
    np.testing.assert_array_equal(fmt.decode(again, GROUP_OF[bits]), np.maximum(values, -n))


@pytest.mark.kernels
def test_all_65536_int16_codes():
    fmt = formats.get("int16")
    codes = np.arange(65536, dtype="<u2").view(np.uint8).reshape(-1, 2)
    values = fmt.decode(codes, 1)
    assert values.dtype == np.int32
    assert values[:, 0].tolist() == [naive.twos_complement(c, 16) for c in range(65536)]
    again = fmt.encode(values.astype(np.float32), 1.0)
    np.testing.assert_array_equal(np.delete(again, 32768, 0), np.delete(codes, 32768, 0))
    assert fmt.decode(again[32768], 1).tolist() == [-32767]
    assert fmt.encode(np.array([1.0, -2.0, 258.0]), 1.0).tolist() == [0x01, 0x00, 0xFE, 0xFF, 0x02, 0x01]


@pytest.mark.kernels
@all_widths
def test_every_integer_tie_goes_to_even_and_its_neighbours_do_not(bits):
    fmt, n = formats.get(f"int{bits}"), 2 ** (bits - 1) - 1
    k = np.arange(-n, n)
    tie = (k + 0.5).astype(np.float32)
    assert one(fmt, *tie) == (k + k % 2).tolist()
    assert one(fmt, *np.nextafter(tie, np.float32(-np.inf))) == k.tolist()
    assert one(fmt, *np.nextafter(tie, np.float32(np.inf))) == (k + 1).tolist()


@pytest.mark.kernels
@all_widths
def test_integers_saturate(bits):
    fmt, n = formats.get(f"int{bits}"), 2 ** (bits - 1) - 1
    for big in (n + 0.5, n + 1.0, 1e5, 3e38):
        assert one(fmt, big, -big) == [n, -n]
    assert one(fmt, 3e38, -3e38, 1e-45, scale=1e-30) == [n, -n, 0]
    assert one(fmt, 1.0, -1.0, scale=np.float32([1e-42, 1e-42])) == [n, -n]


@pytest.mark.kernels
@quick
@given(
    x=st.one_of(any_float, st.floats(-140, 140, width=32), st.integers(-70000, 70000).map(lambda i: i / 2)),
    scale=scales,
    bits=st.sampled_from(ALL_WIDTHS),
)
@example(x=-0.5, scale=1.0, bits=2)
@example(x=32767.5, scale=1.0, bits=16)
def test_integers_are_naive(x, scale, bits):
    assert one(formats.get(f"int{bits}"), x, scale=scale) == [naive.encode_integer(x, scale, bits)]


def test_there_is_no_int1():
    assert refused(UnknownNameError, formats.get, "int1").startswith("unknown format 'int1'; did you mean 'int")
    assert refused(UnknownNameError, formats.get, "int1_asym").startswith("unknown format 'int1_asym'; did you mean")


def test_widths_and_groups():
    for bits in ALL_WIDTHS:
        fmt = formats.get(f"int{bits}")
        assert (fmt.name, fmt.bits, fmt.max_normal) == (f"int{bits}", bits, 2 ** (bits - 1) - 1)
        assert fmt.values_per_group == GROUP_OF[bits]
        assert fmt == formats.get(f"int{bits}") != formats.get("fp16")
    for name in (*FLOATS, *ASYMMETRIC):
        fmt = formats.get(name)
        assert fmt.name == name
        assert fmt.values_per_group == GROUP_OF[fmt.bits]


# Layout


@pytest.mark.kernels
@symmetric
@pytest.mark.parametrize("K", [*range(1, 19), 64])
def test_bits_on_disk_are_the_bits_claimed(name, K):
    """Packed rows are the naive bit stream, padded with zero bits; rows stay apart; nothing is claimed that is not."""
    fmt = formats.get(name)
    x = heavy_tailed(K, (3, K)) * np.float32(5)
    codes = fmt.encode(x, 1.0)
    bits = int(name[3:]) if name.startswith("int") else oracle.float_bits(name)
    for row, packed in zip(x, codes, strict=True):
        if name.startswith("int"):
            expected = [naive.encode_integer(v, 1.0, bits) for v in row]
        else:
            expected = [oracle.encode_float(name, v) for v in row]
        stream = oracle.pack_int16(expected) if bits == 16 else oracle.pack(expected, bits)
        assert packed.tolist() == stream
        np.testing.assert_array_equal(fmt.encode(row, 1.0), packed)
    stored = fmt.storage((3, K), scales=3)
    assert codes.nbytes * 8 == stored.payload_bits + stored.padding_bits
    assert stored.payload_bits == 3 * K * bits
    assert stored.padding_bits == 3 * (-K % GROUP_OF[bits]) * bits
    assert stored.scale_bits == (0 if name == "bf16" else 3 * 32)
    assert stored.index_bits == 0
    assert codes.shape == (3, fmt.packed_bytes(K))


@pytest.mark.kernels
@symmetric
def test_padding_is_not_looked_at(name):
    fmt = formats.get(name)
    for K in range(1, 10):
        codes = fmt.encode(heavy_tailed(K, (2, K)), 1.0)
        used = K * fmt.bits
        ones = np.packbits(np.arange(codes.shape[1] * 8) >= used) if fmt.bits < 8 else 0
        np.testing.assert_array_equal(fmt.decode(codes | ones, K), fmt.decode(codes, K))


def test_layout_by_hand():
    assert formats.get("int2").encode(np.array([1.0, -1, 0, 1]), 1.0).tolist() == [0b01_11_00_01]
    assert formats.get("int3").encode(np.array([3.0, -3, 1]), 1.0).tolist() == [0b011_101_00, 0b1_0000000, 0]
    assert formats.get("int4").encode(np.array([-1.0, 7, 3]), 1.0).tolist() == [0xF7, 0x30]
    assert formats.get("int6").encode(np.array([-1.0, 31]), 1.0).tolist() == [0b111111_01, 0b1111_0000, 0]
    assert formats.get("fp6_e3m2").encode(np.array([28.0, -28, 0.0625, 1]), 1.0).tolist() == [
        0b011111_11, 0b1111_0000, 0b01_001100,
    ]  # fmt: skip
    assert formats.get("fp4_e2m1").encode(np.array([6.0, -0.5, 1]), 1.0).tolist() == [0x79, 0x20]
    assert formats.get("fp8_e4m3").encode(np.array([448.0, -1]), 1.0).tolist() == [0x7E, 0xB8]
    assert formats.get("fp8_e5m2").encode(np.array([57344.0, -1]), 1.0).tolist() == [0x7B, 0xBC]
    assert formats.get("bf16").encode(np.array([1.0, -2.0]), 1.0).tolist() == [0x80, 0x3F, 0x00, 0xC0]


# Small floats


@pytest.mark.kernels
@floats
def test_every_float_code_decodes_by_the_formula(name):
    fmt = formats.get(name)
    count = 2 ** oracle.float_bits(name)
    decoded = fmt.decode(float_codes(name, range(count)), 1)[:, 0]
    expected = np.array([oracle.decode_float(name, code) for code in range(count)], np.float32)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(decoded[number]), np.arange(count)[number] >= count // 2)
    codes = np.arange(count).astype(np.uint16 if count > 256 else np.uint8)
    np.testing.assert_array_equal(decoded, codes.view(DTYPES[name]).astype(np.float32))
    specials = {"bf16": 256, "fp8_e4m3": 2, "fp8_e5m2": 8}
    assert (~np.isfinite(decoded)).sum() == specials.get(name, 0)
    assert np.isinf(decoded).sum() == (2 if name in ("bf16", "fp8_e5m2") else 0)


@pytest.mark.kernels
@floats
def test_every_finite_float_code_round_trips_and_the_others_are_refused(name):
    """Both zeros and the subnormals included."""
    fmt = formats.get(name)
    codes = float_codes(name, range(2 ** oracle.float_bits(name)))
    values = fmt.decode(codes, 1)
    finite = np.isfinite(values[:, 0])
    np.testing.assert_array_equal(fmt.encode(values[finite], 1.0), codes[finite])
    for value in values[~finite][:: max(1, (~finite).sum() // 8)]:
        assert refused(EncodingError, fmt.encode, value, 1.0) == (
            f"cannot encode {value[0]} at position (0,); all values must be finite in float32"
        )


@pytest.mark.kernels
@floats
def test_every_float_tie_goes_to_the_even_code_and_its_neighbours_do_not(name):
    fmt = formats.get(name)
    grid = oracle.finite_magnitudes(name)
    low = np.arange(len(grid) - 1)
    ties = np.array([float((a + b) / 2) for a, b in pairwise(grid)])
    assert (ties.astype(np.float32) == ties).all()
    ties = ties.astype(np.float32)
    negative = 2 ** (oracle.float_bits(name) - 1)
    for x, expected in (
        (ties, low + low % 2),
        (np.nextafter(ties, np.float32(0)), low),
        (np.nextafter(ties, np.float32(np.inf)), low + 1),
    ):
        np.testing.assert_array_equal(fmt.encode(x[:, None], 1.0), float_codes(name, expected))
        np.testing.assert_array_equal(fmt.encode(-x[:, None], 1.0), float_codes(name, expected + negative))
        if name != "bf16":
            np.testing.assert_array_equal(fmt.encode(x[:, None] * 8, 8.0), float_codes(name, expected))


@pytest.mark.kernels
@floats
def test_floats_saturate_and_never_make_infinity(name):
    fmt = formats.get(name)
    largest = float(oracle.finite_magnitudes(name)[-1])
    assert fmt.max_normal == largest
    top = float(np.finfo(np.float32).max)
    for big in (min(largest * 1.03, top), min(largest * 1.25, top), top):
        assert one(fmt, big, -big) == [largest, -largest]
    assert one(fmt, 3e38, -3e38, scale=1e-30) == [largest, -largest]
    assert one(fmt, 1.0, -1.0, scale=np.float32([1e-42, 1e-42])) == [largest, -largest]


@pytest.mark.kernels
@floats
def test_zeros_keep_their_sign_and_small_values_vanish(name):
    fmt = formats.get(name)
    smallest = float(oracle.finite_magnitudes(name)[1])
    row = np.array([[0.0, -0.0, 1e-45, -1e-45, smallest, -smallest]], np.float32)
    decoded = fmt.decode(fmt.encode(row, 1.0), 6)[0]
    assert decoded.tolist() == [0, 0, 0, 0, smallest, -smallest]
    assert np.signbit(decoded).tolist() == [False, True, False, True, False, True]


@pytest.mark.kernels
@floats
def test_rounding_is_that_of_ml_dtypes_over_all_exponents(name):
    """Every upper half of a float32 pattern, with all-zero, all-one and random lower halves."""
    rng = np.random.default_rng(0)
    upper = np.arange(65536, dtype=np.uint32) << 16
    lower = [0, 1, 0xFFFF, 0x8000, 0x7FFF, 0x8001, rng.integers(0, 65536, 65536, dtype=np.uint32)]
    fmt = formats.get(name)
    for low in lower:
        x = (upper | np.uint32(low) if isinstance(low, int) else upper | low).view(np.float32)
        x = x[np.isfinite(x)]
        expected = np.clip(x, -fmt.max_normal, fmt.max_normal).astype(DTYPES[name]).astype(np.float32)
        np.testing.assert_array_equal(fmt.decode(fmt.encode(x, 1.0), len(x)), expected)


@pytest.mark.kernels
@quick
@given(
    x=st.one_of(any_float, st.floats(-500, 500, width=32), st.floats(-0.125, 0.125, width=32)),
    scale=scales,
    name=st.sampled_from(FLOATS),
)
@example(x=464.0, scale=1.0, name="fp8_e4m3")
@example(x=61440.0, scale=1.0, name="fp8_e5m2")
@example(x=-0.03125, scale=1.0, name="fp6_e3m2")
@example(x=9.2e-41, scale=1.0, name="bf16")
def test_floats_are_brute_force(x, scale, name):
    codes = formats.get(name).encode(np.array([[x]], np.float32), scale)
    assert codes.tolist() == float_codes(name, [oracle.encode_float(name, x, scale)]).tolist()


def test_published_grids():
    """FP8 E4M3: 127 non-negative codes, smallest subnormal 2^-9. FP6 E3M2: steps of 1/16 to 0.5, then 4 per octave."""
    e4m3 = sorted({v for v in one_of_each("fp8_e4m3") if v >= 0})
    assert len(e4m3) == 127
    assert e4m3[1] == 2.0**-9
    assert e4m3[-1] == 448
    e3m2 = sorted({v for v in one_of_each("fp6_e3m2") if v >= 0})
    expected = [i / 16 for i in range(9)]
    for octave in (0.5, 1, 2, 4, 8, 16):
        expected += [octave * (1 + i / 4) for i in (1, 2, 3)] + [octave * 2] * (octave < 16)
    assert e3m2 == expected
    assert len(e3m2) == 32
    assert e3m2[-4:] == [16, 20, 24, 28]
    assert sorted({v for v in one_of_each("fp4_e2m1") if v >= 0}) == [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    e2m3 = sorted({v for v in one_of_each("fp6_e2m3") if v >= 0})
    assert e2m3 == [i / 8 for i in range(17)] + [2 + i / 4 for i in range(1, 9)] + [4 + i / 2 for i in range(1, 8)]


def one_of_each(name):
    codes = float_codes(name, range(2 ** oracle.float_bits(name)))
    return formats.get(name).decode(codes, 1)[:, 0].tolist()


@pytest.mark.kernels
def test_published_scales():
    """Symmetric INT8 max/127, FP8 E4M3 max/448, FP6 E3M2 max/28; the rows of the INT8 example of HALO."""
    x = np.array([[0.5, -0.3, 8, 0.2], [-0.4, 0.6, -7.5, 0.1]], np.float32)
    for name, largest in (("int8", 127), ("fp8_e4m3", 448), ("fp6_e3m2", 28), ("int4", 7)):
        scale = formats.get(name).calibrate(x, axis=None, method="absmax")
        assert scale == np.float32(8 / largest)
    fmt = formats.get("int8")
    codes = fmt.encode(x, fmt.calibrate(x, axis=None, method="absmax"))
    assert fmt.decode(codes, 4).tolist() == [[8, -5, 127, 3], [-6, 10, -119, 2]]


# What the symmetric formats share


@pytest.mark.kernels
@symmetric
def test_order_is_kept(name):
    fmt = formats.get(name)
    x = np.sort(np.concatenate([np.linspace(-600, 600, 4801), 10.0 ** np.linspace(-9, 6, 500), [0.0, -0.0]]))
    decoded = fmt.decode(fmt.encode(x, 1.0), len(x))
    assert (np.diff(decoded.astype(np.float64)) >= 0).all()
    assert decoded[x == 0].tolist() == [0] * (x == 0).sum()


@pytest.mark.kernels
@pytest.mark.parametrize("name", [*SYMMETRIC, *ASYMMETRIC, "adaptivfloat8"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused_by_position(name, bad):
    fmt = formats.get(name)
    x = np.zeros((2, 3, 5), np.float32)
    x[1, 2, 0] = x[1, 2, 3] = bad
    expected = f"cannot encode {bad} at position (1, 2, 0); all values must be finite in float32"
    more = {"zero_point": 0} if name in ASYMMETRIC else {}
    assert refused(EncodingError, fmt.encode, x, 1, **more) == expected
    assert refused(EncodingError, fmt.calibrate, x) == expected
    assert refused(EncodingError, fmt.calibrate, x.astype(np.float64), axis=None) == expected
    for granularity in ("tensor", "row"):
        assert refused(EncodingError, fmt.encode_operand, x, granularity, "absmax") == expected


@pytest.mark.parametrize("name", [*SYMMETRIC, *ASYMMETRIC])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, -0.0, 1e-60, 1e300], ids=str)
def test_bad_scales_are_refused(name, bad):
    fmt = formats.get(name)
    more = {"zero_point": 0} if name in ASYMMETRIC else {}
    for scale in (bad, np.array([[1.0], [bad]])):
        message = refused(EncodingError, fmt.encode, np.ones((2, 3), np.float32), scale, **more)
        assert message == "a scale must be positive and finite"


@pytest.mark.parametrize("name", [*SYMMETRIC, *ASYMMETRIC, "adaptivfloat8"])
def test_codes_of_the_wrong_size_or_type_are_refused(name):
    fmt = formats.get(name)
    more = {"zero_point": 0} if name in ASYMMETRIC else {"exp_bias": 0} if name == "adaptivfloat8" else {}
    for bad in (np.zeros((2, 99), np.uint8), np.zeros((2, 8 * fmt.bits // 8), np.int8)):
        assert refused(EncodingError, fmt.decode, bad, 8, **more) == (
            f"{name}: expected uint8 codes of shape (..., {fmt.bits}), got {bad.dtype} of shape {bad.shape}"
        )


@pytest.mark.parametrize("name", [*SYMMETRIC, *ASYMMETRIC, "adaptivfloat8"])
def test_an_operand_has_three_axes_and_a_known_calibration(name):
    fmt = formats.get(name)
    assert refused(EncodingError, fmt.encode_operand, np.ones((2, 3)), "row", "absmax") == (
        f"{name}: expected an operand of shape (count, rows, K), got (2, 3)"
    )
    assert refused(UnknownNameError, fmt.calibrate, np.ones((2, 2)), method="msee") == (
        "unknown calibration 'msee'; did you mean 'mse'?; known: absmax, mse, three_sigma"
    )
    assert refused(EncodingError, fmt.calibrate, np.ones((2, 2)), axis=0) == (
        "calibrate works per row (axis=-1) or per tensor (axis=None), got axis=0"
    )


@pytest.mark.kernels
@symmetric
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_scales_broadcast_and_shapes_are_kept(name, seed):
    fmt = formats.get(name)
    rng = np.random.default_rng(seed)
    x = heavy_tailed(seed, (2, 3, 5)) * np.float32(4)
    for shape in ((), (1,), (3, 1), (2, 1, 1), (2, 3, 1), (5,), (1, 5), (3, 5), (2, 3, 5)):
        scale = rng.uniform(0.1, 3, shape).astype(np.float32)
        codes = fmt.encode(x, scale)
        np.testing.assert_array_equal(codes, fmt.encode(x / np.broadcast_to(scale, x.shape), 1.0))
        assert fmt.decode(codes, 5).shape == x.shape


@pytest.mark.kernels
@symmetric
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_squared_error_is_that_of_decoded_codes_in_every_bit(name, seed):
    fmt = formats.get(name)
    rows = heavy_tailed(seed, (5, 1 + 4 * seed)) * np.float32(6)
    scale = np.random.default_rng(seed).uniform(0.2, 2, 5).astype(np.float32)
    decoded = fmt.decode(fmt.encode(rows, scale[:, None]), rows.shape[1]).tolist()
    expected = [
        naive.squared_error([row], s, lambda *_, values=values: values)
        for row, values, s in zip(rows, decoded, scale, strict=True)
    ]
    found = fmt.squared_error(rows, scale)
    assert found.dtype == np.float64
    assert found.tolist() == expected
    np.testing.assert_allclose(Format.squared_error(fmt, rows, scale), expected, rtol=1e-12, atol=0)


def naive_quantise(name):
    if name.startswith("int"):
        return lambda row, scale: [naive.encode_integer(x, scale, int(name[3:])) for x in row]
    return lambda row, scale: [oracle.decode_float(name, oracle.encode_float(name, x, scale)) for x in row]


@pytest.mark.kernels
@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
def test_calibration_is_naive(name, method):
    fmt = formats.get(name)
    x = heavy_tailed(7, (3, 7)) * np.float32(3)
    x[1] = 0
    for axis in (-1, None):
        expected = naive.calibrate(x, fmt.max_normal, method, axis, naive_quantise(name))
        found = fmt.calibrate(x, axis=axis, method=method)
        assert found.reshape(-1).tolist() == np.array(expected, np.float32).reshape(-1).tolist()


@pytest.mark.kernels
@symmetric
def test_operands_round_trip(name):
    fmt = formats.get(name)
    x = heavy_tailed(1, (2, 3, 9))
    for granularity, axis in (("tensor", None), ("row", -1)):
        scale = np.broadcast_to(fmt.calibrate(x, axis=axis, method="absmax"), (2, 3, 1))
        for i, operand in enumerate(fmt.encode_operand(x, granularity, "absmax")):
            np.testing.assert_array_equal(operand.row_scale, scale[i])
            np.testing.assert_array_equal(operand.value_scale, scale[i])
            np.testing.assert_array_equal(operand.codes, fmt.encode(x[i], scale[i]))
            np.testing.assert_array_equal(fmt.decode_operand(operand), fmt.decode(operand.codes, 9))
            stored = fmt.stored(operand)
            assert operand.codes.nbytes * 8 == stored.payload_bits + stored.padding_bits
            assert stored.scale_bits == (0 if name == "bf16" else operand.scale.size * 32)


def test_bf16_needs_no_scale():
    fmt = formats.get("bf16")
    assert not fmt.has_scale
    assert fmt.calibrate(np.full((2, 3), 1e9)).tolist() == [[1.0], [1.0]]
    assert fmt.calibrate(np.full((2, 3), 1e9), axis=None).tolist() == 1.0
    assert fmt.calibrate(np.full((2, 3), 1e9), group=2).tolist() == [[1.0, 1.0], [1.0, 1.0]]


# Scales per group


@pytest.mark.kernels
@pytest.mark.parametrize("name", ["int2", "int3", "int4", "int8", "int16", "ovp4", "fp8_e4m3", "fp6_e3m2", "fp16"])
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
@pytest.mark.parametrize("K", [3, 8, 16, 21])
def test_group_scales_are_those_of_the_slices(name, method, K):
    """The short last group as well; encoded, every group is as if it stood alone."""
    fmt = formats.get(name)
    x = heavy_tailed(K, (2, 3, K))
    x[0, 1, :8] = 0
    scale = fmt.calibrate(x, method=method, group=8)
    slices = [slice(first, first + 8) for first in range(0, K, 8)]
    assert scale.dtype == np.float32
    assert scale.shape == (2, 3, math.ceil(K / 8))
    for g, part in enumerate(slices):
        alone = fmt.calibrate(x[..., part], method=method)[..., 0]
        np.testing.assert_array_equal(scale[..., g], alone)
    spread = expand_groups(scale, 8, K)
    assert spread.shape == x.shape
    decoded = fmt.decode(fmt.encode(x, spread), K)
    for g, part in enumerate(slices):
        assert (spread[..., part] == scale[..., g : g + 1]).all()
        codes = fmt.encode(x[..., part], scale[..., g : g + 1])
        np.testing.assert_array_equal(decoded[..., part], fmt.decode(codes, x[..., part].shape[-1]))
    stored = fmt.storage(x.shape, scales=scale.size)
    assert stored.scale_bits == 32 * 6 * math.ceil(K / 8) * fmt.has_scale


@pytest.mark.kernels
def test_a_group_of_the_whole_row_is_the_row():
    fmt = formats.get("int4")
    x = heavy_tailed(0, (4, 10))
    for group in (10, 12, 1000):
        np.testing.assert_array_equal(fmt.calibrate(x, group=group), fmt.calibrate(x))


@pytest.mark.parametrize(
    ("name", "group", "axis", "message"),
    [
        ("int4", 3, -1, "int4: a group of 3 values is no positive multiple of 2"),
        ("int3", 4, -1, "int3: a group of 4 values is no positive multiple of 8"),
        ("ovp4", 1, -1, "ovp4: a group of 1 values is no positive multiple of 2"),
        ("int8", 0, -1, "int8: a group of 0 values is no positive multiple of 1"),
        ("int8", -4, -1, "int8: a group of -4 values is no positive multiple of 1"),
        ("int8", 2.0, -1, "int8: a group of 2.0 values is no positive multiple of 1"),
        ("int8", 4, None, "a scale per group needs axis=-1, got axis=None"),
        ("int6_asym", 2, -1, "int6_asym: a group of 2 values is no positive multiple of 4"),
    ],
)
def test_bad_groups_are_refused(name, group, axis, message):
    assert refused(EncodingError, formats.get(name).calibrate, np.ones((2, 8)), axis=axis, group=group) == message


def test_expand_groups():
    assert expand_groups(np.array([[1, 2, 3]]), 4, 10).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2, 3, 3]]
    assert refused(EncodingError, expand_groups, np.ones((2, 3)), 4, 13) == (
        "13 values in groups of 4 need a last axis of 4, got shape (2, 3)"
    )
    assert refused(EncodingError, expand_groups, np.ones(()), 4, 4) == (
        "4 values in groups of 4 need a last axis of 1, got shape ()"
    )


def test_an_operand_with_group_scales_has_no_row_scale():
    operand = Encoded(np.zeros((2, 5), np.uint8), np.array([[1, 2], [3, 4]], np.float32), 5, group=3)
    assert operand.value_scale.tolist() == [[1, 1, 1, 2, 2], [3, 3, 3, 4, 4]]
    with pytest.raises(EncodingError, match="this operand has a scale per 3 values of K, not per row; use value_scale"):
        _ = operand.row_scale


# Integers with a zero point


@pytest.mark.kernels
@widths
def test_every_asymmetric_code_with_every_zero_point(bits):
    fmt = formats.get(f"int{bits}_asym")
    codes, packed = every_code(bits)
    for zero in range(2**bits) if bits < 7 else (0, 1, 2 ** (bits - 1), 2**bits - 1):
        values = fmt.decode(packed, GROUP_OF[bits], zero)
        assert values.dtype == np.int32
        assert values.tolist() == [[code - zero for code in row] for row in codes]
        np.testing.assert_array_equal(fmt.encode(values.astype(np.float32), 1.0, zero), packed)


@pytest.mark.kernels
@widths
def test_every_asymmetric_tie_goes_to_even_and_its_neighbours_do_not(bits):
    """``round(x / s)`` is to even before the zero point is added, so even says nothing of the code."""
    fmt, top = formats.get(f"int{bits}_asym"), 2**bits - 1
    for zero in {0, 1, top // 2, top}:
        k = np.arange(-zero, top - zero)
        tie = (k + 0.5).astype(np.float32)
        for x, expected in (
            (tie, k + k % 2),
            (np.nextafter(tie, np.float32(-np.inf)), k),
            (np.nextafter(tie, np.float32(np.inf)), k + 1),
        ):
            assert fmt.decode(fmt.encode(x, 1.0, zero), len(x), zero).tolist() == expected.tolist()


@pytest.mark.kernels
@quick
@given(data=st.data(), x=st.one_of(any_float, st.floats(-300, 300, width=32)), scale=scales)
def test_asymmetric_codes_are_naive(data, x, scale):
    bits = data.draw(st.sampled_from(WIDTHS))
    zero = data.draw(st.integers(0, 2**bits - 1))
    codes = formats.get(f"int{bits}_asym").encode(np.array([[x]], np.float32), scale, zero)
    assert oracle.unpack(codes[0].tolist(), bits, 1) == [oracle.encode_with_zero(x, scale, zero, bits)]


@pytest.mark.kernels
@widths
def test_asymmetric_codes_saturate_and_zero_is_exact(bits):
    fmt, top = formats.get(f"int{bits}_asym"), 2**bits - 1
    for zero in range(top + 1):
        row = np.array([top + 0.5, -top - 0.5, 3e38, -3e38, 0.0, -0.0, 1e-45], np.float32)
        for scale in (1.0, np.full(7, 1.0, np.float32)):
            values = fmt.decode(fmt.encode(row, scale, zero), 7, zero).tolist()
            assert values == [top - zero, -zero, top - zero, -zero, 0, 0, 0]


@pytest.mark.kernels
@widths
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_asymmetric_calibration_is_naive(bits, method, seed):
    fmt = formats.get(f"int{bits}_asym")
    x = heavy_tailed(seed, (5, 1 + 8 * seed))
    x[1] = 0
    x[2] = np.abs(x[2])
    x[3] = -np.abs(x[3])
    scale, zero = fmt.calibrate(x, method=method)
    assert (scale.dtype, zero.dtype, scale.shape, zero.shape) == (np.float32, np.uint8, (5, 1), (5, 1))
    expected = [oracle.calibrate_with_zero([row], bits, method) for row in x]
    assert list(zip(scale[:, 0], zero[:, 0].tolist(), strict=True)) == expected
    assert (scale[1, 0], zero[1, 0], zero[2, 0], zero[3, 0]) == (1, 0, 0, 2**bits - 1)
    scale, zero = fmt.calibrate(x, axis=None, method=method)
    assert (scale[()], int(zero)) == oracle.calibrate_with_zero(x, bits, method)
    scale, zero = fmt.calibrate(x, method=method, group=8)
    for g in range(scale.shape[1]):
        alone = fmt.calibrate(x[:, 8 * g : 8 * g + 8], method=method)
        np.testing.assert_array_equal(scale[:, g : g + 1], alone[0])
        np.testing.assert_array_equal(zero[:, g : g + 1], alone[1])


@pytest.mark.kernels
def test_min_max_by_hand():
    fmt = formats.get("int8_asym")
    scale, zero = fmt.calibrate(np.array([[-1.0, 0.5, 4.1]]), method="absmax")
    assert (scale[0, 0], zero[0, 0]) == (np.float32((np.float64(np.float32(4.1)) + 1) / 255), 50)
    scale, zero = fmt.calibrate(np.array([[2.0, 5.1]]), method="absmax")  # zero is forced into the range
    assert (scale[0, 0], zero[0, 0]) == (np.float32(np.float64(np.float32(5.1)) / 255), 0)
    scale, zero = fmt.calibrate(np.array([[-2.0, -5.1]]), method="absmax")
    assert (scale[0, 0], zero[0, 0]) == (np.float32(np.float64(np.float32(5.1)) / 255), 255)


@pytest.mark.kernels
@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 3.4e38])
def test_parameters_of_extreme_tensors_can_be_used(magnitude):
    x = np.array([[magnitude, -magnitude, 0.0]], np.float32)
    for bits in WIDTHS:
        fmt = formats.get(f"int{bits}_asym")
        for method in ("mse", "absmax", "three_sigma"):
            scale, zero = fmt.calibrate(x, method=method)
            assert naive.FLOAT32_TINY <= scale[0, 0] <= naive.FLOAT32_MAX
            assert fmt.decode(fmt.encode(x, scale, zero), 3, zero)[0, 2] == 0


SPLIT = np.array([-1.9, -1.7, -0.12, -0.05, 0.02, 0.08, 0.15, 2.1, 2.4, 1.8])


@pytest.mark.kernels
def test_the_example_of_splitquant():
    """INT2 asymmetric: one layer, and its three masked copies summed."""
    fmt = formats.get("int2_asym")

    def quantised(w):
        scale, zero = fmt.calibrate(w, axis=None, method="absmax")
        codes = fmt.encode(w, scale, zero)
        real = fmt.decode(codes, len(w), zero) * float(scale)
        return float(scale), int(zero), oracle.unpack(codes.tolist(), 2, len(w)), real

    scale, zero, _, single = quantised(SPLIT)
    assert (round(scale, 6), zero) == (1.433333, 1)
    assert round(float(np.mean((SPLIT - single) ** 2)), 6) == 0.113176
    x = np.array([0.5, -1, 0.3, 0.7, -0.2, 0.1, 0.9, -0.4, 0.6, 0.2])
    assert round(float(x @ SPLIT), 3) == 1.778
    assert round(float(x @ single), 2) == 2.15
    lower = quantised(np.where(SPLIT < -0.892, SPLIT, 0))
    assert (round(lower[0], 6), lower[1], lower[2]) == (0.633333, 3, [0, 0, 3, 3, 3, 3, 3, 3, 3, 3])
    middle = quantised(np.where((SPLIT >= -0.892) & (SPLIT <= 1.058), SPLIT, 0))
    assert (round(middle[0], 6), middle[1], middle[2]) == (0.09, 1, [1, 1, 0, 0, 1, 2, 3, 1, 1, 1])
    upper = quantised(np.where(SPLIT > 1.058, SPLIT, 0))
    assert (round(upper[0], 6), upper[1], upper[2][7:]) == (0.8, 0, [3, 3, 2])
    total = lower[3] + middle[3] + upper[3]
    np.testing.assert_allclose(total, [-1.9, -1.9, -0.09, -0.09, 0, 0.09, 0.18, 2.4, 2.4, 1.6], atol=1e-6)
    assert round(float(np.mean((SPLIT - total) ** 2)), 5) == 0.01739
    assert round(float(x @ total), 3) == 1.831


@pytest.mark.kernels
@widths
@pytest.mark.parametrize("K", [1, 7, 8, 19])
def test_asymmetric_operands(bits, K):
    """Per tensor, row and group: decoded values within half a step, exact integers, and every bit accounted for."""
    x = heavy_tailed(K, (2, 3, K))
    x[0, 0] = 0
    for granularity, group, parameters in (("tensor", None, 1), ("row", None, 3), ("row", 8, 3 * math.ceil(K / 8))):
        fmt = formats.get(f"int{bits}_asym", group=group)
        operands = fmt.encode_operand(x, granularity, "absmax")
        assert len(operands) == 2
        for values, operand in zip(x, operands, strict=True):
            zero = operand.extras["zero_point"]
            decoded = fmt.decode_operand(operand)
            assert decoded.dtype == np.int32
            assert (decoded.shape, operand.length, operand.group) == ((3, K), K, group)
            assert zero.shape == operand.scale.shape
            assert zero.size == operand.scale.size == parameters
            step = operand.value_scale
            assert (np.abs(values - decoded * step) <= step * (1 + 1e-5)).all()
            stored = fmt.stored(operand)
            assert operand.codes.nbytes * 8 == stored.payload_bits + 3 * (-K % GROUP_OF[bits]) * bits
            assert stored.payload_bits == 3 * K * bits
            assert stored.padding_bits == 3 * (-K % GROUP_OF[bits]) * bits + -bits * parameters % 8
            assert stored.scale_bits == 32 * parameters
            assert stored.index_bits == bits * parameters
            packed = fmt.packed(operand)["zero_point"]
            assert packed.nbytes == math.ceil(bits * parameters / 8)
            stream = "".join(f"{z:0{bits}b}" for z in zero.reshape(-1))
            assert "".join(f"{byte:08b}" for byte in packed) == stream.ljust(8 * packed.nbytes, "0")


@pytest.mark.kernels
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_asymmetric_operands_are_naive_and_grouped_tensors_ignore_the_granularity(bits):
    x = heavy_tailed(3, (2, 3, 19))
    fmt = formats.get(f"int{bits}_asym", group=8)
    by_row, by_tensor = (fmt.encode_operand(x, granularity, "mse") for granularity in ("row", "tensor"))
    for values, operand, same in zip(x, by_row, by_tensor, strict=True):
        np.testing.assert_array_equal(operand.codes, same.codes)
        np.testing.assert_array_equal(operand.scale, same.scale)
        decoded = fmt.decode_operand(operand)
        for r in range(3):
            for first in (0, 8, 16):
                part = values[r, first : first + 8]
                scale, zero = oracle.calibrate_with_zero([part], bits, "mse")
                assert (operand.scale[r, first // 8], operand.extras["zero_point"][r, first // 8]) == (scale, zero)
                expected = [oracle.encode_with_zero(v, scale, zero, bits) - zero for v in part]
                assert decoded[r, first : first + 8].tolist() == expected


@pytest.mark.kernels
def test_zero_points_broadcast():
    fmt = formats.get("int4_asym")
    x = heavy_tailed(0, (2, 3, 5))
    rng = np.random.default_rng(0)
    for shape in ((), (1,), (3, 1), (2, 1, 1), (2, 3, 1), (5,), (3, 5), (2, 3, 5)):
        zero = rng.integers(0, 16, shape)
        codes = fmt.encode(x, 0.5, zero)
        full = np.broadcast_to(zero, x.shape)
        np.testing.assert_array_equal(codes, fmt.encode(x, 0.5, full))
        np.testing.assert_array_equal(fmt.decode(codes, 5, zero), fmt.decode(codes, 5, full))
        for i in np.ndindex(2, 3):
            expected = [oracle.encode_with_zero(v, 0.5, int(z), 4) for v, z in zip(x[i], full[i], strict=True)]
            assert codes[i].tolist() == oracle.pack(expected, 4)


@pytest.mark.parametrize("bad", [-1, 16, 1.0, math.nan, True], ids=str)
def test_bad_zero_points_are_refused(bad):
    fmt = formats.get("int4_asym")
    codes = np.zeros((2, 2), np.uint8)
    for zero in (bad, np.array([[bad], [bad]])):
        for call in ((fmt.encode, np.ones((2, 3)), 1.0, zero), (fmt.decode, codes, 3, zero)):
            assert refused(EncodingError, *call) == "int4_asym: a zero point must be an integer, 0 to 15"


def test_zero_points_that_do_not_broadcast_are_refused():
    fmt = formats.get("int8_asym")
    for shape in ((3, 1), (4,), (2, 1, 1)):
        assert refused(EncodingError, fmt.encode, np.ones((2, 3)), 1.0, np.zeros(shape, np.uint8)) == (
            f"a zero point of shape {shape} does not broadcast against a tensor of shape (2, 3)"
        )


def test_asymmetric_options():
    assert formats.get("int4_asym") == formats.get("int4_asym", group=None) != formats.get("int4_asym", group=64)
    assert refused(EncodingError, formats.get, "int4_asym", group=3) == (
        "int4_asym: a group of 3 values is no positive multiple of 2"
    )
    assert refused(UnknownNameError, formats.get, "int4_asym", groups=2) == (
        "unknown option of format int4_asym 'groups'; did you mean 'group'?; known: group"
    )


# AdaptivFloat


def adaptivfloat(bits, exp_bits):
    return formats.get("adaptivfloat8", bits=bits, exp_bits=exp_bits)


def adaptive_codes(fmt, codes):
    return np.array([oracle.pack([int(c)], fmt.bits) for c in codes], np.uint8)


@pytest.mark.kernels
@adaptive
def test_every_adaptivfloat_code_decodes_by_the_formula(bits, exp_bits):
    fmt = adaptivfloat(bits, exp_bits)
    codes = adaptive_codes(fmt, range(2**bits))
    for bias in (-128, -7, 0, 3, 127 - (2**exp_bits - 1)):
        values = fmt.decode(codes, 1, bias)
        assert values.dtype == np.float32
        assert values[:, 0].tolist() == [oracle.decode_adaptivfloat(c, bits, exp_bits, bias) for c in range(2**bits)]
        assert np.isfinite(values).all()
        half = 2 ** (bits - 1)
        assert (np.diff(values[:half, 0]) > 0).all()
        assert not np.signbit(values[half, 0])
        kept = np.delete(np.arange(2**bits), half)  # minus zero is never made
        np.testing.assert_array_equal(fmt.encode(values, bias)[kept], codes[kept])
        assert fmt.encode(values[half], bias).tolist() == codes[0].tolist()


@pytest.mark.kernels
@adaptive
def test_every_adaptivfloat_tie(bits, exp_bits):
    """To the even code; without mantissa bits up; half of the smallest magnitude goes to it."""
    fmt = adaptivfloat(bits, exp_bits)
    for bias in (-128, -3, 40):
        grid = oracle.adaptivfloat_magnitudes(bits, exp_bits, bias)
        low = np.arange(1, len(grid) - 1)
        ties = np.array([float((a + b) / 2) for a, b in pairwise(grid[1:])], np.float32)
        exact = low + 1 if bits - 1 == exp_bits else low + low % 2
        smallest = np.float32(float(grid[1] / 2))
        x = np.concatenate([[smallest], ties])
        for at, expected in (
            (x, [1, *exact]),
            (np.nextafter(x, np.float32(0)), [0, *low]),
            (np.nextafter(x, np.float32(np.inf)), [1, *(low + 1)]),
        ):
            np.testing.assert_array_equal(fmt.encode(at[:, None], bias), adaptive_codes(fmt, expected))
            negative = np.where(np.array(expected) > 0, np.array(expected) + 2 ** (bits - 1), 0)
            np.testing.assert_array_equal(fmt.encode(-at[:, None], bias), adaptive_codes(fmt, negative))


@pytest.mark.kernels
@adaptive
def test_adaptivfloat_saturates_and_gives_up_its_smallest_magnitude(bits, exp_bits):
    fmt = adaptivfloat(bits, exp_bits)
    grid = [float(v) for v in oracle.adaptivfloat_magnitudes(bits, exp_bits, -5)]
    row = np.array([[2.0**-5, -(2.0**-5), grid[-1] * 1.01, -3e38, 0.0, -0.0, 1e-45]], np.float32)
    decoded = fmt.decode(fmt.encode(row, -5), 7, -5)[0]
    assert decoded.tolist() == [grid[1], -grid[1], grid[-1], -grid[-1], 0, 0, 0]
    assert not np.signbit(decoded[4:]).any()


@pytest.mark.kernels
@quick
@given(
    data=st.data(), x=st.one_of(any_float, st.floats(-300, 300, width=32), st.floats(-(2.0**-100), 2.0**-100, width=32))
)
def test_adaptivfloat_is_brute_force(data, x):
    bits, exp_bits = data.draw(st.sampled_from(ADAPTIVE))
    bias = data.draw(st.integers(-128, 127 - (2**exp_bits - 1)))
    codes = adaptivfloat(bits, exp_bits).encode(np.array([[x]], np.float32), bias)
    assert oracle.unpack(codes[0].tolist(), bits, 1) == [oracle.encode_adaptivfloat(x, bits, exp_bits, bias)]


@pytest.mark.kernels
@adaptive
@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 1e-30, 0.7, 1.0, 1.999, 2.0, 1000.0, 3.4e38])
def test_the_largest_magnitude_fits(bits, exp_bits, magnitude):
    fmt = adaptivfloat(bits, exp_bits)
    x = np.array([[0.0, magnitude / 3, -magnitude], [0, 0, 0]], np.float32)
    bias = fmt.calibrate(x)
    assert bias.dtype == np.int8
    assert bias.tolist() == [[oracle.adaptivfloat_bias(row, exp_bits)] for row in x]
    assert bias[1, 0] == -(2**exp_bits - 1)
    assert fmt.calibrate(x, axis=None).tolist() == bias[0, 0]
    if magnitude > 1e-30:
        largest = -float(fmt.decode(fmt.encode(x, bias), 3, bias)[0, 2])
        assert largest == pytest.approx(float(np.float32(magnitude)), rel=2.0 ** -(bits - 1 - exp_bits + 1) + 1e-7)


@pytest.mark.kernels
@pytest.mark.parametrize(("bits", "exp_bits", "padding"), [(8, 3, 0), (4, 3, 4), (6, 2, 6), (5, 3, 25)])
def test_adaptivfloat_operands(bits, exp_bits, padding):
    fmt = adaptivfloat(bits, exp_bits)
    x = heavy_tailed(2, (2, 3, 11))
    for granularity, count in (("tensor", 1), ("row", 3)):
        for method in ("absmax", "mse", "three_sigma"):
            for values, operand in zip(x, fmt.encode_operand(x, granularity, method), strict=True):
                bias = operand.extras["exp_bias"]
                assert (bias.dtype, bias.size) == (np.int8, count)
                biases = np.broadcast_to(bias, (3, 1))[:, 0]
                for row, packed, b, found in zip(
                    values, operand.codes, biases, fmt.decode_operand(operand), strict=True
                ):
                    expected = [oracle.encode_adaptivfloat(v, bits, exp_bits, int(b)) for v in row]
                    assert packed.tolist() == oracle.pack(expected, bits)
                    real = found * 2.0 ** (int(b) - (bits - 1 - exp_bits))
                    assert real.tolist() == [oracle.decode_adaptivfloat(c, bits, exp_bits, int(b)) for c in expected]
                    if granularity == "row":
                        assert b == oracle.adaptivfloat_bias(row, exp_bits)
                assert operand.scale.shape == bias.shape
                assert operand.row_scale[:, 0].tolist() == [2.0 ** (int(b) - (bits - 1 - exp_bits)) for b in biases]
                stored = fmt.stored(operand)
                assert operand.codes.nbytes * 8 == stored.payload_bits + stored.padding_bits
                assert (stored.payload_bits, stored.padding_bits) == (33 * bits, 3 * padding)
                assert (stored.scale_bits, stored.index_bits) == (0, 8 * count)
        if granularity == "tensor":
            assert int(bias) == oracle.adaptivfloat_bias(x.ravel(), exp_bits)


@pytest.mark.kernels
@adaptive
def test_adaptivfloat_operands_are_exact_integers_at_any_bias(bits, exp_bits):
    """Every code, at both ends of the biases: the float32 scale holds 2^(bias - man_bits), subnormal or not."""
    fmt, man_bits = adaptivfloat(bits, exp_bits), bits - 1 - exp_bits
    for magnitude in (1e-45, 1.0, 3.4e38):
        (operand,) = fmt.encode_operand(np.full((1, 1, 1), magnitude, np.float32), "tensor", "absmax")
        bias = int(operand.extras["exp_bias"])
        codes = adaptive_codes(fmt, range(2**bits))
        every = dataclasses.replace(operand, codes=codes)
        integers = fmt.decode_operand(every)
        assert integers.dtype == np.int64
        expected = [[oracle.decode_adaptivfloat(c, bits, exp_bits, bias)] for c in range(2**bits)]
        assert (integers * every.value_scale).tolist() == expected
        assert np.abs(integers).max() == (2 ** (man_bits + 1) - 1) << (2**exp_bits - 1)


def test_adaptivfloat_options():
    fmt = formats.get("adaptivfloat8")
    assert (fmt.name, fmt.bits, fmt.exp_bits, fmt.values_per_group) == ("adaptivfloat8", 8, 3, 1)
    assert adaptivfloat(6, 3).values_per_group == 4
    for options, message in (
        ({"bits": 3}, "adaptivfloat8: bits must be an integer, 4 to 8, got 3"),
        ({"bits": 9}, "adaptivfloat8: bits must be an integer, 4 to 8, got 9"),
        ({"bits": 8.0}, "adaptivfloat8: bits must be an integer, 4 to 8, got 8.0"),
        ({"exp_bits": 0}, "adaptivfloat8: exp_bits must be an integer, 1 to 5, got 0"),
        ({"exp_bits": 6}, "adaptivfloat8: exp_bits must be an integer, 1 to 5, got 6"),
        ({"exp_bits": True}, "adaptivfloat8: exp_bits must be an integer, 1 to 5, got True"),
        ({"bits": 4, "exp_bits": 4}, "adaptivfloat8: 4 bits cannot hold a sign and 4 exponent bits"),
    ):
        assert refused(ConfigError, formats.get, "adaptivfloat8", **options) == message


def test_bad_exponent_biases_are_refused():
    fmt = formats.get("adaptivfloat8")
    for bad in (-129, 121, 0.0, math.nan, np.array([[0], [121]])):
        for call in ((fmt.encode, np.ones((2, 3)), bad), (fmt.decode, np.zeros((2, 3), np.uint8), 3, bad)):
            message = refused(EncodingError, *call)
            assert message == "adaptivfloat8: an exponent bias must be an integer, -128 to 120"
    assert refused(EncodingError, fmt.encode, np.ones((2, 3)), np.zeros((2, 3), np.int8)) == (
        "an exponent bias of shape (2, 3) does not broadcast against rows of a tensor of shape (2, 3)"
    )
