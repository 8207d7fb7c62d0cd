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


def next_accumulator(acc, terms, extra_bits, rounding="zero", fraction_bits=23):
    """FP32 accumulator after one group of (value, exponent field)."""
    if acc == OVERFLOW:
        return OVERFLOW
    fields = [exponent for value, exponent in terms if value] + ([field(acc, -126)] if acc else [])
    quantum = Fraction(2) ** (max([*fields, -133]) - 23 - extra_bits)
    total = truncate(acc, quantum) + sum(truncate(value, quantum) for value, _ in terms)
    if total == 0:
        return Fraction(0)
    quantum = Fraction(2) ** (field(total, -126) - fraction_bits)
    rounded = truncate(total, quantum) if rounding == "zero" else round(total / quantum) * quantum
    return OVERFLOW if abs(rounded) >= Fraction(2) ** 128 else rounded


def dot(products, group, extra_bits, exact=1, **how):
    """Products in order, each (value, exponent field); ``exact`` neighbours, one field for all, are one term."""
    acc = Fraction(0)
    for first in range(0, len(products), group):
        part = products[first : first + group]
        terms = [
            (sum((value for value, _ in part[i : i + exact]), Fraction(0)), part[i][1])
            for i in range(0, len(part), exact)
        ]
        acc = next_accumulator(acc, terms, extra_bits, **how)
    return acc
