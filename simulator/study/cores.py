"""One GEMM on the cores of a design: which part each takes, the tiles of all, and what the data adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import accumulate, pairwise
from operator import add
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.datapath import TileCosts
from simulator.engine import Timing, run_pipeline_cores
from simulator.errors import ConfigError
from simulator.mapping import DIMENSIONS, Dimension, Part, can_reduce, count_reduction, reduction_tables, split
from simulator.mapping.counting import count
from simulator.mapping.residency import Residency, make_resident
from simulator.mapping.vector import VECTOR_ACTIONS
from simulator.study.planning import GemmPlan, plan, require_feasible
from simulator.study.reduction import no_cut_along_k
from simulator.study.systolic import SystolicHardware
from simulator.tiles import LoopNest, Tiles, TileTable
from simulator.workload import Op

__all__ = ["CorePlan", "plan_cores", "whole_plan"]

_ADDITION = {VECTOR_ACTIONS["add"]: 1.0}
"""Adding two integer partial sums, taken to cost a lane what it costs to add two numbers of FP32 (assumed)."""


@dataclass(frozen=True)
class CorePlan:
    """What each core that has work does of a GEMM.

    Attributes:
        hardware: as it is set for the op, and as its parts run: parts of K write partial sums.
        op: the whole GEMM.
        parts, gemms: a part per core, and how it is cut.
        reduction: tiles of each core that then adds partial sums; none unless K is cut.
        costs: what the values of one GEMM add to its tiles, if they do.
        dimension: along which the GEMM is cut; empty where one core has it whole.
    """

    hardware: SystolicHardware
    op: Op
    parts: tuple[Part, ...]
    gemms: tuple[GemmPlan, ...]
    reduction: tuple[TileTable, ...] = ()
    costs: TileCosts | None = None
    dimension: Dimension | Literal[""] = ""

    @cached_property
    def tables(self) -> tuple[TileTable, ...]:
        """The tiles of each core, placed in the whole GEMM, a row for each, with what values add to them; that always
        comes from DRAM.
        """
        tables = self._resident.tables if self._resident else self._placed
        return tables if self.costs is None else _with_costs(tables, self.costs)

    @cached_property
    def _placed(self) -> tuple[TileTable, ...]:
        return tuple(part.placed(gemm.table) for part, gemm in zip(self.parts, self.gemms, strict=True))

    @cached_property
    def _resident(self) -> Residency | None:
        """What the global buffer holds, if there is one."""
        buffer = self.hardware.global_buffer
        if buffer is None:
            return None
        return make_resident(self.op, self._placed, buffer.capacity_bytes, buffer.word_bits)

    @property
    def shared(self) -> tuple[dict[tuple[str, str], Traffic], ...]:
        """Traffic of the global buffer by each core."""
        return self._resident.traffic if self._resident else ({},) * len(self.parts)

    @property
    def nest(self) -> LoopNest:
        """The tiles of the first core as what their loops repeat."""
        return self.gemms[0].nest

    @property
    def phases(self) -> list[tuple[TileTable, ...]]:
        """What runs side by side, one phase after another."""
        return [self.tables, self.reduction] if self.reduction else [self.tables]

    @property
    def is_measurable(self) -> bool:
        """Whether one core has it whole, and no word of a scratchpad waits for its bank."""
        return len(self.gemms) == 1 and not self.reduction and not self.gemms[0].memories.bank_conflicts

    @property
    def batch(self) -> int:
        """GEMMs of the op that it runs at once."""
        return 1

    @property
    def tiles(self) -> int:
        """Tiles of all cores."""
        return sum(len(gemm.nest) for gemm in self.gemms) + sum(map(len, self.reduction))

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each core's tiles begin among all."""
        return _starts(self.tables)

    def loading(self) -> NDArray[Any]:
        """Rows of the tiles of all cores, one core after another, as if all that they load came from DRAM, for costs
        that depend on what is loaded.
        """
        return _joined(self._placed)

    def counts(self, timing: Timing, ran: Sequence[Tiles]) -> Counts:
        """Counts of one GEMM: the sum over cores, which ran these tiles. What values add is counted with the first."""
        cycles = timing.total_cycles
        array, bits, datapath = self.hardware.array, self.hardware.bits, self.hardware.datapath
        memories, added = self.hardware.memories, (self.costs, *[None] * (len(ran) - 1))
        burst = memories.burst_bytes
        each = [
            count(part.op, tiles, array, bits, datapath, cycles, gemm.accesses, burst, costs, held)
            for part, gemm, tiles, costs, held in zip(self.parts, self.gemms, ran, added, self.shared, strict=True)
        ]
        each += [count_reduction(table, bits, memories, len(self.parts), cycles, _ADDITION) for table in self.reduction]
        rows = timing.dram.get("activates")
        return replace(reduce(add, each), cycles=cycles, compute_cycles=timing.compute_cycles, dram_activates=rows)


