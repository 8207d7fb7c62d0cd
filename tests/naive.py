"""The dumbest correct versions, written from the contract alone: nothing here imports the simulator.

Loops over Python numbers; fractions wherever a rounding decides. Quotients are float32 divisions, as the contract says.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

FLOAT32_TINY = float(np.finfo(np.float32).tiny)
FLOAT32_MAX = float(np.finfo(np.float32).max)


# Quotients and rounding


def quotient(x, scale):
    """``x / scale`` in float32, as an exact Fraction, or as a float infinity."""
    with np.errstate(over="ignore", under="ignore"):
        q = np.float32(x) / np.float32(scale)
    return Fraction(float(q)) if np.isfinite(q) else float(q)


def encode_integer(x, scale, bits):
    """Nearest integer, half to even, clipped to +-(2^(bits-1) - 1)."""
    n = 2 ** (bits - 1) - 1
    q = quotient(x, scale)
    if q in (math.inf, -math.inf):
        return n if q > 0 else -n
    return max(-n, min(n, round(q)))


# Integers


def pack_int8(values):
    return [v & 0xFF for v in values]


def pack_int4(values):
    """First element in the high nibble; an odd length is padded with one zero."""
    padded = [*values, 0] if len(values) % 2 else list(values)
    return [(padded[i] & 0xF) << 4 | (padded[i + 1] & 0xF) for i in range(0, len(padded), 2)]


def twos_complement(code, bits):
    return code - 2**bits if code >= 2 ** (bits - 1) else code


def decode_int8(codes, length):
    return [twos_complement(c, 8) for c in codes][:length]


def decode_int4(codes, length):
    return [twos_complement(nibble, 4) for c in codes for nibble in (c // 16, c % 16)][:length]


# Outlier-victim pairs


IDENTIFIER = 0b1000


def abfloat(code):
    """Value of a 4-bit abfloat code: sign, two exponent bits, one mantissa bit, bias 2."""
    sign, exponent, mantissa = code >> 3, code >> 1 & 3, code & 1
    magnitude = (2 + mantissa) * 2 ** (exponent + 2)
    return -magnitude if sign else magnitude


OUTLIER_CODES = [c for c in range(16) if c not in (0b0000, 0b1000)]
OUTLIERS = {abfloat(c): c for c in OUTLIER_CODES}
"""Outlier value -> its nibble."""
NORMALS = list(range(-7, 8))
UNION = sorted([*NORMALS, *OUTLIERS])


def nearest_ovp4(q):
    """(nearest grid value, is it an outlier); ties toward +infinity within a grid, to the outlier between grids."""
    if q in (math.inf, -math.inf):
        return (96, True) if q > 0 else (-96, True)
    least = min(abs(q - g) for g in UNION)
    tied = [g for g in UNION if abs(q - g) == least]
    outliers = [g for g in tied if g in OUTLIERS]
    return (max(outliers), True) if outliers else (max(tied), False)


def encode_ovp4_pair(left, right, scale=1.0, pair_rule="larger"):
    """One byte. Of two outliers the larger quotient survives, the left one on a tie; or always the left one."""
    quotients = [quotient(v, scale) for v in (left, right)]
    (left_value, left_out), (right_value, right_out) = [nearest_ovp4(q) for q in quotients]
    if left_out and right_out and pair_rule == "larger" and abs(quotients[1]) > abs(quotients[0]):
        left_out = False
    if left_out:
        return OUTLIERS[left_value] << 4 | IDENTIFIER
    if right_out:
        return IDENTIFIER << 4 | OUTLIERS[right_value]
    return (left_value & 0xF) << 4 | (right_value & 0xF)


def encode_ovp4(row, scale=1.0, pair_rule="larger"):
    padded = [*row, 0.0] if len(row) % 2 else list(row)
    return [encode_ovp4_pair(padded[i], padded[i + 1], scale, pair_rule) for i in range(0, len(padded), 2)]


def decode_ovp4_byte(byte):
    """(left, right), or None for an illegal byte."""
    left, right = byte >> 4, byte & 0xF
    if left == IDENTIFIER:
        return (0, abfloat(right)) if right in OUTLIER_CODES else None
    if right == IDENTIFIER:
        return (abfloat(left), 0) if left in OUTLIER_CODES else None
    return (twos_complement(left, 4), twos_complement(right, 4))


def decode_ovp4(codes, length):
    return [value for byte in codes for value in decode_ovp4_byte(byte)][:length]


# binary16


def decode_fp16(bits):
    """Value of a binary16 bit pattern by the formula of IEEE 754."""
    sign = -1.0 if bits >> 15 else 1.0
    exponent, mantissa = bits >> 10 & 0x1F, bits & 0x3FF
    if exponent == 31:
        return sign * math.inf if mantissa == 0 else math.nan
    if exponent == 0:
        return sign * mantissa * 2.0**-24
    return sign * (1024 + mantissa) * 2.0 ** (exponent - 25)


def encode_fp16(x, scale=1.0):
    """Value (not bits) of the nearest finite binary16, ties to the even mantissa, saturating at +-65504."""
    q = quotient(x, scale)
    if abs(q) >= 65504:
        return 65504.0 if q > 0 else -65504.0
    exponent = -14
    while exponent < 15 and abs(q) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    quantum = Fraction(2) ** (exponent - 10)
    return float(round(q / quantum) * quantum)


# Rows of any format


def quantise_row(name, row, scale, **options):
    """Grid values of one row of ``int4``, ``int8``, ``ovp4`` or ``fp16``, through the packed codes."""
    if name == "int8":
        return decode_int8(pack_int8([encode_integer(x, scale, 8) for x in row]), len(row))
    if name == "int4":
        return decode_int4(pack_int4([encode_integer(x, scale, 4) for x in row]), len(row))
    if name == "ovp4":
        return decode_ovp4(encode_ovp4(row, scale, **options), len(row))
    return [encode_fp16(x, scale) for x in row]


# Calibration


def three_sigma(values):
    """max(|mean + 3 std|, |mean - 3 std|), std with N-1; a single value has no spread."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return abs(mean)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return max(abs(mean + 3 * std), abs(mean - 3 * std))


