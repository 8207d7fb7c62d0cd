"""Formats made for outliers: every code, tie and complaint, against naive versions and the published tables."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator import formats
from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats import Encoded, Format
from tests import naive
from tests import naive_outlier as oracle

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.filterwarnings("ignore:overflow encountered"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered"),
]
"""Kernels run as plain Python (``make nojit``) warn of quotients beyond float32; compiled ones do not."""

PAIR_RULES = ("larger", "left")
quick = settings(deadline=None, max_examples=200)

ABFLOATS = [(2, 1, b) for b in range(4)] + [(3, 0, 2), (0, 3, 0), (1, 2, 1), (4, 3, 4), (2, 5, 2), (3, 1, 0), (1, 0, 0)]
"""Exponent bits, mantissa bits, bias."""


class Table:
    """A format that is a table, and its naive version."""

    def __init__(self, name, bits, value_of, largest, **options):
        self.name, self.bits, self.value_of, self.largest, self.options = name, bits, value_of, largest, options
        self.codes = oracle.codes_of(value_of, bits)
        self.grid = sorted(self.codes)

    def __repr__(self):
        return "-".join(map(str, [self.name, *self.options.values()]))

    def make(self) -> Format:
        return formats.get(self.name, **self.options)

    def quantise(self, row, scale):
        return [oracle.nearest(naive.quotient(x, scale), self.codes) for x in row]


def abfloat_table(e, m, b):
    def value_of(code):
        return oracle.abfloat(code, e, m, b)

    largest = (2 ** (m + 1) - 1) * 2 ** (2**e - 1 + b)
    return Table("abfloat", 1 + e + m, value_of, largest, exp_bits=e, man_bits=m, bias=b)


TABLES = [
    Table("flint4", 4, oracle.flint_signed, 16),
    Table("flint4_unsigned", 4, oracle.flint_unsigned, 64),
    Table("pot4", 4, oracle.pot, 64),
    *(abfloat_table(*layout) for layout in ABFLOATS),
]
every_table = pytest.mark.parametrize("table", TABLES, ids=repr)


class OvpCase:
    """A kind of pairs, and its naive version."""

    def __init__(self, label, name, normals, outliers, boundary, **options):
        self.label, self.name, self.options, self.oracle = label, name, options, oracle.OVP[label]
        self.normals, self.outliers, self.boundary = normals, outliers, boundary
        self.grid = sorted([*normals, *outliers, *(-v for v in outliers)])

    def __repr__(self):
        return self.label

    def make(self, pair_rule="larger") -> Format:
        return formats.get(self.name, pair_rule=pair_rule, **self.options)

    def codes(self, *pair):
        """Stored bytes of one pair of codes."""
        return [pair[0] << 4 | pair[1]] if self.oracle.bits == 4 else list(pair)

    def all_pairs(self):
        """Codes (n, bytes per pair) of every pair."""
        if self.oracle.bits == 4:
            return np.arange(256, dtype=np.uint8)[:, None]
        return np.stack(np.divmod(np.arange(65536), 256), axis=-1).astype(np.uint8)

    def split(self, stored):
        return divmod(int(stored[0]), 16) if self.oracle.bits == 4 else tuple(int(c) for c in stored)


FLINTS = sorted({v * s for v in (0, 1, 2, 3, 4, 6, 8, 16) for s in (1, -1)})
E4M3 = [(8 + m) << (e + 4) for e in range(9) for m in range(8)][1:-7]
E2M5 = [(32 + m) << (e + 2) for e in range(4) for m in range(32)][1:]
OVPS = [
    OvpCase("ovp4", "ovp4", list(range(-7, 8)), [12, 16, 24, 32, 48, 64, 96], 9.5),
    OvpCase("ovp4_flint", "ovp4_flint", FLINTS, [24, 32, 48, 64, 96, 128, 192], 20),
    OvpCase("ovp8", "ovp8", list(range(-127, 128)), E4M3, 135.5),
    OvpCase("ovp8_e2m5", "ovp8", list(range(-127, 128)), E2M5, 129.5, outlier_format="e2m5"),
]
every_ovp = pytest.mark.parametrize("case", OVPS, ids=repr)
both_rules = pytest.mark.parametrize("pair_rule", PAIR_RULES)
SCALED = [*TABLES, *OVPS]
every_scaled = pytest.mark.parametrize("case", SCALED, ids=repr)
"""Those that are one scale and codes."""
OPERANDS = [
    ("ant4", {}),
    ("ant4", {"type_per": "operand"}),
    ("ant4", {"types": "pot-int"}),
    ("ovp4_auto", {}),
    ("ovp4_auto", {"pair_rule": "left"}),
    ("olaccel4", {}),
    ("olaccel4", {"outlier_share": 0.25}),
    ("biscaled6", {}),
    ("biscaled6", {"block": 32}),
    ("flint4", {}),
    ("ovp4_flint", {}),
    ("ovp8", {}),
    ("abfloat", {"exp_bits": 3, "man_bits": 2}),
]
every_operand = pytest.mark.parametrize("which", OPERANDS, ids=lambda w: "-".join(map(str, [w[0], *w[1].values()])))


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


def around(value):
    """The float32 before a value, the value, the one after."""
    middle = np.float32(value)
    assert middle == value
    return np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))


def drawn(grid):
    """Strategies of real values: on and beside the grid and its midpoints, in range, and anywhere in float32."""
    points = sorted({*grid, *((a + b) / 2 for a, b in pairwise(grid))})
    beside = st.builds(lambda v, side: float(around(v)[side]), st.sampled_from(points), st.integers(0, 2))
    top = float(1.3 * max(map(abs, grid)))
    return st.one_of(
        beside,
        st.floats(-top, top).map(lambda v: float(np.float32(v))),
        st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True),
    )


scales = st.one_of(
    st.just(1.0),
    st.integers(-12, 12).map(lambda e: 2.0**e),
    st.floats(2.0**-10, 2.0**10, width=32),
    st.sampled_from([1.1754943508222875e-38, 1e-30, 3e38]),
)


# Tables: flint4, flint4_unsigned, pot4, abfloat


@pytest.mark.parametrize(
    ("name", "options", "magnitudes"),
    [
        ("flint4", {}, [0, 1, 2, 3, 4, 6, 8, 16]),
        ("pot4", {}, [0, 1, 2, 4, 8, 16, 32, 64]),
        ("flint4_unsigned", {}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 64]),
        ("abfloat", {"bias": 0}, [0, 3, 4, 6, 8, 12, 16, 24]),
        ("abfloat", {"bias": 2}, [0, 12, 16, 24, 32, 48, 64, 96]),
        ("abfloat", {"bias": 3}, [0, 24, 32, 48, 64, 96, 128, 192]),
        ("abfloat", {"exp_bits": 0, "man_bits": 3, "bias": 0}, [0, 9, 10, 11, 12, 13, 14, 15]),
        ("abfloat", {"exp_bits": 3, "man_bits": 0, "bias": 0}, [0, 2, 4, 8, 16, 32, 64, 128]),
        ("abfloat", {"exp_bits": 1, "man_bits": 2, "bias": 0}, [0, 5, 6, 7, 8, 10, 12, 14]),
    ],
)
def test_the_published_grids(name, options, magnitudes):
    """OliVe, Tables 3 and 4; ANT's grids. Bias 0: code 001 is 3, the value 2 does not exist."""
    fmt = formats.get(name, **options)
    values = fmt.decode(np.arange(256, dtype=np.uint8)[:, None], 2)
    signed = set() if name == "flint4_unsigned" else {-m for m in magnitudes}
    assert set(values.ravel().tolist()) == signed | set(magnitudes)
    assert fmt.max_normal == max(magnitudes)


