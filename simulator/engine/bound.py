"""The roofline: no engine can be faster than its array or its memory."""

from __future__ import annotations

from simulator.engine.dram import IdealDram
from simulator.engine.timing import Timing, check
from simulator.tiles import TileTable

__all__ = ["run_bound"]


def run_bound(table: TileTable, dram: IdealDram) -> Timing:
    """The larger of the array's cycles (data-dependent stalls included) and the bytes over the bandwidth."""
    tiles = table.rows
    outlier, vector = int(tiles["outlier_cycles"].sum()), int(tiles["vector_cycles"].sum())
    array = table.compute_cycles + outlier + vector
    moved_bytes = int(table.load_bytes.sum() + tiles["store_bytes"].sum())
    memory = int(moved_bytes / dram.bytes_per_cycle)
    waiting = max(0, memory - array)
    stalls = {"stall_dram_read": waiting, "stall_dram_write": 0, "stall_outlier": outlier, "stall_vector": vector}
    timing = Timing(array + waiting, table.compute_cycles, stalls)
    check(timing, table)
    return timing
