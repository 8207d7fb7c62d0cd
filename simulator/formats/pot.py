"""Signed powers of two: ``pot4``, a primitive type of ANT (Guo et al., MICRO 2022; grid of the released code).

Code: sign and three bits ``c``; ``c = 0`` is zero, any other ``±2^(c - 1)`` (the grid is published, this order of codes
is ``assumed``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.formats.grid import GridFormat

__all__ = ["Pot4"]


@dataclass(frozen=True)
class Pot4(GridFormat):
    """0, ±1, ±2, ±4, ±8, ±16, ±32, ±64, two to a byte.

    Nearest value, ties toward plus infinity (the midpoint of neighbours in value, not in exponent); beyond ±64 it
    saturates. Minus zero, ``1000``, is never produced and decodes to 0.
    """

    name: ClassVar[str] = "pot4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    max_normal: ClassVar[float] = 64

    @property
    def values(self) -> NDArray[np.int32]:
        """See ``GridFormat.values``."""
        magnitudes = np.array([0, *(1 << c for c in range(7))], np.int32)
        return np.concatenate([magnitudes, -magnitudes])
