"""``ovp`` in full: all operand pairs at 4 and 8 bits, both normal types, four PEs for one product, its bills."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator import datapath, formats
from simulator.datapath import OptionError
from simulator.errors import AccumulatorOverflowError, ConfigError
from simulator.formats import Encoded
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.workload import Op
from tests import naive, naive_fused, naive_outlier
from tests.datapaths import encoded_pair, on_the_arrays, reference, same_bits, stored

pytestmark = pytest.mark.kernels

KINDS = {
    "ovp4": {},
    "ovp4_flint": {"normal": "flint"},
    "ovp8": {"bits": 8},
    "ovp8_e2m5": {"bits": 8, "outlier_format": "e2m5"},
}
"""Naive pairs -> options that make the datapath take them."""
every_kind = pytest.mark.parametrize("kind", KINDS)
four_bits = pytest.mark.parametrize("kind", ["ovp4", "ovp4_flint"])
eight_bits = pytest.mark.parametrize("kind", ["ovp8", "ovp8_e2m5"])


def make(kind, **more):
    return datapath.create("ovp", KINDS[kind] | more)


def rows_of(pairs, bits):
    """One packed row per pair of codes."""
    return np.array([[a << 4 | b] if bits == 4 else [a, b] for a, b in pairs], np.uint8)


def step(dp, acc, act, weight):
    state = np.array([acc], np.int64)
    dp.mac(state, act, weight)
    return int(state[0])


def single_operands(kind):
    """Pairs of codes whose other half is zero or the victim: each operand that there is, on either side; values."""
    pairs, identifier = naive_outlier.OVP[kind], naive_outlier.OVP[kind].identifier
    zero = pairs.normals[0]
    codes = [(c, zero) for c in pairs.normal_of] + [(zero, c) for c in pairs.normal_of]
    codes += [(c, identifier) for c in pairs.outlier_of] + [(identifier, c) for c in pairs.outlier_of]
    return codes, np.array([pairs.decode_pair(*pair) for pair in codes], np.int64)


def word(exponent, integer):
    return exponent << 8 | integer & 0xFF


# All operands


@four_bits
@pytest.mark.parametrize("pair_rule", ["larger", "left"])
def test_all_products_of_all_legal_bytes(kind, pair_rule):
    """Every nibble beside every nibble, on both operands: all 16 x 16 codes, as normals, outliers and victims."""
    dp, pairs = make(kind, pair_rule=pair_rule), naive_outlier.OVP[kind]
    legal = [divmod(b, 16) for b in range(256) if pairs.decode_pair(*divmod(b, 16))]
    assert len(legal) == 253
    values = np.array([pairs.decode_pair(*pair) for pair in legal], np.int64)
    operand = stored(rows_of(legal, 4), 2)
    expected = values @ values.T
    assert expected.max() == (96 if kind == "ovp4" else 192) ** 2
    same_bits(dp.matmul(operand, operand), expected)
    fed = dp.edge_words(operand, "act")
    same_bits(dp.edge_words(operand, "weight"), fed)
    for left, x in zip(fed.tolist(), values.tolist(), strict=True):
        assert [step(dp, 5, side, 1) for side in left] == [5 + value for value in x]


@four_bits
def test_one_pe_multiplies_every_operand_by_every_operand(kind):
    dp = make(kind)
    codes, values = single_operands(kind)
    words = dp.edge_words(stored(rows_of(codes, 4), 2), "act")
    known = dict(zip(words.ravel().tolist(), values.ravel().tolist(), strict=True))
    assert len(known) == 15 + 14  # normals and outliers; a victim is the normal 0
    for a, x in known.items():
        for w, y in known.items():
            assert step(dp, 0, a, w) == x * y


@every_kind
@pytest.mark.parametrize("pair_rule", ["larger", "left"])
def test_encoded_pairs_of_extremes(kind, pair_rule):
    """Two real values of the whole grid side by side, encoded by either rule, on both operands."""
    dp, pairs = make(kind, pair_rule=pair_rule), naive_outlier.OVP[kind]
    grid = sorted({*pairs.normals, *pairs.outliers})
    grid = grid if len(grid) < 40 else grid[::23] + grid[-2:]
    real = np.array([(a, b) for a in grid for b in grid], np.float32)
    codes = dp.act_format.encode(real, 1.0)
    values = np.array([pairs.quantise(row, 1.0, pair_rule) for row in real.tolist()], np.int64)
    few = slice(None, None, 1 if len(real) < 300 else 5)
    found = dp.matmul(stored(codes, 2), stored(codes[few], 2))
    same_bits(found, values @ values[few].T)


@eight_bits
def test_all_8_bit_operands_on_either_side(kind):
    dp = make(kind)
    codes, values = single_operands(kind)
    assert len(codes) == 2 * (255 + 2 * (127 if kind == "ovp8_e2m5" else 64))
    operand = stored(rows_of(codes, 8), 2)
    expected = values @ values.T
    assert expected.max() == (2016**2 if kind == "ovp8_e2m5" else 2**30)
    same_bits(dp.matmul(operand, operand), expected)
    same_bits(reference(dp, (operand, operand)), expected)


@eight_bits
def test_four_pes_multiply_every_8_bit_operand_by_every_one(kind):
    dp = make(kind)
    codes, values = single_operands(kind)
    words = dp.edge_words(stored(rows_of(codes, 8), 2), "act")
    known = dict(zip(words.ravel().tolist(), values.ravel().tolist(), strict=True))
    state, wrong = np.zeros(1, np.int64), []
    for a, x in known.items():
        for w, y in known.items():
            state[0] = 7
            dp.mac(state, a, w)
            if state[0] != 7 + x * y:
                wrong.append((a, w))
    assert len(known) == 255 + (128 if kind == "ovp8" else 254)
    assert wrong == []


def test_int8_by_int8_through_four_exponent_integer_products():
    """x = <4, h> + <0, l> for all 65,536 pairs: the PE's sum, the four published products, and int32 agree."""
    dp, small = make("ovp8"), make("ovp4")
    state, one = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for x in range(-128, 128):
        for y in range(-128, 128):
            state[0] = one[0] = 0
            dp.mac(state, word(0, x), word(0, y))
            for act in (word(4, x >> 4), word(0, x & 15)):
                for weight in (word(4, y >> 4), word(0, y & 15)):
                    small.mac(one, act, weight)
            assert state[0] == one[0] == np.int32(x) * np.int32(y)


