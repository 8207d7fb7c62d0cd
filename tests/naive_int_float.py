"""The dumbest correct integers, small floats, zero points and AdaptivFloat: nothing here imports the simulator.

Bits are strings of 0 and 1, roundings are searches through whole grids of fractions.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from functools import cache

import numpy as np

from tests.naive import quotient, scale_of, squared_error, twos_complement

# Bit streams


def pack(codes, bits):
    """One bit stream, first code first, its top bit first; zero bits to the end of the last whole group."""
    stream = "".join(format(c % 2**bits, f"0{bits}b") for c in codes)
    group = math.lcm(bits, 8)
    stream += "0" * (-len(stream) % group)
    return [int(stream[i : i + 8], 2) for i in range(0, len(stream), 8)]


def unpack(packed, bits, length):
    stream = "".join(format(byte, "08b") for byte in packed)
    return [int(stream[i * bits : (i + 1) * bits], 2) for i in range(length)]


def pack_int16(values):
    return [byte for v in values for byte in (v % 2**16 % 256, v % 2**16 // 256)]


def decode_integers(packed, bits, length):
    if bits == 16:
        return [twos_complement(packed[2 * i] + 256 * packed[2 * i + 1], 16) for i in range(length)]
    return [twos_complement(code, bits) for code in unpack(packed, bits, length)]


# Small floats: exponent bits, mantissa bits, and what the top codes mean

FLOATS = {
    "bf16": (8, 7, "inf and nan"),
    "fp8_e4m3": (4, 3, "one nan"),
    "fp8_e5m2": (5, 2, "inf and nan"),
    "fp6_e3m2": (3, 2, "numbers"),
    "fp6_e2m3": (2, 3, "numbers"),
    "fp4_e2m1": (2, 1, "numbers"),
}


@cache
def float_magnitudes(name):
    """Value of every code without its sign bit, as exact fractions; infinity and NaN as floats."""
    exp_bits, man_bits, top = FLOATS[name]
    bias = 2 ** (exp_bits - 1) - 1
    values = []
    for exponent in range(2**exp_bits):
        for mantissa in range(2**man_bits):
            if exponent == 0:
                value = Fraction(mantissa, 2**man_bits) * Fraction(2) ** (1 - bias)
            else:
                value = (1 + Fraction(mantissa, 2**man_bits)) * Fraction(2) ** (exponent - bias)
            if exponent == 2**exp_bits - 1:
                if top == "inf and nan":
                    value = math.nan if mantissa else math.inf
                elif top == "one nan" and mantissa == 2**man_bits - 1:
                    value = math.nan
            values.append(value)
    return values


@cache
def finite_magnitudes(name):
    return [v for v in float_magnitudes(name) if isinstance(v, Fraction)]


def float_bits(name):
    return 1 + FLOATS[name][0] + FLOATS[name][1]


def decode_float(name, code):
    half = 2 ** (float_bits(name) - 1)
    value = float(float_magnitudes(name)[code % half])
    return -value if code >= half else value


def nearest(grid, magnitude):
    """Index of the nearest of an ascending grid; half way the even index; beyond the end the last."""
    above = bisect_left(grid, magnitude)
    if above == len(grid):
        return len(grid) - 1
    if above == 0:
        return 0
    below = above - 1
    distance = (magnitude - grid[below]) - (grid[above] - magnitude)
    if distance == 0:
        return below if below % 2 == 0 else above
    return below if distance < 0 else above


def encode_float(name, x, scale=1.0):
    """Code of the nearest finite value of ``x / scale``; the sign bit is that of ``x``."""
    code = nearest(finite_magnitudes(name), abs(quotient(x, scale)))
    return code + 2 ** (float_bits(name) - 1) * bool(np.signbit(np.float32(x)))


# Integers with a zero point


def zero_point_range(values, method):
    low, high = min(values), max(values)
    if method == "three_sigma" and len(values) > 1:
        mean = math.fsum(values) / len(values)
        spread = 3 * math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
        low, high = max(low, mean - spread), min(high, mean + spread)
    return min(low, 0.0), max(high, 0.0)


def parameters(low, high, bits):
    """Scale (float32) and zero point."""
    top = 2**bits - 1
    scale = scale_of(high - low, top)
    return scale, min(max(round(Fraction(-low) / Fraction(float(scale))), 0), top)


def encode_with_zero(x, scale, zero, bits):
    q = quotient(x, scale)
    top = 2**bits - 1
    if q in (math.inf, -math.inf):
        return top if q > 0 else 0
    return min(max(round(q) + zero, 0), top)


def calibrate_with_zero(rows, bits, method):
    """Scale and zero point that all ``rows`` share."""
    low, high = zero_point_range([float(x) for row in rows for x in row], method)
    if method != "mse":
        return parameters(low, high, bits)
    best, best_error = None, math.inf
    for percent in range(100, 49, -2):
        scale, zero = parameters(low * (percent / 100), high * (percent / 100), bits)
        error = squared_error(
            rows, scale, lambda row, s, zero=zero: [encode_with_zero(x, s, zero, bits) - zero for x in row]
        )
        if error < best_error:
            best, best_error = (scale, zero), error
    return best


# AdaptivFloat


def adaptivfloat_bias(values, exp_bits):
    """Exponent of the largest magnitude (1 if all are zero) less the largest exponent code, but at least -128."""
    largest = max(abs(Fraction(float(v))) for v in values) or Fraction(1)
    exponent = 0
    while Fraction(2) ** exponent > largest:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= largest:
        exponent += 1
    return max(exponent - (2**exp_bits - 1), -128)


@cache
def adaptivfloat_magnitudes(bits, exp_bits, bias):
    man_bits = bits - 1 - exp_bits
    values = [
        (1 + Fraction(mantissa, 2**man_bits)) * Fraction(2) ** (exponent + bias)
        for exponent in range(2**exp_bits)
        for mantissa in range(2**man_bits)
    ]
    return [Fraction(0), *values[1:]]


def decode_adaptivfloat(code, bits, exp_bits, bias):
    half = 2 ** (bits - 1)
    value = float(adaptivfloat_magnitudes(bits, exp_bits, bias)[code % half])
    return -value if code > half else value


def encode_adaptivfloat(x, bits, exp_bits, bias):
    grid = adaptivfloat_magnitudes(bits, exp_bits, bias)
    magnitude = abs(Fraction(float(x)))
    if magnitude < grid[1] / 2:
        return 0
    if magnitude <= grid[1]:
        code = 1
    else:
        code = nearest(grid, magnitude)
        if bits - 1 == exp_bits and code < len(grid) - 1 and 2 * magnitude == grid[code] + grid[code + 1]:
            code += 1  # without mantissa bits a tie goes up
    return code + (2 ** (bits - 1) if x < 0 else 0)
