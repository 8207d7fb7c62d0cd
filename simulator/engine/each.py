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
from simulator.engine.timing import OWN_CAUSES, STALL_CAUSES, Timing, require_closed_form
from simulator.errors import ConservationError
from simulator.kernels import kernel
from simulator.tiles import TileTable

__all__ = ["EachTiles", "run_each", "tiles_of_each"]

_COLUMNS = ("fill_cycles", "first_result_cycles", "drain_cycles", "store_bytes", "opens_output", "frees_output")
FILL, FIRST_RESULT, DRAIN, STORE, OPENS, FREES, LOAD, ARRAY = range(8)


@dataclass(frozen=True)
class EachTiles:
    """The tiles of many GEMMs, which have one table but for what each adds to it.

    Attributes:
        rows: what they share, int64 (tiles, 8).
        load_bytes, array_cycles: what each adds, int64 (GEMMs, tiles).
        compute_cycles, fill_drain_cycles: of one GEMM, see ``Tiles``.
        own: cycles that all of them hold the array beyond issuing, by cause.
    """

    rows: NDArray[np.int64]
    load_bytes: NDArray[np.int64]
    array_cycles: NDArray[np.int64]
    compute_cycles: int
    fill_drain_cycles: int
    own: dict[str, int]

    def __len__(self) -> int:
        return len(self.load_bytes)


def tiles_of_each(table: TileTable, load_bytes: NDArray[np.int64], own: dict[str, NDArray[np.int64]]) -> EachTiles:
    """Tiles that find nothing in a global buffer.

    Args:
        load_bytes: more to load from DRAM, (GEMMs, tiles); own: by column of ``OWN_CAUSES``, cycles for which the array
            waits more, (GEMMs, tiles) each.
    Raises: ConservationError if the tiles' cycles are not those of their closed form.
    """
    require_closed_form(table)
    rows = np.empty((len(table), 8), np.int64)
    for column, name in enumerate(_COLUMNS):
        rows[:, column] = table.rows[name]
    rows[:, LOAD], rows[:, ARRAY] = table.load_bytes, table.array_cycles
    waits = {cause: table.total(column) * len(load_bytes) for column, cause in OWN_CAUSES.items()}
    for name, cycles in own.items():
        waits[OWN_CAUSES[name]] += int(cycles.sum())
    array = np.sum(list(own.values()), axis=0)
    return EachTiles(rows, load_bytes, array, table.compute_cycles, table.fill_drain_cycles, waits)


def run_each(tiles: EachTiles, table: TileTable, dram: IdealDram) -> Timing:
    """Cycles of all these GEMMs; ``table``: the depths of its scratchpads. Raises: ConservationError."""
    count = len(table)
    depths = min(operand_depth(table), count), min(table.out_buffer_depth or count, count)
    channel = dram.burst_bytes, dram.bytes_per_cycle, dram.read_bytes_per_cycle, dram.latency_cycles
    wrong, read, cached, frozen, after, end = _run_each(
        tiles.rows, depths, channel, tiles.load_bytes, tiles.array_cycles
    )
    if wrong >= 0:
        raise ConservationError(f"cycles by cause do not sum to the total, or one is negative, in GEMM {wrong}")
    stalls = dict.fromkeys(STALL_CAUSES, 0) | tiles.own
    stalls["stall_dram_read"] = read
    stalls["stall_l2"] += cached
    stalls["stall_epilogue" if tiles.rows[:, FREES].any() else "stall_dram_write"] = frozen
    stalls["stall_dram_write"] += after
    timing = Timing(
        end, tiles.compute_cycles * len(tiles), stalls, fill_drain_cycles=tiles.fill_drain_cycles * len(tiles)
    )
    if timing.compute_cycles + sum(stalls.values()) != end or min(stalls.values()) < 0:
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