def test_published_codes():
    """First-one coding (contract, section 4; ANT), abfloat 0101 with bias 2 = 3 << 4, code 001 with bias 0 = 3."""
    codes = np.array([[0x01, 0x23, 0x45, 0x67], [0x89, 0xAB, 0xCD, 0xEF]], np.uint8)
    assert formats.get("flint4").decode(codes, 8).tolist() == [
        [0, 1, 2, 3, 16, 8, 4, 6],
        [0, -1, -2, -3, -16, -8, -4, -6],
    ]
    assert formats.get("flint4_unsigned").decode(codes, 8).tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [64, 32, 16, 24, 8, 10, 12, 14],
    ]
    assert formats.get("pot4").decode(codes, 8).tolist() == [
        [0, 1, 2, 4, 8, 16, 32, 64],
        [0, -1, -2, -4, -8, -16, -32, -64],
    ]
    assert formats.get("abfloat", bias=2).decode(np.array([0x5D], np.uint8), 2).tolist() == [48, -48]
    assert formats.get("abfloat", bias=0).decode(np.array([0x19], np.uint8), 2).tolist() == [3, -3]


@every_table
def test_every_code_decodes_as_naive(table):
    fmt, codes = table.make(), list(range(2**table.bits))
    packed = np.array([oracle.pack(codes, table.bits)], np.uint8)
    decoded = fmt.decode(packed, len(codes))
    assert decoded.dtype == np.int32
    assert decoded[0].tolist() == [table.value_of(code) for code in codes]
    assert fmt.bits == table.bits
    assert fmt.max_normal == table.largest == max(table.grid)


@every_table
def test_every_code_round_trips_but_minus_zero(table):
    fmt, codes = table.make(), list(range(2**table.bits))
    values = np.array([[table.value_of(code) for code in codes]], np.float32)
    expected = [table.codes[table.value_of(code)] for code in codes]
    again = oracle.unpack(fmt.encode(values, 1.0)[0], table.bits, len(codes))
    assert again == expected
    differing = [code for code in codes if again[code] != code]
    assert differing == ([] if table.name == "flint4_unsigned" else [2 ** (table.bits - 1)])


@every_table
def test_table_ties_go_up_and_their_neighbours_do_not(table):
    fmt = table.make()
    for low, high in pairwise(table.grid):
        assert one(fmt, *around((low + high) / 2)) == [low, high, high]
        assert one(fmt, *(v * np.float32(0.125) for v in around((low + high) / 2)), scale=0.125) == [low, high, high]


@every_table
@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-20])
def test_tables_saturate_and_zero_is_zero(table, scale):
    fmt = table.make()
    for big in (table.largest * 1.01, table.largest * 1e3, 3e38):
        assert one(fmt, big, -big, scale=scale if big > 1e30 else 1.0) == [table.grid[-1], table.grid[0]]
    assert one(fmt, 0.0, -0.0, 1e-45, scale=scale) == [0, 0, 0]
    assert one(fmt, 3e38, -3e38, scale=np.float32([1e-30, 1e-30])) == [table.grid[-1], table.grid[0]]


def test_unsigned_flint_clips_negatives_to_zero():
    assert one(formats.get("flint4_unsigned"), -0.1, -7, -1e30, 0.5, 0.49, 65) == [0, 0, 0, 1, 0, 64]


@every_table
@quick
@given(data=st.data(), scale=scales)
def test_tables_are_brute_force(table, data, scale):
    row = data.draw(st.lists(drawn(table.grid), min_size=1, max_size=9))
    packed = table.make().encode(np.array([row], np.float32), scale)[0].tolist()
    assert packed == oracle.pack(oracle.encode_grid(row, scale, table.value_of, table.bits), table.bits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exp_bits": 5, "man_bits": 3}, "1 sign, 5 exponent and 3 mantissa bits make 9; 2 to 8 are possible"),
        ({"exp_bits": 0, "man_bits": 0}, "1 sign, 0 exponent and 0 mantissa bits make 1; 2 to 8 are possible"),
        (
            {"exp_bits": 5, "man_bits": 0},
            "the largest value of E5M0 with bias 2 exceeds 2147483647; lower exp_bits or bias",
        ),
        (
            {"exp_bits": 7, "man_bits": 0},
            "the largest value of E7M0 with bias 2 exceeds 2147483647; lower exp_bits or bias",
        ),
        ({"bias": 27}, "the largest value of E2M1 with bias 27 exceeds 2147483647; lower exp_bits or bias"),
        ({"bias": -1}, "bias must be an integer of at least 0, got -1"),
        ({"man_bits": 1.5}, "man_bits must be an integer of at least 0, got 1.5"),
        ({"exp_bits": True}, "exp_bits must be an integer of at least 0, got True"),
    ],
)
def test_impossible_abfloats_are_refused(options, message):
    assert refused(ConfigError, formats.get, "abfloat", **options) == f"abfloat: {message}"


def test_the_widest_abfloats():
    assert formats.get("abfloat", bias=26).max_normal == 3 << 29
    assert formats.get("abfloat", exp_bits=4, man_bits=3, bias=12).max_normal == 15 << 27
    assert formats.get("abfloat", exp_bits=0, man_bits=7, bias=0).bits == 8


# Outlier-victim pairs


