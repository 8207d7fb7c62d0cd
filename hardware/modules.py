"""What is synthesised: each module of ``pe/`` with its parameters, its operands, and the module it is compared with.

A *sibling* is our version of a module whose NanGate45 figures are known (``reference.csv``, column ``module``): prices
of the others are the sibling's known figures times a ratio measured on other libraries (``prices.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import log2

import numpy as np

from hardware.stimulus import CYCLES, RESTART, Stimulus, adaptivfloat, flag, float_codes, fp16, fp32, integers

__all__ = ["MODULES", "MX", "WIDTHS", "Module", "Mx", "integer_name"]

Operands = Callable[[np.random.Generator], Stimulus]


@dataclass(frozen=True)
class Module:
    """One row of ``synthesis.csv`` per library.

    ``like``: siblings with their weights, which add up to 1: the module is compared with their weighted geometric mean;
    empty for a sibling itself. ``known``: a sibling's row in ``reference.csv``.
    ``per_cycle``: operations that one cycle does, by which its energy is divided.
    """

    top: str
    parameters: dict[str, int]
    operands: Operands
    like: dict[str, float] = field(default_factory=dict)
    known: str = ""
    per_cycle: float = 1.0


@dataclass(frozen=True)
class Mx:
    """A block format: element fields, code of the largest magnitude, accumulator and fraction bits, kind of scales."""

    exp: int
    man: int
    top: int
    acc: int
    unit: int
    block: int = 32
    e4m3_scales: bool = False

    @property
    def parameters(self) -> dict[str, int]:
        """Of ``pe_mx``."""
        return {"EXP": self.exp, "MAN": self.man, "ACC": self.acc, "UNIT": self.unit, "SCALE": int(self.e4m3_scales)}


MX = {
    "mxfp4": Mx(2, 1, 0b111, 14, 2),
    "mxfp6": Mx(3, 2, 0b11111, 24, 8),
    "mxfp6_e2m3": Mx(2, 3, 0b11111, 18, 6),
    "mxfp8": Mx(4, 3, 0b1111110, 42, 18),
    "mxfp8_e5m2": Mx(5, 2, 0b1111011, 70, 32),
    "mxint8": Mx(0, 7, 127, 21, 12),
    "nvfp4": Mx(2, 1, 0b111, 13, 2, block=16, e4m3_scales=True),
}
"""``acc``: a sign and 5 bits (4 for blocks of 16) above the largest product. OCP MX v1.0; NVFP4."""
WIDTHS = (2, 3, 4, 5, 6, 7, 8, 16)
_ANCHORS = {(4, 4): "int4", (8, 8): "int8", (16, 4): "int16x4", (16, 16): "int16"}


def integer_name(a: int, w: int, acc: int) -> str:
    """Row of an integer MAC; a x w and w x a are the same hardware."""
    a, w = max(a, w), min(a, w)
    return _ANCHORS[a, w] if (a, w) in _ANCHORS and acc == 32 else f"int{a}x{w}_acc{acc}"


def _anchors_of(a: int, w: int) -> dict[str, float]:
    """All anchors, weighted by the inverse square of how many factors of two the widths are away; a >= w.

    A single nearest one would make prices jump where the next one takes over.
    """
    inverse = {name: 1 / (abs(log2(a / x)) + abs(log2(w / y))) ** 2 for (x, y), name in _ANCHORS.items()}
    weights = {name: round(value / sum(inverse.values()), 3) for name, value in inverse.items()}
    nearest = max(weights, key=weights.__getitem__)
    return weights | {nearest: round(1 - sum(weights.values()) + weights[nearest], 3)}


def _restart() -> Stimulus:
    return {"clear": flag(RESTART)}


def _integer(a: int, w: int, acc: int, like: dict[str, float] | None = None, known: str = "") -> Module:
    def operands(rng: np.random.Generator) -> Stimulus:
        return {"a": integers(rng, a), "w": integers(rng, w)} | _restart()

    return Module("mac_int", {"AW": a, "WW": w, "ACC": acc}, operands, like or {}, known)


def _integers() -> dict[str, Module]:
    known = {"int4": "pe_int4", "int8": "pe_int8", "int16x4": "pe_ol16x4", "int16": "pe_int16"}
    found = {name: _integer(*widths, 32, known=known[name]) for widths, name in _ANCHORS.items()}
    found["int4x4_acc24"] = _integer(4, 4, 24, known="pe_ol4")
    for w, a in combinations_with_replacement(WIDTHS, 2):
        name = integer_name(a, w, 32)
        if name not in found:
            found[name] = _integer(a, w, 32, like=_anchors_of(a, w))
    for a, acc, like in ((4, 16, "int4x4_acc24"), (8, 16, "int8"), (8, 24, "int8"), (8, 48, "int8"), (16, 48, "int16")):
        found[integer_name(a, a, acc)] = _integer(a, a, acc, like={like: 1})
    return found


def _words(rng: np.random.Generator, bits: int) -> np.ndarray:
    return rng.integers(0, 1 << bits, CYCLES)


def _two(name: str, codes: Callable[[np.random.Generator], np.ndarray], other: str = "w") -> Operands:
    return lambda rng: {name: codes(rng), other: codes(rng)} | (_restart() if name == "a" else {})


def _floats() -> dict[str, Module]:
    return {
        "add32": Module("add_int", {"W": 32}, _two("b", lambda rng: _words(rng, 32), "a"), known="prim_add32"),
        "fp32add": Module("fp_add", {"EXP": 8, "MAN": 23, "LZ": 5}, _two("x", fp32, "y"), known="prim_fp32add"),
        "fp16mul": Module("fp_mul", {"EXP": 5, "MAN": 10}, _two("x", fp16, "y"), known="prim_fp16mul"),
        "fp32mul": Module("fp_mul", {"EXP": 8, "MAN": 23}, _two("x", fp32, "y"), known="prim_fp32mul"),
        "fp16": Module("mac_fp16", {}, _two("a", fp16), known="pe_fp16"),
        "af8": Module("mac_af", {"ACC": 32}, _two("a", adaptivfloat), known="pe_af8"),
        "af8_acc40": Module("mac_af", {"ACC": 40}, _two("a", adaptivfloat), like={"af8": 1}),
        "fp8": Module("mac_fp8", {}, _fp8, like={"fp16": 1}),
        "bs6_acc32": Module("mac_bs", {"ACC": 32}, _biscaled, like={"af8": 1}),
        "bs6_acc48": Module("mac_bs", {"ACC": 48}, _biscaled, like={"af8": 1}),
    }


def _fp8(rng: np.random.Generator) -> Stimulus:
    mode = {"a_e5m2": np.zeros(CYCLES, np.int64), "w_e5m2": np.zeros(CYCLES, np.int64)}
    return _two("a", lambda r: float_codes(r, 4, 3, 0b1111110))(rng) | mode


def _biscaled(rng: np.random.Generator) -> Stimulus:
    """A shift of 3 and 1 % wide values, both assumed."""

    def operand() -> np.ndarray:
        return (integers(rng, 6) & 63) | ((rng.random(CYCLES) < 0.01).astype(np.int64) << 6)

    return {"a": operand(), "w": operand(), "shift": np.full(CYCLES, 3)} | _restart()


def _fusions() -> dict[str, Module]:
    """Products per cycle = 16 bricks / (digits of a x digits of w)."""
    found = {}
    for a, w in ((8, 8), (8, 4), (4, 4), (4, 2), (8, 2), (2, 2)):
        products = 16 // (a // 2 * w // 2)

        def operands(rng: np.random.Generator, a: int = a, w: int = w, products: int = products) -> Stimulus:
            return {
                "a": sum((integers(rng, a) & ((1 << a) - 1)) << (a * p) for p in range(products)),
                "w": sum((integers(rng, w) & ((1 << w) - 1)) << (w * p) for p in range(products)),
                "a_bits": np.full(CYCLES, a.bit_length() - 2),
                "w_bits": np.full(CYCLES, w.bit_length() - 2),
            } | _restart()

        found[f"fusion_{a}x{w}"] = Module("fusion_unit", {"ACC": 32}, operands, like={"int8": 1}, per_cycle=products)
    return found


def _element(rng: np.random.Generator, mx: Mx, cycles: int = CYCLES) -> np.ndarray:
    return integers(rng, 8, cycles) if mx.exp == 0 else float_codes(rng, mx.exp, mx.man, mx.top, cycles)


def element_value(mx: Mx, code: np.ndarray) -> np.ndarray:
    """Integer that an element stands for, at the unit of its smallest step, as Python integers."""
    if mx.exp == 0:
        return code.astype(object)
    magnitude = code & ((1 << (mx.exp + mx.man)) - 1)
    fields, mantissa = magnitude >> mx.man, magnitude & ((1 << mx.man) - 1)
    significand = (mantissa + np.where(fields > 0, 1 << mx.man, 0)).astype(object)
    value = significand * 2 ** np.maximum(fields - 1, 0).astype(object)
    return np.where(code > magnitude, -value, value)


def block_sums(rng: np.random.Generator, mx: Mx) -> np.ndarray:
    """Dot products of Gaussian blocks, cut to the accumulator's bits."""
    n = CYCLES * mx.block
    products = element_value(mx, _element(rng, mx, n)) * element_value(mx, _element(rng, mx, n))
    return np.add.reduceat(products, np.arange(0, n, mx.block))


