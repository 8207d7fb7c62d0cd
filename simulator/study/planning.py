"""How one GEMM is cut into tiles on one core, found once for each shape on the same hardware."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from simulator.engine import IdealDram, nest_cycles
from simulator.errors import ConfigError, MappingError, WorkloadError
from simulator.mapping import (
    ArrayShape,
    Blocking,
    BufferLimits,
    OperandBits,
    Pinned,
    best_blocking,
    nest_of,
    table_of,
)
from simulator.mapping.accesses import PadAccesses, pad_accesses
from simulator.mapping.scratchpads import Memories
from simulator.study.fast_blocking import fast_blocking
from simulator.study.systolic import SystolicHardware
from simulator.tiles import LoopNest, TileTable
from simulator.workload import Op

__all__ = ["MOST_FOLDS", "GemmPlan", "plan", "require_affordable", "require_feasible", "require_feasible_op"]

_MOST_ALONG = 1 << 24  # M, N or K
MOST_FOLDS = 1 << 22  # of the array: beyond it, tables of tiles fill any memory
_MOST_PE_CYCLES = 1 << 40  # of an op on the register-accurate array: about a quarter of an hour
_MOST_MACS = 1 << 53  # of an op: counts stay exact as integers of 64 bits and as floats


@dataclass(frozen=True)
class GemmPlan:
    """How a GEMM is cut on one core. What follows from it is made when it is asked for, and kept."""

    op: Op
    array: ArrayShape
    bits: OperandBits
    depths: tuple[int, int, int]
    memories: Memories
    blocking: Blocking

    @cached_property
    def nest(self) -> LoopNest:
        """Its tiles as what their loops repeat."""
        return nest_of(self.op, self.array, self.bits, self.blocking, self.depths, self.memories)

    @cached_property
    def table(self) -> TileTable:
        """Its tiles, a row for each."""
        return table_of(self.op, self.array, self.bits, self.blocking, self.depths, self.memories)

    @cached_property
    def accesses(self) -> PadAccesses:
        """Accesses of its scratchpads; none of them depends on values."""
        return pad_accesses(self.op, self.nest, self.array, self.bits, self.memories)


def plan(hardware: SystolicHardware, op: Op, sharing: int = 1) -> GemmPlan:
    """How one of the op's GEMMs is cut on one core that has its fair share of the bandwidth.

    Args:
        sharing: cores that share DRAM.
    Raises: ConfigError naming file, line and field of a scratchpad that is too small; WorkloadError for an op that is
    too large to simulate.
    """
    hardware = hardware.for_op(op)
    key = "plan", op.M, op.N, op.K, sharing
    if key not in hardware.known:
        require_feasible(hardware, op)
        hardware.known[key] = _plan(hardware, op, sharing)
    require_feasible_op(op)
    found: GemmPlan = hardware.known[key]
    return found


def _plan(hardware: SystolicHardware, op: Op, sharing: int) -> GemmPlan:
    dram = hardware.search_dram
    if sharing > 1:
        dram = replace(dram, bytes_per_cycle=dram.bytes_per_cycle / sharing)
    memory = hardware.limits, hardware.depths, dram, hardware.memories
    shape = Op("any", op.M, op.N, op.K)
    try:
        return _best_plan(shape, hardware.array, hardware.bits, *memory, hardware.pinned, hardware.tolerance)
    except MappingError as error:
        where = hardware.design.where(*error.field) if error.field else hardware.design.name
        raise ConfigError(f"{where}: {error} (op '{op.name}', {op.M} x {op.N} x {op.K})") from None


def require_feasible(hardware: SystolicHardware, op: Op) -> None:
    """Refuse what is too large to simulate. Raises: WorkloadError naming the op."""
    require_feasible_op(op)
    array = hardware.array
    folds = array.folds(op.M, op.N, op.K)
    if hardware.limits is not None and folds > MOST_FOLDS:
        raise WorkloadError(
            f"op '{op.name}': {folds} folds of the {array.rows} x {array.cols} array of '{hardware.design.name}'; "
            f"at most {MOST_FOLDS} are simulated; enlarge the array or split the op"
        )


def require_feasible_op(op: Op) -> None:
    """Refuse what is too large to simulate on any array. Raises: WorkloadError naming the op."""
    for field in ("M", "N", "K"):
        if getattr(op, field) > _MOST_ALONG:
            raise WorkloadError(f"op '{op.name}': {field} must be at most {_MOST_ALONG}, got {getattr(op, field)}")
    if op.macs > _MOST_MACS:
        raise WorkloadError(f"op '{op.name}': {op.macs} MACs; at most {_MOST_MACS} are simulated; split the op")


def require_affordable(hardware: SystolicHardware, op: Op, compute_cycles: int) -> None:
    """Refuse what the register-accurate array would take hours for. Raises: WorkloadError naming the op."""
    array = hardware.array
    pe_cycles = compute_cycles * array.rows * array.cols * op.count
    if pe_cycles > _MOST_PE_CYCLES:
        raise WorkloadError(
            f"op '{op.name}': {pe_cycles} PE-cycles of the {array.rows} x {array.cols} array of "
            f"'{hardware.design.name}'; pe_array simulates at most {_MOST_PE_CYCLES}; use pipeline or a smaller op"
        )


@lru_cache(maxsize=4096)
def _best_plan(
    shape: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    depths: tuple[int, int, int],
    dram: IdealDram,
    memories: Memories,
    pinned: Pinned,
    tolerance: float,
) -> GemmPlan:
    """The blocking of least pipeline cycles; the same shape on the same hardware is searched once."""
    how = pinned, tolerance
    blocking = fast_blocking(shape, array, bits, limits, depths, dram, *how) if not memories.bank_conflicts else None
    if blocking is None:
        blocking = best_blocking(
            shape,
            array,
            bits,
            limits,
            depths,
            cycles=lambda nest: nest_cycles(nest, dram),
            bytes_per_cycle=dram.bytes_per_cycle,
            pinned=pinned,
            tolerance=tolerance,
            memories=memories,
        )
    return GemmPlan(shape, array, bits, depths, memories, blocking)
