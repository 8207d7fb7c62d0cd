"""Many GEMMs of one table of tiles, of which each loads and waits a little differently: one core, an ideal channel.

The rules are those of ``pipeline``. A run adds up what ``timing`` needs of it over all GEMMs, which run one after
another, and no event is kept. Equal to ``run_pipeline`` one by one (tests/test_each.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.dram import IdealDram
from simulator.engine.pipeline import operand_depth
from simulator.engine.rates import transfer_cycles
from simulator.engine.timing import OWN_CAUSES, STALL_CAUSES, Timing, own_stalls, require_closed_form
from simulator.errors import ConservationError
from simulator.kernels import kernel
from simulator.tiles import TileTable

__all__ = ["EachTiles", "SharedTiles", "run_each", "shared_tiles", "tiles_of_each"]

_COLUMNS = ("fill_cycles", "first_result_cycles", "drain_cycles", "store_bytes", "opens_output", "frees_output")
FILL, FIRST_RESULT, DRAIN, STORE, OPENS, FREES, LOAD, ARRAY = range(8)


@dataclass(frozen=True)
class SharedTiles:
    """What the tiles of many GEMMs have in common.

    Attributes:
        rows: int64 (tiles, 8).
        compute_cycles, fill_drain_cycles: of one GEMM, see ``Tiles``.
        own: cycles that one GEMM holds the array beyond issuing, by cause.
        depths: tiles whose operands, and whose results, there is room for.
    """

    rows: NDArray[np.int64]
    compute_cycles: int
    fill_drain_cycles: int
    own: dict[str, int]
    depths: tuple[int, int]


@dataclass(frozen=True)
class EachTiles:
    """The tiles of many GEMMs.

    Attributes:
        load_bytes, array_cycles: what each GEMM adds to what they share, int64 (GEMMs, tiles).
        own: cycles that all of them hold the array beyond issuing, by cause.
    """

    shared: SharedTiles
    load_bytes: NDArray[np.int64]
    array_cycles: NDArray[np.int64]
    own: dict[str, int]

    def __len__(self) -> int:
        return len(self.load_bytes)


def shared_tiles(table: TileTable) -> SharedTiles:
    """Tiles that find nothing in a global buffer. Raises: ConservationError if their cycles are not those of their
    closed form.
    """
    require_closed_form(table)
    tiles = len(table)
    rows = np.empty((tiles, 8), np.int64)
    for column, name in enumerate(_COLUMNS):
        rows[:, column] = table.rows[name]
    rows[:, LOAD], rows[:, ARRAY] = table.load_bytes, table.array_cycles
    depths = min(operand_depth(table), tiles), min(table.out_buffer_depth or tiles, tiles)
    return SharedTiles(rows, table.compute_cycles, table.fill_drain_cycles, own_stalls(table), depths)


def tiles_of_each(shared: SharedTiles, load_bytes: NDArray[np.int64], own: dict[str, NDArray[np.int64]]) -> EachTiles:
    """Those of each GEMM.

    Args:
        load_bytes: more to load from DRAM, (GEMMs, tiles); own: by column of ``OWN_CAUSES``, cycles for which the array
            waits more, (GEMMs, tiles) each.
    """
    waits = {cause: cycles * len(load_bytes) for cause, cycles in shared.own.items()}
    for column, cycles in own.items():
        waits[OWN_CAUSES[column]] += int(cycles.sum())
    return EachTiles(shared, load_bytes, sum(own.values(), np.zeros_like(load_bytes)), waits)


def run_each(tiles: EachTiles, dram: IdealDram) -> Timing:
    """Cycles of all these GEMMs. Raises: ConservationError."""
    shared, gemms = tiles.shared, len(tiles)
    channel = dram.burst_bytes, dram.bytes_per_cycle, dram.read_bytes_per_cycle, dram.latency_cycles
    more = tiles.load_bytes, tiles.array_cycles
    wrong, read, cached, frozen, after, end = _run_each(shared.rows, shared.depths, channel, *more)
    if wrong >= 0:
        raise ConservationError(f"cycles by cause do not sum to the total, or one is negative, in GEMM {wrong}")
    stalls = dict.fromkeys(STALL_CAUSES, 0) | tiles.own
    stalls["stall_dram_read"] = read
    stalls["stall_l2"] += cached
    stalls["stall_epilogue" if shared.rows[:, FREES].any() else "stall_dram_write"] = frozen
    stalls["stall_dram_write"] += after
    compute = shared.compute_cycles * gemms
    timing = Timing(end, compute, stalls, fill_drain_cycles=shared.fill_drain_cycles * gemms)
    if compute + sum(stalls.values()) != end or min(stalls.values()) < 0:
        raise ConservationError(f"cycles by cause do not sum to the total: {timing.by_cause()}")
    return timing


@kernel
def _run_each(rows, depths, channel, more_bytes, more_cycles):
    """The first GEMM whose causes do not sum to its total, or -1; then, over all: waiting for loads, of the tiles that
    load nothing for the cache, for places, after the last result has left; and the totals. See ``timing.split``.
    """
    depth, out_depth = depths
    burst_bytes, rate, read_rate, latency = channel
    left, places = np.empty(depth, np.int64), np.empty(out_depth, np.int64)
    tiles, wrong = len(rows), -1
    reads = caches = freezes = afters = ends = 0
    for g in range(len(more_bytes)):
        left[:] = 0
        places[:] = 0
        place = out_depth - 1  # the one in use, in a ring
        free = dma_free = end = gaps = unloaded = frozen = finish = busy = 0
        for i in range(tiles + 1):
            arrived, moved = left[i % depth], 0  # when the tile ``depth`` before it left the array
            if i < tiles:
                moved = rows[i, LOAD] + more_bytes[g, i]
                load = transfer_cycles(moved, burst_bytes, rate)
                if load > 0:
                    start = max(arrived, dma_free, free)
                    free = start + load
                    dma_free = start + transfer_cycles(moved, burst_bytes, read_rate)
                    arrived = dma_free + latency
            if i > 0:  # the results of the tile before it
                out = end + rows[i - 1, DRAIN]
                if rows[i - 1, STORE] > 0:
                    out = max(out, dma_free, free) + transfer_cycles(rows[i - 1, STORE], burst_bytes, rate)
                    free = dma_free = out
                    places[place] = out
                elif rows[i - 1, FREES] > 0:
                    places[place] = out
                finish = max(finish, out)
            if i == tiles:
                break
            held = rows[i, ARRAY] + more_cycles[g, i]
            busy += held
            start = max(end, arrived + rows[i, FILL])
            gaps += start - end
            if moved == 0:
                unloaded += start - end
            end = start + held
            if rows[i, OPENS] > 0:
                place = place + 1 if place + 1 < out_depth else 0
                late = places[place] - rows[i, FIRST_RESULT]
                frozen += max(late - start, 0)
                end = max(end, late + held)
            left[i % depth] = end
        fill, out = rows[0, FILL], end + rows[tiles - 1, DRAIN]
        cached = unloaded - (0 if rows[0, LOAD] + more_bytes[g, 0] > 0 else fill)
        read, after = gaps - fill - cached, max(finish - out, 0)
        whole = fill + busy + rows[tiles - 1, DRAIN] + read + cached + frozen
        if wrong < 0 and (whole != out or min(read, cached, frozen) < 0):
            wrong = g
        reads, caches, freezes = reads + read, caches + cached, freezes + frozen
        afters, ends = afters + after, ends + out + after
    return wrong, reads, caches, freezes, afters, ends
