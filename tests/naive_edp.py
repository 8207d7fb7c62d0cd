"""The dumbest dot-product unit: one output at a time, in exact fractions, by the rule that was measured.

Nothing here imports the simulator.
"""

from __future__ import annotations

from fractions import Fraction

from tests.naive_floats import floor_log2

OVERFLOW = "overflow"


def truncate(x, quantum):
    """The multiple of ``quantum`` next to ``x`` on the side of zero."""
    steps = abs(x) / quantum
    whole = (steps.numerator // steps.denominator) * quantum
    return whole if x >= 0 else -whole


def field(x, lowest):
    """Exponent field of a number whose subnormals have the exponent ``lowest``."""
    return max(floor_log2(abs(x)), lowest)


def next_accumulator(acc, terms, extra_bits, lowest, rounding="zero", fraction_bits=23):
    """FP32 accumulator after one group of (value, exponent field or None)."""
    if acc == OVERFLOW:
        return OVERFLOW
    fields = [exponent for _, exponent in terms if exponent is not None] + ([field(acc, -126)] if acc else [])
    quantum = Fraction(2) ** (max([*fields, lowest]) - 23 - extra_bits)
    total = truncate(acc, quantum) + sum(truncate(value, quantum) for value, _ in terms)
    if total == 0:
        return Fraction(0)
    quantum = Fraction(2) ** (field(total, -126) - fraction_bits)
    rounded = truncate(total, quantum) if rounding == "zero" else round(total / quantum) * quantum
    return OVERFLOW if abs(rounded) >= Fraction(2) ** 128 else rounded


def dot(products, group, extra_bits, exact=1, **how):
    """Products in order, each (value, exponent field); ``exact`` neighbours, one field for all, are one term."""
    acc, lowest = Fraction(0), -133 if exact == 1 else -139
    for first in range(0, len(products), group):
        part = products[first : first + group]
        terms = [term(part[i : i + exact]) for i in range(0, len(part), exact)]
        acc = next_accumulator(acc, terms, extra_bits, lowest, **how)
    return acc


def term(products):
    """Sum of products with one field; without it, where all are 0."""
    values = [value for value, _ in products]
    return sum(values, Fraction(0)), products[0][1] if any(values) else None
