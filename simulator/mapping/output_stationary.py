"""``os``: rows hold M, columns hold N, K streams; a GEMM becomes tiles of whole folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.blocking import Blocking, BufferLimits, OperandBits, blockings
from simulator.mapping.closed_forms import FoldOverlap, FoldTiming, os_fold, os_total
from simulator.tiles import TILE_DTYPE, TileTable
from simulator.workload import Op

__all__ = ["ArrayShape", "lower", "mapping_util"]


@dataclass(frozen=True)
class ArrayShape:
    """MACs side by side, and how folds follow each other.

    Attributes:
        rows, cols: logical size: 4-bit PEs that make one 8-bit MAC count as one.
        cycles_per_step: array cycles of one reduction step.
        result_words: cycles that a result takes per hop on its way out.
    """

    rows: int
    cols: int
    overlap: FoldOverlap
    cycles_per_step: int = 1
    result_words: int = 1

    def fold(self, steps: int) -> FoldTiming:
        """Timing of one fold of that many reduction steps."""
        return os_fold(steps * self.cycles_per_step, self.rows, self.cols, self.overlap, self.result_words)

    def period_beside(self, steps: int, rows: int, cols: int) -> int:
        """Cycles between folds, overlapped as this array's are, of ``rows x cols`` plain PEs beside it."""
        return os_fold(steps, rows, cols, self.overlap).period_cycles

    def total(self, M: int, N: int, steps: int) -> int:
        """Cycles of all folds of an M x N output, with ideal memory and no data-dependent stall."""
        folds = -(-M // self.rows) * -(-N // self.cols)
        steps *= self.cycles_per_step
        return os_total(folds, steps, self.rows, self.cols, self.overlap, self.result_words)


def lower(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    depths: tuple[int, int, int] = (0, 0, 0),
    cycles: Callable[[TileTable], int] | None = None,
) -> TileTable:
    """Tiles of one of the op's GEMMs, in time order: of all blockings the one of least cycles, then least DRAM traffic.

    Args:
        limits: what one tile may take of each scratchpad; None for no memory limits (one tile).
        depths: tiles that the act, weight and out scratchpads hold at a time.
        cycles: makespan of a table on the memory at hand; without it, least traffic decides.
    Raises: MappingError if a scratchpad cannot hold the smallest tile.
    """
    choices = blockings(op, array.rows, array.cols, bits, limits)
    tables = (_table(op, array, bits, blocking, depths) for blocking in choices)
    if cycles is None or len(choices) == 1:
        return next(tables)
    return min(tables, key=cycles)


def _table(op: Op, array: ArrayShape, bits: OperandBits, blocking: Blocking, depths: tuple[int, int, int]) -> TileTable:
    tiles = _block_coordinates(op, blocking)
    _add_folds(tiles, op, array)
    _add_traffic(tiles, op, bits)
    tiles.flags.writeable = False
    return TileTable(tiles, array.total(op.M, op.N, op.K), *depths)


def mapping_util(op: Op, rows: int, cols: int) -> float:
    """Share of PEs that hold an output, averaged over folds."""
    folds = -(-op.M // rows) * -(-op.N // cols)
    return op.M * op.N / (folds * rows * cols)


def _block_coordinates(op: Op, b: Blocking) -> NDArray[np.void]:
    """One row per block with its corner and size; chunks of K innermost."""
    m0, n0, k0 = (np.arange(0, total, size) for total, size in ((op.M, b.m), (op.N, b.n), (op.K, b.k)))
    if b.order == "mn":
        grid = np.meshgrid(m0, n0, k0, indexing="ij")
    else:
        n_grid, m_grid, k_grid = np.meshgrid(n0, m0, k0, indexing="ij")
        grid = (m_grid, n_grid, k_grid)
    tiles = np.zeros(grid[0].size, TILE_DTYPE)
    for name, corner, size, total in zip("mnk", grid, (b.m, b.n, b.k), (op.M, op.N, op.K), strict=True):
        tiles[f"{name}0"] = corner.ravel()
        tiles[name] = np.minimum(size, total - corner.ravel())
    return tiles


def _add_folds(tiles: NDArray[np.void], op: Op, array: ArrayShape) -> None:
    """Folds, cycles and MACs. A fold whose K comes in chunks pays its bubble or drain with the last chunk."""
    fold = array.fold(op.K)
    folds = -(-tiles["m"] // array.rows) * -(-tiles["n"] // array.cols)
    last_chunk = tiles["k0"] + tiles["k"] == op.K
    bubble = fold.period_cycles - op.K * array.cycles_per_step
    tiles["folds"] = np.where(last_chunk, folds, 0)
    tiles["issue_cycles"] = folds * (tiles["k"] * array.cycles_per_step + np.where(last_chunk, bubble, 0))
    tiles["drain_cycles"] = np.where(last_chunk, max(fold.drain_cycles, 0), 0)
    tiles["issue_cycles"][-1] += min(fold.drain_cycles, 0)
    first_result = tiles["k"] * array.cycles_per_step + array.rows - 1
    tiles["first_result_cycles"] = np.minimum(first_result, tiles["issue_cycles"])
    tiles["macs"] = tiles["m"] * tiles["n"] * tiles["k"]


def _add_traffic(tiles: NDArray[np.void], op: Op, bits: OperandBits) -> None:
    """Bytes between DRAM and the scratchpads: an operand block is loaded unless the tile before had the same one."""
    act = -(-tiles["m"] * bits.act.dram_row_bits(tiles["k"]) // 8)
    weight = -(-tiles["n"] * bits.weight.dram_row_bits(tiles["k"]) // 8)
    tiles["act_load_bytes"] = np.where(_same_as_before(tiles, "m0", "k0"), 0, act)
    tiles["weight_load_bytes"] = np.where(_same_as_before(tiles, "n0", "k0"), 0, weight)
    finished = tiles["k0"] + tiles["k"] == op.K
    tiles["store_bytes"] = np.where(finished, -(-tiles["m"] * tiles["n"] * bits.output // 8), 0)


def _same_as_before(tiles: NDArray[np.void], *corner: str) -> NDArray[np.bool_]:
    same = np.zeros(len(tiles), np.bool_)
    same[1:] = np.logical_and.reduce([tiles[c][1:] == tiles[c][:-1] for c in corner])
    return same
