"""A GEMM becomes tiles: the blocking of least cycles, and its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.bank_conflicts import conflict_cycles
from simulator.mapping.blocking import (
    LOOPS,
    ORDERS,
    Blocking,
    BufferLimits,
    Candidates,
    OperandBits,
    Pinned,
    candidates,
)
from simulator.mapping.blocks import COLUMNS, Case, case_of, compute_cycles, fill_part, fill_rows
from simulator.mapping.scratchpads import Memories
from simulator.tiles import AT_A_TIME, TILE_DTYPE, LoopNest, TileTable
from simulator.workload import Op

__all__ = ["best_blocking", "lower", "nest_of", "table_of"]

_ABOUT = 1.0025
"""Lower bounds that close are about the same: which blocking is tried first then depends on its traffic."""
Cycles = Callable[[LoopNest], int]


def lower(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    depths: tuple[int, int, int] = (0, 0, 0),
    *,
    memories: Memories | None = None,
    **how: Any,
) -> TileTable:
    """Tiles of one of the op's GEMMs in time order, cut as ``best_blocking`` cuts it, which takes the same arguments.

    Raises: MappingError if a scratchpad cannot hold the smallest tile.
    """
    blocking = best_blocking(op, array, bits, limits, depths, memories=memories, **how)
    return table_of(op, array, bits, blocking, depths, memories)


def best_blocking(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    depths: tuple[int, int, int] = (0, 0, 0),
    *,
    cycles: Cycles | None = None,
    bytes_per_cycle: float = np.inf,
    pinned: Pinned | None = None,
    tolerance: float = 0.0,
    memories: Memories | None = None,
) -> Blocking:
    """Of all blockings of one of the op's GEMMs that tie for least cycles the one of least DRAM traffic.

    Args:
        limits: what one tile may take of each scratchpad; None for no memory limits (one tile).
        depths: tiles that the act, weight and out scratchpads hold at a time.
        cycles: makespan of the tiles on the memory at hand; without it, least traffic decides.
        bytes_per_cycle: what DRAM moves at most; with it, blockings that cannot win are not tried.
        pinned: block sizes and loop order that are not searched.
        tolerance: share of the least cycles within which blockings tie.
        memories: words and banks of the scratchpads, where the array may have to wait for them.
    Raises: MappingError if a scratchpad cannot hold the smallest tile.
    """
    choices = candidates(op, array, bits, limits, pinned, spills=depths[2] != 1)
    traffic = choices.read_bits + choices.write_bits
    if cycles is None or len(choices) == 1:
        best = np.lexsort((choices.order, choices.tiles, traffic))[0]
        return choices[int(best)]
    bounds = _lower_bounds(op, array, bits, choices, traffic, bytes_per_cycle)

    @cache
    def tried(i: int) -> int:
        return cycles(nest_of(op, array, bits, choices[i], depths, memories))

    enough = _least_cycles(bounds, traffic, tried) * (1 + tolerance)
    for i in _ascending(choices.order, choices.tiles, traffic):
        if bounds[i] <= enough and tried(i) <= enough:
            return choices[i]
    raise AssertionError("the blocking of least cycles ties with itself")


def _least_cycles(bounds: NDArray[Any], traffic: NDArray[Any], cycles: Callable[[int], int]) -> int:
    """Least cycles of all blockings. Those whose bound is not below the best found are not tried; of those with about
    the least bound, the ones of least traffic come first.
    """
    promising = np.maximum(bounds, bounds.min() * _ABOUT)
    best: int | None = None
    for i in _ascending(bounds, traffic, promising):
        if best is None or bounds[i] < best:
            best = cycles(i) if best is None else min(best, cycles(i))
    assert best is not None, "there is at least one blocking"
    return best


def _ascending(*keys: NDArray[Any]) -> Iterator[int]:
    """Positions in ascending order of the last key, then of those before it."""
    yield from (int(i) for i in np.lexsort(keys))


def _lower_bounds(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    choices: Candidates,
    traffic: NDArray[Any],
    bytes_per_cycle: float,
) -> NDArray[np.float64]:
    """Cycles that a blocking takes at least: all transfers one after another, or the array between the first tile's
    load and the last tile's store.
    """
    m, n, k = choices.sizes.T
    block = m if array.dataflow == "ws" else n
    compute = np.full(len(choices), float(array.total(op.M, op.N, op.K)))
    if array.dataflow != "os":
        sizes, inverse = np.unique(block, return_inverse=True)
        case = case_of(op, array, bits)
        compute = np.array([float(compute_cycles(case, int(s), int(s))) for s in sizes])[inverse]
    first_load = m * bits.act.dram_row_bits(k) + n * bits.weight.dram_row_bits(k)
    last = [(length - 1) % size + 1 for length, size in ((op.M, m), (op.N, n))]
    last_store = last[0] * last[1] * bits.output
    per_cycle = 8 * bytes_per_cycle
    around = np.floor(first_load / per_cycle) + compute + np.floor(last_store / per_cycle)
    return np.asarray(np.maximum(np.floor(traffic / per_cycle), around))


def table_of(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    blocking: Blocking,
    depths: tuple[int, int, int] = (0, 0, 0),
    memories: Memories | None = None,
) -> TileTable:
    """The tile table of one blocking."""
    return TileTable(*_rows(op, array, bits, blocking, memories, kinds=False), *depths)


def nest_of(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    blocking: Blocking,
    depths: tuple[int, int, int] = (0, 0, 0),
    memories: Memories | None = None,
) -> LoopNest:
    """The tiles of one blocking as what their loops repeat: cycles of millions of tiles from a table of 27."""
    counts = blocking.counts(op)
    a, b, c = (counts["mnk".index(dim)] for dim in blocking.order)
    return LoopNest(*_rows(op, array, bits, blocking, memories, kinds=True), *depths, (a, b, c))


class _Cut(NamedTuple):
    """Sizes and counts of blocks along m, n, k, and which of them each loop is along, outermost first."""

    sizes: tuple[int, int, int]
    counts: tuple[int, int, int]
    order: tuple[int, ...]


def _rows(
    op: Op, array: ArrayShape, bits: OperandBits, blocking: Blocking, memories: Memories | None, *, kinds: bool
) -> tuple[NDArray[Any], int]:
    """A row for each block, or for each kind of block, and the closed-form cycles of the whole GEMM."""
    case = case_of(op, array, bits)
    cut = _Cut((blocking.m, blocking.n, blocking.k), blocking.counts(op), LOOPS[ORDERS.index(blocking.order)])
    tiles = np.zeros(prod(min(count, 3) if kinds else count for count in cut.counts), TILE_DTYPE)
    if kinds or len(tiles) <= AT_A_TIME:
        filled = np.empty((len(tiles), len(COLUMNS)), np.int64)
        fill_rows(case, *cut, kinds, filled)
        _copy(filled, tiles)
    else:
        _fill_by_parts(case, cut, tiles)
    if memories and memories.bank_conflicts:
        tiles["conflict_cycles"] = conflict_cycles(tiles, op, array, bits, memories)
    tiles.flags.writeable = False
    return tiles, int(compute_cycles(case, blocking.m, blocking.n))


def _fill_by_parts(case: Case, cut: _Cut, tiles: NDArray[Any]) -> None:
    """Fill all rows, as many at a time as stay in the cache while they become columns."""
    filled = np.empty((AT_A_TIME + 2, len(COLUMNS)), np.int64)
    for first in range(0, len(tiles), AT_A_TIME):
        part = tiles[first : first + AT_A_TIME]
        before, after = min(first, 1), min(len(tiles) - first - len(part), 1)
        number = before + len(part) + after
        fill_part(case, *cut, first - before, number, filled)
        _copy(filled[before : number - after], part)


def _copy(filled: NDArray[np.int64], tiles: NDArray[Any]) -> None:
    for column, values in zip(COLUMNS, filled.T, strict=True):
        tiles[column] = values
