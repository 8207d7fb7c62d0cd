"""OliVe's choice of the normal type: ``ovp4_auto`` (Guo et al., ISCA 2023; selection as in the released code).

An operand is stored as ``ovp4`` or ``ovp4_flint``, whichever has the lower total squared error over all its rows, each
with its own best scale; int4 on a tie. Which one is stored as one bit per operand of a GEMM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.formats.base import Encoded, Format
from simulator.formats.ovp import Ovp4, Ovp4Flint, PairRule
from simulator.formats.selection import Selection

__all__ = ["Ovp4Auto"]


@dataclass(frozen=True)
class Ovp4Auto(Selection):
    """OliVe's 4-bit pairs with int4 or flint4 normals, whichever has the lower squared error over the operand."""

    pair_rule: PairRule = "larger"
    """Which of two outliers in a pair survives, as in `ovp4`."""

    name: ClassVar[str] = "ovp4_auto"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    type_bits: ClassVar[int] = 1

    def __post_init__(self) -> None:
        Ovp4(self.pair_rule)

    @property
    def candidates(self) -> tuple[Format, ...]:
        """``ovp4`` is type 0, ``ovp4_flint`` type 1."""
        return Ovp4(self.pair_rule), Ovp4Flint(self.pair_rule)

    @property
    def type_per_scale(self) -> bool:
        """One type for the operand, also where rows have their own scales."""
        return False

    def victims(self, operand: Encoded, x: NDArray[np.float32]) -> int:
        """See ``TensorEncoding.victims``; both types have the same identifier."""
        return Ovp4(self.pair_rule).victims(operand, x)
