"""How one of an op's GEMMs runs on a design, whatever its kind of array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from simulator.counts import Counts
from simulator.datapath import KernelJob, TileCosts
from simulator.datapath.edp import EdpRun
from simulator.engine import Timing
from simulator.errors import ConfigError, WorkloadError
from simulator.formats import Encoded
from simulator.mapping.tensor_core import GpuPlan, count_gpu
from simulator.study.cores import CorePlan, plan_cores
from simulator.study.edp import edp_orders, edp_run
from simulator.study.gpu import GpuHardware, plan_gpu
from simulator.study.hardware import Hardware
from simulator.study.planning import require_affordable, require_feasible_op
from simulator.study.systolic import SystolicHardware
from simulator.tiles import LoopNest, Tiles, TileTable
from simulator.workload import Op

__all__ = ["KernelPlan", "Plan", "plan_op", "require_registers"]


_MOST_ROWS = 1 << 22


@dataclass(frozen=True)
class KernelPlan:
    """One GEMM, or a batch, as a kernel on tensor cores: what ``CorePlan`` is for a systolic array.

    ``costs``: what its values add to what is loaded from DRAM, if they do.
    """

    hardware: GpuHardware
    op: Op
    gemm: GpuPlan
    costs: TileCosts | None = None
    dimension: str = ""

    @cached_property
    def tables(self) -> tuple[TileTable, ...]:
        """Its steps, a row for each. Raises: WorkloadError if they would fill any memory."""
        if self.tiles > _MOST_ROWS:
            raise WorkloadError(
                f"op '{self.op.name}': {self.tiles} steps on '{self.hardware.design.name}'; at most {_MOST_ROWS} can "
                "be looked at one by one (event, timelines, values that decide loads); use pipeline or split the op"
            )
        table = self.gemm.table
        return (table if self.costs is None else _with_loads(table, self.costs),)

    @property
    def nest(self) -> LoopNest:
        """Its steps as what their loops repeat."""
        return self.gemm.nest

    @property
    def phases(self) -> list[tuple[TileTable, ...]]:
        """What runs side by side."""
        return [self.tables]

    def costs_of(self, act: Encoded | None, weight: Encoded | None, seed: int) -> TileCosts | None:
        """What these values add, or such as are drawn."""
        return self.hardware.datapath.kernel_costs(KernelJob(self.gemm.table.rows, act, weight, seed))

    @property
    def batch(self) -> int:
        """GEMMs of the op that it runs at once."""
        return self.gemm.op.count

    @property
    def tiles(self) -> int:
        """Steps of all sets of blocks."""
        return len(self.gemm.nest)

    @cached_property
    def sums(self) -> EdpRun:
        """How the tensor cores add."""
        return edp_run(edp_orders(self.hardware.design.array), self.gemm)

    def counts(self, timing: Timing, ran: Sequence[Tiles]) -> Counts:
        """Counts of one GEMM."""
        launch, burst = self.hardware.launch_cycles, self.hardware.dram.burst_bytes
        counted = count_gpu(self.gemm, ran[0], self.hardware.datapath, timing.total_cycles, launch, burst)
        added = counted.actions | (self.costs.actions if self.costs else {})
        return replace(counted, compute_cycles=timing.compute_cycles, actions=added)


def _with_loads(table: TileTable, costs: TileCosts) -> TileTable:
    """The table with more to load. A kernel's time depends on nothing else of values."""
    waiting = costs.outlier_cycles + costs.vector_cycles
    assert not waiting.any(), "tensor cores wait for no values"
    rows = table.rows.copy()
    rows["act_load_bytes"] += costs.act_load_bytes
    rows["weight_load_bytes"] += costs.weight_load_bytes
    return replace(table, rows=rows)


Plan = CorePlan | KernelPlan


def plan_op(hardware: Hardware, op: Op) -> Plan:
    """How one of the op's GEMMs runs. Raises: ConfigError or WorkloadError, one line."""
    hardware = hardware.for_op(op)
    if isinstance(hardware, GpuHardware):
        require_feasible_op(op)
        return KernelPlan(hardware, op, plan_gpu(hardware, op))
    assert isinstance(hardware, SystolicHardware), "hardware has one of the kinds of array"
    return plan_cores(hardware, op)


def require_registers(hardware: Hardware, op: Op, plan: Plan) -> None:
    """Refuse what the register-accurate array cannot run. Raises: ConfigError, WorkloadError."""
    if not isinstance(plan, CorePlan) or not isinstance(hardware, SystolicHardware):
        where = hardware.design.where("array", "kind")
        raise ConfigError(
            f"{where}: pe_array runs systolic arrays; what lies between the registers of a tensor core is not public; "
            "use pipeline, event or bound"
        )
    if hardware.design.cores.count > 1:
        where = hardware.design.where("cores", "count")
        raise ConfigError(f"{where}: pe_array runs the array of one core; use pipeline, event or bound, or one core")
    require_affordable(hardware, op, plan.nest.compute_cycles)
