"""``int_mac`` at every width, with and without a zero point; the exact products that integer datapaths share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.datapath import OptionError, accumulate
from simulator.errors import AccumulatorOverflowError
from simulator.formats import Encoded
from tests import naive, naive_int_float
from tests.datapaths import on_the_arrays, reference, same_bits, seeds, stored

pytestmark = pytest.mark.kernels

NARROW = range(2, 9)


def packed(rows, bits):
    """Rows of codes, packed by the oracle."""
    pack = naive_int_float.pack_int16 if bits == 16 else lambda row: naive_int_float.pack(row, bits)
    return np.array([pack(row) for row in rows], np.uint8)


def operand(values, bits):
    values = np.asarray(values).tolist()
    return stored(packed(values, bits), len(values[0]))


def with_zero(codes, bits, zero):
    """Unsigned codes (R, K) with a zero point per row, or one for all."""
    codes = np.asarray(codes).tolist()
    extras = {"zero_point": np.asarray(zero, np.uint8)}
    return Encoded(packed(codes, bits), np.ones((), np.float32), len(codes[0]), extras)


def every(bits):
    return range(-(2 ** (bits - 1)), 2 ** (bits - 1))


# Widths


@pytest.mark.parametrize("bits", [*NARROW, 16])
def test_every_code_enters_the_array_sign_extended_wherever_it_lies(bits):
    """As many rows as a code has places in its bytes; the codes of each row start one place further on."""
    dp = datapath.create("int_mac", {"act_bits": bits, "weight_bits": bits, "acc_bits": 32})
    values = list(every(bits))
    rows = [values[shift:] + values[:shift] for shift in range(8 if bits < 16 else 1)]
    fed = dp.edge_words(operand(rows, bits), "act")
    same_bits(fed, np.array(rows, np.int64))
    same_bits(dp.edge_words(operand(rows, bits), "weight"), fed)
    assert naive_int_float.decode_integers(packed(rows[:1], bits)[0].tolist(), bits, len(values)) == values


@pytest.mark.parametrize("act_bits", NARROW)
@pytest.mark.parametrize("weight_bits", NARROW)
def test_all_products_of_all_codes(act_bits, weight_bits):
    dp = datapath.create("int_mac", {"act_bits": act_bits, "weight_bits": weight_bits})
    a, w = ([[v] for v in every(bits)] for bits in (act_bits, weight_bits))
    same_bits(dp.matmul(operand(a, act_bits), operand(w, weight_bits)), np.array(naive.int_matmul(a, w)))


@settings(deadline=None, max_examples=200)
@given(data=st.data(), M=st.integers(1, 3), N=st.integers(1, 3), K=st.integers(1, 9))
def test_products_of_16_bits_in_48(data, M, N, K):
    dp = datapath.create("int_mac", {"act_bits": 16, "weight_bits": 16, "acc_bits": 48})
    number = st.one_of(st.sampled_from([-32768, -32767, 32767, 0, 1, -1]), st.integers(-32768, 32767))
    a, w = (data.draw(st.lists(st.lists(number, min_size=K, max_size=K), min_size=r, max_size=r)) for r in (M, N))
    pair = operand(a, 16), operand(w, 16)
    same_bits(dp.matmul(*pair), np.array(naive.int_matmul(a, w)))


def test_the_longest_reduction_of_16_bits_in_48():
    dp = datapath.create("int_mac", {"act_bits": 16, "weight_bits": 16, "acc_bits": 48})
    steps = (2**47 - 1) // 32767**2
    codes = np.frombuffer(b"\xff\x7f" * (steps + 1), np.uint8)[None]
    assert dp.matmul(stored(codes[:, :-2], steps), stored(codes[:, :-2], steps)).tolist() == [[steps * 32767**2]]
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(stored(codes, steps + 1), stored(codes, steps + 1))
    assert str(error.value) == "int_mac: a partial sum of output (0, 0) leaves the 48-bit accumulator"


# Zero points


@pytest.mark.parametrize("bits", NARROW)
def test_all_products_of_codes_with_zero_points(bits):
    """Every code; every zero point up to 5 bits, the ends and the middle beyond; every weight of that width."""
    dp = datapath.create("int_mac", {"act_bits": bits, "weight_bits": bits, "act_zero_point": True})
    top = 2**bits - 1
    codes, w = [[q] for q in range(top + 1)], [[v] for v in every(bits)]
    weight = operand(w, bits)
    for zero in range(top + 1) if bits <= 5 else (0, 1, top // 2, top // 2 + 1, top):
        found = dp.matmul(with_zero(codes, bits, zero), weight)
        same_bits(found, np.array(naive.int_matmul([[q - zero] for (q,) in codes], w)))


@seeds(12)
def test_a_zero_point_per_row_or_one_for_all(seed):
    rng = np.random.default_rng(seed)
    bits, (M, N, K) = int(rng.integers(2, 9)), rng.integers(1, 9, 3).tolist()
    dp = datapath.create("int_mac", {"act_bits": bits, "weight_bits": 5, "act_zero_point": True})
    codes, w = rng.integers(0, 2**bits, (M, K)), rng.integers(-16, 16, (N, K))
    zero = rng.integers(0, 2**bits, (M, 1)) if seed % 2 else rng.integers(0, 2**bits, ())
    pair = with_zero(codes, bits, zero), operand(w, 5)
    expected = np.array(naive.int_matmul((codes - zero).tolist(), w.tolist()))
    for found in (dp.matmul(*pair), on_the_arrays(dp, pair, 2, 4, "wave"), reference(dp, pair)):
        same_bits(found, expected)


def test_the_pes_of_a_zero_point_see_signed_integers():
    dp = datapath.create("int_mac", {"act_zero_point": True})
    assert dp.edge_words(with_zero([[0, 127, 128, 255]], 8, 3), "act").tolist() == [[-128, -1, 0, 127]]
    assert dp.edge_words(operand([[-128, -1, 0, 127]], 8), "weight").tolist() == [[-128, -1, 0, 127]]
    assert dp.actions_per_mac() == datapath.create("int_mac", {}).actions_per_mac()
    assert dp.actions_per_output() == {"merge_int32": 1}
    assert dp.area_bill(4, 3) == {"pe_int8x8_acc32": 12, "merge_adder32": 3}


@pytest.mark.parametrize(
    ("codes", "zero", "message"),
    [
        ([255, 255], 0, "int_mac: output (0, 0) less its zero point leaves 16 bits"),
        ([0, 0, 0, 255, 255], 128, "int_mac: a partial sum of output (0, 0) leaves the 16-bit accumulator"),
        ([255, 255], 128, None),
    ],
    ids=["only the difference", "only on the way", "neither"],
)
def test_sums_and_differences_must_fit(codes, zero, message):
    dp = datapath.create("int_mac", {"act_zero_point": True, "acc_bits": 16})
    pair = with_zero([codes], 8, zero), operand([[127] * len(codes)], 8)
    if message is None:
        assert dp.matmul(*pair).tolist() == [[2 * 127**2]]
        return
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(*pair)
    assert str(error.value) == message


def test_16_bits_have_no_zero_point():
    with pytest.raises(OptionError) as error:
        datapath.create("int_mac", {"act_bits": 16, "act_zero_point": True})
    assert (error.value.option, str(error.value)) == (
        "act_zero_point",
        "activations of at most 8 bits have one, found 16 bits",
    )


# What integer datapaths share


@pytest.fixture
def small_blocks(monkeypatch):
    """Many blocks of M, N and K in a small product."""
    monkeypatch.setattr(accumulate, "_BLOCK", (3, 4, 5))


@pytest.mark.parametrize("largest", [0, 1, 2**7, 2**12, 2**16, 2**26 - 1])
@seeds(3)
def test_exact_products_in_blocks(small_blocks, largest, seed):
    rng = np.random.default_rng(seed)
    a, w = (rng.integers(-largest, largest + 1, (rows, 13)) for rows in (7, 9))
    same_bits(accumulate.exact_product(a, w), np.array(naive.int_matmul(a.tolist(), w.tolist())))


@pytest.mark.parametrize(
    ("value", "dtype", "K"), [(127, np.int8, 5001), (32767, np.int16, 8388611), (2**26 - 1, np.int32, 2001)]
)
def test_sums_are_exact_beyond_what_a_float_holds(value, dtype, K):
    """Odd products, an odd number of them, too many for one chunk: one lost bit would show."""
    x = np.full((1, K), value, dtype)
    assert accumulate.exact_product(x, x).tolist() == [[K * value**2]]
    assert accumulate.exact_product(x, -x).tolist() == [[-K * value**2]]


@seeds(40)
def test_the_first_overflow_is_found_across_blocks(small_blocks, seed):
    rng = np.random.default_rng(seed)
    M, N, K = rng.integers(1, 10, 3).tolist()
    a, w = (rng.integers(-100, 101, (rows, K)).astype(np.int8) for rows in (M, N))
    a[rng.random((M, K)) < 0.2] = -128
    where = naive.first_overflow(a.tolist(), w.tolist(), 16)
    if where is None:
        accumulate.require_fit(a, w, 16, "it")
        return
    with pytest.raises(AccumulatorOverflowError) as error:
        accumulate.require_fit(a, w, 16, "it")
    assert str(error.value) == f"it: a partial sum of output {where} leaves the 16-bit accumulator"
