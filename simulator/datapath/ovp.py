"""``ovp``: OliVe's outlier-victim-pair datapath (Guo et al., ISCA 2023, sections 4.2-4.5).

Decoders at the two edges of the array turn each packed pair into two exponent-integer operands ``<e, i>`` of value
``i << e``. A PE multiplies the integers, adds the exponents, shifts and accumulates in int32, k = 0, 1 ... K-1.

8-bit operands run on the same 4-bit PEs, two by two (section 4.5): ``<e, i> = <4 + e, h> + <e, l>`` with ``h`` the high
and ``l`` the low half of the integer's byte. The four PEs multiply hh, hl, lh and ll in one step, and their sum goes to
one accumulator: n x m PEs are n/2 x m/2. A normal has ``e = 0``.

Assumed, where the paper is silent: ``h`` is signed and ``l`` is not, so a multiplier's operands have a fifth bit, which
repeats the sign or is 0 in place of ``l``; the four products may wrap around 2^32 before their sum, which is then the
product all the same, and overflow is judged where a step's sum is accumulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.base import Operand
from simulator.datapath.four_bit_pes import FourBitPes
from simulator.datapath.registry import register
from simulator.formats import Encoded, TensorEncoding
from simulator.formats.ovp import OutlierFormat, PairRule
from simulator.kernels import njit

__all__ = ["Ovp"]

_OUTLIERS8 = {"e4m3": (3, 4), "e2m5": (5, 2)}
"""Mantissa bits and bias of 8-bit outliers (``formats.Ovp8``)."""


@njit(cache=True)
def _flint(nibble):
    """ANT's decoder: a leading 0 says integer; else z zeros before the next one shift what follows by 2z + 1."""
    low = nibble & 0x3
    if nibble & 0x4 == 0:
        exponent, magnitude = 0, low
    elif low >= 2:
        exponent, magnitude = 1, low
    elif low == 1:
        exponent, magnitude = 3, 1
    else:
        exponent, magnitude = 4, 1
    return exponent, -magnitude if nibble & 0x8 else magnitude


