"""The dumbest correct versions of block formats, GOBO, LLM.int8() and the outlier coordinator, from their definitions.

Loops over Python numbers, fractions wherever a rounding decides; nothing here imports the simulator.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np

FLOAT32_MAX = Fraction(float(np.finfo(np.float32).max))


# Small floats, by the formulas of the OCP specifications


class Element:
    """A sign-magnitude float of 1 + exp_bits + man_bits bits, or (``exp_bits`` 0) an integer with 6 fraction bits."""

    def __init__(self, exp_bits, man_bits, emax, special=""):
        self.bits = 1 + exp_bits + man_bits if exp_bits else 8
        self.exp_bits, self.man_bits, self.emax, self.special = exp_bits, man_bits, emax, special
        finite = [(self.value(c), c) for c in range(self.codes)]
        self.grid = sorted((v, c) for v, c in finite if v is not None and v >= 0 and c < self.codes // 2)
        self.largest = self.grid[-1][0]

    @property
    def codes(self):
        return 2**self.bits

    def value(self, code):
        """Exact value of a code, or None where it is no number."""
        if not self.exp_bits:
            return Fraction(code - 256 if code >= 128 else code, 64)
        sign = -1 if code >> (self.bits - 1) else 1
        mantissa = code & (2**self.man_bits - 1)
        exponent = code >> self.man_bits & (2**self.exp_bits - 1)
        bias = 2 ** (self.exp_bits - 1) - 1
        top = 2**self.exp_bits - 1
        if self.special == "ieee" and exponent == top:
            return None
        if self.special == "fn" and exponent == top and mantissa == 2**self.man_bits - 1:
            return None
        if exponent == 0:
            return sign * Fraction(mantissa, 2**self.man_bits) * Fraction(2) ** (1 - bias)
        return sign * (1 + Fraction(mantissa, 2**self.man_bits)) * Fraction(2) ** (exponent - bias)

    def nearest(self, q, negative):
        """Code nearest to a Fraction, ties to the even code, saturating; ``negative`` decides the sign of zero."""
        if not self.exp_bits:
            return max(-127, min(127, round(q * 64))) & 0xFF
        magnitude = min(abs(q), self.largest)
        least = min(abs(magnitude - v) for v, _ in self.grid)
        tied = [c for v, c in self.grid if abs(magnitude - v) == least]
        code = tied[0] if len(tied) == 1 else next(c for c in tied if c % 2 == 0)
        return code | (self.codes // 2 if negative else 0)


E4M3, E5M2 = Element(4, 3, 8, "fn"), Element(5, 2, 15, "ieee")
E3M2, E2M3, E2M1 = Element(3, 2, 4), Element(2, 3, 2), Element(2, 1, 2)
INT8 = Element(0, 6, 0)
MX = {
    "mxfp8": E4M3,
    "mxfp8_e4m3": E4M3,
    "mxfp8_e5m2": E5M2,
    "mxfp6": E3M2,
    "mxfp6_e3m2": E3M2,
    "mxfp6_e2m3": E2M3,
    "mxfp4": E2M1,
    "mxint8": INT8,
}


def quotient(x, scale):
    """``x / scale`` in float32 as a Fraction, beyond float32 its largest number; and whether the sign bit is set."""
    with np.errstate(over="ignore", under="ignore"):
        q = np.float32(x) / np.float32(scale)
    exact = Fraction(float(q)) if np.isfinite(q) else (FLOAT32_MAX if q > 0 else -FLOAT32_MAX)
    return exact, bool(np.signbit(q))


def floor_log2(value):
    exponent = 0
    while Fraction(2) ** (exponent + 1) <= value:
        exponent += 1
    while Fraction(2) ** exponent > value:
        exponent -= 1
    return exponent


def most_significant_first(codes, bits):
    text = "".join(format(code, f"0{bits}b") for code in codes)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def in_blocks(row, size):
    return [list(row[i : i + size]) for i in range(0, len(row), size)]


def encode_mx_row(name, row, scale=1.0):
    element, out = MX[name], []
    for block in in_blocks(row, 32):
        quotients = [quotient(x, scale) for x in block]
        largest = max(abs(q) for q, _ in quotients)
        shared = -127 if largest == 0 else max(-127, floor_log2(largest) - element.emax)
        codes = [element.nearest(q / Fraction(2) ** shared, negative) for q, negative in quotients]
        out += [shared + 127, *most_significant_first(codes + [0] * (32 - len(block)), element.bits)]
    return out


def element_codes(packed, bits, count):
    text = "".join(format(byte, "08b") for byte in packed)
    return [int(text[i * bits : (i + 1) * bits], 2) for i in range(count)]


def decode_mx_row(name, codes, length):
    """Exact values; None where a scale or an element is no number."""
    element, out = MX[name], []
    for block in in_blocks(codes, 1 + 32 * MX[name].bits // 8):
        for code in element_codes(block[1:], element.bits, 32):
            value = element.value(code)
            out.append(None if value is None or block[0] == 255 else value * Fraction(2) ** (block[0] - 127))
    return out[:length]


def nvfp4_scale(rows):
    """FP32 scale of all these values: absmax / (6 * 448), 1 if all are zero."""
    largest = max(abs(float(x)) for row in rows for x in row)
    return np.float32(max(largest / 2688, float(np.finfo(np.float32).tiny))) if largest else np.float32(1)


def encode_nvfp4_row(row, scale):
    out = []
    for block in in_blocks(row, 16):
        with np.errstate(over="ignore", under="ignore"):
            y = [np.float32(x) / np.float32(scale) for x in block]
            sixth = np.float32(max(abs(v) for v in y)) / np.float32(6)
        byte = E4M3.nearest(Fraction(float(sixth)), False) if np.isfinite(sixth) else 0x7E
        codes = []
        for v in y:
            if E4M3.value(byte) == 0:
                codes.append(E2M1.nearest(Fraction(0), bool(np.signbit(v))))
            else:
                codes.append(E2M1.nearest(quotient(v, float(E4M3.value(byte)))[0], bool(np.signbit(v))))
        out += [byte, *most_significant_first(codes + [0] * (16 - len(block)), 4)]
    return out


def decode_nvfp4_row(codes, length):
    out = []
    for block in in_blocks(codes, 9):
        scale = None if block[0] >= 127 else E4M3.value(block[0])
        for code in element_codes(block[1:], 4, 16):
            out.append(None if scale is None else E2M1.value(code) * scale)
    return out[:length]


# GOBO


def least_significant_first(codes, bits):
    """Value i in bits [bits * i, bits * (i + 1)) of the row, bit j of the row in bit j % 8 of byte j // 8."""
    out = [0] * math.ceil(len(codes) * bits / 8)
    for i, code in enumerate(codes):
        for b in range(bits):
            j = i * bits + b
            out[j // 8] |= (code >> b & 1) << j % 8
    return out


def mean_of(values):
    total = 0.0
    for v in values:
        total += float(v)
    return total / len(values)


def nearest_entry(v, centroids):
    """How many midpoints between neighbours lie below the value; float64 holds a midpoint of two float32 numbers."""
    return sum(float(v) > 0.5 * (float(a) + float(b)) for a, b in pairwise(centroids))


def l1(values, assigned, centroids):
    total = 0.0
    for v, i in zip(values, assigned, strict=True):
        total += abs(float(v) - float(centroids[i]))
    return total


def means_of_bins(values, assigned, old):
    members = [[v for v, a in zip(values, assigned, strict=True) if a == i] for i in range(len(old))]
    return [np.float32(mean_of(m)) if m else c for m, c in zip(members, old, strict=True)]


def gobo_outliers(values, log_probability):
    mean = mean_of(values)
    total = 0.0
    for v in values:
        total += (float(v) - mean) * (float(v) - mean)
    sigma = math.sqrt(total / len(values))
    if sigma == 0:
        return [False] * len(values)
    peak = -math.log(sigma) - 0.5 * math.log(2 * math.pi)
    out = []
    for v in values:
        z = (float(v) - mean) / sigma
        out.append(peak - 0.5 * z * z < log_probability)
    return out


def gobo_centroids(values, bins):
    """Float32 centroids of sorted values, and the L1 distance of every round that was kept."""
    n = len(values)
    if n == 0:
        return [np.float32(0)] * bins, [0.0]
    bounds = [i * n // bins for i in range(bins + 1)]
    assigned = [next(i for i in range(bins) if bounds[i] <= k < bounds[i + 1]) for k in range(n)]
    centroids = means_of_bins(values, assigned, [values[min(b, n - 1)] for b in bounds[:-1]])
    distances = [l1(values, assigned, centroids)]
    while True:
        moved = [nearest_entry(v, centroids) for v in values]
        if moved == assigned:
            return centroids, distances
        means = means_of_bins(values, moved, centroids)
        distance = l1(values, moved, means)
        if distance > distances[-1]:
            return centroids, distances
        assigned, centroids = moved, means
        distances.append(distance)


def gobo(rows, bits, log_probability=-4.0, half=False):
    """(packed rows, dictionary, outlier coordinates, outlier values) of one operand."""
    flat = [v for row in rows for v in row]
    outlier = gobo_outliers(flat, log_probability)
    inner = sorted(v for v, out in zip(flat, outlier, strict=True) if not out)
    dictionary, _ = gobo_centroids(inner, 2**bits)
    if half:
        dictionary = [np.float16(min(max(c, -65504), 65504)) for c in dictionary]
    index = [0 if out else nearest_entry(v, dictionary) for v, out in zip(flat, outlier, strict=True)]
    K = len(rows[0])
    packed = [least_significant_first(index[r * K : (r + 1) * K], bits) for r in range(len(rows))]
    where = [i for i, out in enumerate(outlier) if out]
    return packed, dictionary, where, [flat[i] for i in where]


# LLM.int8()


def outlier_columns(rows, threshold):
    return [k for k in range(len(rows[0])) if any(abs(Fraction(float(row[k]))) >= threshold for row in rows)]


def int8_row(row, skip=()):
    """(codes, float32 scale): round(127 x / a), half to even, ``a`` the largest magnitude outside ``skip``."""
    kept = [abs(Fraction(float(x))) for k, x in enumerate(row) if k not in skip]
    largest = max(kept, default=Fraction(0))
    if largest == 0:
        return [0] * len(row), np.float32(1)
    largest = max(largest, 127 * Fraction(float(np.finfo(np.float32).tiny)))
    codes = [0 if k in skip else round(127 * Fraction(float(x)) / largest) for k, x in enumerate(row)]
    return codes, np.float32(float(largest) / 127)


# Outlier coordinator (contract, section 3)


def coordinator(positions, length, P, D, S, W):
    """Cycle by cycle, with entries that remember when they were pushed and a unit that counts down."""
    steps = math.ceil(length / P)
    todo = [[g for g in positions if g // P == step] for step in range(steps)]
    fifo, busy, cycle, last_busy, lane_cycles = [], 0, 0, -1, None
    step = 0
    while lane_cycles is None or fifo or busy:
        if busy == 0:
            old = [entry for entry in fifo if entry[0] < cycle]
            if old:
                fifo.remove(old[0])
                busy = S
        if busy:
            last_busy = cycle
            busy -= 1
        if step < steps:
            entering = sorted(todo[step])[: min(W, D - len(fifo))]
            fifo += [(cycle, g) for g in entering]
            todo[step] = [g for g in todo[step] if g not in entering]
            if not todo[step]:
                step += 1
                if step == steps:
                    lane_cycles = cycle + 1
        cycle += 1
    return {
        "steps": steps,
        "stall_cycles": lane_cycles - steps,
        "lane_cycles": lane_cycles,
        "total_cycles": max(lane_cycles, last_busy + 1),
    }