def _blocks() -> dict[str, Module]:
    found = {}
    for name, mx in MX.items():

        def scales(rng: np.random.Generator, mx: Mx = mx) -> Stimulus:
            middle = 0x70 if mx.e4m3_scales else 127
            return {p: middle + rng.integers(-2, 3, CYCLES) for p in ("a_scale", "w_scale")}

        def dot(rng: np.random.Generator, mx: Mx = mx) -> Stimulus:
            return {"a": _element(rng, mx), "w": _element(rng, mx), "first": flag(mx.block)}

        def whole(rng: np.random.Generator, mx: Mx = mx, scales: Operands = scales) -> Stimulus:
            codes = {"a": _element(rng, mx), "w": _element(rng, mx)}
            return codes | scales(rng) | {"last": flag(mx.block, mx.block - 1), "clear": flag(RESTART * 4)}

        def end(rng: np.random.Generator, mx: Mx = mx, scales: Operands = scales) -> Stimulus:
            always = {"dot": block_sums(rng, mx), "enable": np.ones(CYCLES, np.int64)}
            return always | scales(rng) | _restart()

        element = {key: mx.parameters[key] for key in ("EXP", "MAN", "ACC")}
        scale = {key: mx.parameters[key] for key in ("ACC", "UNIT", "SCALE")}
        found[f"{name}_dot"] = Module("mx_dot", element, dot, like={"int8" if mx.exp == 0 else "af8": 1})
        found[f"{name}_end"] = Module("scale_add", scale, end, like={"fp16": 1})
        found[f"{name}_pe"] = Module("pe_mx", mx.parameters, whole, like={"fp16": 1})
    return found


