"""How one of an op's GEMMs runs on a design, whatever its kind of array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from simulator.counts import Counts
from simulator.datapath import TileCosts
from simulator.engine import Timing
from simulator.errors import ConfigError
from simulator.mapping.tensor_core import GpuPlan, count_gpu
from simulator.study.cores import CorePlan, plan_cores
from simulator.study.gpu import GpuHardware, plan_gpu
from simulator.study.hardware import Hardware
from simulator.study.planning import require_affordable, require_feasible_op
from simulator.study.systolic import SystolicHardware
from simulator.tiles import LoopNest, Tiles, TileTable
from simulator.workload import Op

__all__ = ["KernelPlan", "Plan", "plan_op", "require_registers"]


@dataclass(frozen=True)
class KernelPlan:
    """One GEMM as a kernel on tensor cores: what ``CorePlan`` is for a systolic array."""

    hardware: GpuHardware
    op: Op
    gemm: GpuPlan
    costs: TileCosts | None = None
    dimension: str = ""

    @cached_property
    def tables(self) -> tuple[TileTable, ...]:
        """Its steps, a row for each."""
        return (self.gemm.table,)

    @property
    def nest(self) -> LoopNest:
        """Its steps as what their loops repeat."""
        return self.gemm.nest

    @property
    def phases(self) -> list[tuple[TileTable, ...]]:
        """What runs side by side."""
        return [self.tables]

    @property
    def tiles(self) -> int:
        """Steps of all sets of blocks."""
        return len(self.gemm.nest)

    def counts(self, timing: Timing, ran: Sequence[Tiles]) -> Counts:
        """Counts of one GEMM."""
        burst = self.hardware.dram.burst_bytes
        counted = count_gpu(self.gemm, ran[0], self.hardware.datapath, timing.total_cycles, burst)
        return replace(counted, compute_cycles=timing.compute_cycles)


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
