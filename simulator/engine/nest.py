"""The pipeline for tiles that are nested loops: the same rules, nothing kept but what is in flight.

A search asks for the cycles of many blockings and for nothing else of them; a run whose tiles nobody looks at needs no
row for each. ``run_pipeline`` on the whole table gives the same cycles by cause (tests/test_engines.py).
"""

from __future__ import annotations

import numpy as np

from simulator.engine.dram import IdealDram
from simulator.engine.loops import ANY_WAITING, RAN, run_loops
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
    closes = (kinds["store_bytes"] > 0) | kinds["frees_output"]
    spans = np.stack(
        [
            dram.dma_cycles(nest.load_bytes),
            nest.array_cycles,
            kinds["first_result_cycles"],
            kinds["drain_cycles"],
            kinds["fill_cycles"],
            dram.channel_cycles(kinds["store_bytes"]),
            kinds["opens_output"],
            closes,
            nest.load_bytes > 0,
        ],
        axis=-1,
    )
    depths = min(operand_depth(nest), len(nest)), min(nest.out_buffer_depth or len(nest), len(nest))
    waits = run_loops(nest.counts, spans, dram.latency_cycles, *depths, ANY_WAITING)
    return Waits(*waits[:RAN])
