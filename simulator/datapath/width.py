"""How an operand is packed along K, in a scratchpad and in DRAM."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.formats import TensorEncoding
from simulator.formats.blocks import BlockFormat

__all__ = ["Width"]

Count = TypeVar("Count", int, NDArray[np.int64])


@dataclass(frozen=True)
class Width:
    """Every ``values`` neighbours along K take ``bits`` in a scratchpad and ``dram_bits`` in DRAM, and stay together.

    Scales per tensor, row or column, dictionaries and outlier lists are not in it.
    """

    values: int
    bits: int
    dram_bits: int

    @classmethod
    def of(cls, encoding: TensorEncoding) -> Width:
        """Width of a format's packed codes: block scales included, the same in scratchpad and DRAM."""
        if isinstance(encoding, BlockFormat):
            bits = 8 * encoding.packed_bytes(encoding.values_per_group)
            return cls(encoding.values_per_group, bits, bits)
        values = encoding.values_per_group
        return cls(values, values * encoding.bits, values * encoding.bits)

    @classmethod
    def plain(cls, bits: int, dram_bits: int | None = None) -> Width:
        """Width of values that are stored one by one, each in ``bits``, or packed in as few bytes as hold some."""
        dram = bits if dram_bits is None else dram_bits
        values = 8 // gcd(8, gcd(bits, dram))
        return cls(values, values * bits, values * dram)

    def row_bits(self, length: Count) -> Count:
        """Scratchpad bits of ``length`` neighbours, padding included."""
        return -(-length // self.values) * self.bits

    def dram_row_bits(self, length: Count) -> Count:
        """DRAM bits of ``length`` neighbours, padding included."""
        return -(-length // self.values) * self.dram_bits

    def longest(self, usable_bits: int) -> int:
        """How many neighbours fit ``usable_bits`` of a scratchpad."""
        return usable_bits // self.bits * self.values
