"""GEMMs of alike points on tensors: judged once for all of them, and where costs depend on values, timed for each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts
from simulator.elementwise import everywhere
from simulator.engine import Timing
from simulator.errors import ConservationError
from simulator.mapping import ORDERS, Blocking
from simulator.study.alike.columns import (
    counts_form,
    counts_numbers,
    counts_of,
    gathered,
    timing_numbers,
    timing_of,
)
from simulator.study.cores import whole_plan
from simulator.study.each import OpCosts, costs_of_each, fixed_of, timed_each
from simulator.study.gemm_batch import Batch
from simulator.study.judged import Judged
from simulator.study.planning import GemmPlan
from simulator.study.simulate import OpResult
from simulator.study.systolic import SystolicHardware
from simulator.workload import Op

__all__ = ["EachTimed", "timed_of_each", "valued_op"]


@dataclass(frozen=True)
class EachTimed:
    """An op's GEMMs with their values, on many designs.

    Attributes:
        timings, counts: the distinct ones; counts have no cycles.
        which: (designs, 2) which of them are each design's; -1 of one that has to be run alone.
    """

    timings: list[Timing]
    counts: list[Counts]
    which: NDArray[np.int64]

    @property
    def fit(self) -> NDArray[np.bool_]:
        """Which designs can be run at once."""
        return self.which[:, 0] >= 0

    def of(self, designs: Sequence[int]) -> EachTimed:
        """Those of some designs."""
        return replace(self, which=self.which[list(designs)])


def timed_of_each(
    many: Sequence[SystolicHardware], op: Op, batch: Batch, wanted: Iterable[int], known: Judged
) -> EachTimed:
    """Run an op's GEMMs on those of the designs that are wanted, each cut as in the batch. Raises: ConservationError.

    To be run alone are designs on which values add nothing, or not in whole numbers; on which tiles wait that load
    nothing, a cause that has no column here; and whose counts are of another form than those of the first.
    """
    found = EachTimed([], [], np.full((len(many), 2), -1, np.int64))
    form: Hashable = None
    for cut, places in _alike_cut(many, batch, wanted).items():
        hardware = many[places[0]]
        costs = _costs(hardware, op, Blocking(*cut[1:4], ORDERS[cut[4]]), known)
        if costs is None:
            continue
        form = form or counts_form(costs.counts)
        if counts_form(costs.counts) == form:
            found.counts.append(costs.counts)
            _time(many, places, costs, found)
    return found


_CutKey = tuple[Hashable, int, int, int, int]
"""What tiles, and what values add to them, depend on: of the hardware; blocks along m, n and k; order of loops."""


def _alike_cut(many: Sequence[SystolicHardware], batch: Batch, wanted: Iterable[int]) -> dict[_CutKey, list[int]]:
    cuts: dict[_CutKey, list[int]] = {}
    sizes, orders = batch.sizes.tolist(), batch.order.tolist()
    for place in wanted:
        cuts.setdefault((fixed_of(many[place]), *sizes[place], orders[place]), []).append(place)
    return cuts


def _costs(hardware: SystolicHardware, op: Op, blocking: Blocking, known: Judged) -> OpCosts | None:
    shape = Op("any", op.M, op.N, op.K)
    gemm = GemmPlan(shape, hardware.array, hardware.bits, hardware.depths, hardware.memories, blocking)
    return costs_of_each(hardware, whole_plan(hardware, op, gemm), known, accesses=False)


def _time(many: Sequence[SystolicHardware], places: Sequence[int], costs: OpCosts, found: EachTimed) -> None:
    """Run the same tiles on each distinct channel."""
    known: dict[Hashable, int] = {}
    for place in places:
        channel = many[place].dram
        if channel not in known:
            timing, _ = timed_each(many[place], costs)
            fits = not timing.stalls["stall_l2"]
            known[channel] = len(found.timings) if fits else -1
            found.timings.extend([timing] if fits else [])
        found.which[place] = known[channel], len(found.counts) - 1


def valued_op(stacked: SystolicHardware, op: Op, tiles: Any, known: Judged, each: EachTimed) -> OpResult:
    """Result of an op on all designs, all of which it was run on, as ``simulate_op`` has it by its values.

    Raises: ConservationError.
    """
    of_timing, of_counts = each.which.T
    timing = timing_of(gathered([list(timing_numbers(t)) for t in each.timings], of_timing))
    counts = counts_of(each.counts[0], gathered([list(counts_numbers(c)) for c in each.counts], of_counts))
    counts = replace(counts, cycles=timing.total_cycles, compute_cycles=timing.compute_cycles)
    if not everywhere(counts.macs == op.macs):
        raise ConservationError(f"{op.name}: {counts.macs} MACs were run, the op has {op.macs}")
    return OpResult(op, tiles, timing, counts, stacked.energy(counts), [], [], known.quality, known.storage)
