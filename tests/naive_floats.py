"""The dumbest correct float sums: exact fractions, rounded to float32 by the definition of IEEE 754.

Nothing here imports the simulator.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np

OVERFLOW = "overflow"
"""A sum that rounds to infinity, and every sum after it."""


def floor_log2(positive):
    """The integer e with 2^e <= x < 2^(e + 1)."""
    exponent = positive.numerator.bit_length() - positive.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= positive else exponent - 1


@cache
def round_float32(exact):
    """Nearest float32 number to a Fraction, ties to even, subnormals included; or ``OVERFLOW``."""
    if exact == 0:
        return Fraction(0)
    quantum = Fraction(2) ** (max(floor_log2(abs(exact)), -126) - 23)
    rounded = round(exact / quantum) * quantum
    return OVERFLOW if abs(rounded) >= Fraction(2) ** 128 else rounded


def add(acc, term):
    """One rounded FP32 addition."""
    return OVERFLOW if OVERFLOW in (acc, term) else round_float32(acc + term)


def sum_in_order(products):
    """Each product, exact in float32, added to the accumulator."""
    acc = Fraction(0)
    for product in products:
        assert round_float32(product) == product
        acc = add(acc, product)
    return acc


def sum_in_blocks(products, block):
    """Exact sum of each block of products, rounded, added to the accumulator."""
    acc = Fraction(0)
    for first in range(0, len(products), block):
        acc = add(acc, round_float32(sum(products[first : first + block], Fraction(0))))
    return acc


def matmul(act, weight, total):
    """Rows of Fractions (M, K) and (N, K) to (M, N) of ``total(products)``."""
    return [[total([a * w for a, w in zip(row, col, strict=True)]) for col in weight] for row in act]


def first_overflow(sums):
    """Position of the first sum that left float32, or None."""
    return next(((m, n) for m, row in enumerate(sums) for n, s in enumerate(row) if s == OVERFLOW), None)


def as_float32(sums):
    """Sums that did not overflow, as an array. No sum that starts at +0 ends at -0."""
    found = np.array([[float(s) for s in row] for row in sums])
    assert all(math.isfinite(x) for x in found.flat)
    narrow = found.astype(np.float32)
    assert (narrow == found).all()
    return narrow