def _others() -> dict[str, Module]:
    def halves(rng: np.random.Generator) -> np.ndarray:
        """FP16 activations as the FP32 words that they are."""
        return fp16(rng).astype(np.uint16).view(np.float16).astype(np.float32).view(np.uint32).astype(np.int64)

    def gobo(size: int) -> Operands:
        return lambda rng: {
            "x": halves(rng),
            "index": rng.integers(0, size, CYCLES),
            "clear": np.zeros(CYCLES, np.int64),
        }

    def queue(rng: np.random.Generator) -> Stimulus:
        """Pushed and popped every cycle but the first two: two moves a cycle."""
        busy = (np.arange(CYCLES) > 1).astype(np.int64)
        return {"in": fp32(rng), "push": busy, "pop": busy & (np.arange(CYCLES) > 2), "reset": 1 - busy}

    def values(rng: np.random.Generator) -> Stimulus:
        """The dictionary is loaded in the first 16 cycles; 0.1 % outliers."""
        loading = (np.arange(CYCLES) < 16).astype(np.int64)
        index = np.where(loading, np.arange(CYCLES), np.clip(np.rint(rng.normal(size=CYCLES) * 3 + 7.5), 0, 15))
        drawn = (rng.random(CYCLES) < 0.001).astype(np.int64) * (1 - loading)
        held = np.where(loading | drawn, fp16(rng), 0)
        return {"load": loading, "index": index.astype(np.int64), "is_outlier": drawn, "outlier": held}

    def scanned(rng: np.random.Generator) -> Stimulus:
        threshold = int(np.float16(6).view(np.uint16))
        return {"x": fp16(rng), "threshold": np.full(CYCLES, threshold)} | _restart()

    def rounded(rng: np.random.Generator) -> Stimulus:
        factor = int(np.float32(127 / 4).view(np.uint32))
        return {"x": fp16(rng), "factor": np.full(CYCLES, factor)}

    def indexed(rng: np.random.Generator) -> Stimulus:
        any_wide = (rng.random(CYCLES) < 0.08).astype(np.int64)
        return {"first": flag(8), "any": any_wide, "mask": 1 << rng.integers(0, 8, CYCLES), "value": integers(rng, 6)}

    def flint(rng: np.random.Generator) -> Stimulus:
        return {"code": _words(rng, 4)}

    return {
        "gobo8": Module("gobo_lane", {"N": 8, "I": 3}, gobo(8), known="gobo_lane"),
        "gobo16": Module("gobo_lane", {"N": 16, "I": 4}, gobo(16), like={"gobo8": 1}),
        "fifo4": Module("fifo", {"D": 4, "P": 2, "W": 32}, queue, like={"gobo8": 1}, per_cycle=2),
        "fifo16": Module("fifo", {"D": 16, "P": 4, "W": 32}, queue, like={"gobo8": 1}, per_cycle=2),
        "dec_gobo": Module("dec_gobo", {"N": 16, "I": 4}, values, like={"gobo8": 1}),
        "flint4": Module("dec_flint4", {"REG": 0}, flint, known="dec_flint4s"),
        "flint4_reg": Module("dec_flint4", {"REG": 1}, flint, like={"flint4": 1}),
        "dec_biscaled": Module("dec_biscaled", {"B": 8}, indexed, like={"int4": 1}),
        "scan_fp16": Module("scan_fp16", {}, scanned, like={"int4": 1}),
        "quantise_int8": Module("quantise_int8", {}, rounded, like={"fp16mul": 1}),
    }


MODULES: dict[str, Module] = _integers() | _floats() | _fusions() | _blocks() | _others()