@every_ovp
def test_the_grids_of_pairs_are_the_published_ones(case):
    """OliVe, Tables 3 and 4, section 4.5; E2M5 as in the released code: 132 to 2016."""
    assert sorted(case.oracle.normals) == sorted(case.normals)
    assert sorted(v for v in case.oracle.outliers if v > 0) == sorted(case.outliers)
    counts = {"ovp4": 7, "ovp4_flint": 7, "ovp8": 64, "ovp8_e2m5": 127}
    assert len(case.outliers) == counts[case.label]
    ends = {"ovp4": (12, 96), "ovp4_flint": (24, 192), "ovp8": (144, 32768), "ovp8_e2m5": (132, 2016)}
    assert (case.outliers[0], case.outliers[-1]) == ends[case.label]
    assert case.make().max_normal == case.normals[-1] == {"ovp4": 7, "ovp4_flint": 16}.get(case.label, 127)
    assert case.boundary == (case.normals[-1] + case.outliers[0]) / 2


@every_ovp
@both_rules
def test_every_pair_decodes_as_naive_or_is_refused_by_position(case, pair_rule):
    fmt, stored = case.make(pair_rule), case.all_pairs()
    expected = [case.oracle.decode_pair(*case.split(s)) for s in stored]
    legal = np.array([e is not None for e in expected])
    decoded = fmt.decode(stored[legal], 2)
    assert decoded.dtype == np.int32
    assert [tuple(pair) for pair in decoded.tolist()] == [e for e in expected if e is not None]
    assert (~legal).sum() == {"ovp8": 255}.get(case.label, 3)
    for pair in stored[~legal]:
        codes = np.zeros((2, 3, 2 * len(pair)), np.uint8)
        codes[1, 0, len(pair) :] = codes[1, 2, : len(pair)] = pair
        shown = f"byte 0x{pair[0]:02x}" if len(pair) == 1 else f"pair 0x{pair[0]:02x} 0x{pair[1]:02x}"
        message = refused(EncodingError, fmt.decode, codes, 4)
        assert message == f"{case.name}: illegal {shown} at position (1, 0, {len(pair)})"


def test_illegal_pairs_are_those_whose_outlier_cannot_be():
    """Zero, minus zero (the identifier), and above 2^15 with E4M3."""
    for case, zeros in ((OVPS[1], {0x08, 0x80, 0x88}), (OVPS[3], {(0, 0x80), (0x80, 0), (0x80, 0x80)})):
        illegal = {case.split(s) for s in case.all_pairs() if case.oracle.decode_pair(*case.split(s)) is None}
        assert illegal == {divmod(z, 16) if isinstance(z, int) else z for z in zeros}
    ovp8 = OVPS[2]
    assert ovp8.make().decode(np.array([0x40, 0x80, 0x80, 0xC0], np.uint8), 4).tolist() == [2**15, 0, 0, -(2**15)]
    assert refused(EncodingError, ovp8.make().decode, np.array([0x41, 0x80], np.uint8), 2) == (
        "ovp8: illegal pair 0x41 0x80 at position (0,)"
    )


@every_ovp
@both_rules
def test_every_legal_pair_round_trips(case, pair_rule):
    fmt, stored = case.make(pair_rule), case.all_pairs()
    legal = stored[[case.oracle.decode_pair(*case.split(s)) is not None for s in stored]]
    values = fmt.decode(legal, 2)
    np.testing.assert_array_equal(fmt.encode(values.astype(np.float32), 1.0), legal)
    np.testing.assert_array_equal(fmt.encode(values.astype(np.float32) * np.float32(0.25), 0.25), legal)


@every_ovp
@both_rules
def test_only_legal_pairs_are_produced(case, pair_rule):
    rng = np.random.default_rng(1)
    top = 1.2 * case.outliers[-1]
    x = np.where(rng.random((64, 4096)) < 0.6, rng.uniform(-1, 1, (64, 4096)) * case.boundary, rng.uniform(-top, top))
    codes = case.make(pair_rule).encode(x, 1.0)
    decoded = case.make(pair_rule).decode(codes, 4096)  # raises on an illegal pair
    if case.oracle.bits == 4:
        x[:, ::2] = rng.uniform(-top, top, (64, 2048))
        seen = {*codes.ravel().tolist(), *case.make(pair_rule).encode(x, 1.0).ravel().tolist()}
        seen |= {*case.make(pair_rule).encode(x[:, ::-1], 1.0).ravel().tolist()}
        assert set(range(256)) - seen == {0x08, 0x80, 0x88}
    assert set(decoded.ravel().tolist()) <= set(case.grid)


@every_ovp
@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
def test_ties_of_pairs(case, side):
    """Up within a grid, both signs; to the outlier between the grids."""
    fmt = case.make()
    for low, high in pairwise(case.grid):
        tie = (low + high) / 2
        goes_to = low if tie == -case.boundary else high
        x = np.zeros((3, 2), np.float32)
        x[:, side] = around(tie)
        for scale in (1.0, 0.125):
            decoded = fmt.decode(fmt.encode(x * np.float32(scale), scale), 2)
            assert decoded[:, side].tolist() == [low, goes_to, high]
            assert decoded[:, 1 - side].tolist() == [0, 0, 0]


@every_ovp
@pytest.mark.parametrize("scale", [1.0, 0.3, 1e-20])
def test_pairs_saturate(case, scale):
    top = case.outliers[-1]
    for big in (top * 1.001 * scale, top * 10 * scale, 3e38):
        assert one(case.make(), big, 0, scale=scale) == [top, 0]
        assert one(case.make(), 0, -big, scale=scale) == [0, -top]


