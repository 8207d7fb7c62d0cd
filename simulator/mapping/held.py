"""What ``ws`` and ``is`` share: rows hold K, one operand stays for a fold, the other streams, sums leave every fold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.closed_forms import held_fold, held_period
from simulator.tiles import same_as_before
from simulator.workload import Op

__all__ = ["Sides", "add_folds", "compute_cycles"]


class Sides(NamedTuple):
    """Which dimension of a tile streams, which one the columns hold, and which operand stays."""

    stream: str
    across: str
    held: str


def add_folds(tiles: NDArray[Any], op: Op, array: ArrayShape, sides: Sides) -> None:
    """Folds and cycles of each tile. A fold pays its own period, in which the next held operand enters the array; one
    that has only just been loaded from DRAM enters when the array is idle.
    """
    rows, cols = array.rows, array.cols
    stream = tiles[sides.stream]
    folds = -(-tiles["k"] * array.cycles_per_step // rows) * -(-tiles[sides.across] // cols)
    period = held_period(stream, rows, cols, array.overlap)
    timing = held_fold(int(stream[-1]), rows, cols, array.overlap)
    tiles["folds"] = folds
    tiles["issue_cycles"] = folds * period
    tiles["stream_cycles"] = folds * stream
    tiles["issue_cycles"][-1] += min(timing.drain_cycles, 0)
    if timing.fill_cycles:
        tiles["drain_cycles"] = stream + rows + cols - 1 - period
        tiles["fill_cycles"] = np.where(tiles[f"{sides.held}_load_bytes"] > 0, timing.fill_cycles, 0)
    tiles["first_result_cycles"] = np.minimum(rows, tiles["issue_cycles"])
    tiles["opens_output"] = ~same_as_before(tiles, "m0", "n0")


def compute_cycles(op: Op, array: ArrayShape, streamed: int, block: int) -> int:
    """Closed form of the whole GEMM whose streamed dimension comes in blocks: every block streams through all folds."""
    rows, cols, folds = array.rows, array.cols, array.folds(op.M, op.N, op.K)
    whole, rest = divmod(streamed, block)
    last = held_fold(rest or block, rows, cols, array.overlap)
    periods = whole * held_fold(block, rows, cols, array.overlap).period_cycles
    return last.fill_cycles + folds * (periods + last.period_cycles * (rest > 0)) + last.drain_cycles
