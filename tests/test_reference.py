"""The reference's own building blocks against fractions: products of infinite precision, sums in a stated order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import EncodingError
from simulator.reference import precise_matmul
from simulator.reference.floats import matmul_in_blocks, matmul_in_order
from simulator.reference.integers import int_matmul

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def fractions(a, w):
    """(M, K) x (N, K) in fractions, rounded once to float64."""
    return [[float(sum(Fraction(x) * Fraction(y) for x, y in zip(r, c, strict=True))) for c in w] for r in a]


@settings(max_examples=500, deadline=None)
@given(data=st.data(), K=st.integers(1, 12))
def test_precise_products_are_those_of_fractions(data, K):
    a, w = (data.draw(st.lists(st.lists(finite, min_size=K, max_size=K), min_size=2, max_size=2)) for _ in range(2))
    expected = np.array(fractions(a, w))
    found = precise_matmul(a, w)
    np.testing.assert_array_max_ulp(found, expected, maxulp=1)


@pytest.mark.parametrize("seed", range(20))
def test_precise_products_survive_cancellation(seed):
    """Sums of which float64 keeps nothing: large values of both signs around small ones."""
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal((3, 64)) * np.exp(8 * rng.standard_normal((3, 64)))).astype(np.float32)
    w = (rng.standard_normal((4, 64)) * np.exp(8 * rng.standard_normal((4, 64)))).astype(np.float32)
    a, w = np.concatenate([a, a], axis=1), np.concatenate([w, -w], axis=1)
    a[:, 0] += np.float32(0.25)
    expected = np.array(fractions(a.astype(float).tolist(), w.astype(float).tolist()))
    np.testing.assert_array_equal(precise_matmul(a, w), expected)
    assert not np.array_equal(a.astype(np.float64) @ w.astype(np.float64).T, expected)


def test_float32_sums_round_at_every_step_and_blocks_once():
    ones = np.array([[2.0**12, 1.0, 1.0]], np.float32)
    assert matmul_in_order(ones, ones).tolist() == [[2.0**24]]
    assert matmul_in_blocks(ones, ones, 3).tolist() == [[2.0**24 + 2]]
    assert matmul_in_blocks(ones, ones, 1).tolist() == [[2.0**24]]
    assert matmul_in_blocks(ones, ones, 2).tolist() == [[2.0**24]]  # 2^24 + 1 is rounded to even, then 1 more is lost


def test_integer_products_beyond_float64_are_exact():
    a, w = np.full((1, 3), 2**31 - 1), np.array([[2**28, -(2**28), 1]])
    assert int_matmul(a, w).tolist() == [[2**31 - 1]]
    with pytest.raises(OverflowError):
        int_matmul(np.full((1, 4), 2**31), np.full((1, 4), 2**31))


def test_a_group_scale_has_no_row_scale():
    from simulator.formats import Encoded

    with pytest.raises(EncodingError):
        _ = Encoded(np.zeros((1, 4), np.uint8), np.ones((1, 2), np.float32), 4, group=2).row_scale