def _with_costs(tables: Sequence[TileTable], costs: TileCosts) -> tuple[TileTable, ...]:
    rows = _joined(tables).copy()
    rows["outlier_cycles"] = costs.outlier_cycles
    rows["vector_cycles"] = costs.vector_cycles
    rows["act_load_bytes"] += costs.act_load_bytes
    rows["weight_load_bytes"] += costs.weight_load_bytes
    cuts = pairwise([*_starts(tables), len(rows)])
    return tuple(replace(table, rows=rows[a:b]) for table, (a, b) in zip(tables, cuts, strict=True))


def _starts(tables: Sequence[TileTable]) -> tuple[int, ...]:
    return tuple(accumulate((len(table) for table in tables[:-1]), initial=0))


def _joined(tables: Sequence[TileTable]) -> NDArray[Any]:
    return np.concatenate([table.rows for table in tables]) if len(tables) > 1 else tables[0].rows


def plan_cores(hardware: SystolicHardware, op: Op) -> CorePlan:
    """How the cores of a design run one of the op's GEMMs.

    Of the dimensions that may be cut the one of least cycles is, on an ideal DRAM of the same peak; of equal ones the
    first of M, N, K. Tiles are cut as if all came from DRAM, then what the global buffer holds is chosen.
    Raises: ConfigError as ``plan``, or for a K that this datapath or its out scratchpad cannot have cut.
    """
    hardware = hardware.for_op(op)
    cores = hardware.design.cores
    if cores.count == 1:
        return whole_plan(hardware, op, plan(hardware, op))
    require_feasible(hardware, op)
    why_not = _why_not_along_k(hardware, op)
    if cores.partition == "K" and why_not:
        raise ConfigError(
            f"{hardware.design.where('cores', 'partition')}: K cannot be cut: {why_not}; use M, N or auto"
        )
    allowed = [d for d in DIMENSIONS if cores.partition in ("auto", d) and not (d == "K" and why_not)]
    plans = [_along(hardware, op, dimension) for dimension in allowed]
    return plans[0] if len(plans) == 1 else min(plans, key=_ideal_cycles)


def whole_plan(hardware: SystolicHardware, op: Op, gemm: GemmPlan) -> CorePlan:
    """One core that has all of an op's GEMMs, each cut like that."""
    return CorePlan(hardware, op, (Part(op if op.count == 1 else replace(op, count=1)),), (gemm,))


def _why_not_along_k(hardware: SystolicHardware, op: Op) -> str:
    if why_not := no_cut_along_k(hardware.datapath):
        return why_not
    parts = len(split(op, hardware.array, hardware.bits, "K", hardware.design.cores.count))
    fits = parts == 1 or can_reduce(hardware.bits, hardware.limits, parts)
    return "" if fits else f"the out scratchpad cannot hold {parts} partial sums of an output (op '{op.name}')"


def _along(hardware: SystolicHardware, op: Op, dimension: Dimension) -> CorePlan:
    cores = hardware.design.cores.count
    parts = split(op, hardware.array, hardware.bits, dimension, cores)
    cut: Dimension | Literal[""] = dimension if len(parts) > 1 else ""
    if cut != "K":
        return replace(_planned(hardware, op, parts), dimension=cut)
    bits = replace(hardware.bits, output=hardware.bits.accumulator)
    plan = _planned(replace(hardware, bits=bits), op, parts)
    places, lanes = hardware.depths[2], hardware.design.vector_unit.lanes
    tables = reduction_tables(op, hardware.bits, hardware.limits, places, len(parts), cores, lanes)
    return replace(plan, reduction=tuple(tables), dimension=cut)


def _planned(hardware: SystolicHardware, op: Op, parts: Sequence[Part]) -> CorePlan:
    return CorePlan(hardware, op, tuple(parts), tuple(plan(hardware, part.op, sharing=len(parts)) for part in parts))


def _ideal_cycles(plan: CorePlan) -> int:
    dram, buffer = plan.hardware.search_dram, plan.hardware.global_buffer
    return sum(run_pipeline_cores(phase, dram, buffer).total_cycles for phase in plan.phases)
