"""Small floats as a multiplier takes them: an integer significand and a shift, from the fields of a code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.errors import EncodingError
from simulator.kernels import njit

__all__ = ["E2M1", "E2M3", "E3M2", "E4M3", "E5M2", "Fields"]


@njit(cache=True)
def _split(codes, exp_bits, man_bits, top, shift, significand):
    """Fill both (R, K) from codes (R, K); flat position of the first code beyond ``top``, or -1."""
    R, K = codes.shape
    for r in range(R):
        for k in range(K):
            code = int(codes[r, k])
            magnitude = code & ((1 << (exp_bits + man_bits)) - 1)
            if magnitude > top:
                return r * K + k
            field = magnitude >> man_bits
            integer = magnitude & ((1 << man_bits) - 1)
            if field > 0:
                integer |= 1 << man_bits
            shift[r, k] = max(field, 1) - 1
            significand[r, k] = -integer if code >> (exp_bits + man_bits) & 1 else integer
    return -1


@dataclass(frozen=True)
class Fields:
    """Sign, exponent and mantissa of a type with subnormals; bias ``2^(exp_bits - 1) - 1``.

    Attributes:
        name: as specifications write it.
        top: code of the largest number; codes of that sign above it are infinity or NaN.
    """

    name: str
    exp_bits: int
    man_bits: int
    top: int

    @property
    def unit(self) -> int:
        """Power of two of the smallest subnormal: a code's value is ``significand << shift`` of these."""
        return 2 - (1 << (self.exp_bits - 1)) - self.man_bits

    @property
    def lowest_exponent(self) -> int:
        """Of normal numbers; subnormal ones have it too."""
        return self.unit + self.man_bits

    @property
    def largest(self) -> int:
        """Largest magnitude, in units."""
        field, mantissa = divmod(self.top, 1 << self.man_bits)
        return ((1 << self.man_bits) + mantissa) << (field - 1)

    def split(self, codes: NDArray[np.uint8], user: str) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Shifts and signed significands of codes (R, K). Minus zero becomes zero: no sum of products can tell.

        An exponent field of 0 has the shift of 1 and no hidden bit.
        Raises: EncodingError in the name of ``user`` with the position of the first code that is no finite number.
        """
        shift, significand = np.empty(codes.shape, np.int8), np.empty(codes.shape, np.int8)
        bad = _split(codes, self.exp_bits, self.man_bits, self.top, shift, significand)
        if bad >= 0:
            where = divmod(int(bad), codes.shape[1])
            raise EncodingError(
                f"{user}: code 0x{codes[where]:02x} at position {where} is no finite {self.name} number"
            )
        return shift, significand


E4M3 = Fields("E4M3", 4, 3, 0x7E)
E5M2 = Fields("E5M2", 5, 2, 0x7B)
E3M2 = Fields("E3M2", 3, 2, 0x1F)
E2M3 = Fields("E2M3", 2, 3, 0x1F)
E2M1 = Fields("E2M1", 2, 1, 0x07)
"""OCP 8-bit floating point specification 1.0 and OCP microscaling formats 1.0 (both 2023)."""
