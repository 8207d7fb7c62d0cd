"""``ovp``: OliVe's outlier-victim-pair datapath (Guo et al., ISCA 2023, sections 4.2-4.5).

Decoders at the two edges of the array turn each packed pair into two exponent-integer operands ``<e, i>`` of value
``i << e``. A PE multiplies the integers, adds the exponents, shifts and accumulates in int32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.accumulate import require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.registry import register
from simulator.formats import Encoded, Format
from simulator.formats.ovp import PairRule

__all__ = ["Ovp"]

_WORD_SHIFT = 8
"""An operand word is ``exponent << 8 | integer & 0xFF``."""


@njit(cache=True)
def _mac(state, act, weight):
    """One step of one PE: <a, b> x <c, d> = (b * d) << (a + c); the integer is the word's low byte, sign-extended."""
    product = ((act & 0xFF ^ 0x80) - 0x80) * ((weight & 0xFF ^ 0x80) - 0x80)
    state[0] += product << ((act >> 8) + (weight >> 8))


@njit(cache=True)
def _decode_pairs(codes, length):
    """The edge decoder: packed pairs (R, P) to exponents and integers, each (R, length) int8.

    Two comparators look for the identifier ``1000``. A nibble beside it is an abfloat: exponent = field + bias 2,
    integer = (1 m) with the sign, 0 if the three bits are 0. The identifier itself decodes to 0, all else to int4.
    """
    exponent = np.zeros((codes.shape[0], length), np.int8)
    integer = np.zeros((codes.shape[0], length), np.int8)
    for r in range(codes.shape[0]):
        for k in range(length):
            byte = np.int64(codes[r, k // 2])
            nibble = byte >> 4 if k % 2 == 0 else byte & 0xF
            other = byte & 0xF if k % 2 == 0 else byte >> 4
            if nibble == 0x8:
                continue
            if other == 0x8:
                if nibble & 0x7:
                    magnitude = 2 | (nibble & 1)
                    integer[r, k] = -magnitude if nibble & 0x8 else magnitude
                    exponent[r, k] = ((nibble >> 1) & 0x3) + 2
            else:
                integer[r, k] = nibble - 16 if nibble & 0x8 else nibble
    return exponent, integer


@njit(cache=True)
def _dot(act_exp, act_int, weight_exp, weight_int):
    """Exponent-integer operands (M, K) and (N, K) -> (M, N) int64; sums are known to fit int32."""
    M, K = act_int.shape
    N = weight_int.shape[0]
    out = np.empty((M, N), np.int64)
    for m in range(M):
        for n in range(N):
            acc = np.int32(0)
            for k in range(K):
                product = np.int32(np.int32(act_int[m, k]) * np.int32(weight_int[n, k]))
                shift = np.int32(np.int32(act_exp[m, k]) + np.int32(weight_exp[n, k]))
                acc = np.int32(acc + np.int32(product << shift))
            out[m, n] = acc
    return out


@register("ovp")
@dataclass(frozen=True)
class Ovp(Datapath):
    """4-bit outlier-victim pairs on both operands, int32 accumulation with overflow detected.

    Args:
        pair_rule: which of two outliers in a pair survives (see ``formats.Ovp4``); the hardware is the same.
    """

    pair_rule: PairRule = "larger"

    mac = staticmethod(_mac)

    @property
    def act_format(self) -> Format:
        """``ovp4``."""
        return formats.get("ovp4", pair_rule=self.pair_rule)

    @property
    def weight_format(self) -> Format:
        """``ovp4``."""
        return formats.get("ovp4", pair_rule=self.pair_rule)

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within int32."""
        return Accumulation("int", 32)

    def actions_per_mac(self) -> dict[str, float]:
        """One exponent-integer multiply-accumulate."""
        return {"mac_ei4_acc32": 1}

    def register_bits(self, operand: Operand) -> int:
        """A 3-bit exponent and a 4-bit integer."""
        return 7

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """One pair decode serves two values."""
        return {"decode_ovp4_pair": 0.5}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs, and one decoder per row and per column at the borders (section 4.3: n + m for an n x m array)."""
        return {"pe_ei4_acc32": rows * cols, "decoder_ovp4": rows + cols}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Exponent-integer words."""
        exponent, integer = _decode_pairs(encoded.codes, encoded.length)
        return (exponent.astype(np.int64) << _WORD_SHIFT) | (integer.astype(np.int64) & 0xFF)

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        (ae, ai), (we, wi) = (_decode_pairs(operand.codes, operand.length) for operand in (act, weight))
        require_fit(ai.astype(np.int32) << ae, wi.astype(np.int32) << we, self.accumulation.bits, self.name)
        return np.asarray(_dot(ae, ai, we, wi))
