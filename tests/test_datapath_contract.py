"""The contract of a datapath, held for every registered one: shipped, dropped in, or installed by somebody else."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.config import load_cost
from simulator.datapath import Datapath, OptionError
from simulator.engine.pe_array import run_os_array
from simulator.errors import AccumulatorOverflowError, UnknownNameError
from simulator.formats import Encoded, Format
from simulator.mapping import os_fold
from simulator.reference import exact_matmul
from simulator.study.verify import adversarial_tensors
from simulator.tiles import TILE_DTYPE
from tests import naive

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.filterwarnings("ignore:overflow encountered in scalar divide"),  # kernels run as plain Python
]

PRICED_VARIANTS = [("int_mac", {"act_bits": 4, "weight_bits": 4}), ("ovp", {"pair_rule": "left"})]
VARIANTS = [
    *PRICED_VARIANTS,
    ("int_mac", {"act_bits": 8, "weight_bits": 4}),
    ("int_mac", {"act_bits": 4, "weight_bits": 8}),
    ("int_mac", {"acc_bits": 16}),
]
SHIPPED = ["fp16_mac", "int_mac", "ovp"]
ADVERSARIAL = [name for name, _, _ in adversarial_tensors(0)]


def label(which):
    return "-".join([which[0], *(f"{k}={v}" for k, v in which[1].items())])


def seeds(count):
    return pytest.mark.parametrize("seed", range(count), ids=lambda s: f"seed{s}")


every_datapath = pytest.mark.parametrize("which", [*((name, {}) for name in datapath.names()), *VARIANTS], ids=label)


def make(which) -> Datapath:
    return datapath.create(which[0], which[1])


def heavy_tailed(rng, shape):
    return (rng.standard_normal(shape) * np.exp(1.5 * rng.standard_normal(shape))).astype(np.float32)


def random_shape(seed, largest=20):
    """Shape and generator of a seed; seed 0 is the smallest GEMM there is."""
    rng = np.random.default_rng(seed)
    return (1, 1, 1, rng) if seed == 0 else (*rng.integers(1, largest + 1, 3).tolist(), rng)


def packed(dp, act, weight):
    """Codes of (M, K) and (N, K); three sigmas on the largest normal, so that outliers reach every part of a grid."""
    return tuple(
        fmt.encode(x, fmt.calibrate(x, method="three_sigma"))
        for fmt, x in ((dp.act_format, act), (dp.weight_format, weight))
    )


def random_codes(dp, seed, largest=20):
    M, N, K, rng = random_shape(seed, largest)
    return *packed(dp, heavy_tailed(rng, (M, K)), heavy_tailed(rng, (N, K))), K


def stored(codes, K):
    """Packed codes (R, bytes) as an operand of scale 1."""
    return Encoded(codes, np.ones((), np.float32), K)


def matmul(dp, act, weight, K):
    return dp.matmul(stored(act, K), stored(weight, K))


def words(dp, codes, K, operand):
    return dp.edge_words(stored(codes, K), operand)


def reference(dp, act, weight, K):
    return exact_matmul(
        stored(act, K),
        stored(weight, K),
        act_format=dp.act_format,
        weight_format=dp.weight_format,
        accumulation=dp.accumulation.kind,
    )


def first_overflow(dp, act, weight, K):
    """Position of the first output of which a partial sum leaves the accumulator, or None."""
    if dp.accumulation.kind != "int":
        return None
    a, w = dp.act_format.decode(act, K).astype(np.int64), dp.weight_format.decode(weight, K).astype(np.int64)
    partial = np.cumsum(a[:, None, :] * w[None, :, :], axis=-1)
    half = 1 << (dp.accumulation.bits - 1)
    broken = np.argwhere(((partial < -half) | (partial >= half)).any(axis=-1))
    return tuple(broken[0].tolist()) if len(broken) else None


def same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    bits = f"u{found.dtype.itemsize}"
    np.testing.assert_array_equal(np.ascontiguousarray(found).view(bits), np.ascontiguousarray(expected).view(bits))


def check_values(dp, act, weight, K):
    """``matmul`` gives the exact reference, or names the output that overflows. Returns whether there is a result."""
    overflow = first_overflow(dp, act, weight, K)
    if overflow is not None:
        with pytest.raises(AccumulatorOverflowError) as error:
            matmul(dp, act, weight, K)
        assert str(overflow) in str(error.value)
        return False
    found = matmul(dp, act, weight, K)
    same_bits(found, reference(dp, act, weight, K))
    assert found.dtype == (np.int64 if dp.accumulation.kind == "int" else np.float32)
    assert found.shape == (len(act), len(weight))
    return True


def fold(dp, act_words, weight_words):
    """What the PEs compute, step by step: (M, K) and (N, K) words to (M, N)."""
    number = np.int64 if dp.accumulation.kind == "int" else np.float32
    out = np.zeros((len(act_words), len(weight_words)), number)
    for m, a in enumerate(act_words):
        for n, w in enumerate(weight_words):
            acc = number(0)
            for k in range(len(a)):
                acc = number(dp.mac(acc, a[k], w[k]))
            out[m, n] = acc
    return out


# What a datapath says of itself


@every_datapath
def test_it_is_a_frozen_record_of_json_options(which):
    dp = make(which)
    assert isinstance(dp, Datapath)
    assert dp.name == which[0]
    assert which[0] in datapath.names()
    options = dataclasses.asdict(dp)
    assert datapath.create(which[0], json.loads(json.dumps(options))) == dp == make(which)
    for attribute in [*options, "name"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(dp, attribute, 1)
    with pytest.raises(OptionError) as error:
        datapath.create(which[0], {"no_such_option": 1})
    assert error.value.option == "no_such_option"


@every_datapath
def test_formats_accumulation_and_steps(which):
    dp = make(which)
    assert isinstance(dp.act_format, Format)
    assert isinstance(dp.weight_format, Format)
    assert dp.accumulation.kind in ("int", "fp32_sequential")
    assert dp.accumulation.bits == 32 or dp.accumulation.kind == "int"
    assert 1 <= dp.accumulation.bits <= 63
    assert isinstance(dp.cycles_per_step(), int)
    assert dp.cycles_per_step() >= 1


def require_bill(bill, number):
    for name, count in bill.items():
        assert isinstance(name, str)
        assert name
        assert isinstance(count, number)
        assert not isinstance(count, bool)
        assert math.isfinite(count)
        assert count > 0


@every_datapath
def test_actions_and_parts(which):
    dp = make(which)
    assert dp.actions_per_mac()
    require_bill(dp.actions_per_mac(), int | float)
    for operand in ("act", "weight"):
        require_bill(dp.actions_per_operand(operand), int | float)
    for rows, cols in ((1, 1), (3, 5), (64, 64)):
        bill = dp.area_bill(rows, cols)
        require_bill(bill, int)
        for larger in (dp.area_bill(rows + 1, cols), dp.area_bill(rows, cols + 1)):
            assert all(larger[part] >= count for part, count in bill.items())
            assert sum(larger.values()) > sum(bill.values())


# Values


@every_datapath
@pytest.mark.parametrize("case", ADVERSARIAL)
def test_matmul_is_the_reference_on_adversarial_tensors(which, case):
    dp = make(which)
    act, weight = next((a[0], w[0]) for name, a, w in adversarial_tensors(0) if name == case)
    check_values(dp, *packed(dp, act, weight), act.shape[1])


@every_datapath
@seeds(24)
def test_matmul_is_the_reference_on_random_shapes(which, seed):
    dp = make(which)
    check_values(dp, *random_codes(dp, seed))


@every_datapath
@seeds(6)
def test_reference_is_naive(which, seed):
    dp = make(which)
    act, weight, K = random_codes(dp, seed, largest=7)
    a, w = dp.act_format.decode(act, K), dp.weight_format.decode(weight, K)
    found = reference(dp, act, weight, K)
    if dp.accumulation.kind == "int":
        assert found.tolist() == naive.int_matmul(a.tolist(), w.tolist())
    else:
        same_bits(found, naive.float_matmul(a, w))


@every_datapath
@seeds(6)
def test_matmul_repeats_itself_and_leaves_its_inputs_alone(which, seed):
    dp = make(which)
    act, weight, K = random_codes(dp, seed)
    if first_overflow(dp, act, weight, K) is not None:
        act = np.ascontiguousarray(dp.act_format.encode(np.zeros((len(act), K), np.float32), 1.0))
    kept = act.copy(), weight.copy()
    first = matmul(dp, act, weight, K)
    fed = words(dp, act, K, "act")
    same_bits(matmul(dp, act, weight, K), first)
    same_bits(words(make(which), act, K, "act"), fed)
    same_bits(act, kept[0])
    same_bits(weight, kept[1])


# The array edge and one PE


@every_datapath
@seeds(6)
def test_edge_words_are_rows_of_one_kind_of_number(which, seed):
    dp = make(which)
    act, weight, K = random_codes(dp, seed)
    for codes, operand in ((act, "act"), (weight, "weight")):
        fed = words(dp, codes, K, operand)
        assert fed.shape == (len(codes), K)
        assert fed.dtype == (np.int64 if dp.accumulation.kind == "int" else np.float32)
        for row in range(len(codes)):
            same_bits(words(dp, codes[row : row + 1], K, operand), fed[row : row + 1])


@every_datapath
@seeds(3)
def test_zero_adds_nothing(which, seed):
    dp = make(which)
    number = np.int64 if dp.accumulation.kind == "int" else np.float32
    act, weight, K = random_codes(dp, seed + 1)
    zeros = np.zeros((1, 3), np.float32)
    zero = {
        "act": [number(0), *words(dp, dp.act_format.encode(zeros, 1.0), 3, "act")[0]],
        "weight": [number(0), *words(dp, dp.weight_format.encode(zeros, 1.0), 3, "weight")[0]],
    }
    for acc in (number(0), number(1000), number(-7)):
        for word in np.unique(words(dp, act, K, "act")):
            assert [number(dp.mac(acc, word, z)) for z in zero["weight"]] == [acc] * 4
        for word in np.unique(words(dp, weight, K, "weight")):
            assert [number(dp.mac(acc, z, word)) for z in zero["act"]] == [acc] * 4


@every_datapath
@seeds(8)
def test_mac_folded_over_edge_words_is_matmul(which, seed):
    dp = make(which)
    act, weight, K = random_codes(dp, seed, largest=9)
    if check_values(dp, act, weight, K):
        folded = fold(dp, words(dp, act, K, "act"), words(dp, weight, K, "weight"))
        same_bits(folded, matmul(dp, act, weight, K))


def on_the_array(dp, act, weight, K, rows, cols, overlap):
    return run_os_array(
        words(dp, act, K, "act"),
        words(dp, weight, K, "weight"),
        rows,
        cols,
        mac=dp.mac,
        period_cycles=os_fold(K, rows, cols, overlap).period_cycles,
        double_buffered=overlap == "full",
    )


@every_datapath
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@seeds(5)
def test_the_register_accurate_array_gives_matmul(which, overlap, seed):
    dp = make(which)
    act, weight, K = random_codes(dp, seed, largest=9)
    rows, cols = ((1, 1), (2, 3), (4, 2), (3, 3), (5, 1))[seed]
    if check_values(dp, act, weight, K):
        run = on_the_array(dp, act, weight, K, rows, cols, overlap)
        same_bits(run.values, matmul(dp, act, weight, K))
        assert run.cycles == naive.os_cycles(len(act), len(weight), K, rows, cols, overlap)


@every_datapath
def test_the_array_gives_matmul_for_zeros_of_either_sign(which):
    """Negative activations on zero weights: a float accumulator that starts at +0.0 never ends at -0.0."""
    dp = make(which)
    act, weight = np.full((2, 3), -1.0, np.float32), np.zeros((2, 3), np.float32)
    codes = dp.act_format.encode(act, 1.0), dp.weight_format.encode(weight, 1.0)
    same_bits(on_the_array(dp, *codes, 3, 2, 2, "full").values, matmul(dp, *codes, 3))


# Stalls


def tiles_of(M, N, K, side):
    """One tile per ``side x side`` block of outputs, all of K."""
    blocks = [(m, n) for m in range(0, M, side) for n in range(0, N, side)]
    tiles = np.zeros(len(blocks), TILE_DTYPE)
    for tile, (m, n) in zip(tiles, blocks, strict=True):
        tile["m0"], tile["n0"], tile["m"], tile["n"], tile["k"] = m, n, min(side, M - m), min(side, N - n), K
        tile["folds"], tile["issue_cycles"], tile["macs"] = 1, max(K, side), tile["m"] * tile["n"] * K
    return tiles


@every_datapath
@pytest.mark.parametrize("known", [True, False], ids=["codes", "shapes"])
@seeds(3)
def test_stalls_are_none_or_one_count_per_tile(which, known, seed):
    dp = make(which)
    act, weight, K = random_codes(dp, seed)
    tiles = tiles_of(len(act), len(weight), K, 4)
    kept = act.copy(), weight.copy(), tiles.copy()
    codes = (stored(act, K), stored(weight, K)) if known else (None, None)
    stalls = dp.stall_cycles(*codes, tiles, seed)
    again = dp.stall_cycles(*codes, tiles, seed)
    assert (stalls is None) == (again is None) == (dp.stall_cycles(None, None, tiles, seed) is None)
    if stalls is not None:
        assert stalls.dtype == np.int64
        assert stalls.shape == (len(tiles),)
        assert (stalls >= 0).all()
        np.testing.assert_array_equal(stalls, again)
    for now, before in zip((act, weight, tiles), kept, strict=True):
        np.testing.assert_array_equal(now, before)


# Shipped datapaths: prices, names


@pytest.mark.parametrize("which", [*((name, {}) for name in SHIPPED), *PRICED_VARIANTS], ids=label)
def test_everything_a_shipped_datapath_bills_is_priced(which):
    dp, library = make(which), load_cost("open")
    actions = {*dp.actions_per_mac(), *dp.actions_per_operand("act"), *dp.actions_per_operand("weight")}
    assert actions <= set(library.actions)
    assert set(dp.area_bill(4, 4)) <= set(library.parts)


def test_shipped_names_and_bills():
    assert set(SHIPPED) <= set(datapath.names())
    assert datapath.create("ovp", {}).area_bill(64, 64) == {"pe_ei4_acc32": 4096, "decoder_ovp4": 128}
    assert datapath.create("int_mac", {}).area_bill(64, 32) == {"pe_int8x8_acc32": 2048}
    assert datapath.create("fp16_mac", {}).area_bill(1, 1) == {"pe_fp16_acc32": 1}
    with pytest.raises(UnknownNameError) as error:
        datapath.get("int_mack")
    assert str(error.value).startswith("unknown datapath 'int_mack'; did you mean 'int_mac'?; known: ")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("int_mac", {"act_bit": 4}, "unknown option of datapath 'int_mac'; did you mean 'act_bits'?"),
        ("int_mac", {"act_bits": 5}, "Input should be 4 or 8, found 5"),
        ("int_mac", {"act_bits": "8"}, "Input should be 4 or 8, found '8'"),
        ("ovp", {"pair_rule": "lager"}, "Input should be 'larger' or 'left', found 'lager'"),
        ("fp16_mac", {"bits": 16}, "unknown option of datapath 'fp16_mac'; allowed: none"),
    ],
)
def test_wrong_options_say_what_is_allowed(name, options, message):
    with pytest.raises(OptionError) as error:
        datapath.create(name, options)
    assert str(error.value) == message
    assert error.value.option == next(iter(options))


# Integer datapaths, exhaustively


def test_all_65536_int8_products():
    dp, codes = datapath.create("int_mac", {}), np.arange(256, dtype=np.uint8)[:, None]
    values = [[naive.twos_complement(c, 8)] for c in range(256)]
    expected = np.array(naive.int_matmul(values, values))
    same_bits(matmul(dp, codes, codes, 1), expected)
    same_bits(fold(dp, words(dp, codes, 1, "act"), words(dp, codes, 1, "weight")), expected)


def test_all_products_of_int4_bytes():
    dp = datapath.create("int_mac", {"act_bits": 4, "weight_bits": 4})
    codes = np.arange(256, dtype=np.uint8)[:, None]
    values = [naive.decode_int4([c], 2) for c in range(256)]
    same_bits(matmul(dp, codes, codes, 2), np.array(naive.int_matmul(values, values)))


@pytest.mark.parametrize("pair_rule", ["larger", "left"])
def test_all_products_of_legal_ovp4_bytes(pair_rule):
    dp = datapath.create("ovp", {"pair_rule": pair_rule})
    codes = np.array([b for b in range(256) if naive.decode_ovp4_byte(b)], np.uint8)[:, None]
    assert len(codes) == 253
    values = [naive.decode_ovp4_byte(b) for b in codes[:, 0].tolist()]
    expected = np.array(naive.int_matmul(values, values))
    assert expected.max() == 96**2
    same_bits(matmul(dp, codes, codes, 2), expected)
    fed = words(dp, codes, 2, "act")
    same_bits(fed, words(dp, codes, 2, "weight"))
    same_bits(fold(dp, fed, fed), expected)


def test_published_products_of_exponent_integer_operands():
    """<5, -3> x <0, 7> = <5, -21> = -672; x = <4, h> + <0, l> makes an 8-bit product of four 4-bit ones."""
    mac = datapath.get("ovp").mac
    assert mac(0, 5 << 8 | -3 & 0xFF, 7) == -672
    halves = [((4 << 8 | (x >> 4) & 0xFF), x & 0xF) for x in range(-128, 128)]
    for x, (xh, xl) in zip(range(-128, 128), halves, strict=True):
        for y, (yh, yl) in zip(range(-128, 128), halves, strict=True):
            assert mac(mac(mac(mac(0, xh, yh), xh, yl), xl, yh), xl, yl) == x * y


# Accumulators that overflow


def rows_of_bytes(*rows):
    return np.array(rows, np.int64).astype(np.uint8)


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 1)], ids=str)
@pytest.mark.parametrize(
    "breaking",
    [[127, 127, 4, 2], [-127, -127, -4, -3], [127, 127, 5, -127]],
    ids=["one too high", "one too low", "only on the way"],
)
def test_int_mac_overflow_names_the_first_output(place, breaking):
    """Activations 127, 127, 127, 1 and a 16-bit accumulator, which holds -32768..32767."""
    dp = datapath.create("int_mac", {"acc_bits": 16})
    act, weight = rows_of_bytes(*[[0, 0, 0, 0]] * 3), rows_of_bytes(*[[127, 127, 4, 1]] * 3)
    act[place[0] :] = rows_of_bytes([127, 127, 127, 1])
    weight[place[1] :] = rows_of_bytes(breaking)
    values = [dp.act_format.decode(x, 4).tolist() for x in (act, weight)]
    assert naive.first_overflow(*values, 16) == place
    with pytest.raises(AccumulatorOverflowError) as error:
        matmul(dp, act, weight, 4)
    assert str(error.value) == f"int_mac: a partial sum of output {place} leaves the 16-bit accumulator"
    roomy = datapath.create("int_mac", {"acc_bits": 24})
    assert matmul(roomy, act, weight, 4).tolist() == naive.int_matmul(*values)


def test_two_to_the_fifteenth_is_already_too_much():
    """Eight products of 64 x 64: a bound of exactly 2^15 does not prove that the sum fits."""
    dp, codes = datapath.create("int_mac", {"acc_bits": 16}), np.full((1, 8), 64, np.uint8)
    with pytest.raises(AccumulatorOverflowError):
        matmul(dp, codes, codes, 8)
    assert matmul(dp, codes, np.full((1, 8), -64 & 0xFF, np.uint8), 8).tolist() == [[-32768]]


def test_int_mac_fills_its_accumulator_to_the_last_value():
    dp = datapath.create("int_mac", {"acc_bits": 16})
    act = rows_of_bytes([127, 127, 127, 1])
    weight = rows_of_bytes([127, 127, 4, 1], [-127, -127, -4, -2])
    assert matmul(dp, act, weight, 4).tolist() == [[32767, -32768]]


@pytest.mark.parametrize(
    ("name", "options", "byte", "per_byte", "product", "bits"),
    [
        ("int_mac", {"act_bits": 4, "weight_bits": 4, "acc_bits": 16}, 0x77, 2, 2 * 49, 16),
        ("int_mac", {"acc_bits": 24}, 127, 1, 127**2, 24),
        ("int_mac", {"acc_bits": 32}, 127, 1, 127**2, 32),
        ("ovp", {}, 0x78, 2, 96**2, 32),
    ],
)
def test_the_longest_reduction_that_fits(name, options, byte, per_byte, product, bits):
    dp = datapath.create(name, options)
    steps = (2 ** (bits - 1) - 1) // product
    codes = np.full((1, steps), byte, np.uint8)
    assert matmul(dp, codes, codes, steps * per_byte).tolist() == [[steps * product]]
    codes = np.full((1, steps + 1), byte, np.uint8)
    with pytest.raises(AccumulatorOverflowError) as error:
        matmul(dp, codes, codes, (steps + 1) * per_byte)
    assert str(error.value) == f"{name}: a partial sum of output (0, 0) leaves the {bits}-bit accumulator"


# FP16


def half_codes(patterns):
    """Bit patterns (R, K) as packed codes."""
    return np.asarray(patterns, dtype="<u2").view(np.uint8)


def half_values(patterns):
    return np.array([[naive.decode_fp16(p) for p in row] for row in np.asarray(patterns).tolist()], np.float32)


FINITE_HALVES = [p for p in range(65536) if p & 0x7C00 != 0x7C00]
half_patterns = st.one_of(
    st.sampled_from([0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF]),
    st.integers(0, len(FINITE_HALVES) - 1).map(FINITE_HALVES.__getitem__),
)


def test_every_finite_half_reaches_the_array_unchanged():
    dp = datapath.create("fp16_mac", {})
    patterns = [[p] for p in FINITE_HALVES]
    same_bits(words(dp, half_codes(patterns), 1, "act"), half_values(patterns))


@settings(deadline=None, max_examples=200)
@given(data=st.data(), M=st.integers(1, 3), N=st.integers(1, 3), K=st.integers(1, 12))
def test_fp16_rounds_once_per_step(data, M, N, K):
    dp = datapath.create("fp16_mac", {})
    act, weight = (
        np.array(data.draw(st.lists(half_patterns, min_size=rows * K, max_size=rows * K))).reshape(rows, K)
        for rows in (M, N)
    )
    expected = naive.float_matmul(half_values(act), half_values(weight))
    same_bits(matmul(dp, half_codes(act), half_codes(weight), K), expected)
    same_bits(reference(dp, half_codes(act), half_codes(weight), K), expected)


@settings(deadline=None, max_examples=300)
@given(a=half_patterns, w=half_patterns, acc=st.floats(-1e9, 1e9, width=32))
def test_fp16_products_are_exact_and_only_the_sum_rounds(a, w, acc):
    dp = datapath.create("fp16_mac", {})
    x, y = (words(dp, half_codes([[p]]), 1, "act")[0, 0] for p in (a, w))
    product = naive.decode_fp16(a) * naive.decode_fp16(w)  # float64: 22 bits at most, exact
    assert float(dp.mac(np.float32(0), x, y)) == product
    assert np.float32(dp.mac(np.float32(acc), x, y)) == np.float32(np.float32(acc) + np.float32(product))


def test_fp16_accumulates_in_order_and_in_float32():
    """2^24 + 1 + 1 is 2^24 in float32, step by step; 1 + 1 + 2^24 is not."""
    dp = datapath.create("fp16_mac", {})
    ones, fmt = [1.0, 1.0], dp.act_format
    for row, expected in (([4096.0, *ones], 2.0**24), ([*ones, 4096.0], 2.0**24 + 2)):
        codes = fmt.encode(np.array([row], np.float32), 1.0)
        assert matmul(dp, codes, codes, 3).tolist() == [[expected]]
        assert on_the_array(dp, codes, codes, 3, 1, 1, "wave").values.tolist() == [[expected]]