def scale_of(alpha, max_normal):
    """``alpha / max_normal`` as float32; 1 if alpha is 0; kept among the normal float32 numbers."""
    if alpha == 0:
        return np.float32(1)
    return np.float32(min(max(alpha / max_normal, FLOAT32_TINY), FLOAT32_MAX))


def squared_error(rows, scale, quantise):
    total = 0.0
    for row in rows:
        for x, value in zip(row, quantise(row, scale), strict=True):
            error = float(x) - value * float(scale)
            total += error * error
    return total


def calibrate_rows(rows, max_normal, method, quantise):
    """One scale for all ``rows`` together; pairs never straddle rows."""
    values = [float(x) for row in rows for x in row]
    if method == "absmax":
        return scale_of(max(abs(v) for v in values), max_normal)
    start = three_sigma(values)
    if method == "three_sigma":
        return scale_of(start, max_normal)
    best, best_error = None, math.inf
    for i in range(75, 250, 2):
        scale = scale_of(start * i / 100, max_normal)
        error = squared_error(rows, scale, quantise)
        if error < best_error:
            best, best_error = scale, error
    return best


def calibrate(rows, max_normal, method, axis, quantise):
    """float32 scales: a list with one per row (axis -1), or one number (axis None)."""
    if axis is None:
        return calibrate_rows(rows, max_normal, method, quantise)
    return [calibrate_rows([row], max_normal, method, quantise) for row in rows]


# Products


def int_matmul(a, w):
    """(M, K) x (N, K) -> (M, N), in Python integers that never wrap."""
    return [[sum(int(x) * int(y) for x, y in zip(row, col, strict=True)) for col in w] for row in a]


def float_matmul(a, w):
    """(M, K) x (N, K) -> (M, N) float32: one rounded addition per step, k = 0, 1 ... K-1."""
    out = np.zeros((len(a), len(w)), np.float32)
    for m in range(len(a)):
        for n in range(len(w)):
            acc = np.float32(0)
            for k in range(len(a[m])):
                acc = np.float32(acc + np.float32(a[m][k]) * np.float32(w[n][k]))
            out[m, n] = acc
    return out


def first_overflow(a, w, bits):
    """Position of the first output (row by row) of which a partial sum leaves ``bits``, or None."""
    for m in range(len(a)):
        for n in range(len(w)):
            acc = 0
            for k in range(len(a[m])):
                acc += int(a[m][k]) * int(w[n][k])
                if not -(2 ** (bits - 1)) <= acc < 2 ** (bits - 1):
                    return (m, n)
    return None


# Cycles (contract, section 3)


def os_cycles(M, N, K, rows, cols, overlap):
    """Cycles of an output-stationary GEMM, first operand in to last result out."""
    folds = math.ceil(M / rows) * math.ceil(N / cols)
    if overlap == "none":
        return folds * (K + 2 * rows + cols - 2)
    if overlap == "wave":
        return (folds - 1) * (K + rows - 1) + K + 2 * rows + cols - 2
    if overlap == "full":
        return (folds - 1) * max(K, rows) + K + 2 * rows + cols - 2
    if overlap == "scalesim":
        return folds * (K + rows + cols - 2) - 1
    raise ValueError(overlap)
