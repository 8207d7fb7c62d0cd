"""The roofline: no engine can be faster than its array or its memory."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.engine.global_buffer import GlobalBuffer
from simulator.engine.memory import Dram
from simulator.engine.timing import STALL_CAUSES, Timing, check, together
from simulator.tiles import TileTable

__all__ = ["run_bound", "run_bound_cores"]


def run_bound(table: TileTable, dram: Dram) -> Timing:
    """The larger of the array's cycles (its stalls included) and the bytes over the bandwidth."""
    return run_bound_cores([table], dram)


def run_bound_cores(tables: Sequence[TileTable], dram: Dram, buffer: GlobalBuffer | None = None) -> Timing:
    """The largest of the slowest core's array and the bytes of all cores over the bandwidth that they share, of DRAM
    and of the global buffer.
    """
    memory = dram.least_cycles(sum(int(t.load_bytes.sum() + t.rows["store_bytes"].sum()) for t in tables))
    if buffer is not None:
        memory = max(memory, buffer.least_cycles(sum(int(t.global_bytes.sum()) for t in tables)))
    slowest = max(range(len(tables)), key=lambda c: _array_cycles(tables[c]))
    return together([_bound(t, memory if c == slowest else 0) for c, t in enumerate(tables)])


def _array_cycles(table: TileTable) -> int:
    return table.compute_cycles + sum(_own_stalls(table).values())


def _own_stalls(table: TileTable) -> dict[str, int]:
    """Cycles that tiles hold the array beyond issuing."""
    return {
        "stall_bank": int(table.rows["conflict_cycles"].sum()),
        "stall_outlier": int(table.rows["outlier_cycles"].sum()),
        "stall_vector": int(table.rows["vector_cycles"].sum()),
    }


def _bound(table: TileTable, memory: int) -> Timing:
    array = _array_cycles(table)
    waiting = max(0, memory - array)
    stalls = dict.fromkeys(STALL_CAUSES, 0) | _own_stalls(table) | {"stall_dram_read": waiting}
    timing = Timing(array + waiting, table.compute_cycles, stalls, fill_drain_cycles=table.fill_drain_cycles)
    check(timing, table)
    return timing
