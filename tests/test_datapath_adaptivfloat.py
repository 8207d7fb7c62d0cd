"""``adaptivfloat``: all products of all codes against exact fractions, biases, accumulator widths, wrong options."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from simulator import datapath
from simulator.datapath import OptionError
from simulator.errors import AccumulatorOverflowError
from tests.datapaths import encoded_pair, fold, heavy_tailed, on_the_arrays, reference, same_bits, stored
from tests.naive_int_float import adaptivfloat_bias, adaptivfloat_magnitudes, encode_adaptivfloat

pytestmark = pytest.mark.kernels

LARGEST = 31 << 7


def adaptivfloat(**options):
    return datapath.create("adaptivfloat", options)


def exact(code, bias):
    """Value of a code of AdaptivFloat<8,3>."""
    magnitude = adaptivfloat_magnitudes(8, 3, bias)[code % 128]
    return -magnitude if code >= 128 else magnitude


@pytest.mark.parametrize("acc_bits", [32, 40])
def test_all_65536_products_are_exact_integers(acc_bits):
    """At any bias a value is its integer times 2^(bias - 4), so a product is times 2^(sum of both - 8)."""
    dp, codes = adaptivfloat(acc_bits=acc_bits), np.arange(256, dtype=np.uint8)[:, None]
    pair = (stored(codes, 1), stored(codes, 1))
    integers = [exact(code, 0) * 16 for code in range(256)]
    assert all(value.denominator == 1 for value in integers)
    expected = np.array([[int(a * w) for w in integers] for a in integers])
    assert expected.max() == LARGEST**2
    same_bits(dp.matmul(*pair), expected)
    same_bits(fold(dp.lanes(*pair, 4, 4)[0]), expected)
    same_bits(reference(dp, pair), expected)


def test_zero_has_two_codes_and_the_smallest_magnitude_is_not_one():
    dp = adaptivfloat()
    words = dp.edge_words(stored(np.array([[0x00, 0x80, 0x01, 0x81, 0x7F]], np.uint8), 5), "act")[0].tolist()
    assert words == [0, 0, 17, -17 & 0xFF, 7 << 8 | 31]


@pytest.mark.parametrize("granularity", ["tensor", "row"])
@pytest.mark.parametrize("magnitude", [1e-40, 1e-3, 1.0, 1e30])
def test_real_results_are_the_products_of_the_decoded_fractions(granularity, magnitude):
    """From real tensors to real results, biases of rows included, in exact fractions."""
    dp, rng = adaptivfloat(), np.random.default_rng(4)
    act, weight = (heavy_tailed(rng, (rows, 7)) for rows in (3, 4))
    act, weight = (
        (act * np.float32(magnitude)).astype(np.float32),
        (weight * np.array([[1], [8], [0], [99]])).astype(np.float32),
    )
    (pair,) = dp.encode(act[None], weight[None], (granularity,) * 2, ("absmax",) * 2)
    decoded = []
    for x in (act, weight):
        together = adaptivfloat_bias(x.ravel(), 3)
        biases = [together if granularity == "tensor" else adaptivfloat_bias(row, 3) for row in x]
        decoded.append(
            [[exact(encode_adaptivfloat(v, 8, 3, b), b) for v in row] for row, b in zip(x, biases, strict=True)]
        )
    found = dp.real(dp.matmul(*pair), *pair)
    expected = [[sum((a * w for a, w in zip(x, y, strict=True)), Fraction(0)) for y in decoded[1]] for x in decoded[0]]
    assert [[Fraction(v) for v in row] for row in found.tolist()] == expected
    same_bits(on_the_arrays(dp, pair, 2, 2, "wave"), dp.matmul(*pair))


@pytest.mark.parametrize(("acc_bits", "steps"), [(32, 136), (40, 34916)])
def test_the_longest_reduction_that_fits(acc_bits, steps):
    """Largest magnitudes: as many as the module's docstring says, and not one more, of either sign."""
    dp = adaptivfloat(acc_bits=acc_bits)
    assert steps * LARGEST**2 < 2 ** (acc_bits - 1) <= (steps + 1) * LARGEST**2
    for code, sign in ((0x7F, 1), (0xFF, -1)):
        most, more = (np.full((1, n), 0x7F, np.uint8) for n in (steps, steps + 1))
        assert dp.matmul(stored(most, steps), stored(most | code, steps)).tolist() == [[sign * steps * LARGEST**2]]
        with pytest.raises(AccumulatorOverflowError) as error:
            dp.matmul(stored(more, steps + 1), stored(more | code, steps + 1))
        message = f"adaptivfloat: a partial sum of output (0, 0) leaves the {acc_bits}-bit accumulator"
        assert str(error.value) == message


def test_an_overflow_on_the_way_is_one_though_the_sum_would_fit():
    act = np.full((2, 274), 0x7F, np.uint8)
    weight = np.where(np.arange(274) < 137, 0x7F, 0xFF).astype(np.uint8)[None]
    act[0] = 0
    with pytest.raises(AccumulatorOverflowError) as error:
        adaptivfloat(acc_bits=32).matmul(stored(act, 274), stored(weight, 274))
    assert "output (1, 0)" in str(error.value)
    assert adaptivfloat().matmul(stored(act, 274), stored(weight, 274)).tolist() == [[0], [0]]


def test_bills():
    assert adaptivfloat().area_bill(32, 28) == {"pe_af8_acc40": 896}  # SPARK, HPCA 2024, Table VII
    assert adaptivfloat(acc_bits=32).area_bill(2, 3) == {"pe_af8_acc32": 6}
    assert adaptivfloat(acc_bits=32).actions_per_mac() == {"mac_af8_acc32": 1}
    assert adaptivfloat().register_bits("act") == adaptivfloat().register_bits("weight") == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acc_bits": 30}, "Input should be 32 or 40, found 30"),
        ({"acc_bit": 32}, "unknown option of datapath 'adaptivfloat'; did you mean 'acc_bits'?"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(OptionError) as error:
        adaptivfloat(**options)
    assert str(error.value) == message


def test_heavy_tailed_operands_of_rows():
    dp, rng = adaptivfloat(), np.random.default_rng(5)
    pair = encoded_pair(dp, heavy_tailed(rng, (5, 33)), heavy_tailed(rng, (6, 33)), "absmax")
    same_bits(dp.matmul(*pair), reference(dp, pair))
