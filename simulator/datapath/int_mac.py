"""``int_mac``: bit-parallel integer multiply-accumulate, one MAC per PE per cycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.accumulate import require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.registry import register
from simulator.formats import Encoded, Format

__all__ = ["IntMac"]


@njit(cache=True)
def _mac(state, act, weight):
    """One step of one PE."""
    state[0] += act * weight


@njit(cache=True)
def _sign_extended_nibbles(codes, length):
    """Packed bytes (R, P) to int8 values (R, length): an arithmetic shift per nibble, left one first."""
    out = np.empty((codes.shape[0], length), np.int8)
    for r in range(codes.shape[0]):
        for k in range(length):
            byte = np.int8(codes[r, k // 2])
            out[r, k] = byte >> 4 if k % 2 == 0 else np.int8(byte << 4) >> 4
    return out


@njit(cache=True)
def _dot(act, weight):
    """(M, K) x (N, K) int8 -> (M, N) int64; sums that are known to fit int32 are kept in int32."""
    M, K = act.shape
    N = weight.shape[0]
    out = np.empty((M, N), np.int64)
    for m in range(M):
        for n in range(N):
            acc = np.int32(0)
            for k in range(K):
                acc = np.int32(acc + np.int32(np.int32(act[m, k]) * np.int32(weight[n, k])))
            out[m, n] = acc
    return out


@register("int_mac")
@dataclass(frozen=True)
class IntMac(Datapath):
    """Integer multiplier and accumulator per PE.

    Args:
        act_bits, weight_bits: operand widths [bits].
        acc_bits: accumulator width [bits], at most 32; a partial sum beyond it is an error, not a wrap.
    """

    act_bits: Literal[4, 8] = 8
    weight_bits: Literal[4, 8] = 8
    acc_bits: Literal[16, 24, 32] = 32

    mac = staticmethod(_mac)

    @property
    def act_format(self) -> Format:
        """``int4`` or ``int8``."""
        return formats.get(f"int{self.act_bits}")

    @property
    def weight_format(self) -> Format:
        """``int4`` or ``int8``."""
        return formats.get(f"int{self.weight_bits}")

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within ``acc_bits``."""
        return Accumulation("int", self.acc_bits)

    def actions_per_mac(self) -> dict[str, float]:
        """One multiply-accumulate."""
        return {f"mac_{self._kind}": 1}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers; nothing at the edges."""
        return {f"pe_{self._kind}": rows * cols}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Sign-extended integers."""
        return self._integers(encoded, operand).astype(np.int64)

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        a, w = self._integers(act, "act"), self._integers(weight, "weight")
        require_fit(a, w, self.acc_bits, self.name)
        return np.asarray(_dot(a, w))

    @property
    def _kind(self) -> str:
        return f"int{self.act_bits}x{self.weight_bits}_acc{self.acc_bits}"

    def _integers(self, encoded: Encoded, operand: Operand) -> NDArray[np.int8]:
        if (self.act_bits if operand == "act" else self.weight_bits) == 8:
            return encoded.codes.view(np.int8)
        return np.asarray(_sign_extended_nibbles(encoded.codes, encoded.length))
