"""The pipeline for tiles that are nested loops: the same rules, nothing kept but what is in flight.

A search asks for the cycles of many blockings and for nothing else of them; a run whose tiles nobody looks at needs no
row for each. ``run_pipeline`` on the whole table gives the same cycles by cause (tests/test_engines.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from simulator.engine.dram import IdealDram
from simulator.engine.pipeline import operand_depth
from simulator.engine.timing import Timing, Waits, by_waits
from simulator.tiles import LoopNest

__all__ = ["nest_cycles", "run_nest"]


def run_nest(nest: LoopNest, dram: IdealDram) -> Timing:
    """Cycles of the loops' tiles on this memory, by cause, without events. Raises: ConservationError."""
    return by_waits(nest, _waits(nest, dram))


def nest_cycles(nest: LoopNest, dram: IdealDram) -> int:
    """Makespan of the loops' tiles on this memory."""
    return _waits(nest, dram).end


def _waits(nest: LoopNest, dram: IdealDram) -> Waits:
    """See ``pipeline``. Memory is bounded by the scratchpads' depths."""
    kinds = nest.rows
    durations = np.stack(
        [
            dram.dma_cycles(nest.load_bytes),
            nest.array_cycles,
            kinds["first_result_cycles"],
            kinds["drain_cycles"],
            kinds["fill_cycles"],
            dram.channel_cycles(kinds["store_bytes"]),
        ]
    )
    closes = (kinds["store_bytes"] > 0) | kinds["frees_output"]
    flags = np.stack([kinds["opens_output"], closes, nest.load_bytes > 0])
    depths = operand_depth(nest), nest.out_buffer_depth or len(nest)
    return Waits(*_run(nest.counts, durations, flags, dram.latency_cycles, *depths))


@njit(cache=True)
def _run(counts, durations, flags, latency, depth, out_depth):
    """``Waits`` of the loops' tiles; durations (6, kinds): load, array, first result, drain, fill, store."""
    load, array, first_result, drain, fill, store = durations
    opens, closes, loads = flags
    left = np.zeros(depth, np.int64)  # when the latest tiles left the array, in a ring
    stored = np.zeros(out_depth, np.int64)  # ends of the latest stores, in a ring
    opened = i = channel = end = finish = gaps = unloaded = frozen = 0
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
                    out = end + drain[before]
                    if store[before] > 0:
                        channel = out = max(out, channel) + store[before]
                    stored[(opened - 1) % out_depth] = out
                    finish = max(finish, out)
                start = max(end, arrived + fill[kind])
                gaps += start - end
                if not loads[kind]:
                    unloaded += start - end
                end = start + array[kind]
                if opens[kind]:
                    place_free = stored[opened % out_depth]
                    frozen += max(place_free - start - first_result[kind], 0)
                    end = max(end, place_free + array[kind] - first_result[kind])
                    opened += 1
                finish = max(finish, end + drain[kind])
                left[i % depth] = end
                before = kind
                i += 1
    results_out = end + drain[before]
    if store[before] > 0:
        finish = max(finish, max(results_out, channel) + store[before])
    return gaps, unloaded, frozen, results_out, finish


@njit(cache=True)
def _third(block, count):
    """0 for the first block, the index of the last kind for the last one, 1 between."""
    if block == count - 1:
        return min(count, 3) - 1
    return min(block, 1)