@pytest.mark.parametrize(
    ("label", "pair", "stored"),
    [
        ("ovp4_flint", (0, 0), [0x00]),
        ("ovp4_flint", (16, -16), [0x4C]),
        ("ovp4_flint", (8, 4), [0x56]),
        ("ovp4_flint", (6, -1), [0x79]),
        ("ovp4_flint", (-0.0, 3), [0x03]),
        ("ovp4_flint", (24, 1), [0b0001_1000]),
        ("ovp4_flint", (1, -192), [0b1000_1111]),
        ("ovp4_flint", (48, 0), [0b0011_1000]),
        ("ovp4_flint", (19.9, 0), [0x40]),
        ("ovp4_flint", (20, 0), [0b0001_1000]),
        ("ovp4_flint", (-20, 0), [0b1001_1000]),
        ("ovp8", (0, 0), [0, 0]),
        ("ovp8", (127, -127), [0x7F, 0x81]),
        ("ovp8", (135.4, -1), [0x7F, 0xFF]),
        ("ovp8", (135.5, -1), [0x01, 0x80]),
        ("ovp8", (5, -135.5), [0x80, 0x81]),
        ("ovp8", (160, 0), [0x02, 0x80]),
        ("ovp8", (0, 256), [0x80, 0x08]),
        ("ovp8", (1e9, 0), [0x40, 0x80]),
        ("ovp8", (0, -32768), [0x80, 0xC0]),
        ("ovp8_e2m5", (129.4, 0), [0x7F, 0x00]),
        ("ovp8_e2m5", (129.5, 0), [0x01, 0x80]),
        ("ovp8_e2m5", (0, -132), [0x80, 0x81]),
        ("ovp8_e2m5", (256, 0), [0x20, 0x80]),
        ("ovp8_e2m5", (3000, 7), [0x7F, 0x80]),
    ],
)
def test_pairs_by_hand(label, pair, stored):
    case = next(c for c in OVPS if c.label == label)
    for pair_rule in PAIR_RULES:
        assert case.make(pair_rule).encode(np.array(pair, np.float32), 1.0).tolist() == stored
        assert case.codes(*case.oracle.encode_pair(*pair, pair_rule=pair_rule)) == stored


@every_ovp
def test_of_two_outliers_one_survives(case):
    a, b = case.outliers[0], case.outliers[2]
    top = case.outliers[-1]
    larger, left = case.make("larger"), case.make("left")
    for pair, by_size, by_place in (
        ((a, -b), [0, -b], [a, 0]),
        ((-b, a), [-b, 0], [-b, 0]),
        ((b, -b), [b, 0], [b, 0]),  # equal magnitudes: the left one
        ((-b, b), [-b, 0], [-b, 0]),
        ((2 * top, -3 * top), [0, -top], [top, 0]),  # the magnitude before saturation decides
        ((3e38, -3.1e38), [0, -top], [top, 0]),
        ((case.boundary, -case.boundary), [a, 0], [a, 0]),
    ):
        assert one(larger, *pair) == by_size
        assert one(left, *pair) == by_place


@every_ovp
@quick
@given(data=st.data(), scale=scales)
def test_pairs_are_brute_force(case, data, scale):
    left, right = data.draw(drawn(case.grid)), data.draw(drawn(case.grid))
    for pair_rule in PAIR_RULES:
        stored = case.make(pair_rule).encode(np.array([left, right], np.float32), scale).tolist()
        assert stored == case.codes(*case.oracle.encode_pair(left, right, scale, pair_rule))


@quick
@given(left=drawn(OVPS[0].grid), right=drawn(OVPS[0].grid), scale=scales)
@example(left=9.5, right=-9.5, scale=1.0)
@example(left=14.0, right=-14.0, scale=1.0)
def test_both_oracles_of_ovp4_agree(left, right, scale):
    for pair_rule in PAIR_RULES:
        high, low = oracle.OVP["ovp4"].encode_pair(left, right, scale, pair_rule)
        assert high << 4 | low == naive.encode_ovp4_pair(left, right, scale, pair_rule)


