"""``ws``: rows hold K, columns hold N, M streams. Each fold holds weights; its sums go to the out scratchpad."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from simulator.mapping import held
from simulator.mapping.array_shape import ArrayShape
from simulator.workload import Op

__all__ = ["add_folds", "compute_cycles"]


def add_folds(tiles: NDArray[Any], op: Op, array: ArrayShape) -> None:
    """See ``held.add_folds``."""
    held.add_folds(tiles, op, array, held.Sides(stream="m", across="n", held="weight"))


def compute_cycles(op: Op, array: ArrayShape, m: int, n: int) -> int:
    """Closed form of the whole GEMM in blocks of ``m`` rows of A."""
    return held.compute_cycles(op, array, op.M, m)
