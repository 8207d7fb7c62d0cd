"""The roofline: no engine can be faster than its array or its memory."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.engine.global_buffer import GlobalBuffer
from simulator.engine.memory import Dram
from simulator.engine.timing import STALL_CAUSES, Timing, check, own_stalls, together
from simulator.tiles import Tiles

__all__ = ["run_bound", "run_bound_cores"]


def run_bound(tiles: Tiles, dram: Dram) -> Timing:
    """The larger of the array's cycles (its stalls included) and the bytes over the bandwidth."""
    return run_bound_cores([tiles], dram)


def run_bound_cores(cores: Sequence[Tiles], dram: Dram, buffer: GlobalBuffer | None = None) -> Timing:
    """The largest of the slowest core's array and the bytes of all cores over the bandwidth that they share, of DRAM
    and of the global buffer.
    """
    memory = dram.least_cycles(sum(t.summed(t.load_bytes) + t.total("store_bytes") for t in cores))
    if buffer is not None:
        memory = max(memory, buffer.least_cycles(sum(t.summed(t.global_bytes) for t in cores)))
    slowest = max(range(len(cores)), key=lambda c: _array_cycles(cores[c]))
    return together([_bound(t, memory if c == slowest else 0) for c, t in enumerate(cores)])


def _array_cycles(tiles: Tiles) -> int:
    return tiles.compute_cycles + sum(own_stalls(tiles).values())


def _bound(tiles: Tiles, memory: int) -> Timing:
    array = _array_cycles(tiles)
    waiting = max(0, memory - array)
    stalls = dict.fromkeys(STALL_CAUSES, 0) | own_stalls(tiles) | {"stall_dram_read": waiting}
    timing = Timing(array + waiting, tiles.compute_cycles, stalls, fill_drain_cycles=tiles.fill_drain_cycles)
    check(timing, tiles)
    return timing
