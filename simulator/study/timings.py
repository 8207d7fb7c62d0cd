"""Running tables of tiles on the engine that was asked for, and adding up what they took."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from simulator.config.study import Fidelity
from simulator.engine import STALL_CAUSES, Timing, run_bound_cores, run_pipeline_cores
from simulator.study.hardware import Hardware
from simulator.study.systolic import SystolicHardware
from simulator.tiles import TileTable

__all__ = ["NOTHING", "run_tables", "scaled", "summed"]

NOTHING = Timing(0, 0, dict.fromkeys(STALL_CAUSES, 0))
"""The timing of what takes no time."""


def run_tables(hardware: Hardware, tables: Sequence[TileTable], fidelity: Fidelity) -> Timing:
    """The engine of that fidelity on one table per core, and what launching it takes; ``pe_array`` takes its time from
    the pipeline.
    """
    buffer = hardware.global_buffer if isinstance(hardware, SystolicHardware) else None
    if fidelity == "bound":
        timing = run_bound_cores(tables, hardware.dram, buffer)
    elif fidelity == "event":
        from simulator.engine.event import run_event_cores

        timing = run_event_cores(tables, hardware.dram, buffer)
    else:
        timing = run_pipeline_cores(tables, hardware.dram, buffer)
    return timing.launched(hardware.launch_cycles)


def scaled(timing: Timing, count: int) -> Timing:
    """``count`` equal runs, one after another; the events are those of the first."""
    stalls = {cause: timing.stalls[cause] * count for cause in STALL_CAUSES}
    dram = {name: n * count for name, n in timing.dram.items()}
    cycles = timing.total_cycles * count, timing.compute_cycles * count
    return Timing(*cycles, stalls, timing.events, timing.fill_drain_cycles * count, dram=dram)


def _sum(a: Timing, b: Timing) -> Timing:
    stalls = {cause: a.stalls[cause] + b.stalls[cause] for cause in STALL_CAUSES}
    dram = {name: n + b.dram[name] for name, n in a.dram.items()}
    cycles = a.total_cycles + b.total_cycles, a.compute_cycles + b.compute_cycles
    return Timing(*cycles, stalls, a.events, a.fill_drain_cycles + b.fill_drain_cycles, dram=dram)


def summed(timings: Sequence[Timing]) -> Timing:
    """Runs one after another; the events are those of the first."""
    return reduce(_sum, timings)
