"""``int_mac``, ``fp16_mac``, ``ovp``: names, options, products of all codes, accumulators that overflow, FP16 order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.datapath import OptionError
from simulator.errors import AccumulatorOverflowError, UnknownNameError
from tests import naive
from tests.datapaths import on_the_arrays, reference, same_bits, stored

pytestmark = pytest.mark.kernels


def matmul(dp, act, weight, K):
    return dp.matmul(stored(act, K), stored(weight, K))


def words(dp, codes, K, operand):
    return dp.edge_words(stored(codes, K), operand)


def step(dp, acc, act, weight):
    """The accumulator of one PE after one step."""
    state = np.array([acc], dp.state_type)
    dp.mac(state, act, weight)
    return state[0]


def fold(dp, act_words, weight_words):
    """What the PEs compute, step by step: (M, K) and (N, K) words to (M, N)."""
    whole = np.issubdtype(dp.state_type, np.integer)
    out = np.zeros((len(act_words), len(weight_words)), np.int64 if whole else np.float32)
    for m, a in enumerate(act_words):
        for n, w in enumerate(weight_words):
            state = np.zeros(1, dp.state_type)
            for k in range(len(a)):
                dp.mac(state, a[k], w[k])
            out[m, n] = state[0]
    return out


def test_shipped_names_and_bills():
    assert {"bitfusion", "fp16_mac", "int_mac", "ovp"} <= set(datapath.names())
    assert datapath.create("int_mac", {}).area_bill(64, 32) == {"pe_int8x8_acc32": 2048}
    assert datapath.create("fp16_mac", {}).area_bill(1, 1) == {"pe_fp16_acc32": 1}
    with pytest.raises(UnknownNameError) as error:
        datapath.get("int_mack")
    assert str(error.value).startswith("unknown datapath 'int_mack'; did you mean 'int_mac'?; known: ")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("int_mac", {"act_bit": 4}, "unknown option of datapath 'int_mac'; did you mean 'act_bits'?"),
        ("int_mac", {"act_bits": 9}, "Input should be 2, 3, 4, 5, 6, 7, 8 or 16, found 9"),
        ("int_mac", {"act_bits": "8"}, "Input should be 2, 3, 4, 5, 6, 7, 8 or 16, found '8'"),
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
    same_bits(reference(dp, (stored(half_codes(act), K), stored(half_codes(weight), K))), expected)


@settings(deadline=None, max_examples=300)
@given(a=half_patterns, w=half_patterns, acc=st.floats(-1e9, 1e9, width=32))
def test_fp16_products_are_exact_and_only_the_sum_rounds(a, w, acc):
    dp = datapath.create("fp16_mac", {})
    x, y = (words(dp, half_codes([[p]]), 1, "act")[0, 0] for p in (a, w))
    product = naive.decode_fp16(a) * naive.decode_fp16(w)  # float64: 22 bits at most, exact
    assert float(step(dp, 0, x, y)) == product
    assert step(dp, acc, x, y) == np.float32(np.float32(acc) + np.float32(product))


def test_fp16_accumulates_in_order_and_in_float32():
    """2^24 + 1 + 1 is 2^24 in float32, step by step; 1 + 1 + 2^24 is not."""
    dp = datapath.create("fp16_mac", {})
    ones, fmt = [1.0, 1.0], dp.act_format
    for row, expected in (([4096.0, *ones], 2.0**24), ([*ones, 4096.0], 2.0**24 + 2)):
        codes = fmt.encode(np.array([row], np.float32), 1.0)
        assert matmul(dp, codes, codes, 3).tolist() == [[expected]]
        assert on_the_arrays(dp, (stored(codes, 3), stored(codes, 3)), 1, 1, "wave").tolist() == [[expected]]
