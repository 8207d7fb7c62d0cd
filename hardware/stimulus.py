"""Operands for the toggle simulation: Gaussian values in the codes of each number format, one per cycle."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["CYCLES", "RESTART", "Codes", "Stimulus", "adaptivfloat", "flag", "float_codes", "fp16", "fp32", "integers"]

CYCLES = 512
RESTART = 64
"""A sum starts anew every so many cycles: a reduction of 64, assumed."""
_FLOAT_SIGMAS = 3.0
"""Small floats: the largest code lies at three standard deviations, assumed."""

Codes = NDArray[np.int64]
Stimulus = dict[str, Codes]


def integers(rng: np.random.Generator, bits: int, cycles: int = CYCLES) -> Codes:
    """Symmetric two's complement integers of that many bits, as signed numbers, at the scale of least squared error.

    The largest code lies at 1.2 standard deviations for 2 bits, at 2.5 for 4, at 4 for 8.
    """
    largest = 2 ** (bits - 1) - 1
    return _quantised(rng.normal(size=cycles), largest, _best_clip(largest)).astype(np.int64)


@cache
def _best_clip(largest: int) -> float:
    """Standard deviations at the largest code for which a Gaussian loses least."""
    x = np.array([NormalDist().inv_cdf((i + 0.5) / 20000) for i in range(20000)])
    errors = {c: np.mean((_quantised(x, largest, c) * (c / largest) - x) ** 2) for c in np.arange(1.0, 4.5, 0.05)}
    return float(min(errors, key=errors.__getitem__))


def _quantised(x: NDArray[np.float64], largest: int, clip: float) -> NDArray[np.float64]:
    return np.clip(np.rint(x * largest / clip), -largest, largest)


def fp16(rng: np.random.Generator, cycles: int = CYCLES) -> Codes:
    """Half-precision patterns of a standard normal."""
    return rng.normal(size=cycles).astype(np.float16).view(np.uint16).astype(np.int64)


def fp32(rng: np.random.Generator, cycles: int = CYCLES) -> Codes:
    """Single-precision patterns of a standard normal."""
    return rng.normal(size=cycles).astype(np.float32).view(np.uint32).astype(np.int64)


def float_codes(rng: np.random.Generator, exp_bits: int, man_bits: int, top: int, cycles: int = CYCLES) -> Codes:
    """Codes of a small float with subnormals whose largest magnitude is code ``top``: the nearest ones."""
    codes = np.arange(top + 1)
    field, mantissa = codes >> man_bits, codes & ((1 << man_bits) - 1)
    significand = np.where(field > 0, mantissa + (1 << man_bits), mantissa)
    return _nearest(rng, np.ldexp(significand.astype(float), np.maximum(field, 1)), 1 << (exp_bits + man_bits), cycles)


def adaptivfloat(rng: np.random.Generator, cycles: int = CYCLES) -> Codes:
    """Codes of AdaptivFloat<8,3>: no subnormals, code 0 is zero."""
    codes = np.arange(128)
    values = np.ldexp(16.0 + (codes & 15), codes >> 4)
    values[0] = 0
    return _nearest(rng, values, 128, cycles)


def _nearest(rng: np.random.Generator, values: NDArray[np.float64], sign: int, cycles: int) -> Codes:
    """Ascending magnitudes by code; sign-magnitude codes of a Gaussian with the largest at three sigma."""
    x = rng.normal(size=cycles) * values[-1] / _FLOAT_SIGMAS
    code = np.searchsorted((values[1:] + values[:-1]) / 2, np.abs(x))
    return np.where((x < 0) & (code > 0), code + sign, code).astype(np.int64)


def flag(every: int, at: int = 0, cycles: int = CYCLES) -> Codes:
    """1 in one cycle of every so many, else 0."""
    return (np.arange(cycles) % every == at).astype(np.int64)