@every_ovp
@pytest.mark.parametrize("K", [1, 3, 7])
def test_an_odd_row_ends_in_a_pair_with_zero(case, K):
    """Also where its last value is an outlier; pairs never straddle rows."""
    x = heavy_tailed(5, (4, K)) * np.float32(case.boundary)
    x[0, -1] = x[1, -1] = -2 * case.outliers[-1]
    fmt = case.make()
    codes = fmt.encode(x, 1.0)
    assert codes.shape == (4, (K + 1) // 2 * case.oracle.bits // 4)
    np.testing.assert_array_equal(codes, fmt.encode(np.pad(x, ((0, 0), (0, 1))), 1.0))
    for row, stored in zip(x, codes, strict=True):
        assert fmt.decode(stored, K).tolist() == case.oracle.quantise(row, 1.0)
    assert fmt.decode(codes, K)[0, -1] == -case.outliers[-1]


@every_ovp
def test_census_counts_the_outliers(case):
    x = heavy_tailed(3, (1, 5, 33)) * np.float32(8)
    (operand,) = case.make().encode_operand(x, "row", "three_sigma")
    decoded = case.make().decode_operand(operand)
    expected = int((np.abs(decoded) > case.normals[-1]).sum())
    assert expected > 0
    assert case.make().census(operand) == {"outliers": expected}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ovp8", {"outlier_format": "e5m2"}, "unknown outlier_format 'e5m2'; known: e2m5, e4m3"),
        ("ovp8", {"pair_rule": "lager"}, "unknown pair_rule 'lager'; did you mean 'larger'?; known: larger, left"),
        ("ovp4_flint", {"pair_rule": 1}, "unknown pair_rule '1'; known: larger, left"),
        ("ovp4_auto", {"pair_rule": "lef"}, "unknown pair_rule 'lef'; did you mean 'left'?; known: larger, left"),
        (
            "ovp4",
            {"outlier_format": "e2m5"},
            "unknown option of format ovp4 'outlier_format'; known: pair_rule",
        ),
        ("ant4", {"types": "int-flit"}, "unknown ANT type 'flit'; did you mean 'flint'?; known: flint, int, pot"),
        ("ant4", {"types": ""}, "unknown ANT type ''; known: flint, int, pot"),
        ("ant4", {"types": "int-int"}, "ant4: each of the types 'int-int' may be named once"),
        ("ant4", {"type_per": "row"}, "unknown type_per 'row'; known: operand, scale"),
        ("olaccel4", {"outlier_share": 1.5}, "olaccel4: outlier_share must lie within 0 and 1, got 1.5"),
        ("olaccel4", {"outlier_share": math.nan}, "olaccel4: outlier_share must lie within 0 and 1, got nan"),
        ("olaccel4", {"outlier_share": "3%"}, "olaccel4: outlier_share must lie within 0 and 1, got '3%'"),
        ("biscaled6", {"block": 12}, "biscaled6: block must be 8, 16, 32 or 64, got 12"),
        ("biscaled6", {"block": 8.0}, "biscaled6: block must be 8, 16, 32 or 64, got 8.0"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    assert refused(ConfigError, formats.get, name, **options) == message
    assert issubclass(UnknownNameError, ConfigError)


# What scaled formats share


def quantise_of(case):
    return case.quantise if isinstance(case, Table) else case.oracle.quantise


@every_scaled
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
def test_calibration_is_naive(case, method):
    fmt, x = case.make(), heavy_tailed(4, (3, 5)) * np.float32(3)
    x[1] = 0
    if method == "mse" and fmt.bits == 8:
        x = x[:2, :4]  # brute force over hundreds of values
    for axis in (-1, None):
        expected = naive.calibrate(x, fmt.max_normal, method, axis, quantise_of(case))
        found = fmt.calibrate(x, axis=axis, method=method)
        assert found.reshape(-1).tolist() == np.array(expected, np.float32).reshape(-1).tolist()


@every_scaled
def test_squared_error_is_that_of_decoded_codes(case):
    """Equal in every bit: one pass, summed in order."""
    fmt, x = case.make(), heavy_tailed(6, (4, 9)) * np.float32(6)
    scale = np.random.default_rng(2).uniform(0.2, 2, 4).astype(np.float32)
    decoded = fmt.decode(fmt.encode(x, scale[:, None]), 9).tolist()
    expected = [naive.squared_error([r], s, lambda *_, v=v: v) for r, v, s in zip(x, decoded, scale, strict=True)]
    assert fmt.squared_error(x, scale).tolist() == expected
    assert decoded == [quantise_of(case)(row, s) for row, s in zip(x, scale, strict=True)]


@every_scaled
def test_order_is_kept(case):
    """A larger real value never gets a smaller grid value; zero is zero, whatever its sign."""
    fmt = case.make()
    x = np.sort(np.concatenate([np.linspace(-140, 140, 4001), 10.0 ** np.linspace(-9, 6, 500), [0.0, -0.0]]))
    decoded = fmt.decode(fmt.encode(np.stack([x, np.zeros_like(x)], axis=-1), 1.0), 2)[:, 0]
    assert (np.diff(decoded) >= 0).all()
    assert decoded[x == 0].tolist() == [0] * (x == 0).sum()


@every_scaled
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4), (2, 3, 5), (1, 2, 2, 8)], ids=str)
def test_shapes_and_stored_bits(case, shape):
    fmt, x = case.make(), heavy_tailed(3, shape)
    scale = fmt.calibrate(x, method="absmax")
    codes = fmt.encode(x, scale)
    decoded = fmt.decode(codes, shape[-1])
    rows, group = x.size // shape[-1], 2 if isinstance(case, OvpCase) else math.lcm(8, fmt.bits) // fmt.bits
    assert (fmt.values_per_group, codes.dtype, decoded.dtype, decoded.shape) == (group, np.uint8, np.int32, shape)
    assert codes.shape == (*shape[:-1], math.ceil(shape[-1] / group) * group * fmt.bits // 8)
    stored = fmt.storage(shape, scales=rows)
    assert (stored.payload_bits, stored.scale_bits, stored.index_bits) == (x.size * fmt.bits, 32 * rows, 0)
    assert codes.nbytes * 8 == stored.payload_bits + stored.padding_bits
    assert stored.total_bits == codes.nbytes * 8 + scale.nbytes * 8


@every_scaled
def test_codes_of_the_wrong_size_or_type_are_refused(case):
    fmt = case.make()
    codes = fmt.encode(np.zeros((2, 8), np.float32), 1.0)
    for bad, length in ((codes, 24), (codes.astype(np.int8), 8)):
        assert refused(EncodingError, fmt.decode, bad, length) == (
            f"{fmt.name}: expected uint8 codes of shape (..., {fmt.packed_bytes(length)}), "
            f"got {bad.dtype} of shape {bad.shape}"
        )


# What all operands share


@every_operand
@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 13), (1, 5, 64), (3, 2, 6)], ids=str)
def test_bits_on_disk_are_the_bits_claimed(which, granularity, shape):
    """To the bit: codes, scales and all else, padded to bytes, is what is stored."""
    encoding = formats.get(which[0], **which[1])
    for operand in encoding.encode_operand(heavy_tailed(1, shape), granularity, "three_sigma"):
        stored = encoding.stored(operand)
        bytes_ = operand.codes.nbytes + operand.scale.nbytes + sum(e.nbytes for e in operand.extras.values())
        assert stored.total_bits == 8 * bytes_
        assert stored.payload_bits == shape[1] * shape[2] * encoding.bits
        assert stored.values == shape[1] * shape[2]
        assert operand.scale.shape == ((shape[1], 1) if granularity == "row" else ())
        assert (operand.codes.dtype, operand.scale.dtype) == (np.uint8, np.float32)
        decoded = encoding.decode_operand(operand)
        assert (decoded.dtype, decoded.shape) == (np.int32, shape[1:])


@every_operand
def test_operands_of_the_wrong_kind_are_refused(which):
    encoding = formats.get(which[0], **which[1])
    x = np.zeros((2, 3, 4), np.float32)
    x[1, 2, 0] = math.nan
    assert refused(EncodingError, encoding.encode_operand, x, "row", "mse") == (
        "cannot encode nan at position (1, 2, 0); all values must be finite in float32"
    )
    assert refused(EncodingError, encoding.encode_operand, x[0], "row", "mse") == (
        f"{encoding.name}: expected an operand of shape (count, rows, K), got (3, 4)"
    )
    assert refused(UnknownNameError, encoding.encode_operand, np.ones((1, 1, 2)), "row", "msee") == (
        "unknown calibration 'msee'; did you mean 'mse'?; known: absmax, mse, three_sigma"
    )


@every_operand
@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
def test_zeros_and_extremes(which, granularity, method):
    encoding = formats.get(which[0], **which[1])
    for magnitude in (0.0, 1e-45, 1e-38, 3.4e38):
        x = np.full((1, 2, 4), magnitude, np.float32) * np.float32([1, -1, 0, 1])
        (operand,) = encoding.encode_operand(x, granularity, method)
        decoded = encoding.decode_operand(operand)
        assert (decoded[:, 2] == 0).all()
        assert (magnitude != 0) or not decoded.any()
        assert naive.FLOAT32_TINY <= operand.scale.min() <= operand.scale.max() <= naive.FLOAT32_MAX


@every_operand
def test_encoding_leaves_its_input_alone(which):
    encoding = formats.get(which[0], **which[1])
    x = heavy_tailed(8, (2, 3, 10))
    kept = x.copy()
    x.flags.writeable = False
    for operand in encoding.encode_operand(x, "row", "mse"):
        encoding.decode_operand(operand)
    np.testing.assert_array_equal(x, kept)


# Choosing by error


def mixed_rows(seed, count=1, rows=6, K=24):
    """Rows of very different shape: flat, normal, exponential, with outliers, on powers of two."""
    rng = np.random.default_rng(seed)
    makers = [
        lambda: rng.uniform(-1, 1, K),
        lambda: rng.standard_normal(K),
        lambda: rng.standard_normal(K) * np.exp(2 * rng.standard_normal(K)),
        lambda: np.where(rng.random(K) < 0.1, 30, 1) * rng.standard_normal(K),
        lambda: np.exp2(rng.integers(0, 7, K)) * rng.choice([-1, 1], K),
    ]
    x = [[makers[(seed + g + r) % len(makers)]() for r in range(rows)] for g in range(count)]
    return np.array(x).astype(np.float32)