@eight_bits
def test_outliers_split_into_halves_as_published(kind):
    """<4 + e, h> + <e, l>: each of the four products, against the oracle's."""
    dp, small = make(kind), make("ovp4")
    codes, _ = single_operands(kind)
    words = np.unique(dp.edge_words(stored(rows_of(codes, 8), 2), "act"))[::7]
    for a in words.tolist():
        for w in words.tolist():
            operands = [(x >> 8, (x & 0xFF ^ 0x80) - 0x80) for x in (a, w)]
            products = naive_fused.four_products(*operands)
            halves = [(word(e + 4, i >> 4), word(e, i & 15)) for e, i in operands]
            assert [step(small, 0, x, y) for x in halves[0] for y in halves[1]] == products
            assert step(dp, 0, a, w) == sum(products)


def test_worked_examples():
    """OliVe: <5, -3> x <0, 7>; 0101 with bias 2 is 3 << 4 = 48; (0, -96), (16, 0), (32, 0) of Figure 1."""
    dp = make("ovp4")
    assert step(dp, 0, word(5, -3), word(0, 7)) == -672
    rows = np.array([[0x58], [0x8F], [0x28], [0x48]], np.uint8)
    assert dp.edge_words(stored(rows, 2), "act").tolist() == [
        [word(4, 3), 0],
        [0, word(5, -3)],
        [word(3, 2), 0],
        [word(4, 2), 0],
    ]


def test_flint_decodes_to_exponents_and_integers():
    dp = make("ovp4_flint")
    rows = np.arange(8, dtype=np.uint8)[:, None] << 4
    expected = [(0, 0), (0, 1), (0, 2), (0, 3), (4, 1), (3, 1), (1, 2), (1, 3)]
    assert dp.edge_words(stored(rows, 1), "act").tolist() == [[word(*pair)] for pair in expected]
    assert dp.edge_words(stored(rows[1:] | 0x80, 1), "act").tolist() == [[word(e, -i)] for e, i in expected[1:]]


