"""Passes whose tiles nobody looks at one by one: cut, timed and counted as loops, once for each on the same memory.

Neither the array nor its dataflow is part of what a pass depends on, so that a sweep meets the same passes again and
again. ``passes.time_pass`` takes the same tiles as tables, and the same cycles and counts come out
(tests/test_passes.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from simulator.config.study import Fidelity
from simulator.counts import Counts
from simulator.engine import IdealDram, Timing, nest_cycles, run_bound, run_nest
from simulator.mapping import BufferLimits
from simulator.mapping.fused import count_fused, fused_nest
from simulator.mapping.scratchpads import Memories
from simulator.mapping.vector import Lanes, VectorJob, count_pass, lower_pass
from simulator.study.systolic import SystolicHardware
from simulator.tiles import LoopNest

__all__ = ["Cut", "PassRun", "can_loop", "fused_on_loops", "on_loops", "pass_nest"]


@dataclass(frozen=True)
class PassRun:
    """Tiles of one pass, and the cycles and counts of doing it once."""

    tiles: int
    timing: Timing
    counts: Counts


class Cut(NamedTuple):
    """What decides how a pass is cut: the vector unit, its scratchpads, and the memory that is searched on."""

    lanes: Lanes
    limits: BufferLimits | None
    depths: tuple[int, int, int]
    dram: IdealDram


def can_loop(hardware: SystolicHardware, fidelity: Fidelity) -> bool:
    """Whether nothing asks for its tiles one by one: events, other cores, places in DRAM or a global buffer."""
    alone = hardware.cores == 1 and hardware.global_buffer is None and isinstance(hardware.dram, IdealDram)
    return alone and fidelity in ("bound", "pipeline")


@lru_cache(maxsize=4096)
def pass_nest(job: VectorJob, cut: Cut) -> LoopNest:
    """The tiles of least cycles. Raises: MappingError."""
    return lower_pass(job, cut.lanes, cut.limits, cut.depths, lambda nest: nest_cycles(nest, cut.dram))


@lru_cache(maxsize=4096)
def on_loops(job: VectorJob, cut: Cut, dram: IdealDram, memories: Memories, fidelity: Fidelity) -> PassRun:
    """One pass on one core. Raises: MappingError, ConservationError."""
    nest = pass_nest(job, cut)
    timing = run_bound(nest, dram) if fidelity == "bound" else run_nest(nest, dram)
    return _run(nest, timing, count_pass(job, nest, memories))


@lru_cache(maxsize=4096)
def fused_on_loops(job: VectorJob, waiting: int, dram: IdealDram, memories: Memories, fidelity: Fidelity) -> PassRun:
    """One pass behind a GEMM, which it prolongs by ``waiting``. Raises: ConservationError."""
    nest = fused_nest(job, waiting)
    timing = run_bound(nest, dram) if fidelity == "bound" else run_nest(nest, dram)
    return _run(nest, timing, count_fused(job, nest, memories))


def _run(nest: LoopNest, timing: Timing, counts: Counts) -> PassRun:
    return PassRun(len(nest), timing, replace(counts, cycles=timing.total_cycles))
