"""``bitfusion``: units of 16 two-bit multipliers that compose wider ones (Sharma et al., ISCA 2018).

An operand of 2, 4 or 8 bits is 1, 2 or 4 two-bit digits, of which the top one carries the sign. A brick multiplies two
digits, a shift-add tree joins the bricks of a product: 16 bricks make one 8 x 8 product per cycle, or four 4 x 4, or
sixteen 2 x 2. 16-bit operands are two 8-bit halves, the high one signed, the low one not, multiplied one after the
other: activation halves outermost, high before low. Sums are exact and must fit int32 after every cycle.

Assumed: products that a unit makes side by side belong to neighbouring outputs, so narrower operands make a larger
array; in the paper they are summed into one output, which is the same number of products per cycle. The price list's
unit has the one accumulator of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.packed_integers import signed_integers
from simulator.datapath.registry import register
from simulator.formats import Encoded, TensorEncoding
from simulator.kernels import njit

__all__ = ["BitFusion"]

Bits = Literal[2, 4, 8, 16]

_UNIT_BITS = 8
"""Bits of each operand register of a unit."""


@njit(cache=True)
def _digit(word, i):
    """Two-bit digit ``i`` of an operand word: -2..1 if it is the top one of a signed operand, else 0..3."""
    digit = word >> 2 * i & 3
    if i == (word >> 9 & 7) - 1 and word & 0x100:
        return (digit ^ 2) - 2
    return digit


@njit(cache=True)
def _mac(state, act, weight):
    """One product of one unit. A word is ``shift << 12 | digits << 9 | signed << 8 | byte``."""
    product = 0
    for i in range(act >> 9 & 7):
        for j in range(weight >> 9 & 7):
            product += _digit(act, i) * _digit(weight, j) << 2 * (i + j)
    state[0] += product << ((act >> 12) + (weight >> 12))


@register("bitfusion")
@dataclass(frozen=True)
class BitFusion(Datapath):
    """Fusion units, one per PE of the array, each with operand registers of 8 bits."""

    act_bits: Bits = 8
    """Width of an activation [bits]; `layers` of a design may mix them."""
    weight_bits: Bits = 8
    """Width of a weight [bits]; `layers` of a design may mix them."""

    mac = staticmethod(_mac)

    @property
    def act_format(self) -> TensorEncoding:
        """``int2``, ``int4``, ``int8`` or ``int16``."""
        return formats.get(f"int{self.act_bits}")

    @property
    def weight_format(self) -> TensorEncoding:
        """``int2``, ``int4``, ``int8`` or ``int16``."""
        return formats.get(f"int{self.weight_bits}")

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within int32."""
        return Accumulation("int", 32)

    def logical_array(self, rows: int, cols: int) -> tuple[int, int]:
        """A unit makes 8 / bits products side by side along each operand."""
        a, w = self._widths
        return rows * _UNIT_BITS // a, cols * _UNIT_BITS // w

    def cycles_per_step(self) -> int:
        """Each 16-bit operand doubles the passes."""
        return self._passes("act") * self._passes("weight")

    def actions_per_mac(self) -> dict[str, float]:
        """One product per pass."""
        narrow, wide = sorted(self._widths)
        return {f"fusion_{wide}x{narrow}": self.cycles_per_step()}

    def register_bits(self, operand: Operand) -> float:
        """A product's share of one hop of the unit's operand register."""
        act, weight = self._widths
        return _UNIT_BITS / ((_UNIT_BITS // act) * (_UNIT_BITS // weight))

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """Fusion units; nothing at the edges."""
        return {"pe_fusion8_acc32": rows * cols}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """One word per value and pass: the byte, its digits, whether its top digit is signed, and its shift."""
        digits = min(self._bits(operand), _UNIT_BITS) // 2
        shift, signed = self._places(operand)
        words = shift << 12 | digits << 9 | signed << 8 | self._parts(encoded, operand) & 0xFF
        return self._in_passes(words, operand)

    def accumulated(self, act: Encoded, weight: Encoded) -> tuple[NDArray[Any], NDArray[Any]]:
        """What the units multiply, pass after pass."""
        return self._values(act, "act"), self._values(weight, "weight")

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        require_fit(*self.accumulated(act, weight), self.accumulation.bits, self.name)
        return exact_product(self._integers(act, "act"), self._integers(weight, "weight"))

    @property
    def _widths(self) -> tuple[int, int]:
        """Bits of the operands of one pass."""
        return min(self.act_bits, _UNIT_BITS), min(self.weight_bits, _UNIT_BITS)

    def _bits(self, operand: Operand) -> int:
        return self.act_bits if operand == "act" else self.weight_bits

    def _places(self, operand: Operand) -> NDArray[np.int64]:
        """Shift of each part of an operand, and whether it is signed: (2, parts)."""
        return np.array([[8, 0], [1, 0]] if self._bits(operand) == 16 else [[0], [1]])

    def _passes(self, operand: Operand) -> int:
        return int(self._places(operand).shape[1])

    def _parts(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Integers of up to 8 bits (R, K, 1), or the halves of 16-bit ones (R, K, 2), high and low."""
        integers = self._integers(encoded, operand).astype(np.int64)
        return np.stack([integers >> 8, integers & 0xFF] if self._bits(operand) == 16 else [integers], axis=-1)

    def _integers(self, encoded: Encoded, operand: Operand) -> NDArray[np.integer]:
        return signed_integers(encoded.codes, self._bits(operand), encoded.length)

    def _values(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        return self._in_passes(self._parts(encoded, operand) << self._places(operand)[0], operand)

    def _in_passes(self, parts: NDArray[np.int64], operand: Operand) -> NDArray[np.int64]:
        """(R, K, parts) to (R, K * passes): each part of an activation meets every part of a weight."""
        if operand == "act":
            passes = np.repeat(parts, self._passes("weight"), axis=-1)
        else:
            passes = np.tile(parts, (1, 1, self._passes("act")))
        return passes.reshape(len(parts), -1)
