"""A GEMM becomes tiles: the blocking of least cycles, and its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.mapping import input_stationary, output_stationary, weight_stationary
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.bank_conflicts import conflict_cycles
from simulator.mapping.blocking import Blocking, BufferLimits, Candidates, OperandBits, Pinned, candidates
from simulator.mapping.scratchpads import Memories
from simulator.tiles import TILE_DTYPE, LoopNest, TileTable, same_as_before
from simulator.workload import Op

__all__ = ["best_blocking", "lower", "nest_of", "table_of"]

_MAPPINGS: dict[str, ModuleType] = {"os": output_stationary, "ws": weight_stationary, "is": input_stationary}
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

    enough = _least_cycles(bounds, traffic, tried, tolerance) * (1 + tolerance)
    for i in _ascending(choices.order, choices.tiles, traffic):
        if bounds[i] <= enough and tried(i) <= enough:
            return choices[i]
    raise AssertionError("the blocking of least cycles ties with itself")


def _least_cycles(bounds: NDArray[Any], traffic: NDArray[Any], cycles: Callable[[int], int], tolerance: float) -> int:
    """Least cycles of all blockings, within a quarter of the tolerance: those that cannot be faster than the best found
    by more than that are not tried. Of blockings with about the least bound, those of least traffic come first.
    """
    slack = 1 + tolerance / 4
    promising = np.maximum(bounds, bounds.min() * _ABOUT)
    best: int | None = None
    for i in _ascending(bounds, traffic, promising):
        if best is None or bounds[i] * slack < best:
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
        mapping = _MAPPINGS[array.dataflow]
        compute = np.array([float(mapping.compute_cycles(op, array, int(s), int(s))) for s in sizes])[inverse]
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
    starts = {dim: np.arange(0, *extent) for dim, extent in _extents(op, blocking).items()}
    return TileTable(*_rows(op, array, bits, blocking, starts, memories), *depths)


def nest_of(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    blocking: Blocking,
    depths: tuple[int, int, int] = (0, 0, 0),
    memories: Memories | None = None,
) -> LoopNest:
    """The tiles of one blocking as what their loops repeat: cycles of millions of tiles from a table of 27."""
    extents = _extents(op, blocking)
    counts = {dim: -(-total // size) for dim, (total, size) in extents.items()}
    starts = {dim: np.array([*range(min(count - 1, 2)), count - 1]) * extents[dim][1] for dim, count in counts.items()}
    a, b, c = (counts[dim] for dim in blocking.order)
    return LoopNest(*_rows(op, array, bits, blocking, starts, memories), *depths, (a, b, c))


def _extents(op: Op, b: Blocking) -> dict[str, tuple[int, int]]:
    """Length of each dimension and of its blocks."""
    return {"m": (op.M, b.m), "n": (op.N, b.n), "k": (op.K, b.k)}


def _rows(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    blocking: Blocking,
    starts: dict[str, NDArray[np.int64]],
    memories: Memories | None,
) -> tuple[NDArray[Any], int]:
    """A row for each of the blocks that begin there, and the closed-form cycles of the whole GEMM."""
    mapping = _MAPPINGS[array.dataflow]
    tiles = _block_coordinates(op, blocking, starts)
    tiles["macs"] = tiles["m"] * tiles["n"] * tiles["k"]
    _add_traffic(tiles, op, bits)
    mapping.add_folds(tiles, op, array)
    if memories and memories.bank_conflicts:
        tiles["conflict_cycles"] = conflict_cycles(tiles, op, array, bits, memories)
    tiles.flags.writeable = False
    return tiles, mapping.compute_cycles(op, array, blocking.m, blocking.n)


def _block_coordinates(op: Op, b: Blocking, starts: dict[str, NDArray[np.int64]]) -> NDArray[np.void]:
    """One row per block with its corner and size, in the order of the loops."""
    tiles = np.zeros([len(starts[dim]) for dim in b.order], TILE_DTYPE)
    for axis, dim in enumerate(b.order):
        total, size = _extents(op, b)[dim]
        along = starts[dim].reshape([-1 if other == axis else 1 for other in range(3)])
        tiles[f"{dim}0"] = along
        tiles[dim] = np.minimum(size, total - along)
    return tiles.reshape(-1)


def _add_traffic(tiles: NDArray[np.void], op: Op, bits: OperandBits) -> None:
    """Bytes per tile: an operand block is loaded unless the tile before left it there, sums of an output block that
    comes back are read again, and an output block is written when it is left, finished or not.
    """
    act = -(-tiles["m"] * bits.act.dram_row_bits(tiles["k"]) // 8)
    weight = -(-tiles["n"] * bits.weight.dram_row_bits(tiles["k"]) // 8)
    tiles["act_load_bytes"] = np.where(same_as_before(tiles, "m0", "k0"), 0, act)
    tiles["weight_load_bytes"] = np.where(same_as_before(tiles, "n0", "k0"), 0, weight)
    outputs = tiles["m"] * tiles["n"]
    stays = same_as_before(tiles, "m0", "n0")
    left = np.ones(len(tiles), np.bool_)
    left[:-1] = ~stays[1:]
    finished = tiles["k0"] + tiles["k"] == op.K
    tiles["sum_load_bytes"] = np.where(~stays & (tiles["k0"] > 0), -(-outputs * bits.sums // 8), 0)
    width = np.where(finished, bits.output, bits.sums)
    tiles["store_bytes"] = np.where(left, -(-outputs * width // 8), 0)
