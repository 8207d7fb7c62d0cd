"""Operands of matrix instructions: random bits that any NumPy gives again (raw PCG64), and crafted sums.

All are codes: unsigned integers of the operand's width, FP32 and int32 sums as uint32, FP16 sums in its low half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .instructions import KINDS, Kind

__all__ = ["FORMATS", "Case", "Format", "crafted", "decode", "encode", "random_cases"]

COLUMNS = 8
Codes = NDArray[np.uint32]


class Format(NamedTuple):
    """A float type in words of ``word_bits``: fields of exponent and fraction from bit ``low`` up."""

    word_bits: int
    exponent_bits: int
    fraction_bits: int
    low: int = 0

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def sign(self) -> int:
        return 1 << (self.exponent_bits + self.fraction_bits + self.low)

    @property
    def highest(self) -> int:
        """Exponent field of the largest finite numbers; E4M3 has numbers in the last one too."""
        return (1 << self.exponent_bits) - (1 if self == FORMATS["e4m3"] else 2)


FORMATS = {
    "f16": Format(16, 5, 10),
    "bf16": Format(16, 8, 7),
    "tf32": Format(32, 8, 10, 13),
    "e4m3": Format(8, 4, 3),
    "e5m2": Format(8, 5, 2),
    "f32": Format(32, 8, 23),
}


@dataclass(frozen=True)
class Case:
    """``count`` products at once: A (count, rows, K), W (count, 8, K) and the sums before, (count, rows, 8)."""

    name: str
    a: Codes
    w: Codes
    c: Codes


def decode(codes: Codes, name: str) -> NDArray[np.float64]:
    """Values of codes of that type, finite ones."""
    if name in ("s8", "s32"):
        return codes.astype(np.uint8 if name == "s8" else np.uint32).view(np.int8 if name == "s8" else np.int32) * 1.0
    form = FORMATS[name]
    bits = codes.astype(np.int64) >> form.low
    fraction = bits & ((1 << form.fraction_bits) - 1)
    field = bits >> form.fraction_bits & ((1 << form.exponent_bits) - 1)
    significand = np.where(field > 0, fraction + (1 << form.fraction_bits), fraction)
    size = np.ldexp(significand.astype(np.float64), np.maximum(field, 1) - form.bias - form.fraction_bits)
    return np.where(codes & np.uint32(form.sign), -size, size)


def encode(values: NDArray[np.float64], name: str) -> Codes:
    """Codes of values that the type holds exactly; asserts that it does."""
    form = FORMATS[name]
    exponent = np.where(values != 0, np.frexp(values)[1] - 1, -10000)
    exponent = np.maximum(exponent, 1 - form.bias)
    significand = np.rint(np.ldexp(np.abs(values), form.fraction_bits - exponent)).astype(np.int64)
    normal = significand >> form.fraction_bits > 0
    field = np.where(normal, exponent + form.bias, 0)
    assert (field <= form.highest).all(), f"beyond {name}"
    fraction = significand & ((1 << form.fraction_bits) - 1)
    codes = (field << form.fraction_bits | fraction) << form.low
    codes = np.where(np.signbit(values), codes | form.sign, codes).astype(np.uint32)
    assert (decode(codes, name) == values).all(), f"no {name}"
    return codes


class _Bits:
    """A stream of random bits."""

    def __init__(self, seed: int) -> None:
        self._raw = np.random.PCG64(seed)

    def words(self, shape: tuple[int, ...]) -> Codes:
        return (self._raw.random_raw(int(np.prod(shape))) >> np.uint64(32)).astype(np.uint32).reshape(shape)

    def floats(self, name: str, shape: tuple[int, ...], fields: tuple[int, int]) -> Codes:
        """Any sign and fraction, exponent fields of that range, both ends in it."""
        form = FORMATS[name]
        field = fields[0] + self.words(shape) % np.uint32(fields[1] - fields[0] + 1)
        fraction = self.words(shape) & np.uint32((1 << form.fraction_bits) - 1)
        sign = np.where(self.words(shape) & np.uint32(1), np.uint32(form.sign), np.uint32(0))
        codes = (field << np.uint32(form.fraction_bits) | fraction) << np.uint32(form.low) | sign
        beyond = name == "e4m3" and (codes & np.uint32(0x7F)) == 0x7F
        return np.where(beyond, codes ^ np.uint32(1), codes).astype(np.uint32)


def _wide(name: str) -> tuple[int, int]:
    """Exponent fields of a wide range: all, or what FP32 sums of products leave room for."""
    form = FORMATS[name]
    return (form.bias - 30, form.bias + 30) if form.exponent_bits == 8 else (0, form.highest)


def _alike(name: str) -> tuple[int, int]:
    """Numbers of about one size."""
    return FORMATS[name].bias - 3, FORMATS[name].bias + 2


def _operands(bits: _Bits, kind: Kind, shape: tuple[int, ...], wide: bool) -> Codes:
    if kind.operands == "s8":
        return bits.words(shape) & np.uint32(0xFF)
    return bits.floats(kind.operands, shape, (_wide if wide else _alike)(kind.operands))


def _sums(bits: _Bits, kind: Kind, shape: tuple[int, ...], wide: bool) -> Codes:
    if kind.sums == "s32":
        return bits.words(shape)
    if kind.sums == "f16":
        return bits.floats("f16", shape, (0, 28) if wide else _alike("f16"))
    middle, reach = FORMATS["f32"].bias, 24 if wide else 4
    return bits.floats("f32", shape, (middle - reach, middle + reach))


def random_cases(kind: Kind, rows: int, count: int) -> list[Case]:
    """Four ways to draw, ``count`` products of each; seeds are those of the kind and of the rows."""
    bits = _Bits(1000 * KINDS.index(kind) + rows)
    cases = []
    for name, steps, wide, before in (
        ("wide", 1, True, False),
        ("wide_before", 1, True, True),
        ("alike_long", 8, False, False),
        ("cancelling", 2, False, True),
    ):
        K = kind.K * steps
        a, w = (_operands(bits, kind, (count, n, K), wide) for n in (rows, COLUMNS))
        if name == "cancelling" and kind.operands != "s8":
            form = FORMATS[kind.operands]
            a[..., 1::2] = a[..., ::2] ^ (a[..., 1::2] & np.uint32(1 << form.low))  # the last bit may differ
            w[..., 1::2] = w[..., ::2] ^ np.uint32(form.sign)
        c = _sums(bits, kind, (count, rows, COLUMNS), wide)
        cases.append(Case(name, a, w, c if before else np.zeros_like(c)))
    if kind.operands != "s8":
        cases.append(_special(bits, kind, rows))
    return cases


def _special(bits: _Bits, kind: Kind, rows: int) -> Case:
    """Any bits at all, infinities and NaN among them."""
    form = FORMATS[kind.operands]
    mask = np.uint32(((1 << form.word_bits) - 1) & ~((1 << form.low) - 1))
    a, w = (bits.words((16, n, kind.K)) & mask for n in (rows, COLUMNS))
    plain = (bits.words(x.shape) % np.uint32(8) > 0 for x in (a, w))
    a, w = (np.where(p, x & ~np.uint32(form.sign >> 1), x) for p, x in zip(plain, (a, w), strict=True))
    return Case("special", a, w, _sums(bits, kind, (16, rows, COLUMNS), True))


Term = tuple[int, float]
"""Position along K, and the value of the product there."""


def crafted(kind: Kind) -> tuple[list[str], Codes, Codes, Codes]:
    """Sums that tell how an instruction adds: names, A (n, K), W (n, K), sums before (n).

    After Fasi et al. (PeerJ Computer Science 7:e330, 2021): which bits survive alignment, of products and of the sum
    before; whether small terms are added before they are cut; which products are added at once; how the sum is
    rounded; what becomes of subnormals; whether a product is normalised before it is aligned.
    """
    tests: list[tuple[str, float, list[Term]]] = []
    top = 4 if kind.operands == "e4m3" else 10
    big, last = 2.0**top, kind.K - 1
    for e in range(31):
        small = 2.0 ** (top - e)
        for s in (small, -small):
            for i, j, l in ((0, 1, 2), (0, 1, last), (0, kind.K // 2, last), (last, 1, 0)):
                tests.append((f"product kept {e} {i} {j} {l}", 0.0, [(i, big), (j, -big), (l, s)]))
            tests.append((f"sum before kept {e}", s, [(0, big), (last, -big)]))
            tests.append((f"product kept beside sum before {e}", big, [(0, -big), (last, s)]))
            tests.append((f"four small {e}", 0.0, [(0, big), *((n, s) for n in (1, 2, 3, 4)), (5, -big)]))
            tests.append((f"four small beside sum before {e}", big, [(n, s) for n in (1, 2, 3, 4)]))
            tests.append((f"not normalised {e}", 0.0, [(0, 2.25), (1, -2.25), (2, s / big)]))
            for m in (1, 3, 5, 7):
                tests.append((f"rounding {e} x {m}", big, [(0, s * m)]))
                tests.append((f"rounding, negative {e} x {m}", -big, [(0, s * m)]))
                tests.append((f"rounding, carry {e} x {m}", big, [(0, 1.5 * big), (1, s * m)]))
    for j in range(1, kind.K):
        for l in range(1, kind.K):
            if j != l:
                tests.append((f"together 0 {j} {l}", 0.0, [(0, big), (j, -big), (l, 2.0 ** (top - 27))]))
    for m in (1, 3, 2**20 + 1):
        tests.append((f"subnormal sum before {m}", m * 2.0**-149, []))
        tests.append((f"subnormal sum before and a product of zero {m}", m * 2.0**-149, [(0, 0.0)]))
    names, a, w, c = [], [], [], []
    for name, before, terms in tests:
        factors = _factors(kind, terms)
        if factors is None or (kind.sums == "f16" and not _fits(before)):
            continue
        names.append(name)
        a.append(encode(factors[0], kind.operands))
        w.append(encode(factors[1], kind.operands))
        c.append(encode(np.array([before]), kind.sums)[0])
    return names, np.array(a), np.array(w), np.array(c, np.uint32)


def _fits(before: float) -> bool:
    return before == 0 or 2.0**-14 <= abs(before) < 65504


def _factors(kind: Kind, terms: list[Term]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Rows of A and W whose products are those terms; None if the type has no such factors."""
    form = FORMATS[kind.operands]
    a, w = np.zeros(kind.K), np.zeros(kind.K)
    for k, value in terms:
        mantissa, exponent = np.frexp(value) if value else (0.0, 0)
        if value in (2.25, -2.25):
            a[k], w[k] = 1.5, value / 1.5
            continue
        left = int(exponent - 1) // 2
        a[k], w[k] = np.ldexp(1.0, left), np.ldexp(2 * mantissa, int(exponent) - 1 - left)
        lowest, highest = 1 - form.bias - form.fraction_bits, form.highest - form.bias
        if value and not (lowest <= left and exponent - 1 - left <= highest and _exact(w[k], form)):
            return None
    return a, w


def _exact(value: float, form: Format) -> bool:
    """Whether a power of two times a small odd number is a number of the type."""
    lowest = 1 - form.bias - form.fraction_bits
    least = float(np.ldexp(1.0, max(int(np.frexp(value)[1]) - 1 - form.fraction_bits, lowest)))
    return value % least == 0