ANT_KINDS = {"int": "int4", "flint": "flint4", "pot": "pot4"}


def scales_of(kinds, x, granularity, options):
    """Each kind's own scale of each row of the tensor, as calibrated alone."""
    axis = None if granularity == "tensor" else -1
    found = []
    for kind in kinds:
        scale = formats.get(kind, **options).calibrate(x, axis=axis, method="mse")
        found.append(np.broadcast_to(scale, (*x.shape[:2], 1)).reshape(-1))
    return np.array(found)


def is_least(errors, index):
    """Whether that error is the least, the first of equals, up to rounding of sums."""
    return errors[index] <= min(errors) * (1 + 1e-12)


@pytest.mark.parametrize("types", ["int-flint-pot", "pot-int", "flint"])
@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("type_per", ["scale", "operand"])
@pytest.mark.parametrize("seed", range(5), ids=lambda s: f"seed{s}")
def test_ant4_picks_the_least_error(types, granularity, type_per, seed):
    encoding = formats.get("ant4", types=types, type_per=type_per)
    kinds, x = [ANT_KINDS[t] for t in types.split("-")], mixed_rows(seed, count=2, rows=4, K=9)
    rows, own = x.reshape(-1, 9), scales_of(kinds, x, granularity, {})
    operands = encoding.encode_operand(x, granularity, "mse")
    chosen = np.concatenate([np.broadcast_to(encoding.chosen(o), 4) for o in operands])
    together = granularity == "tensor" or type_per == "operand"
    for part in [range(8)] if together else [[r] for r in range(8)]:
        errors = oracle.errors(rows[part], kinds, own[:, part])
        assert {int(t) for t in chosen[part]} == {int(chosen[part[0]])}
        assert is_least(errors, chosen[part[0]])
    decoded = np.concatenate([encoding.decode_operand(o) for o in operands])
    scale = np.concatenate([o.row_scale for o in operands])[:, 0]
    for r in range(8):
        assert scale[r] == own[chosen[r], r]
        assert decoded[r].tolist() == oracle.quantiser(kinds[chosen[r]])(rows[r], np.float32(scale[r]))
    for operand in operands:
        count = 4 if granularity == "row" and type_per == "scale" else 1
        assert len(encoding.chosen(operand)) == count
        assert encoding.stored(operand).index_bits == 2 * count
        assert sum(encoding.census(operand).values()) == count
        assert set(encoding.census(operand)) == set(kinds)


def test_ant4_uses_all_its_types():
    (operand,) = formats.get("ant4").encode_operand(mixed_rows(0, rows=5, K=64), "row", "mse")
    assert formats.get("ant4").chosen(operand).tolist() == [1, 0, 2, 2, 2]
    assert operand.extras["types"].tolist() == [0b01_00_10_10, 0b10_000000]
    assert formats.get("ant4").census(operand) == {"int4": 1, "flint4": 1, "pot4": 3}


@pytest.mark.parametrize("granularity", ["tensor", "row"])
@both_rules
@pytest.mark.parametrize("seed", range(6), ids=lambda s: f"seed{s}")
def test_ovp4_auto_picks_the_least_total_error(granularity, pair_rule, seed):
    encoding, kinds = formats.get("ovp4_auto", pair_rule=pair_rule), ["ovp4", "ovp4_flint"]
    x = mixed_rows(seed, rows=2, K=12)
    own = scales_of(kinds, x, granularity, {"pair_rule": pair_rule})
    (operand,) = encoding.encode_operand(x, granularity, "mse")
    (chosen,) = encoding.chosen(operand)
    quantisers = [lambda row, s, k=k: oracle.OVP[k].quantise(row, s, pair_rule) for k in kinds]
    errors = [
        naive.squared_error([r], s, q)
        for q, per_row in zip(quantisers, own, strict=True)
        for r, s in zip(x[0], per_row, strict=True)
    ]
    assert is_least([errors[0] + errors[1], errors[2] + errors[3]], chosen)
    assert encoding.stored(operand).index_bits == 1
    assert encoding.stored(operand).padding_bits == 7
    assert operand.extras["types"].tolist() == [chosen << 7]
    alone = formats.get(kinds[chosen], pair_rule=pair_rule)
    np.testing.assert_array_equal(operand.codes, alone.encode_operand(x, granularity, "mse")[0].codes)
    np.testing.assert_array_equal(encoding.decode_operand(operand), alone.decode(operand.codes, 12))


def test_ovp4_auto_uses_both_types_and_one_for_all_gemms():
    encoding = formats.get("ovp4_auto")
    normal, long_tailed = mixed_rows(1, rows=1, K=256), mixed_rows(2, rows=1, K=256)
    assert [encoding.chosen(encoding.encode_operand(x, "row", "mse")[0])[0] for x in (normal, long_tailed)] == [0, 1]
    both = encoding.encode_operand(np.concatenate([normal, long_tailed]), "row", "mse")
    assert len({int(encoding.chosen(o)[0]) for o in both}) == 1


@pytest.mark.parametrize("name", ["ant4", "ovp4_auto"])
def test_of_equal_errors_the_first_type_wins(name):
    encoding = formats.get(name)
    for x in (np.zeros((1, 2, 4), np.float32), np.array([[[0, 1, 2, 0], [1, 2, 0, 1]]], np.float32)):
        (operand,) = encoding.encode_operand(x * 0, "row", "mse")
        assert not encoding.chosen(operand).any()
    assert formats.get("ant4", types="pot-int").chosen(operand).tolist() == [0, 0]


def test_types_that_do_not_fit_are_refused():
    encoding = formats.get("ant4")
    (operand,) = encoding.encode_operand(mixed_rows(0, rows=5), "row", "absmax")
    bad = replace(operand, extras={"types": np.array([0b00_01_11_10, 0], np.uint8)})
    assert refused(EncodingError, encoding.decode_operand, bad) == "ant4: type 3 at position 2; 3 types are known"
    bad = replace(operand, extras={"types": np.zeros(1, np.uint8)})
    assert refused(EncodingError, encoding.decode_operand, bad) == (
        "ant4: expected 5 types of 2 bits as uint8, got uint8 of shape (1,)"
    )
    encoding = formats.get("ovp4_auto")
    operand = Encoded(
        np.array([[0x11], [0x88]], np.uint8), np.ones((), np.float32), 2, {"types": np.array([128], np.uint8)}
    )
    assert refused(EncodingError, encoding.decode_operand, operand) == (
        "ovp4_flint: illegal byte 0x88 at position (1, 0)"
    )


