"""The roofline: no engine can be faster than its array or its memory."""

from __future__ import annotations

from simulator.engine.dram import IdealDram
from simulator.engine.timing import STALL_CAUSES, Timing, check
from simulator.tiles import TileTable

__all__ = ["run_bound"]


def run_bound(table: TileTable, dram: IdealDram) -> Timing:
    """The larger of the array's cycles (its stalls included) and the bytes over the bandwidth."""
    tiles = table.rows
    outlier, vector = int(tiles["outlier_cycles"].sum()), int(tiles["vector_cycles"].sum())
    bank = int(tiles["conflict_cycles"].sum())
    array = table.compute_cycles + bank + outlier + vector
    moved_bytes = int(table.load_bytes.sum() + tiles["store_bytes"].sum())
    memory = int(moved_bytes / dram.bytes_per_cycle)
    waiting = max(0, memory - array)
    stalls = dict(zip(STALL_CAUSES, (waiting, 0, bank, outlier, vector), strict=True))
    timing = Timing(array + waiting, table.compute_cycles, stalls, fill_drain_cycles=table.fill_drain_cycles)
    check(timing, table)
    return timing
