"""Number formats: every code, every tie, every complaint, against the naive versions and the published examples."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator import formats
from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats import Format
from tests import naive

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar divide")
"""Kernels run as plain Python (``make nojit``) warn of quotients beyond float32; compiled ones do not."""

INTEGERS = {"int4": 7, "int8": 127}
OUTLIERS = [12, 16, 24, 32, 48, 64, 96]
OVP4_GRID = sorted([*range(-7, 8), *OUTLIERS, *(-v for v in OUTLIERS)])
MAX_NORMAL = {"int4": 7, "int8": 127, "ovp4": 7, "fp16": 65504}
PAIR_RULES = ("larger", "left")
ALL = [("int4", {}), ("int8", {}), ("ovp4", {"pair_rule": "larger"}), ("ovp4", {"pair_rule": "left"}), ("fp16", {})]


def label(value):
    return "-".join([value[0], *value[1].values()])


every_format = pytest.mark.parametrize("which", ALL, ids=label)
quick = settings(deadline=None, max_examples=300)


def make(which) -> Format:
    return formats.get(which[0], **which[1])


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


# Integers, exhaustively


@pytest.mark.kernels
@pytest.mark.parametrize("name", INTEGERS)
def test_every_integer_byte_decodes_as_twos_complement(name):
    fmt = formats.get(name)
    codes = np.arange(256, dtype=np.uint8)[:, None]
    per_byte = fmt.values_per_group
    decoded = fmt.decode(codes, per_byte)
    naive_decode = naive.decode_int4 if name == "int4" else naive.decode_int8
    assert decoded.dtype == np.int32
    assert decoded.tolist() == [naive_decode([byte], per_byte) for byte in range(256)]


@pytest.mark.kernels
@pytest.mark.parametrize("name", INTEGERS)
def test_integer_bytes_round_trip_but_for_the_most_negative_code(name):
    """-8 and -128 are legal to decode and never produced: encoding them again clips to -7 and -127."""
    fmt, n = formats.get(name), INTEGERS[name]
    codes = np.arange(256, dtype=np.uint8)[:, None]
    values = fmt.decode(codes, fmt.values_per_group)
    again = fmt.encode(values.astype(np.float32), 1.0)
    lowest = (values == -n - 1).any(axis=1)
    assert lowest.sum() == (31 if name == "int4" else 1)
    np.testing.assert_array_equal(again[~lowest], codes[~lowest])
    np.testing.assert_array_equal(fmt.decode(again, fmt.values_per_group), np.maximum(values, -n))


@pytest.mark.kernels
@pytest.mark.parametrize("name", INTEGERS)
def test_integer_ties_go_to_even_and_their_neighbours_do_not(name):
    fmt, n = formats.get(name), INTEGERS[name]
    for k in range(-n, n):
        tie = np.float32(k + 0.5)
        even = k if k % 2 == 0 else k + 1
        assert one(fmt, tie) == [even]
        assert one(fmt, np.nextafter(tie, np.float32(-np.inf))) == [k]
        assert one(fmt, np.nextafter(tie, np.float32(np.inf))) == [k + 1]


@pytest.mark.kernels
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_saturate_symmetrically(name):
    fmt, n = formats.get(name), INTEGERS[name]
    for big in (n + 0.49, n + 0.5, n + 1, 1e4, 3.4e38):
        assert one(fmt, big, -big) == [n, -n]
    assert one(fmt, 3e38, -3e38, scale=1e-30) == [n, -n]  # the quotient itself is infinite
    assert one(fmt, 3e38, -3e38, scale=np.float32([1e-30, 1e-30])) == [n, -n]


# Outlier-victim pairs, exhaustively


@pytest.mark.kernels
@pytest.mark.parametrize("pair_rule", PAIR_RULES)
def test_every_ovp4_byte_decodes_as_naive_or_is_refused_by_position(pair_rule):
    fmt = formats.get("ovp4", pair_rule=pair_rule)
    legal = [byte for byte in range(256) if naive.decode_ovp4_byte(byte) is not None]
    assert len(legal) == 253
    decoded = fmt.decode(np.array(legal, np.uint8)[:, None], 2)
    assert decoded.dtype == np.int32
    assert [tuple(pair) for pair in decoded.tolist()] == [naive.decode_ovp4_byte(byte) for byte in legal]
    for byte in sorted(set(range(256)) - set(legal)):
        codes = np.zeros((2, 3, 4), np.uint8)
        codes[1, 0, 2] = codes[1, 2, 3] = byte
        message = refused(EncodingError, fmt.decode, codes, 8)
        assert message == f"ovp4: illegal byte 0x{byte:02x} at position (1, 0, 2)"
    assert sorted(set(range(256)) - set(legal)) == [0x08, 0x80, 0x88]


@pytest.mark.kernels
@pytest.mark.parametrize("pair_rule", PAIR_RULES)
def test_every_legal_ovp4_byte_round_trips(pair_rule):
    fmt = formats.get("ovp4", pair_rule=pair_rule)
    legal = np.array([b for b in range(256) if b not in (0x08, 0x80, 0x88)], np.uint8)[:, None]
    values = fmt.decode(legal, 2)
    np.testing.assert_array_equal(fmt.encode(values.astype(np.float32), 1.0), legal)


@pytest.mark.kernels
def test_the_ovp4_grids_are_the_published_ones():
    fmt = formats.get("ovp4")
    values = {tuple(p) for p in fmt.decode(np.array([[b] for b in range(256) if b & 0x77], np.uint8), 2).tolist()}
    assert sorted({abs(v) for pair in values for v in pair if abs(v) > 7}) == OUTLIERS
    beside_an_outlier = {other for pair in values for v, other in (pair, pair[::-1]) if abs(v) > 7}
    assert beside_an_outlier == {0}
    normal = [pair for pair in values if max(map(abs, pair)) <= 7]
    assert len(normal) == 15 * 15 - 1  # the pair (0, 0) is byte 0x00, left out above
    assert sum(abs(left) > 7 for left, _ in values) == sum(abs(right) > 7 for _, right in values) == 14


def ovp4_ties():
    """(tie, where it goes): up within a grid, to the outlier between the grids."""
    for low, high in pairwise(OVP4_GRID):
        yield (low + high) / 2, low, high, low if low == -12 and high == -7 else high


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("tie", "low", "high", "goes_to"), list(ovp4_ties()), ids=[f"tie{t[0]:g}" for t in ovp4_ties()]
)
@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
def test_ovp4_ties(tie, low, high, goes_to, side):
    fmt = formats.get("ovp4")
    for value, expected in (
        (np.float32(tie), goes_to),
        (np.nextafter(np.float32(tie), np.float32(-np.inf)), low),
        (np.nextafter(np.float32(tie), np.float32(np.inf)), high),
    ):
        pair = [np.float32(0), np.float32(0)]
        pair[side] = value
        assert one(fmt, *pair)[side] == expected
        assert one(fmt, *(p * np.float32(0.125) for p in pair), scale=0.125)[side] == expected


@pytest.mark.kernels
@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-20])
def test_ovp4_saturates_at_96(scale):
    fmt = formats.get("ovp4")
    for big in (96.5, 1e3, 3e38):
        assert one(fmt, np.float32(big), 0, scale=scale) == [96, 0]
        assert one(fmt, 0, -np.float32(big), scale=scale) == [0, -96]


@pytest.mark.kernels
@pytest.mark.parametrize("pair_rule", PAIR_RULES)
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_every_legal_byte_is_produced_and_no_other(pair_rule, seed):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((64, 512)) < 0.5, rng.uniform(-8, 8, (64, 512)), rng.uniform(-120, 120, (64, 512)))
    codes = formats.get("ovp4", pair_rule=pair_rule).encode(x, 1.0)
    assert set(range(256)) - set(codes.ravel().tolist()) == {0x08, 0x80, 0x88}


# Published worked examples (OliVe, ISCA 2023, Fig. 1, Tables 3-4, section 4.2)


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("pair", "byte"),
    [
        ((0, -96), 0x8F),
        ((16, 0), 0x28),
        ((32, 0), 0x48),
        ((2.6, 4.2), 0x34),
        ((1.5, -98), 0x8F),
        ((17.6, 0.4), 0x28),
        ((30.7, -5.2), 0x48),
        ((0, 0), 0x00),
        ((-0.0, -0.0), 0x00),
        ((-1, 7), 0xF7),
    ],
)
def test_published_pairs(pair, byte):
    for pair_rule in PAIR_RULES:
        codes = formats.get("ovp4", pair_rule=pair_rule).encode(np.array([pair], np.float32), 1.0)
        assert codes.tolist() == [[byte]]
        assert naive.encode_ovp4_pair(*pair, pair_rule=pair_rule) == byte


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("pair", "rule", "byte", "values"),
    [
        ((20, -70), "larger", 0b1000_1110, [0, -64]),
        ((20, -70), "left", 0b0011_1000, [24, 0]),
        ((-70, 20), "larger", 0b1110_1000, [-64, 0]),
        ((-70, 20), "left", 0b1110_1000, [-64, 0]),
        ((40.5, -40.5), "larger", 0b0101_1000, [48, 0]),  # equal magnitudes: the left one
        ((-40.5, 40.5), "larger", 0b1101_1000, [-48, 0]),
        ((100, -200), "larger", 0b1000_1111, [0, -96]),  # the magnitude before saturation decides
        ((100, -200), "left", 0b0111_1000, [96, 0]),
        ((3e38, -3.1e38), "larger", 0b1000_1111, [0, -96]),
    ],
)
def test_two_outliers(pair, rule, byte, values):
    fmt = formats.get("ovp4", pair_rule=rule)
    codes = fmt.encode(np.array([pair], np.float32), 1.0)
    assert codes.tolist() == [[byte]]
    assert fmt.decode(codes, 2).tolist() == [values]


@pytest.mark.kernels
def test_the_boundary_of_the_released_code_and_code_0101():
    fmt = formats.get("ovp4")
    assert one(fmt, 9.4, 0) == [7, 0]
    assert one(fmt, 9.6, 0) == [12, 0]
    assert one(fmt, 9.5, 0) == [12, 0]
    assert one(fmt, -9.5, 0) == [-12, 0]
    assert fmt.decode(np.array([[0b0101_1000]], np.uint8), 2).tolist() == [[48, 0]]


@pytest.mark.kernels
def test_the_published_dot_product():
    fmt = formats.get("ovp4")
    a = one(fmt, 2.6, 4.2, 1.5, -98, 30.7, -5.2)
    assert a == [3, 4, 0, -96, 32, 0]
    assert sum(x * y for x, y in zip(a, [-2, 5, 1, 7, -3, 6], strict=True)) == -754


# Random pairs against brute force

GRID_POINTS = sorted({*OVP4_GRID, *((a + b) / 2 for a, b in pairwise(OVP4_GRID))})
near_the_grid = st.builds(
    lambda v, up: float(np.nextafter(np.float32(v), np.float32(up))) if up else float(v),
    st.sampled_from(GRID_POINTS),
    st.sampled_from([0, -math.inf, math.inf]),
)
elements = st.one_of(
    near_the_grid,
    st.floats(-130, 130, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True),
)
scales = st.one_of(
    st.just(1.0),
    st.integers(-12, 12).map(lambda e: 2.0**e),
    st.floats(2.0**-10, 2.0**10, width=32),
    st.sampled_from([1.1754943508222875e-38, 1e-30, 3e38]),
)


@pytest.mark.kernels
@quick
@given(left=elements, right=elements, scale=scales)
@example(left=9.5, right=-9.5, scale=1.0)
@example(left=-0.5, right=0.5, scale=1.0)
@example(left=1e-45, right=-1e-45, scale=1.1754943508222875e-38)
@example(left=3e38, right=-3.3e38, scale=1e-30)
@example(left=14.0, right=-14.0, scale=1.0)
def test_ovp4_is_brute_force(left, right, scale):
    for pair_rule in PAIR_RULES:
        codes = formats.get("ovp4", pair_rule=pair_rule).encode(np.array([[left, right]], np.float32), scale)
        assert codes.tolist() == [[naive.encode_ovp4_pair(left, right, scale, pair_rule)]]


@pytest.mark.kernels
@quick
@given(left=near_the_grid, right=near_the_grid, exponent=st.integers(-30, 30))
def test_ovp4_is_brute_force_on_scaled_ties(left, right, exponent):
    scale = 2.0**exponent
    x = np.array([[left, right]], np.float32) * np.float32(scale)
    for pair_rule in PAIR_RULES:
        codes = formats.get("ovp4", pair_rule=pair_rule).encode(x, scale)
        assert codes.tolist() == [[naive.encode_ovp4_pair(x[0, 0], x[0, 1], scale, pair_rule)]]


@pytest.mark.kernels
@quick
@given(x=elements, scale=scales, bits=st.sampled_from([4, 8]))
@example(x=2.5, scale=1.0, bits=8)
def test_integers_are_naive(x, scale, bits):
    assert one(formats.get(f"int{bits}"), x, scale=scale) == [naive.encode_integer(x, scale, bits)]


@quick
@given(
    x=st.one_of(elements, st.floats(-70000, 70000, width=32), st.floats(-(2.0**-13), 2.0**-13, width=32)), scale=scales
)
@example(x=65520.0, scale=1.0)
@example(x=-65504.0, scale=1.0)
@example(x=2.0**-25, scale=1.0)
def test_fp16_is_naive(x, scale):
    assert one(formats.get("fp16"), x, scale=scale) == [naive.encode_fp16(x, scale)]


# binary16, exhaustively


def half_codes(bits):
    return np.asarray(bits, dtype="<u2").view(np.uint8).reshape(-1, 2)


def test_all_65536_halves_decode_by_the_formula():
    decoded = formats.get("fp16").decode(half_codes(np.arange(65536)), 1)
    assert decoded.dtype == np.float32
    expected = np.array([naive.decode_fp16(bits) for bits in range(65536)], np.float32)
    np.testing.assert_array_equal(decoded[:, 0], expected)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.signbit(decoded[finite, 0]), np.arange(65536)[finite] >= 0x8000)
    assert (~finite).sum() == 2 * 1024


def test_all_finite_halves_round_trip_and_the_others_are_refused():
    fmt = formats.get("fp16")
    codes = half_codes(np.arange(65536))
    values = fmt.decode(codes, 1)
    finite = np.isfinite(values[:, 0])
    np.testing.assert_array_equal(fmt.encode(values[finite], 1.0), codes[finite])  # -0.0 keeps its sign
    for value in (values[0x7C00], values[0xFC00], values[0x7E00]):
        assert refused(EncodingError, fmt.encode, value, 1.0) == (
            f"cannot encode {value[0]} at position (0,); all values must be finite in float32"
        )


def test_every_fp16_tie_goes_to_the_even_code():
    """All 31,743 midpoints of neighbouring halves, both signs; one float32 step to either side goes there."""
    fmt = formats.get("fp16")
    low = np.arange(0x7BFF)
    values = fmt.decode(half_codes(np.arange(0x7C00)), 1)[:, 0]
    ties = ((values[:-1].astype(np.float64) + values[1:]) / 2).astype(np.float32)
    assert (np.diff(values) > 0).all()
    for x, expected in (
        (ties, low + low % 2),
        (np.nextafter(ties, np.float32(0)), low),
        (np.nextafter(ties, np.float32(np.inf)), low + 1),
    ):
        np.testing.assert_array_equal(fmt.encode(x[:, None], 1.0), half_codes(expected))
        np.testing.assert_array_equal(fmt.encode(-x[:, None], 1.0), half_codes(expected + 0x8000))


def test_fp16_saturates_and_never_makes_infinity():
    fmt = formats.get("fp16")
    assert one(fmt, 65519.0, -65519.0, 65520.0, -1e30) == [65504, -65504, 65504, -65504]
    assert one(fmt, 3e38, -3e38, scale=1e-30) == [65504, -65504]
    assert one(fmt, 1.0, -1.0, scale=np.float32([1e-42, 1e-42])) == [65504, -65504]


# What all formats share


@pytest.mark.kernels
@every_format
def test_order_is_kept(which):
    """A larger real value never gets a smaller grid value; zero is zero, whatever its sign."""
    fmt = make(which)
    x = np.sort(np.concatenate([np.linspace(-140, 140, 4001), 10.0 ** np.linspace(-9, 6, 500), [0.0, -0.0]]))
    beside_zero = np.stack([x, np.zeros_like(x)], axis=-1)
    decoded = fmt.decode(fmt.encode(beside_zero, 1.0), 2)[:, 0]
    assert (np.diff(decoded.astype(np.float64)) >= 0).all()
    assert decoded[x == 0].tolist() == [0] * (x == 0).sum()


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused_by_position(which, bad):
    fmt = make(which)
    x = np.zeros((2, 3, 5), np.float32)
    x[1, 2, 0] = x[1, 2, 3] = bad
    expected = f"cannot encode {bad} at position (1, 2, 0); all values must be finite in float32"
    assert refused(EncodingError, fmt.encode, x, 1.0) == expected
    assert refused(EncodingError, fmt.calibrate, x) == expected
    assert refused(EncodingError, fmt.calibrate, x.astype(np.float64), axis=None) == expected


@every_format
def test_what_float32_cannot_hold_is_refused_by_position(which):
    assert refused(EncodingError, make(which).encode, np.array([[0, 1.0], [-1e300, 0]]), 1.0) == (
        "cannot encode -1e+300 at position (1, 0); all values must be finite in float32"
    )


@every_format
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, -0.0, 1e-60, 1e300], ids=str)
def test_bad_scales_are_refused(which, bad):
    fmt = make(which)
    for scale in (bad, np.array([[1.0], [bad]])):
        message = refused(EncodingError, fmt.encode, np.ones((2, 3), np.float32), scale)
        assert message == "a scale must be positive and finite"


@every_format
@pytest.mark.parametrize(
    ("x_shape", "scale_shape"), [((2, 3), (2,)), ((2, 3), (3, 1)), ((3,), (2, 1)), ((1, 3), (2, 1))]
)
def test_scales_that_do_not_broadcast_are_refused(which, x_shape, scale_shape):
    assert refused(EncodingError, make(which).encode, np.ones(x_shape), np.ones(scale_shape)) == (
        f"a scale of shape {scale_shape} does not broadcast against a tensor of shape {x_shape}"
    )


@every_format
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.float32(1), "cannot encode a tensor of shape (); at least one row of values is needed"),
        (np.zeros((3, 0)), "cannot encode a tensor of shape (3, 0); at least one row of values is needed"),
        (np.zeros((0, 3)), "cannot encode a tensor of shape (0, 3); at least one row of values is needed"),
        (np.array(["1"]), "cannot encode an array of <U1; numbers are needed"),
        (np.array([True]), "cannot encode an array of bool; numbers are needed"),
        (np.array([1j]), "cannot encode an array of complex128; numbers are needed"),
    ],
    ids=["scalar", "no columns", "no rows", "text", "bool", "complex"],
)
def test_what_is_no_tensor_is_refused(which, x, message):
    assert refused(EncodingError, make(which).encode, x, 1.0) == message
    assert refused(EncodingError, make(which).calibrate, x) == message


@every_format
def test_codes_of_the_wrong_size_or_type_are_refused(which):
    fmt = make(which)
    codes = fmt.encode(np.zeros((2, 6), np.float32), 1.0)
    good = fmt.packed_bytes(6)
    for bad, length in ((codes, 10), (codes.astype(np.int8), 6), (codes[:, :1], 6)):
        expected = f"{fmt.name}: expected uint8 codes of shape (..., {fmt.packed_bytes(length)}), "
        found = f"got {bad.dtype} of shape {bad.shape}"
        assert refused(EncodingError, fmt.decode, bad, length) == expected + found
    assert codes.shape == (2, good)


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 1), (3, 4), (2, 3, 5), (1, 2, 2, 6)], ids=str)
def test_shapes_dtypes_and_stored_bits(which, shape):
    fmt = make(which)
    x = heavy_tailed(3, shape)
    scale = fmt.calibrate(x, method="absmax")
    codes = fmt.encode(x, scale)
    decoded = fmt.decode(codes, shape[-1])
    bits = {"int4": 4, "ovp4": 4, "int8": 8, "fp16": 16}[fmt.name]
    row_bytes = math.ceil(shape[-1] / 2) if bits == 4 else shape[-1] * bits // 8
    rows = x.size // shape[-1]
    assert codes.dtype == np.uint8
    assert codes.shape == (*shape[:-1], row_bytes)
    assert decoded.dtype == (np.float32 if fmt.name == "fp16" else np.int32)
    assert decoded.shape == shape
    assert scale.dtype == np.float32
    assert scale.shape == (*shape[:-1], 1)
    stored = fmt.storage(shape, scales=rows)
    assert codes.nbytes * 8 == stored.payload_bits + stored.padding_bits
    assert stored.payload_bits == x.size * bits
    assert stored.padding_bits == (rows * bits if shape[-1] % 2 and bits == 4 else 0)
    assert stored.scale_bits == (0 if fmt.name == "fp16" else 32 * rows)
    assert stored.total_bits == codes.nbytes * 8 + stored.scale_bits
    assert stored.values == x.size
    assert stored.bits_per_value == stored.total_bits / x.size


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("K", [1, 3, 7])
def test_an_odd_length_is_padded_with_one_zero_and_rows_stay_apart(which, K):
    fmt = make(which)
    x = heavy_tailed(5, (4, K)) * np.float32(9)
    codes = fmt.encode(x, 1.0)
    width = K + K % fmt.values_per_group
    padded = np.concatenate([x, np.zeros((4, width - K), np.float32)], axis=1)
    np.testing.assert_array_equal(codes, fmt.encode(padded, 1.0))
    for row, code in zip(x, codes, strict=True):
        np.testing.assert_array_equal(fmt.encode(row, 1.0), code)
        assert fmt.decode(code, K).tolist() == naive.quantise_row(fmt.name, row, 1.0, **which[1])


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_scales_broadcast(which, seed):
    """Per tensor, per row, per leading axis, along K, and one for every value: all as if spelled out."""
    fmt = make(which)
    rng = np.random.default_rng(seed)
    x = heavy_tailed(seed, (2, 3, 5)) * np.float32(4)
    for shape in ((), (1,), (3, 1), (2, 1, 1), (2, 3, 1), (5,), (1, 5), (3, 5), (2, 3, 5)):
        scale = rng.uniform(0.1, 3, shape).astype(np.float32)
        codes = fmt.encode(x, scale)
        full = np.broadcast_to(scale, x.shape)
        with np.errstate(over="ignore"):
            spelled_out = fmt.encode(x / full, 1.0)
        np.testing.assert_array_equal(codes, spelled_out)
        for i in np.ndindex(2, 3):
            quotients = [x[i][k] / full[i][k] for k in range(5)]
            assert fmt.decode(codes[i], 5).tolist() == naive.quantise_row(fmt.name, quotients, 1.0, **which[1])


@pytest.mark.kernels
@every_format
def test_encoding_and_calibration_leave_their_inputs_alone(which):
    fmt = make(which)
    x, scale = heavy_tailed(1, (3, 6)), np.full((3, 1), 0.5, np.float32)
    kept = x.copy(), scale.copy()
    x.flags.writeable = scale.flags.writeable = False
    codes = fmt.encode(x, scale)
    codes.flags.writeable = False
    before = codes.copy()
    fmt.decode(codes, 6)
    fmt.calibrate(x)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(scale, kept[1])
    np.testing.assert_array_equal(codes, before)


@pytest.mark.kernels
@every_format
def test_layout_and_type_of_the_input_do_not_matter(which):
    fmt = make(which)
    x = np.round(heavy_tailed(2, (4, 6)) * 8) + 0  # integers have no -0.0
    codes, scale = fmt.encode(x, 0.5), fmt.calibrate(x)
    for same in (
        np.asfortranarray(x),
        x.astype(np.float64),
        x.astype(np.int64),
        x.tolist(),
        np.repeat(x, 2, 1)[:, ::2],
    ):
        np.testing.assert_array_equal(fmt.encode(same, 0.5), codes)
        np.testing.assert_array_equal(fmt.calibrate(same), scale)
    apart = np.repeat(codes, 2, axis=-1)[:, ::2]
    np.testing.assert_array_equal(fmt.decode(apart, 6), fmt.decode(codes, 6))


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_squared_error_is_that_of_decoded_codes(which, seed):
    """Equal in every bit for one-pass kernels, which sum in order; to 1e-12 for the general path, which may not."""
    fmt = make(which)
    rows = heavy_tailed(seed, (5, 1 + 4 * seed)) * np.float32(6)
    scale = np.random.default_rng(seed).uniform(0.2, 2, 5).astype(np.float32)
    decoded = fmt.decode(fmt.encode(rows, scale[:, None]), rows.shape[1]).tolist()
    expected = [
        naive.squared_error([row], s, lambda *_, values=values: values)
        for row, values, s in zip(rows, decoded, scale, strict=True)
    ]
    found = fmt.squared_error(rows, scale)
    assert found.dtype == np.float64
    if fmt.name == "fp16":
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    else:
        assert found.tolist() == expected
    np.testing.assert_allclose(Format.squared_error(fmt, rows, scale), expected, rtol=1e-12, atol=0)


@pytest.mark.kernels
@every_format
def test_an_error_that_is_summed_up_to_a_limit_is_whole_below_it_and_larger_beyond(which):
    fmt = make(which)
    rows = heavy_tailed(7, (40, 301)) * np.float32(6)
    rng = np.random.default_rng(7)
    scale = rng.uniform(0.2, 2, 40).astype(np.float32)
    whole = fmt.squared_error(rows, scale)
    for most in (whole, np.full(40, np.inf), whole * rng.uniform(0, 1.2, 40), np.zeros(40)):
        found = fmt.error_up_to(rows, scale, most)
        below = whole <= most
        assert (found[below] == whole[below]).all()
        assert (found[~below] > most[~below]).all()


# Calibration


@pytest.mark.kernels
@pytest.mark.parametrize("which", [w for w in ALL if w[0] != "fp16"], ids=label)
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_calibration_is_naive(which, method, seed):
    """Equal float32 scales, no tolerance: the float64 sums behind them differ in the last bits at most."""
    fmt = make(which)
    K = (6, 7, 1, 12)[seed]
    x = heavy_tailed(seed, (4, K)) * np.float32(10.0 ** (seed - 1))
    x[2] = 0
    options = which[1]

    def quantise(row, scale):
        return naive.quantise_row(fmt.name, row, scale, **options)

    for axis in (-1, None):
        expected = naive.calibrate(x, MAX_NORMAL[fmt.name], method, axis, quantise)
        found = fmt.calibrate(x, axis=axis, method=method)
        assert found.shape == ((4, 1) if axis == -1 else ())
        assert found.reshape(-1).tolist() == np.array(expected, np.float32).reshape(-1).tolist()


@pytest.mark.kernels
@pytest.mark.parametrize("name", MAX_NORMAL)
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
def test_rows_of_zeros_get_scale_one(name, method):
    fmt = formats.get(name)
    x = np.zeros((3, 4), np.float32)
    assert fmt.calibrate(x, method=method).tolist() == [[1.0]] * 3
    assert fmt.calibrate(x, axis=None, method=method).tolist() == 1.0
    x[1] = [1, -2, 3, 4]
    scale = fmt.calibrate(x, method=method)
    assert scale[[0, 2]].tolist() == [[1.0], [1.0]]
    assert (scale[1, 0] == 1.0) == (name == "fp16")


@pytest.mark.kernels
@pytest.mark.parametrize("name", INTEGERS)
def test_absmax_puts_the_largest_magnitude_on_the_largest_code(name):
    fmt, n = formats.get(name), INTEGERS[name]
    x = np.array([[3.0, -n * 0.25, 1.0], [n * 2.0, 0.0, -1.0]], np.float32)
    scale = fmt.calibrate(x, method="absmax")
    assert scale.tolist() == [[np.float32(max(3.0, n * 0.25) / n)], [2.0]]
    assert one(fmt, *x[1], scale=scale[1]) == [n, 0, 0]


def test_three_sigma_by_hand():
    """Mean 2, standard deviation (N-1) 2: the larger of |2 + 6| and |2 - 6| lies on 7."""
    x = np.array([[0.0, 2.0, 4.0]], np.float32)
    assert formats.get("int4").calibrate(x, method="three_sigma").tolist() == [[np.float32(8 / 7)]]
    assert formats.get("int4").calibrate(-x, method="three_sigma").tolist() == [[np.float32(8 / 7)]]
    assert formats.get("int8").calibrate(x[:, 1:2], method="three_sigma").tolist() == [[np.float32(2 / 127)]]


@pytest.mark.kernels
def test_mse_tries_the_candidates_of_the_contract_and_the_first_best_wins():
    fmt = formats.get("int4")
    seen = []

    class Spy(type(fmt)):
        def error_up_to(self, rows, scale, most):
            seen.append(float(scale[0]))
            return np.zeros(len(rows))

    x = np.array([[0.0, 2.0, 4.0]], np.float32)
    scale = Spy().calibrate(x)
    assert seen == [float(np.float32(8 * (i / 100) / 7)) for i in range(75, 250, 2)]
    assert scale.tolist() == [[seen[0]]]


def test_mse_asks_a_class_that_changes_the_squared_error_alone():
    class NearOne(type(formats.get("int4"))):
        """The error that counts is the distance of the scale from 1."""

        def squared_error(self, rows, scale):
            return np.abs(scale.astype(np.float64) - 1)

    scale = NearOne().calibrate(np.array([[0.0, 2.0, 4.0]], np.float32))
    assert abs(scale[0, 0] - 1) < abs(formats.get("int4").calibrate(np.array([[0.0, 2.0, 4.0]], np.float32))[0, 0] - 1)


@pytest.mark.kernels
@pytest.mark.parametrize("name", ["int4", "int8", "ovp4"])
@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 3.4e38])
def test_scales_of_extreme_tensors_can_be_used(name, magnitude):
    fmt = formats.get(name)
    x = np.array([[magnitude, -magnitude, 0.0]], np.float32)
    for method in ("mse", "absmax", "three_sigma"):
        scale = fmt.calibrate(x, method=method)
        assert naive.FLOAT32_TINY <= scale[0, 0] <= naive.FLOAT32_MAX
        fmt.encode(x, scale)


def test_fp16_needs_no_scale():
    fmt = formats.get("fp16")
    assert fmt.calibrate(np.full((2, 3), 1e9)).tolist() == [[1.0], [1.0]]
    assert fmt.calibrate(np.full((2, 3), 1e9), axis=None).tolist() == 1.0
    assert not fmt.has_scale


# Names and options


def test_names():
    assert formats.names() == sorted(formats.names())
    assert {"fp16", "int4", "int8", "ovp4"} <= set(formats.names())
    for name in formats.names():
        assert formats.get(name).name == name
    assert formats.get("ovp4") == formats.get("ovp4", pair_rule="larger") != formats.get("ovp4", pair_rule="left")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fp17", {}, f"unknown format 'fp17'; did you mean 'fp16'?; known: {', '.join(formats.names())}"),
        ("zzz", {}, f"unknown format 'zzz'; known: {', '.join(formats.names())}"),
        (
            "ovp4",
            {"pair_rul": "left"},
            "unknown option of format ovp4 'pair_rul'; did you mean 'pair_rule'?; known: pair_rule",
        ),
        ("int8", {"bits": 3}, "unknown option of format int8 'bits'; known: none"),
        ("ovp4", {"pair_rule": "lager"}, "unknown pair_rule 'lager'; did you mean 'larger'?; known: larger, left"),
        ("ovp4", {"pair_rule": 3}, "unknown pair_rule '3'; known: larger, left"),
    ],
)
def test_unknown_names_offer_the_nearest(name, options, message):
    assert refused(UnknownNameError, formats.get, name, **options) == message
    assert issubclass(UnknownNameError, ConfigError)


@every_format
def test_unknown_calibrations_are_refused(which):
    x = np.ones((2, 2), np.float32)
    assert refused(UnknownNameError, make(which).calibrate, x, method="msee") == (
        "unknown calibration 'msee'; did you mean 'mse'?; known: absmax, mse, three_sigma"
    )
    assert refused(EncodingError, make(which).calibrate, x, axis=0) == (
        "calibrate works per row (axis=-1) or per tensor (axis=None), got axis=0"
    )


def test_formats_are_frozen():
    fmt = formats.get("ovp4")
    with pytest.raises(AttributeError, match=re.escape("cannot assign to field 'pair_rule'")):
        fmt.pair_rule = "left"