@every_kind
def test_operands_fit_the_registers_that_are_charged(kind):
    """3-bit exponents and 4-bit integers at 4 bits; 4-bit exponents and 8-bit integers at 8."""
    dp, bits = make(kind), naive_outlier.OVP[kind].bits
    codes, _ = single_operands(kind)
    words = dp.edge_words(stored(rows_of(codes, bits), 2), "act")
    integers = (words & 0xFF ^ 0x80) - 0x80
    assert (words >> 8).max() <= (6 if bits == 4 else 12)
    assert integers.min() >= -(2 ** (bits - 1))
    assert integers.max() < 2 ** (bits - 1)
    assert dp.register_bits("act") == dp.register_bits("weight") == (3 + 4 if bits == 4 else 4 * (4 + 4))


# The type comes with the operand


def test_each_operand_brings_its_own_type():
    """The same bytes as int4 and as flint4, in all four combinations, beside a reference that reads the same bit."""
    dp, pairs = datapath.create("ovp", {"normal": "auto"}), naive_outlier.OVP
    codes = np.array([[0x15, 0x58], [0x72, 0x8F]], np.uint8)
    values = {
        kind: np.array([[v for b in row for v in pairs[kind].decode_pair(*divmod(b, 16))] for row in codes.tolist()])
        for kind in ("ovp4", "ovp4_flint")
    }
    operands = {
        kind: Encoded(codes, np.ones((), np.float32), 4, {"types": np.array([top], np.uint8)})
        for kind, top in (("ovp4", 0x00), ("ovp4_flint", 0x80))
    }
    for act in operands:
        for weight in operands:
            pair = operands[act], operands[weight]
            expected = values[act] @ values[weight].T
            same_bits(dp.matmul(*pair), expected)
            same_bits(on_the_arrays(dp, pair, 2, 2, "full"), expected)


def test_auto_takes_flint_for_a_tensor_that_flint_fits():
    dp = datapath.create("ovp", {"normal": "auto"})
    act = np.tile(np.array([16, 8, 1, 2, 4, 6, 3, 0], np.float32), (2, 4))
    weight = np.tile(np.array([7, 5, 6, -7, 3, 1, 2, 4], np.float32), (3, 4))
    pair = encoded_pair(dp, act, weight, "absmax")
    assert [x.extras["types"].tolist() for x in pair] == [[0x80], [0x00]]
    same_bits(dp.matmul(*pair), (act @ weight.T).astype(np.int64))


# Accumulators


@pytest.mark.parametrize(
    ("kind", "pair", "largest"),
    [
        ("ovp4_flint", (0x7, 0x8), 192),
        ("ovp8", (0x40, 0x80), 2**15),
        ("ovp8_e2m5", (0x7F, 0x80), 2016),
    ],
)
def test_the_longest_reduction_that_fits(kind, pair, largest):
    dp, bits = make(kind), naive_outlier.OVP[kind].bits
    steps = (2**31 - 1) // largest**2
    row = np.tile(rows_of([pair], bits), (1, steps + 1))
    size = rows_of([pair], bits).shape[1]
    assert dp.matmul(*[stored(row[:, :-size], 2 * steps)] * 2).tolist() == [[steps * largest**2]]
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(*[stored(row, 2 * steps + 2)] * 2)
    assert str(error.value) == "ovp: a partial sum of output (0, 0) leaves the 32-bit accumulator"


def test_the_most_negative_sum_fits_and_the_most_positive_does_not():
    """Two products of 2^15 by 2^15 are 2^31; of 2^15 by -2^15, -2^31."""
    dp = make("ovp8")
    largest = naive_outlier.OVP["ovp8"].outliers[2**15]
    row = np.array([[largest, 0x80, 0x80, largest]], np.uint8)
    negative = np.array([[largest | 0x80, 0x80, 0x80, largest | 0x80]], np.uint8)
    assert dp.matmul(stored(row, 4), stored(negative, 4)).tolist() == [[-(2**31)]]
    with pytest.raises(AccumulatorOverflowError):
        dp.matmul(stored(row, 4), stored(row, 4))


# Bills, shape, options


def test_table_11():
    """64 x 64 4-bit PEs: 128 4-bit decoders, 64 8-bit decoders, at either precision; an adder per four PEs."""
    parts = {"pe_ei4_acc32": 4096, "decoder_ovp8": 64, "merge_adder32": 1024}
    assert datapath.create("ovp", {}).area_bill(64, 64) == parts | {"decoder_ovp4": 128}
    for options in ({"normal": "flint"}, {"normal": "auto"}, {"normal": "auto", "bits": 8}):
        assert datapath.create("ovp", options).area_bill(64, 64) == parts | {"decoder_ovp4f": 128}
    assert datapath.create("ovp", {"bits": 8}).area_bill(64, 32)["decoder_ovp8"] == 48