@njit(cache=True)
def _decode_nibbles(codes, flint, exponent, integer):
    """The 4-bit edge decoder: packed pairs (R, P) to exponents and integers, each (R, K) int8, zeros on entry.

    Two comparators look for the identifier ``1000``. A nibble beside it is an abfloat: exponent = field + bias (2, or
    3 for flint), integer = (1 m) with the sign, 0 if the three bits are 0. The identifier itself decodes to 0, all
    else to int4 or flint4.
    """
    bias = 3 if flint else 2
    for r in range(exponent.shape[0]):
        for k in range(exponent.shape[1]):
            byte = np.int64(codes[r, k // 2])
            nibble = byte >> 4 if k % 2 == 0 else byte & 0xF
            other = byte & 0xF if k % 2 == 0 else byte >> 4
            if nibble == 0x8:
                continue
            if other == 0x8:
                if nibble & 0x7:
                    magnitude = 2 | (nibble & 1)
                    integer[r, k] = -magnitude if nibble & 0x8 else magnitude
                    exponent[r, k] = ((nibble >> 1) & 0x3) + bias
            elif flint:
                exponent[r, k], integer[r, k] = _flint(nibble)
            else:
                integer[r, k] = nibble - 16 if nibble & 0x8 else nibble


@njit(cache=True)
def _decode_bytes(codes, man_bits, bias, exponent, integer):
    """The 8-bit edge decoder, as ``_decode_nibbles``: codes (R, 2 P), identifier ``1000 0000``, int8 normals."""
    for r in range(exponent.shape[0]):
        for k in range(exponent.shape[1]):
            code, other = np.int64(codes[r, k]), np.int64(codes[r, k ^ 1])
            if code == 0x80:
                continue
            if other == 0x80:
                if code & 0x7F:
                    magnitude = (1 << man_bits) | (code & ((1 << man_bits) - 1))
                    integer[r, k] = -magnitude if code & 0x80 else magnitude
                    exponent[r, k] = ((code & 0x7F) >> man_bits) + bias
            else:
                integer[r, k] = code - 256 if code & 0x80 else code


@register("ovp")
@dataclass(frozen=True)
class Ovp(FourBitPes):
    """Outlier-victim pairs on both operands, int32 accumulation with overflow detected."""

    bits: Literal[4, 8] = 4
    """Of both operands; `layers` of a design may mix 4 and 8."""
    normal: Literal["int", "flint", "auto"] = "int"
    """Type of 4-bit normals, and what the 4-bit decoders can decode: `int` (int4), `flint` (flint4) or `auto` (the
    better of both for each operand, as in the paper and the released code). 8-bit normals are int8.
    """
    pair_rule: PairRule = "larger"
    """Which of two outliers in a pair survives (as in format `ovp4`); the hardware is the same."""
    outlier_format: OutlierFormat = "e4m3"
    """Grid of 8-bit outliers, as in format `ovp8`: the paper's, or that of the authors' released code."""

    @property
    def act_format(self) -> TensorEncoding:
        """``ovp4``, ``ovp4_flint``, ``ovp4_auto`` or ``ovp8``."""
        if self.bits == 8:
            return formats.get("ovp8", pair_rule=self.pair_rule, outlier_format=self.outlier_format)
        name = "ovp4" if self.normal == "int" else f"ovp4_{self.normal}"
        return formats.get(name, pair_rule=self.pair_rule)

    def register_bits(self, operand: Operand) -> float:
        """As many bits as can toggle. 4 bits: a 3-bit exponent (6 at most) and a 4-bit integer. 8 bits: a 4-bit
        exponent (12 at most; the 4 of a high half is wired) and half an integer, in each of four PEs.
        """
        return 7 if self.bits == 4 else 4 * 8

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """One pair decode serves two values."""
        return {f"decode_{self._decoder4 if self.bits == 4 else 'ovp8'}_pair": 0.5}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs; 4-bit decoders per row and column, 8-bit ones per two, at the borders (section 4.3 and Table 11); one
        adder per four PEs.
        """
        return {
            "pe_ei4_acc32": rows * cols,
            f"decoder_{self._decoder4}": rows + cols,
            "decoder_ovp8": rows // 2 + cols // 2,
            "merge_adder32": (rows // 2) * (cols // 2),
        }

    def edp_actions_per_mac(self) -> dict[str, float]:
        """At 8 bits a MAC of an 8EDP, whose multipliers are as wide; and a pair decode."""
        return super().edp_actions_per_mac() if self.bits == 4 else {"mac_ei8_acc32": 1, "decode_ovp8_pair": 1}

    def edp_parts(self, multipliers: Mapping[int, int]) -> dict[str, int]:
        """A pair decoder for every two operand values that enter an EDP at 4 and at 8 bits, so one per multiplier, and
        an adder and a shifter per 4-bit multiplier (Figure 6 and Table 10).
        """
        four, eight = (multipliers.get(width, 0) for width in (4, 8))
        return {"gpu_decoder_ovp4": four, "gpu_decoder_ovp8": eight, "gpu_lane_ei4": four}

    @property
    def _decoder4(self) -> str:
        return "ovp4" if self.normal == "int" else "ovp4f"

    def decoded_words(self, encoded: Encoded) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Exponents and integers, (R, K)."""
        shape = (len(encoded.codes), encoded.length)
        exponent, integer = np.zeros(shape, np.int8), np.zeros(shape, np.int8)
        if self.bits == 8:
            _decode_bytes(encoded.codes, *_OUTLIERS8[self.outlier_format], exponent, integer)
        else:
            _decode_nibbles(encoded.codes, self._is_flint(encoded), exponent, integer)
        return exponent, integer

    def _is_flint(self, encoded: Encoded) -> bool:
        """Type of the normals; under ``auto`` it is the top bit of the byte of types that comes with the operand."""
        if self.normal == "auto":
            return bool(encoded.extras["types"][0] >> 7)
        return self.normal == "flint"
