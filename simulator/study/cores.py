"""One GEMM on the cores of a design: which part each takes, the tiles of all, and what the data adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate, pairwise
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.datapath import TileCosts
from simulator.engine import Timing, run_pipeline_cores
from simulator.errors import ConfigError
from simulator.mapping import DIMENSIONS, Dimension, Part, can_reduce, count_reduction, reduction_tables, split
from simulator.mapping.accesses import PadAccesses
from simulator.mapping.counting import count
from simulator.mapping.residency import make_resident
from simulator.mapping.vector import VECTOR_ACTIONS
from simulator.study.hardware import Hardware
from simulator.study.planning import accesses, plan, require_feasible
from simulator.study.reduction import no_cut_along_k
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["CorePlan", "plan_cores"]

_ADDITION = {VECTOR_ACTIONS["add"]: 1.0}
"""Adding two integer partial sums, taken to cost a lane what it costs to add two numbers of FP32 (assumed)."""


@dataclass(frozen=True)
class CorePlan:
    """What each core that has work does of a GEMM.

    Attributes:
        hardware: as it is set for the op, and as its parts run: parts of K write partial sums.
        parts, tables: a part per core, and its tiles, placed in the whole GEMM.
        accesses: of each core's scratchpads.
        shared: traffic of the global buffer by each core; none unless the design has one.
        reduction: tiles of each core that then adds partial sums; none unless K is cut.
    """

    hardware: Hardware
    parts: tuple[Part, ...]
    tables: tuple[TileTable, ...]
    accesses: tuple[PadAccesses, ...]
    shared: tuple[dict[tuple[str, str], Traffic], ...] = ()
    reduction: tuple[TileTable, ...] = ()

    @property
    def phases(self) -> list[tuple[TileTable, ...]]:
        """What runs side by side, one phase after another."""
        return [self.tables, self.reduction] if self.reduction else [self.tables]

    @property
    def tiles(self) -> int:
        """Tiles of all cores."""
        return sum(len(table) for phase in self.phases for table in phase)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each core's tiles begin among all."""
        return tuple(accumulate((len(table) for table in self.tables[:-1]), initial=0))

    def joined(self) -> TileTable:
        """The tiles of all cores, one core after another, for costs that depend on values."""
        rows = np.concatenate([table.rows for table in self.tables]) if len(self.tables) > 1 else self.tables[0].rows
        return replace(self.tables[0], rows=rows)

    def loading(self) -> NDArray[Any]:
        """The tiles of all cores as if all that they load came from DRAM, for costs that depend on what is loaded."""
        rows = self.joined().rows
        if not self.shared:
            return rows
        rows = rows.copy()
        for side in ("act", "weight"):
            rows[f"{side}_load_bytes"] += rows[f"{side}_global_bytes"]
        return rows

    def with_costs(self, costs: TileCosts) -> CorePlan:
        """The tiles with what the values of one GEMM add; that always comes from DRAM."""
        rows = self.joined().rows.copy()
        rows["outlier_cycles"] = costs.outlier_cycles
        rows["vector_cycles"] = costs.vector_cycles
        rows["act_load_bytes"] += costs.act_load_bytes
        rows["weight_load_bytes"] += costs.weight_load_bytes
        cuts = pairwise([*self.starts, len(rows)])
        return replace(
            self, tables=tuple(replace(t, rows=rows[a:b]) for t, (a, b) in zip(self.tables, cuts, strict=True))
        )

    def counts(self, timing: Timing, costs: TileCosts | None) -> Counts:
        """Counts of one GEMM: the sum over cores. What values add is counted with the first."""
        cycles = timing.total_cycles
        array, bits, datapath = self.hardware.array, self.hardware.bits, self.hardware.datapath
        memories = self.hardware.memories
        burst = memories.burst_bytes
        shared: tuple[dict[tuple[str, str], Traffic], ...] = self.shared or ({},) * len(self.parts)
        each = [
            count(part.op, table, array, bits, datapath, cycles, pads, burst, None if i else costs, held)
            for i, (part, table, pads, held) in enumerate(
                zip(self.parts, self.tables, self.accesses, shared, strict=True)
            )
        ]
        each += [count_reduction(table, bits, memories, len(self.parts), cycles, _ADDITION) for table in self.reduction]
        rows = timing.dram.get("activates")
        return replace(reduce(add, each), cycles=cycles, compute_cycles=timing.compute_cycles, dram_activates=rows)