# OLAccel


@pytest.mark.parametrize("share", [0.03, 0.0, 0.1, 0.29, 1.0])
@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
@pytest.mark.parametrize("shape", [(1, 4, 25), (2, 5, 10)], ids=str)
def test_olaccel4_is_naive(share, granularity, method, shape):
    encoding = formats.get("olaccel4", outlier_share=share)
    x = np.round(heavy_tailed(2, shape) * 4) / 4  # with equal magnitudes
    listed = oracle.largest_positions(x.reshape(-1).tolist(), share)
    body = x.copy()
    body.reshape(-1)[listed] = 0
    axis = None if granularity == "tensor" else -1
    scales = np.broadcast_to(formats.get("int4").calibrate(body, axis=axis, method=method), (*shape[:2], 1))
    operands = encoding.encode_operand(x, granularity, method)
    for g, operand in enumerate(operands):
        decoded, size = encoding.decode_operand(operand), shape[1] * shape[2]
        mine = [p - g * size for p in listed if g * size <= p < (g + 1) * size]
        assert operand.extras["outlier_position"].tolist() == mine
        for r in range(shape[1]):
            scale = operand.row_scale[r, 0]
            same_scale = x if granularity == "tensor" else x[g, r]
            rest = body if granularity == "tensor" else body[g, r]
            bare = not rest.any() and same_scale.any()
            assert scale == (np.abs(same_scale).max() / np.float32(32767) if bare else scales[g, r, 0])
            for k in range(shape[2]):
                top = 32767 if r * shape[2] + k in mine else 7
                assert decoded[r, k] == oracle.nearest_integer(x[g, r, k], np.float32(scale), top)
        assert encoding.stored(operand).index_bits == 48 * len(mine)
        assert encoding.census(operand) == {"outliers": len(mine)}


def test_olaccel4_by_hand():
    x = np.zeros((1, 2, 50), np.float32)
    x[0, 0, :4] = [7, -3, 2.5, 1]
    x[0, 1, 0], x[0, 1, 7], x[0, 0, 49] = 1000.5, -1e9, 40
    encoding = formats.get("olaccel4")
    (operand,) = encoding.encode_operand(x, "tensor", "absmax")
    assert operand.scale == 1
    assert operand.extras["outlier_position"].tolist() == [49, 50, 57]
    assert operand.extras["outlier_position"].dtype == np.uint32
    assert operand.extras["outlier_value"].tolist() == [40, 1000, -32767]  # half to even, saturation
    assert operand.extras["outlier_value"].dtype == np.int16
    assert operand.codes[0, :2].tolist() == [0x7D, 0x21]
    assert operand.codes[:, 2:].any() == operand.codes[1, :2].any() == False  # noqa: E712
    stored = encoding.stored(operand)
    assert (stored.payload_bits, stored.padding_bits, stored.scale_bits, stored.index_bits) == (400, 0, 32, 144)
    assert stored.bits_per_value == 5.76


def test_olaccel4_lists_no_zero_and_the_earlier_of_equals():
    x = np.zeros((1, 1, 10), np.float32)
    x[0, 0, [2, 5, 8]] = [1, -1, 1]
    for share, expected in ((0.2, [2, 5]), (0.9, [2, 5, 8]), (0.05, [])):
        (operand,) = formats.get("olaccel4", outlier_share=share).encode_operand(x, "tensor", "mse")
        assert operand.extras["outlier_position"].tolist() == expected


def test_olaccel4_lists_that_do_not_fit_are_refused():
    encoding = formats.get("olaccel4", outlier_share=0.2)
    (operand,) = encoding.encode_operand(heavy_tailed(0, (1, 2, 5)), "tensor", "mse")
    for position, value, message in (
        ([3, 3], [1, 2], "outlier 1 at position 3; positions must ascend and stay below 10"),
        ([3, 10], [1, 2], "outlier 1 at position 10; positions must ascend and stay below 10"),
        ([3, 4], [1], "2 outlier positions, but 1 outlier values"),
    ):
        extras = {"outlier_position": np.array(position, np.uint32), "outlier_value": np.array(value, np.int16)}
        assert (
            refused(EncodingError, encoding.decode_operand, replace(operand, extras=extras)) == f"olaccel4: {message}"
        )


# BiScaled


@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_biscaled6_is_naive(granularity, method, seed):
    encoding, x = formats.get("biscaled6"), heavy_tailed(seed, (2, 3, 11 + seed))
    x[0, 1] *= 300
    x[1, 2] = 0

    def quantise(part):
        peak = max(abs(float(v)) for row in part for v in row)
        return lambda row, scale: oracle.biscaled_row(row, scale, oracle.least_shift(peak, scale))

    parts = (
        [x.reshape(-1, x.shape[-1])] if granularity == "tensor" else [row[None] for row in x.reshape(-1, x.shape[-1])]
    )
    scales = [naive.calibrate_rows(part, 31, method, quantise(part)) for part in parts]
    values = [quantise(part)(row, s) for part, s in zip(parts, scales, strict=True) for row in part]
    operands = encoding.encode_operand(x, granularity, method)
    decoded = np.concatenate([encoding.decode_operand(o) for o in operands])
    assert decoded.tolist() == values
    found = [float(s) for o in operands for s in o.scale.reshape(-1)]
    assert found == [float(s) for s in (scales * 2 if granularity == "tensor" else scales)]
    if method == "absmax":
        assert all(encoding.census(o) == {"wide": 0} for o in operands)


@pytest.mark.parametrize("block", [8, 16, 32, 64])
@pytest.mark.parametrize("K", [1, 8, 37, 130])
def test_the_block_index(block, K):
    encoding, x = formats.get("biscaled6", block=block), heavy_tailed(K, (1, 4, K)) * np.float32(2)
    (operand,) = encoding.encode_operand(x, "tensor", "three_sigma")
    (shift,) = operand.extras["shift"].tolist()
    wide = [[oracle.biscaled(v, operand.scale, shift)[1] for v in row] for row in x[0]]
    blocks, masks = oracle.block_index(wide, block)
    found = oracle.bits_of(operand.extras["wide_block"])
    assert found == blocks + "0" * (-len(blocks) % 8)
    assert oracle.bits_of(operand.extras["wide_mask"]) == masks
    assert encoding.wide(operand).tolist() == wide
    assert encoding.census(operand) == {"wide": sum(map(sum, wide))}
    codes = [oracle.biscaled(v, operand.scale, shift)[0] & 63 for v in x[0, 0]]
    assert operand.codes[0].tolist() == oracle.pack(codes, 6)
    stored = encoding.stored(operand)
    assert stored.index_bits == 8 + len(blocks) + len(masks)
    assert stored.padding_bits == operand.codes.nbytes * 8 - 4 * K * 6 + -len(blocks) % 8


