"""What the modules of ``hardware/pe`` compute, cycle by cycle, in the plainest Python. Imports nothing of the project.

Every function takes the inputs, port -> (cycles,) integers, and returns what one output shows in each cycle. Registers
start at 0; a register shows in cycle c what the inputs of cycle c - 1 made.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import ml_dtypes
import numpy as np

FLINT4 = {0: (0, 0), 1: (0, 1), 2: (0, 2), 3: (0, 3), 4: (4, 1), 5: (3, 1), 6: (1, 2), 7: (1, 3)}


def signed(word: int, bits: int) -> int:
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


def f32(word: int) -> np.float32:
    return np.uint32(word).view(np.float32)


def word32(value: np.float32) -> int:
    return int(np.float32(value).view(np.uint32))


def summed(products: list[int], clear, acc: int) -> list[int]:
    """Two's complement sums of ``acc`` bits as words; ``clear`` starts one with that cycle's product."""
    total, shown = 0, []
    for product, new in zip(products, clear, strict=True):
        shown.append(total & ((1 << acc) - 1))
        total = product + (0 if new else total)
    return shown


def summed32(terms: list[np.float32], clear) -> list[int]:
    """float32 sums as words; a sum of zero has no sign."""
    total, shown = np.float32(0), []
    for term, new in zip(terms, clear, strict=True):
        shown.append(word32(total))
        total = np.float32((np.float32(0) if new else total) + term) + np.float32(0)
    return shown


def mac_int(x, AW, WW, ACC):
    return summed(
        [signed(int(a), AW) * signed(int(w), WW) for a, w in zip(x["a"], x["w"], strict=True)], x["clear"], ACC
    )


def mac_af(x, ACC):
    def value(code: int) -> int:
        magnitude = (16 + (code & 15)) << ((code >> 4) & 7) if code & 127 else 0
        return -magnitude if code >> 7 else magnitude

    return summed([value(int(a)) * value(int(w)) for a, w in zip(x["a"], x["w"], strict=True)], x["clear"], ACC)


def mac_bs(x, ACC):
    def value(word: int, shift: int) -> int:
        return signed(word, 6) << (shift if word >> 6 & 1 else 0)

    rows = zip(x["a"], x["w"], x["shift"], strict=True)
    return summed([value(int(a), int(s)) * value(int(w), int(s)) for a, w, s in rows], x["clear"], ACC)


def fusion_unit(x, ACC):
    terms = []
    for a_word, w_word, a_mode, w_mode in zip(x["a"], x["w"], x["a_bits"], x["w_bits"], strict=True):
        a_bits, w_bits = 2 << int(a_mode), 2 << int(w_mode)
        products = 16 // (a_bits // 2 * w_bits // 2)
        pairs = (
            (signed(int(a_word) >> a_bits * p, a_bits), signed(int(w_word) >> w_bits * p, w_bits))
            for p in range(products)
        )
        terms.append(sum(a * w for a, w in pairs))
    return summed(terms, x["clear"], ACC)


def fp_add(x):
    return [word32(f32(int(a)) + f32(int(b))) for a, b in zip(x["x"], x["y"], strict=True)]


def fp_mul32(x):
    return [word32(f32(int(a)) * f32(int(b))) for a, b in zip(x["x"], x["y"], strict=True)]


def mac_fp16(x):
    a, w = (x[p].astype(np.uint16).view(np.float16).astype(np.float32) for p in ("a", "w"))
    return summed32(list(a * w), x["clear"])


def mac_fp8(x):
    def values(port: str) -> np.ndarray:
        codes = x[port].astype(np.uint8)
        wide = codes.view(ml_dtypes.float8_e5m2).astype(np.float32)
        return np.where(x[f"{port}_e5m2"] == 1, wide, codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32))

    return summed32(list(values("a") * values("w")), x["clear"])


def element(code: int, EXP: int, MAN: int) -> int:
    """An element at the unit of its smallest step."""
    if EXP == 0:
        return signed(code, MAN + 1)
    field, mantissa = code >> MAN & ((1 << EXP) - 1), code & ((1 << MAN) - 1)
    magnitude = (mantissa + (1 << MAN)) << (field - 1) if field else mantissa
    return -magnitude if code >> (EXP + MAN) & 1 else magnitude


def mx_dot(x, EXP, MAN, ACC):
    rows = zip(x["a"], x["w"], strict=True)
    return summed([element(int(a), EXP, MAN) * element(int(w), EXP, MAN) for a, w in rows], x["first"], ACC)


def scale(word: int, SCALE: int) -> Fraction:
    if not SCALE:
        return Fraction(2) ** (word - 127)
    return Fraction(float(np.uint8(word).view(ml_dtypes.float8_e4m3fn)))


def rounded32(value: Fraction) -> np.float32:
    """A nonzero value of normal size to the nearest float32, ties to even."""
    if value == 0:
        return np.float32(0)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    step = Fraction(2) ** (exponent - (24 if abs(value) < Fraction(2) ** exponent else 23))
    return np.float32(float(round(value / step) * step))


def scale_add(x, ACC, UNIT, SCALE):
    total, shown = np.float32(0), []
    for i in range(len(x["dot"])):
        shown.append(word32(total))
        if x["enable"][i]:
            dot = Fraction(signed(int(x["dot"][i]), ACC), 1 << UNIT)
            term = rounded32(dot * scale(int(x["a_scale"][i]), SCALE) * scale(int(x["w_scale"][i]), SCALE))
            total = np.float32((np.float32(0) if x["clear"][i] else total) + term) + np.float32(0)
    return shown


def pe_mx(x, EXP, MAN, ACC, UNIT, SCALE):
    ended = np.concatenate([[0], x["last"][:-1]])
    dots = mx_dot({"a": x["a"], "w": x["w"], "first": ended}, EXP, MAN, ACC)
    return scale_add({**x, "dot": dots, "enable": ended}, ACC, UNIT, SCALE)


def gobo_lane(x, N, I):
    sums, shown = [np.float32(0)] * N, []
    for value, index, clear in zip(x["x"], x["index"], x["clear"], strict=True):
        shown.append(word32(sums[index]))
        sums[index] = np.float32((np.float32(0) if clear else sums[index]) + f32(int(value))) + np.float32(0)
    return shown


def dec_flint4(x):
    """Exponent and integer of each code as one word."""
    shown = []
    for code in x["code"]:
        exponent, magnitude = FLINT4[int(code) & 7]
        shown.append(exponent << 4 | ((-magnitude if code >> 3 else magnitude) & 15))
    return shown


def dec_biscaled(x, B):
    shown, mask, left = [0], 0, 0
    for i in range(len(x["value"]) - 1):
        if x["first"][i]:
            mask, left = (int(x["mask"][i]) if x["any"][i] else 0), B
        left -= 1
        wide = mask >> left & 1 if left >= 0 else 0
        shown.append(wide << 6 | int(x["value"][i]) & 63)
    return shown


def fifo(x):
    """The oldest word where there is one, else None."""
    queue, shown = deque(), []
    for word, push, pop in zip(x["in"], x["push"], x["pop"], strict=True):
        shown.append(queue[0] if queue else None)
        if pop:
            queue.popleft()
        if push:
            queue.append(int(word))
    return shown


def dec_gobo(x, N, I):
    centroids, shown, value = [0] * N, [], 0
    for load, index, is_outlier, outlier in zip(x["load"], x["index"], x["is_outlier"], x["outlier"], strict=True):
        shown.append(value)
        value = int(outlier) if is_outlier else centroids[index]
        if load:
            centroids[index] = int(outlier)
    return shown


def scan_fp16(x):
    """``outlier`` and ``largest`` as one word."""
    shown, largest, outlier = [], 0, 0
    for value, threshold, clear in zip(x["x"], x["threshold"], x["clear"], strict=True):
        shown.append(outlier << 15 | largest)
        magnitude = int(value) & 0x7FFF
        outlier = int(magnitude >= threshold)
        largest = max(0 if clear else largest, 0 if outlier else magnitude)
    return shown


def quantise_int8(x):
    shown = [0]
    for value, factor in zip(x["x"][:-1], x["factor"][:-1], strict=True):
        exact = Fraction(float(np.uint16(value).view(np.float16))) * Fraction(float(f32(int(factor))))
        shown.append(max(-127, min(127, round(exact))) & 255)
    return shown
