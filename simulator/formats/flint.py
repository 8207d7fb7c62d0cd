"""ANT's 4-bit flint: ``flint4`` (signed) and ``flint4_unsigned`` (Guo et al., ANT, MICRO 2022; released code's grid).

Flint is an integer for small magnitudes and a float for large ones. A leading 0 says integer: the other bits are the
value. After a leading 1 the next one bit closes a unary exponent and what follows it is the mantissa ("first-one
coding"): ``z`` zeros before the first one shift the remaining bits, read as an integer, by ``2z + 1``; all zeros stand
for the largest value. With three bits 000 .. 111 are 0 1 2 3 16 8 4 6; with four, 1000 is 64 and 1001 is 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.formats.grid import GridFormat

__all__ = ["Flint4", "Flint4Unsigned", "flint_magnitudes"]


def flint_magnitudes(bits: int) -> list[int]:
    """Magnitude of each unsigned flint code of that width, by code."""
    return [_magnitude(code, bits) for code in range(1 << bits)]


def _magnitude(code: int, bits: int) -> int:
    first, rest = code >> (bits - 1), code & ((1 << (bits - 1)) - 1)
    if not first:
        return rest
    if not rest:
        return 1 << (2 * bits - 2)
    zeros = bits - 1 - rest.bit_length()
    return rest << (2 * zeros + 1)


@dataclass(frozen=True)
class Flint4(GridFormat):
    """Signed flint: 0, ±1, ±2, ±3, ±4, ±6, ±8, ±16 as sign and first-one coded magnitude, two to a byte.

    Ties go toward plus infinity, beyond ±16 it saturates. Minus zero, ``1000``, is never produced and decodes to 0.
    """

    name: ClassVar[str] = "flint4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    max_normal: ClassVar[float] = 16

    @property
    def values(self) -> NDArray[np.int32]:
        """See ``GridFormat.values``."""
        magnitudes = np.array(flint_magnitudes(3), np.int32)
        return np.concatenate([magnitudes, -magnitudes])


@dataclass(frozen=True)
class Flint4Unsigned(GridFormat):
    """Unsigned flint: 0..8, 10, 12, 14, 16, 24, 32, 64, two to a byte; negative values become 0.

    ANT stores tensors without negative values in it. Ties go toward plus infinity, beyond 64 it saturates.
    """

    name: ClassVar[str] = "flint4_unsigned"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    max_normal: ClassVar[float] = 64

    @property
    def values(self) -> NDArray[np.int32]:
        """See ``GridFormat.values``."""
        return np.array(flint_magnitudes(4), np.int32)
