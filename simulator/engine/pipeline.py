"""The default engine: the tile pipeline as a recurrence, one numba pass over the tiles.

Resources: one DRAM channel, the array, and ``depth`` places for tiles in each scratchpad. Rules, all in order:

1. The channel serves load 0, then load i+1 and store i in turn. The order does not depend on the buffers, so a deeper
   one can only let a transfer start earlier.
2. Load i may start once tile i - depth has left the array, which frees its place. Its data is there a latency after its
   last burst. Nothing to load takes no time.
3. Tile i enters the array when the array is free and its operands are there (and, where PEs hold one, have had time to
   fill it), and holds it for its issue and stall cycles. If it needs another place in the out scratchpad than the tile
   before, it freezes when its first result would leave before there is one: before the store that frees the place taken
   ``out_depth`` places earlier has ended.
4. Store i may start when the tile's last result has left the array, a drain after its issue has ended.

Every start is a maximum of earlier times and every end adds a duration, so neither a shorter transfer nor a deeper
buffer ever costs a cycle.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from simulator.engine.dram import IdealDram
from simulator.engine.timing import Timing, attribute, empty_events
from simulator.tiles import TileTable

__all__ = ["run_pipeline"]


def run_pipeline(table: TileTable, dram: IdealDram) -> Timing:
    """Cycles of one GEMM's tiles on this memory. Raises: ConservationError if cycles are lost."""
    tiles = table.rows
    events = empty_events(table)
    durations = np.stack(
        [
            dram.channel_cycles(table.load_bytes),
            table.array_cycles,
            tiles["first_result_cycles"],
            tiles["drain_cycles"],
            tiles["fill_cycles"],
            dram.channel_cycles(tiles["store_bytes"]),
        ]
    )
    flags = tiles["opens_output"], tiles["store_bytes"] > 0
    depths = (operand_depth(table), table.out_buffer_depth or len(table))
    _recurrence(durations, flags, dram.latency_cycles, depths, events)
    return attribute(table, events)


def operand_depth(table: TileTable) -> int:
    """Tiles whose operands the scratchpads hold at a time: the smaller of the two; all of them without limits."""
    depths = [d for d in (table.act_buffer_depth, table.weight_buffer_depth) if d]
    return min(depths, default=len(table))


@njit(cache=True)
def _recurrence(durations, flags, latency, depths, events):
    """Fill ``events`` (T, 6) from durations (6, T): load, array, first result, drain, fill, store; see the rules."""
    load, array, first_result, drain, fill, store = durations
    opens, closes = flags
    depth, out_depth = depths
    T = len(load)
    stored = np.zeros(out_depth, np.int64)  # ends of the latest stores, in a ring
    opened = 0  # places in the out scratchpad taken so far
    channel = _load(0, load, latency, 0, 0, events)
    for i in range(T):
        start = max(events[i - 1, 3] if i > 0 else 0, events[i, 1] + fill[i])
        end = start + array[i]
        if opens[i]:
            end = max(end, stored[opened % out_depth] + array[i] - first_result[i])
            opened += 1
        events[i, 2], events[i, 3] = start, end
        if i + 1 < T:
            place_free = events[i + 1 - depth, 3] if i + 1 >= depth else 0
            channel = _load(i + 1, load, latency, place_free, channel, events)
        events[i, 4] = events[i, 5] = end + drain[i]
        if closes[i]:
            events[i, 4] = max(end + drain[i], channel)
            events[i, 5] = channel = events[i, 4] + store[i]
            stored[(opened - 1) % out_depth] = channel


@njit(cache=True)
def _load(i, load, latency, place_free, channel, events):
    """Time load ``i`` from when its place is free; returns when the channel is free again."""
    if load[i] == 0:
        events[i, 0] = place_free
        events[i, 1] = place_free
        return channel
    events[i, 0] = max(place_free, channel)
    events[i, 1] = events[i, 0] + load[i] + latency
    return events[i, 0] + load[i]
