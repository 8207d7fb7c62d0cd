"""``is``: rows hold K, columns hold M, N streams. Each fold holds activations; its sums go to the out scratchpad."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from simulator.mapping import held
from simulator.mapping.array_shape import ArrayShape
from simulator.workload import Op

__all__ = ["add_folds", "compute_cycles"]


def add_folds(tiles: NDArray[Any], op: Op, array: ArrayShape) -> None:
    """See ``held.add_folds``."""
    held.add_folds(tiles, op, array, held.Sides(stream="n", across="m", held="act"))


def compute_cycles(op: Op, array: ArrayShape, m: int, n: int) -> int:
    """Closed form of the whole GEMM in blocks of ``n`` columns of W."""
    return held.compute_cycles(op, array, op.N, n)