def biscaled_operand(values, scale=1.0, shift=3, block=8):
    """Decoded values and wide flags of one row at a given scale and shift: the peak is made to ask for that shift."""
    encoding = formats.get("biscaled6", block=block)
    peak = np.full(1, np.float32(31 * 2**shift) * np.float32(scale))
    operand = encoding._encoded(np.array([values], np.float32), peak, np.full((1, 1), scale, np.float32))
    assert operand.extras["shift"].tolist() == [shift]
    return encoding.decode_operand(operand)[0].tolist(), encoding.wide(operand)[0].tolist()


@pytest.mark.parametrize("shift", [0, 1, 3, 5, 8, 26])
def test_every_biscaled6_code_round_trips(shift):
    """All 63 produced integers at both scales; what the fine grid has as well comes back as a fine one."""
    fine = list(range(-31, 32))
    assert biscaled_operand(fine, shift=shift) == (fine, [False] * 63)
    wide = [q * 2**shift for q in fine]
    assert biscaled_operand(wide, shift=shift) == (wide, [abs(v) > 31 for v in wide])


@pytest.mark.parametrize("shift", [1, 3, 5, 6])
def test_biscaled6_ties_and_saturation(shift):
    """Half to even within a scale, to the wide one between them, both signs; beyond the wide range it saturates."""
    step = 2**shift
    first = -(-32 // step) * step
    between = (31 + first) / 2
    for sign in (1, -1):
        below, tie, above = (sign * v for v in around(between))
        assert biscaled_operand([below, tie, above], shift=shift)[0] == [sign * 31, sign * first, sign * first]
        for k in range(31):
            low, middle, high = (sign * v for v in around(k + 0.5))
            even = k if k % 2 == 0 else k + 1
            assert biscaled_operand([low, middle, high], shift=shift)[0] == [sign * k, sign * even, sign * (k + 1)]
        for k in range(first // step, 31):
            low, middle, high = (sign * v * np.float32(step) for v in around(k + 0.5))
            even = k if k % 2 == 0 else k + 1
            assert biscaled_operand([low, middle, high], shift=shift)[0] == [
                sign * k * step,
                sign * even * step,
                sign * (k + 1) * step,
            ]
        big = [sign * 31.5 * step, sign * 1e6 * step, sign * 3e38]
        assert biscaled_operand(big, shift=shift) == ([sign * 31 * step] * 3, [True] * 3)
    assert biscaled_operand([0.0, -0.0, 1e-45]) == ([0, 0, 0], [False] * 3)
    assert biscaled_operand([40, -1e30], shift=0) == ([31, -31], [False, False])


@quick
@given(data=st.data(), scale=st.one_of(st.just(1.0), st.floats(2.0**-10, 2.0**10, width=32)), shift=st.integers(0, 12))
def test_biscaled6_is_brute_force(data, scale, shift):
    grid = sorted({*range(-31, 32), *(q * 2**shift for q in range(-31, 32))})
    row = data.draw(st.lists(drawn(grid), min_size=1, max_size=9))
    if oracle.least_shift(np.float32(31 * 2**shift) * np.float32(scale), scale) == shift:
        assert biscaled_operand(row, scale, shift)[0] == oracle.biscaled_row(np.float32(row), scale, shift)


@pytest.mark.parametrize("shift", range(27))
def test_the_shift_is_the_least_that_covers_the_peak(shift):
    encoding = formats.get("biscaled6")
    below, tie, _ = around(31.5 * 2**shift)
    for peak, expected in ((below, shift), (tie, min(shift + 1, 26)), (31 * 2**shift, shift)):
        operand = encoding._encoded(np.zeros((1, 1), np.float32), np.float32([peak]), np.ones((1, 1), np.float32))
        assert operand.extras["shift"].tolist() == [expected] == [oracle.least_shift(peak, 1.0)]


def test_biscaled6_by_hand():
    """Scale 1: 5 and -31 are fine, 33 and 248 lie on the wide grid of 8; two of three blocks hold wide values."""
    row = np.zeros(20, np.float32)
    row[[0, 3, 5, 17]] = [5, 33, -31, 248]
    encoding = formats.get("biscaled6")
    operand = encoding._encoded(row[None], np.float32([248]), np.ones((1, 1), np.float32))
    assert encoding.decode_operand(operand)[0, [0, 3, 5, 17]].tolist() == [5, 32, -31, 248]
    assert operand.extras["wide_block"].tolist() == [0b101_00000]
    assert operand.extras["wide_mask"].tolist() == [[0b0001_0000], [0b0100_0000]]
    assert operand.codes[0, :6].tolist() == oracle.pack([5, 0, 0, 4, 0, -31 & 63, 0, 0], 6)
    stored = encoding.stored(operand)
    assert (stored.payload_bits, stored.padding_bits, stored.scale_bits, stored.index_bits) == (120, 5, 32, 8 + 3 + 16)


def test_biscaled6_indices_that_do_not_fit_are_refused():
    encoding = formats.get("biscaled6")
    (operand,) = encoding.encode_operand(heavy_tailed(3, (1, 2, 20)), "row", "three_sigma")
    whole = dict(operand.extras)
    masks = len(whole["wide_mask"])
    for change, message in (
        ({"shift": np.zeros(1, np.uint8)}, "expected 2 shifts of at most 26, got [0]"),
        ({"shift": np.array([0, 27], np.uint8)}, "expected 2 shifts of at most 26, got [0, 27]"),
        (
            {"wide_mask": whole["wide_mask"][1:]},
            f"an index of 6 blocks and masks of shape ({masks}, 1) is needed, got 1 bytes and ({masks - 1}, 1)",
        ),
        (
            {"wide_block": np.zeros(0, np.uint8)},
            f"an index of 6 blocks and masks of shape (0, 1) is needed, got 0 bytes and ({masks}, 1)",
        ),
    ):
        bad = replace(operand, extras=whole | change)
        assert refused(EncodingError, encoding.decode_operand, bad) == f"biscaled6: {message}"
