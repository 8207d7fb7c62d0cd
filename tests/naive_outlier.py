"""The dumbest correct outlier formats, written from the published tables alone: nothing here imports the simulator.

Grids are dictionaries from value to code; the nearest value is found by looking at all of them, in exact fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from tests.naive import quotient, squared_error, twos_complement

# Grids


FLINT3 = {0b000: 0, 0b001: 1, 0b010: 2, 0b011: 3, 0b100: 16, 0b101: 8, 0b110: 4, 0b111: 6}
"""First-one coding of a signed flint4's magnitude (contract, section 4)."""


def flint_unsigned(code):
    """ANT's rules on b3 b2 b1 b0."""
    b = f"{code:04b}"
    if b[0] == "0":
        return int(b[1:], 2)
    if b[1] == "1":
        return 8 + 2 * int(b[2:], 2)
    if b[2] == "1":
        return 16 + 8 * int(b[3])
    return 32 if b[3] == "1" else 64


def pot(code):
    """Sign and three bits c: 0, or 2^(c - 1)."""
    magnitude = [0, 1, 2, 4, 8, 16, 32, 64][code & 7]
    return -magnitude if code & 8 else magnitude


def flint_signed(code):
    return -FLINT3[code & 7] if code & 8 else FLINT3[code]


def abfloat(code, exp_bits, man_bits, bias):
    """sign * (2^mb + mantissa) << (exponent + bias); 0 for code 0 without its sign."""
    width = exp_bits + man_bits
    rest = code % 2**width
    magnitude = 0 if rest == 0 else (2**man_bits + rest % 2**man_bits) * 2 ** (rest // 2**man_bits + bias)
    return -magnitude if code >= 2**width else magnitude


def codes_of(value_of, bits):
    """Value -> lowest code that has it."""
    grid = {}
    for code in range(2**bits):
        grid.setdefault(value_of(code), code)
    return grid


def nearest(q, values):
    """Nearest value, ties toward plus infinity."""
    if q in (math.inf, -math.inf):
        return max(values) if q > 0 else min(values)
    top, bottom = q.as_integer_ratio()
    return max(values, key=lambda v: (-abs(top - v * bottom), v))


def encode_grid(row, scale, value_of, bits):
    grid = codes_of(value_of, bits)
    return [grid[nearest(quotient(x, scale), grid)] for x in row]


def pack(codes, bits):
    """One bit string per row, most significant bit first, filled up to whole groups of whole bytes."""
    string = "".join(f"{code:0{bits}b}" for code in codes)
    group = math.lcm(bits, 8)
    string += "0" * (-len(string) % group)
    return [int(string[i : i + 8], 2) for i in range(0, len(string), 8)]


def unpack(packed, bits, length):
    string = "".join(f"{byte:08b}" for byte in packed)
    return [int(string[i * bits : (i + 1) * bits], 2) for i in range(length)]


# Outlier-victim pairs


class Pairs:
    """Normals and outliers (value -> code) of one kind of pair, and the width of a code."""

    def __init__(self, bits, normal, outlier):
        self.bits, self.identifier = bits, 2 ** (bits - 1)
        everything = range(2**bits)
        self.normals = {normal(c): c for c in everything if c != self.identifier}
        self.outliers = {outlier(c): c for c in everything if outlier(c) != 0 and abs(outlier(c)) <= 2**15}
        self.normal_of = {c: v for v, c in self.normals.items()}
        self.outlier_of = {c: v for v, c in self.outliers.items()}

    def nearest(self, q):
        """(value, is it an outlier): ties toward plus infinity within a grid, to the outlier between grids."""
        normal, outlier = nearest(q, self.normals), nearest(q, self.outliers)
        if q in (math.inf, -math.inf) or abs(q - outlier) <= abs(q - normal):
            return outlier, True
        return normal, False

    def encode_pair(self, left, right, scale=1.0, pair_rule="larger"):
        """(left code, right code)."""
        quotients = [quotient(v, scale) for v in (left, right)]
        (left_value, left_out), (right_value, right_out) = [self.nearest(q) for q in quotients]
        if left_out and right_out and pair_rule == "larger" and abs(quotients[1]) > abs(quotients[0]):
            left_out = False
        if left_out:
            return self.outliers[left_value], self.identifier
        if right_out:
            return self.identifier, self.outliers[right_value]
        return self.normals[left_value], self.normals[right_value]

    def decode_pair(self, left, right):
        """(left value, right value), or None for an illegal pair."""
        if left == self.identifier:
            return (0, self.outlier_of[right]) if right in self.outlier_of else None
        if right == self.identifier:
            return (self.outlier_of[left], 0) if left in self.outlier_of else None
        return self.normal_of[left], self.normal_of[right]

    def quantise(self, row, scale, pair_rule="larger"):
        padded = [*row, 0.0] if len(row) % 2 else list(row)
        pairs = [self.encode_pair(padded[i], padded[i + 1], scale, pair_rule) for i in range(0, len(padded), 2)]
        return [value for pair in pairs for value in self.decode_pair(*pair)][: len(row)]


OVP = {
    "ovp4": Pairs(4, lambda c: twos_complement(c, 4), lambda c: abfloat(c, 2, 1, 2)),
    "ovp4_flint": Pairs(4, flint_signed, lambda c: abfloat(c, 2, 1, 3)),
    "ovp8": Pairs(8, lambda c: twos_complement(c, 8), lambda c: abfloat(c, 4, 3, 4)),
    "ovp8_e2m5": Pairs(8, lambda c: twos_complement(c, 8), lambda c: abfloat(c, 2, 5, 2)),
}


# Choosing by error


def nearest_integer(x, scale, n):
    """Half to even, clipped to +-n."""
    q = quotient(x, scale)
    return max(-n, min(n, round(q))) if math.isfinite(q) else int(math.copysign(n, q))


def quantiser(kind):
    """``(row, scale) -> grid values`` of one candidate type."""
    if kind in OVP:
        return OVP[kind].quantise
    if kind == "int4":
        return lambda row, scale: [nearest_integer(x, scale, 7) for x in row]
    values = {"flint4": flint_signed, "pot4": pot}[kind]
    return lambda row, scale: [nearest(quotient(x, scale), codes_of(values, 4)) for x in row]


def errors(rows, kinds, scales):
    """Total squared error of the rows in each kind, given each kind's scale of each row."""
    return [
        math.fsum(squared_error([row], s, quantiser(kind)) for row, s in zip(rows, per_row, strict=True))
        for kind, per_row in zip(kinds, scales, strict=True)
    ]


# A list of the largest


def largest_positions(values, share):
    """Flat positions of the largest magnitudes, the earlier ones of equals, never a zero, ascending."""
    count = math.floor(Fraction(str(share)) * len(values))
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    return sorted(i for i in order[:count] if values[i] != 0)


# Two scales


def least_shift(peak, scale):
    """Least shift (at most 26) at which the peak, in wide steps, rounds to at most 31."""
    q = quotient(peak, scale)
    shift = 0
    while shift < 26 and (not math.isfinite(q) or round(q / 2**shift) > 31):
        shift += 1
    return shift


def biscaled(x, scale, shift):
    """(six-bit integer, is it wide)."""
    q = quotient(x, scale)
    fine, wide = nearest_integer(x, scale, 31), None
    if math.isfinite(q):
        wide = max(-31, min(31, round(q / 2**shift)))
        if shift and abs(q) > 31 and abs(wide * 2**shift - q) <= abs(fine - q):
            return wide, True
        return fine, False
    return fine, shift > 0


def biscaled_row(row, scale, shift):
    """Integers at the fine scale."""
    parts = [biscaled(x, scale, shift) for x in row]
    return [q * 2**shift if wide else q for q, wide in parts]


def block_index(wide_rows, block):
    """(one bit per block: has it a wide value; one bit per value of those that have), as strings of bits."""
    blocks = []
    for row in wide_rows:
        string = "".join("01"[w] for w in row)
        string += "0" * (-len(string) % block)
        blocks += [string[i : i + block] for i in range(0, len(string), block)]
    return "".join("01"["1" in b] for b in blocks), "".join(b for b in blocks if "1" in b)


def bits_of(array):
    """The bits of uint8 values, most significant first."""
    return "".join(f"{int(byte):08b}" for byte in np.asarray(array).reshape(-1))