def plan_cores(hardware: Hardware, op: Op) -> CorePlan:
    """How the cores of a design run one of the op's GEMMs.

    Of the dimensions that may be cut the one of least cycles is, on an ideal DRAM of the same peak; of equal ones the
    first of M, N, K. Tiles are cut as if all came from DRAM, then what the global buffer holds is chosen.
    Raises: ConfigError as ``plan``, or for a K that this datapath or its out scratchpad cannot have cut.
    """
    hardware = hardware.for_op(op)
    cores = hardware.design.cores
    if cores.count == 1:
        alone = CorePlan(hardware, (Part(replace(op, count=1)),), (plan(hardware, op),), (accesses(hardware, op),))
        return _resident(alone, op)
    require_feasible(hardware, op)
    why_not = _why_not_along_k(hardware, op)
    if cores.partition == "K" and why_not:
        raise ConfigError(
            f"{hardware.design.where('cores', 'partition')}: K cannot be cut: {why_not}; use M, N or auto"
        )
    allowed = [d for d in DIMENSIONS if cores.partition in ("auto", d) and not (d == "K" and why_not)]
    plans = [_along(hardware, op, dimension) for dimension in allowed]
    return plans[0] if len(plans) == 1 else min(plans, key=_ideal_cycles)


def _why_not_along_k(hardware: Hardware, op: Op) -> str:
    if why_not := no_cut_along_k(hardware.datapath):
        return why_not
    parts = len(split(op, hardware.array, hardware.bits, "K", hardware.design.cores.count))
    fits = parts == 1 or can_reduce(hardware.bits, hardware.limits, parts)
    return "" if fits else f"the out scratchpad cannot hold {parts} partial sums of an output (op '{op.name}')"


def _along(hardware: Hardware, op: Op, dimension: Dimension) -> CorePlan:
    cores = hardware.design.cores.count
    parts = split(op, hardware.array, hardware.bits, dimension, cores)
    if dimension != "K" or len(parts) == 1:
        return _planned(hardware, op, parts)
    bits = replace(hardware.bits, output=hardware.bits.accumulator)
    plan = _planned(replace(hardware, bits=bits), op, parts)
    places, lanes = hardware.depths[2], hardware.design.vector_unit.lanes
    tables = reduction_tables(op, hardware.bits, hardware.limits, places, len(parts), cores, lanes)
    return replace(plan, reduction=tuple(tables))


def _planned(hardware: Hardware, op: Op, parts: Sequence[Part]) -> CorePlan:
    tables = [part.placed(plan(hardware, part.op, sharing=len(parts))) for part in parts]
    pads = [accesses(hardware, part.op, sharing=len(parts)) for part in parts]
    return _resident(CorePlan(hardware, tuple(parts), tuple(tables), tuple(pads)), op)


def _resident(plan: CorePlan, op: Op) -> CorePlan:
    """The plan with what the global buffer holds, if there is one."""
    buffer = plan.hardware.global_buffer
    if buffer is None:
        return plan
    residency = make_resident(op, plan.tables, buffer.capacity_bytes, buffer.word_bits)
    return replace(plan, tables=residency.tables, shared=residency.traffic)


def _ideal_cycles(plan: CorePlan) -> int:
    dram, buffer = plan.hardware.search_dram, plan.hardware.global_buffer
    return sum(run_pipeline_cores(phase, dram, buffer).total_cycles for phase in plan.phases)