def test_what_a_mac_and_an_operand_cost():
    four, flint, eight = (datapath.create("ovp", o) for o in ({}, {"normal": "auto"}, {"bits": 8, "normal": "auto"}))
    assert four.actions_per_mac() == flint.actions_per_mac() == {"mac_ei4_acc32": 1}
    assert eight.actions_per_mac() == {"mac_ei4_acc32": 4, "merge_int32": 1}
    decodes = [dp.actions_per_operand("act") for dp in (four, flint, eight)]
    assert decodes == [{"decode_ovp4_pair": 0.5}, {"decode_ovp4f_pair": 0.5}, {"decode_ovp8_pair": 0.5}]


def test_four_pes_make_one_8_bit_mac():
    assert datapath.create("ovp", {"bits": 8}).logical_array(64, 48) == (32, 24)
    assert datapath.create("ovp", {}).logical_array(64, 48) == (64, 48)
    design = sim.load_design("olive_systolic", set={"memory.dram.model": "none", "datapath.bits": 8})
    cycles = sim.simulate_gemm(design, M=100, N=70, K=50).cycles["total"]
    assert cycles == naive.os_cycles(100, 70, 50, 32, 32, "full")
    lone = sim.load_design("olive_systolic", set={"array.rows": 1, "datapath.bits": 8})
    with pytest.raises(ConfigError, match=r"array: 1 x 64 PEs make no MAC at this precision$"):
        sim.simulate_gemm(lone, M=4, N=4, K=4)


def test_layers_mix_4_and_8_bits_on_the_same_hardware():
    layers = [{"ops": "*.wide", "datapath": {"bits": 8}}]
    hardware = build(sim.load_design({"extends": "olive_systolic", "name": "mixed", "layers": layers}))
    rng = np.random.default_rng(0)
    tensors = rng.standard_normal((1, 70, 64)), rng.standard_normal((1, 66, 64))
    wide, narrow = (simulate_op(hardware, Op(name, 70, 66, 64), tensors) for name in ("a.wide", "a.narrow"))
    assert wide.quality.exact
    assert narrow.quality.exact
    assert wide.quality.sqnr_db > narrow.quality.sqnr_db + 15
    assert wide.counts.actions["mac_ei4_acc32"] == 4 * narrow.counts.actions["mac_ei4_acc32"] == 4 * wide.counts.macs
    assert wide.timing.compute_cycles == naive.os_cycles(70, 66, 64, 32, 32, "full")
    assert narrow.timing.compute_cycles == naive.os_cycles(70, 66, 64, 64, 64, "full")


def test_a_layer_cannot_change_the_decoders():
    layers = [{"ops": "*", "datapath": {"normal": "int"}}]
    with pytest.raises(ConfigError) as error:
        build(sim.load_design({"extends": "olive_systolic", "name": "mixed", "layers": layers}))
    assert str(error.value).endswith("decoder_ovp4, decoder_ovp4f would change")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("bits", 6, "Input should be 4 or 8, found 6"),
        ("normal", "float", "Input should be 'int', 'flint' or 'auto', found 'float'"),
        ("outlier_format", "e5m2", "Input should be 'e4m3' or 'e2m5', found 'e5m2'"),
        ("pair_rules", "left", "unknown option of datapath 'ovp'; did you mean 'pair_rule'?"),
    ],
)
def test_wrong_options(option, value, message):
    with pytest.raises(OptionError) as error:
        datapath.create("ovp", {option: value})
    assert (error.value.option, str(error.value)) == (option, message)


def test_formats_follow_the_options():
    assert datapath.create("ovp", {"normal": "auto"}).act_format == formats.get("ovp4_auto")
    assert make("ovp4_flint", pair_rule="left").weight_format == formats.get("ovp4_flint", pair_rule="left")
    assert make("ovp8_e2m5").act_format == formats.get("ovp8", outlier_format="e2m5")
    assert datapath.create("ovp", {"bits": 8, "normal": "auto"}).act_format == formats.get("ovp8")
