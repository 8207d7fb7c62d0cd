"""The total of the pipeline for tiles that are nested loops: the same rules, nothing kept but what is in flight.

A search asks for the cycles of many blockings and for nothing else of them. ``run_pipeline`` on the whole table gives
the same total (tests/test_engines.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from simulator.engine.dram import IdealDram
from simulator.engine.pipeline import operand_depth
from simulator.tiles import LoopNest

__all__ = ["nest_cycles"]


def nest_cycles(nest: LoopNest, dram: IdealDram) -> int:
    """Makespan of the loops' tiles on this memory; see ``pipeline``. Memory is bounded by the scratchpads' depths."""
    kinds, tiles = nest.kinds, nest.kinds.rows
    durations = np.stack(
        [
            dram.dma_cycles(kinds.load_bytes),
            kinds.array_cycles,
            tiles["first_result_cycles"],
            tiles["drain_cycles"],
            tiles["fill_cycles"],
            dram.channel_cycles(tiles["store_bytes"]),
        ]
    )
    flags = np.stack([tiles["opens_output"], tiles["store_bytes"] > 0])
    limited = kinds.act_buffer_depth or kinds.weight_buffer_depth
    depth = operand_depth(kinds) if limited else len(nest)
    return int(
        _makespan(nest.counts, durations, flags, dram.latency_cycles, depth, kinds.out_buffer_depth or len(nest))
    )


@njit(cache=True)
def _makespan(counts, durations, flags, latency, depth, out_depth):
    """Last cycle of the loops' tiles; durations (6, kinds): load, array, first result, drain, fill, store."""
    load, array, first_result, drain, fill, store = durations
    opens, closes = flags
    left = np.zeros(depth, np.int64)  # when the latest tiles left the array, in a ring
    stored = np.zeros(out_depth, np.int64)  # ends of the latest stores, in a ring
    opened = i = channel = end = finish = 0
    before = -1  # the kind of the tile whose results are next on the channel
    for x in range(counts[0]):
        for y in range(counts[1]):
            for z in range(counts[2]):
                kind = (_third(x, counts[0]) * min(counts[1], 3) + _third(y, counts[1])) * min(counts[2], 3)
                kind += _third(z, counts[2])
                arrived = left[i % depth]
                if load[kind] > 0:
                    channel = max(arrived, channel) + load[kind]
                    arrived = channel + latency
                if before >= 0 and closes[before]:
                    channel = max(end + drain[before], channel) + store[before]
                    stored[(opened - 1) % out_depth] = channel
                    finish = max(finish, channel)
                end = max(end, arrived + fill[kind]) + array[kind]
                if opens[kind]:
                    end = max(end, stored[opened % out_depth] + array[kind] - first_result[kind])
                    opened += 1
                finish = max(finish, end + drain[kind])
                left[i % depth] = end
                before = kind
                i += 1
    if closes[before]:
        finish = max(finish, max(end + drain[before], channel) + store[before])
    return finish


@njit(cache=True)
def _third(block, count):
    """0 for the first block, the index of the last kind for the last one, 1 between."""
    if block == count - 1:
        return min(count, 3) - 1
    return min(block, 1)
