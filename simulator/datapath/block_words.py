"""Operands of block formats as PEs take them: elements as shifts and significands, a scale per block, a word per step.

Packed rows hold, per block, a scale byte and the elements, most significant bit first. What is on the far side of a
short last block's end is not looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.edp import EdpOperand
from simulator.datapath.minifloat import E4M3, Fields
from simulator.errors import EncodingError
from simulator.formats import Encoded
from simulator.kernels import njit

__all__ = ["BlockLayout", "BlockOperand", "mac_in_blocks"]

_SHIFT, _SCALE, _POWER, _END = 8, 12, 16, 26
"""First bits of a word's fields; the element's significand, 8 bits signed, lies at 0."""
_BIAS = 512
"""Of the 10-bit power of two in a word."""
_INT8_UNIT = -6
"""Power of two of an MXINT8 element's last bit."""


@njit(cache=True)
def _significand(word):
    """The low byte, sign-extended."""
    return (word & 0xFF ^ 0x80) - 0x80


@njit(cache=True)
def mac_in_blocks(state: NDArray[np.float64], act: int, weight: int) -> None:
    """One step of one PE; ``state`` is its block accumulator, which is exact, and its FP32 accumulator.

    Significands are multiplied and the product shifted into the block accumulator. With the last product of a block
    its sum, times both scales, is rounded to FP32 and added to the FP32 accumulator.
    """
    shift = (act >> _SHIFT & 0xF) + (weight >> _SHIFT & 0xF)
    state[0] += (_significand(act) * _significand(weight)) << shift
    if act >> _END:
        scale = (act >> _SCALE & 0xF) * (weight >> _SCALE & 0xF)
        power = (act >> _POWER & 0x3FF) + (weight >> _POWER & 0x3FF) - 2 * _BIAS
        state[1] = np.float32(np.float32(state[1]) + np.float32(math.ldexp(state[0] * scale, int(power))))
        state[0] = 0.0


@njit(cache=True)
def _unpack(codes, bits, block, elements, scales):
    """Fill element codes (R, K) and scale bytes (R, blocks) from packed rows."""
    R, K = elements.shape
    stride = 1 + block * bits // 8
    mask = (1 << bits) - 1
    for r in range(R):
        for b in range(scales.shape[1]):
            scales[r, b] = codes[r, b * stride]
            for i in range(min(block, K - b * block)):
                last = (i + 1) * bits - 1
                at = b * stride + 1 + last // 8
                two_bytes = int(codes[r, at - 1]) << 8 | int(codes[r, at])
                elements[r, b * block + i] = two_bytes >> (7 - last % 8) & mask


@dataclass(frozen=True)
class BlockOperand:
    """One operand at the array's edge; R rows of K elements in B blocks.

    Attributes:
        shift, significand: (R, K) int8; an element is ``significand << shift`` units.
        scale: (R, B) int8, an integer; power: (R, B) int16. A block's unit is worth ``scale * 2^power``.
        man_bits: fraction bits of an element's significand; scale_man_bits: of a scale's; unit: power of two of an
            element's unit, which ``power`` includes.
    """

    shift: NDArray[np.int8]
    significand: NDArray[np.int8]
    scale: NDArray[np.int8]
    power: NDArray[np.int16]
    block: int
    man_bits: int = 0
    scale_man_bits: int = 0
    unit: int = 0

    def integers(self) -> NDArray[np.int32]:
        """Elements in units, (R, K)."""
        return self.significand.astype(np.int32) << self.shift

    def units(self) -> NDArray[np.float64]:
        """What a unit of each block is worth, (R, B), exact."""
        return np.ldexp(self.scale.astype(np.float64), self.power)

    def for_edp(self, exact: int) -> EdpOperand:
        """Values, scales included, and the exponent fields of element and scale of each, or, where ``exact`` neighbours
        of a block are added in fixed point, the field of their scale.
        """
        K = self.shift.shape[1]
        values = self.integers() * np.repeat(self.units(), self.block, axis=1)[:, :K]
        field = self.power.astype(np.int64) + self.scale_man_bits
        if exact > 1:
            return EdpOperand(values, np.repeat(field - self.unit, self.block // exact, axis=1)[:, : -(-K // exact)])
        return EdpOperand(values, np.repeat(field, self.block, axis=1)[:, :K] + self.shift + self.man_bits)

    def words(self) -> NDArray[np.int64]:
        """Significand, shift, scale, power and end of block of every step, (R, K)."""
        K = self.shift.shape[1]
        of_block = (self.power.astype(np.int64) + _BIAS) << _POWER | self.scale.astype(np.int64) << _SCALE
        words = np.repeat(of_block, self.block, axis=1)[:, :K]
        words |= self.shift.astype(np.int64) << _SHIFT | self.significand.astype(np.int64) & 0xFF
        words[:, self.block - 1 :: self.block] |= 1 << _END
        words[:, K - 1] |= 1 << _END
        return words


@dataclass(frozen=True)
class BlockLayout:
    """A block format's bits.

    Attributes:
        name: of the format.
        fields: of its elements; None for two's complement bytes.
        block: neighbours along K that share a scale.
        e4m3_scales: scales are E4M3 numbers without sign, not powers of two (E8M0).
    """

    name: str
    fields: Fields | None
    block: int = 32
    e4m3_scales: bool = False

    @property
    def bits(self) -> int:
        """Of one element."""
        return 1 + self.fields.exp_bits + self.fields.man_bits if self.fields else 8

    @property
    def unit(self) -> int:
        """Power of two of an element's unit."""
        return self.fields.unit if self.fields else _INT8_UNIT

    @property
    def largest(self) -> int:
        """Largest magnitude of an element, in units."""
        return self.fields.largest if self.fields else 128

    def read(self, encoded: Encoded, user: str) -> BlockOperand:
        """Decode packed rows.

        Raises: EncodingError in the name of ``user`` with the position of the first scale or element that is no number.
        """
        R, K = len(encoded.codes), encoded.length
        elements, scales = np.empty((R, K), np.uint8), np.empty((R, -(-K // self.block)), np.uint8)
        _unpack(encoded.codes, self.bits, self.block, elements, scales)
        scaled = self._scales(scales, user)
        scale_bits = E4M3.man_bits if self.e4m3_scales else 0
        if self.fields is None:
            parts = np.zeros((R, K), np.int8), elements.view(np.int8)
            return BlockOperand(*parts, *scaled, self.block, -self.unit, scale_bits, self.unit)
        parts = self.fields.split(elements, user)
        return BlockOperand(*parts, *scaled, self.block, self.fields.man_bits, scale_bits, self.unit)

    def _scales(self, scales: NDArray[np.uint8], user: str) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
        """Integers and powers of two of scale bytes (R, B), the elements' unit included in the powers."""
        illegal = scales > (E4M3.top if self.e4m3_scales else 0xFE)
        if illegal.any():
            row, block = (int(i) for i in np.unravel_index(int(np.argmax(illegal)), scales.shape))
            byte = scales[row, block]
            raise EncodingError(f"{user}: block {block} of row {row}: 0x{byte:02x} is no scale of {self.name}")
        unit = np.int16(self.unit)
        if self.e4m3_scales:
            shift, scale = E4M3.split(scales, user)
            return scale, shift + np.int16(unit + E4M3.unit)
        return np.ones(scales.shape, np.int8), scales + np.int16(unit - 127)
