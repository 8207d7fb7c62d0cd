"""``os``: rows hold M, columns hold N, K streams. Sums stay in the PEs until all of K has passed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.array_shape import ArrayShape
from simulator.workload import Op

__all__ = ["add_folds", "compute_cycles"]


def add_folds(tiles: NDArray[Any], op: Op, array: ArrayShape) -> None:
    """Folds and cycles of each tile. A fold whose K comes in chunks pays its bubble or drain with the last chunk."""
    steps = array.cycles_per_step
    fold = array.fold(op.K)
    folds = -(-tiles["m"] // array.rows) * -(-tiles["n"] // array.cols)
    last_chunk = tiles["k0"] + tiles["k"] == op.K
    bubble = fold.period_cycles - op.K * steps
    tiles["folds"] = np.where(last_chunk, folds, 0)
    tiles["issue_cycles"] = folds * (tiles["k"] * steps + np.where(last_chunk, bubble, 0))
    tiles["stream_cycles"] = folds * tiles["k"] * steps
    tiles["drain_cycles"] = np.where(last_chunk, max(fold.drain_cycles, 0), 0)
    tiles["issue_cycles"][-1] += min(fold.drain_cycles, 0)
    first_result = tiles["k"] * steps + array.rows - 1
    tiles["first_result_cycles"] = np.minimum(first_result, tiles["issue_cycles"])
    tiles["opens_output"] = last_chunk


def compute_cycles(op: Op, array: ArrayShape, m: int, n: int) -> int:
    """Closed form of the whole GEMM: blocks of whole folds change nothing."""
    return array.total(op.M, op.N, op.K)
