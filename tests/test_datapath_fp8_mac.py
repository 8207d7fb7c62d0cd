"""``fp8_mac``: all pairs of codes of all four combinations of types, the order of sums, codes that are no numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.datapath import OptionError
from simulator.errors import EncodingError
from tests import naive_floats
from tests.datapaths import fold, reference, same_bits, stored
from tests.naive_blocks import E4M3, E5M2

pytestmark = pytest.mark.kernels

TYPES = {"e4m3": E4M3, "e5m2": E5M2}
VALUES = {name: {c: element.value(c) for c in range(256)} for name, element in TYPES.items()}
FINITE = {name: [c for c, v in values.items() if v is not None] for name, values in VALUES.items()}
every_combination = pytest.mark.parametrize(("act", "weight"), [(a, w) for a in TYPES for w in TYPES])


def make(act="e4m3", weight="e4m3"):
    return datapath.create("fp8_mac", {"act": act, "weight": weight})


def as_codes(rows):
    return np.array(rows, np.uint8)


def expected(act, weight, act_rows, weight_rows):
    values = ([[VALUES[t][c] for c in row] for row in rows] for t, rows in ((act, act_rows), (weight, weight_rows)))
    return naive_floats.as_float32(naive_floats.matmul(*values, naive_floats.sum_in_order))


def test_there_are_that_many_numbers():
    assert {name: len(codes) for name, codes in FINITE.items()} == {"e4m3": 254, "e5m2": 248}


@every_combination
def test_all_products(act, weight):
    dp = make(act, weight)
    rows = [[[c] for c in FINITE[name]] for name in (act, weight)]
    pair = [stored(as_codes(r), 1) for r in rows]
    products = expected(act, weight, *rows)
    same_bits(dp.matmul(*pair), products)
    same_bits(fold(dp.lanes(*pair, 4, 4)[0]), products)
    same_bits(reference(dp, pair), products)


@pytest.mark.parametrize("name", TYPES)
def test_every_number_reaches_the_array(name):
    codes = as_codes([FINITE[name]])
    found = make(name, name).edge_words(stored(codes, codes.shape[1]), "weight")
    assert found.dtype == np.float32
    assert [Fraction(float(x)) for x in found[0]] == [VALUES[name][c] for c in FINITE[name]]


def refused(dp, codes, operand):
    with pytest.raises(EncodingError) as error:
        dp.edge_words(stored(codes, codes.shape[1]), operand)
    return str(error.value)


@pytest.mark.parametrize(("name", "operand"), [("e4m3", "act"), ("e5m2", "weight")])
def test_a_code_that_is_no_number_is_named_with_its_position(name, operand):
    dp = make("e4m3", "e5m2")
    for code in set(range(256)) - set(FINITE[name]):
        codes = np.zeros((3, 4), np.uint8)
        codes[2, 3] = 0xFF  # not the first
        codes[1, 2] = code
        message = f"fp8_mac: code 0x{code:02x} at position (1, 2) is no finite {name.upper()} number"
        assert refused(dp, codes, operand) == message
        good = stored(np.zeros((1, 4), np.uint8), 4)
        pair = (stored(codes, 4), good) if operand == "act" else (good, stored(codes, 4))
        with pytest.raises(EncodingError):
            dp.matmul(*pair)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), M=st.integers(1, 3), N=st.integers(1, 3), K=st.integers(1, 12))
@every_combination
def test_sums_round_once_per_step_in_order(act, weight, data, M, N, K):
    dp = make(act, weight)
    rows = [
        [data.draw(st.lists(st.sampled_from(FINITE[t]), min_size=K, max_size=K)) for _ in range(n)]
        for t, n in ((act, M), (weight, N))
    ]
    pair = [stored(as_codes(r), K) for r in rows]
    sums = expected(act, weight, *rows)
    same_bits(dp.matmul(*pair), sums)
    same_bits(reference(dp, pair), sums)


def test_the_order_of_sums_can_be_seen():
    """2^24 + 1 - 2^24 is 0 in float32, 2^24 - 2^24 + 1 is 1."""
    dp, one = make("e5m2", "e5m2"), 0x3C
    two_to_12, minus = 0x6C, 0xEC
    act, weight = as_codes([[two_to_12, one, minus]]), as_codes([[two_to_12, one, two_to_12]])
    assert dp.matmul(stored(act, 3), stored(weight, 3)).tolist() == [[0.0]]
    late = stored(act[:, [0, 2, 1]], 3), stored(weight[:, [0, 2, 1]], 3)
    assert dp.matmul(*late).tolist() == [[1.0]]
    assert fold(dp.lanes(*late, 4, 4)[0]).tolist() == [[1.0]]


def test_hardware_is_the_same_for_both_types():
    bills = {(a, w): make(a, w).area_bill(4, 8) for a in TYPES for w in TYPES}
    assert set(map(str, bills.values())) == {"{'pe_fp8_acc32': 32}"}
    assert make().actions_per_mac() == {"mac_fp8_acc32": 1}
    assert make().register_bits("act") == make().register_bits("weight") == 8


def test_wrong_options_say_what_is_allowed():
    with pytest.raises(OptionError) as error:
        datapath.create("fp8_mac", {"weight": "e3m4"})
    assert str(error.value) == "Input should be 'e4m3' or 'e5m2', found 'e3m4'"
    assert error.value.option == "weight"
