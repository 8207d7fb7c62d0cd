"""The tiles of one GEMM on one core, found once for each shape on the same hardware."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from simulator.engine import IdealDram, nest_cycles
from simulator.errors import ConfigError, MappingError, WorkloadError
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, Pinned, lower
from simulator.mapping.accesses import PadAccesses, pad_accesses
from simulator.mapping.scratchpads import Memories
from simulator.study.hardware import Hardware
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["accesses", "plan", "require_affordable", "require_feasible"]

_MOST_ALONG = 1 << 24  # M, N or K
_MOST_FOLDS = 1 << 22  # of the array: beyond it, tables of tiles fill any memory
_MOST_PE_CYCLES = 1 << 40  # of an op on the register-accurate array: about a quarter of an hour
_MOST_MACS = 1 << 53  # of an op: counts stay exact as integers of 64 bits and as floats


def plan(hardware: Hardware, op: Op, sharing: int = 1) -> TileTable:
    """The tile table of one of the op's GEMMs on one core that has its fair share of the bandwidth.

    Args:
        sharing: cores that share DRAM.
    Raises: ConfigError naming file, line and field of a scratchpad that is too small; WorkloadError for an op that is
    too large to simulate.
    """
    hardware = hardware.for_op(op)
    require_feasible(hardware, op)
    try:
        return _best_table(*_what_decides_tiles(hardware, op, sharing))
    except MappingError as error:
        where = hardware.design.where(*error.field) if error.field else hardware.design.name
        raise ConfigError(f"{where}: {error} (op '{op.name}', {op.M} x {op.N} x {op.K})") from None


def accesses(hardware: Hardware, op: Op, sharing: int = 1) -> PadAccesses:
    """Accesses of the scratchpads in one GEMM on the tiles of ``plan``; none of them depends on values."""
    return _pad_accesses(*_what_decides_tiles(hardware.for_op(op), op, sharing))


def _what_decides_tiles(hardware: Hardware, op: Op, sharing: int) -> tuple[Any, ...]:
    shape = Op("any", op.M, op.N, op.K)
    dram = replace(hardware.search_dram, bytes_per_cycle=hardware.search_dram.bytes_per_cycle / sharing)
    memory = hardware.limits, hardware.depths, dram, hardware.memories
    return shape, hardware.array, hardware.bits, *memory, hardware.pinned, hardware.tolerance


@lru_cache(maxsize=4096)
def _pad_accesses(*what_decides_tiles: Any) -> PadAccesses:
    shape, array, bits, _, _, _, memories, *_ = what_decides_tiles
    return pad_accesses(shape, _best_table(*what_decides_tiles), array, bits, memories)


def require_feasible(hardware: Hardware, op: Op) -> None:
    """Refuse what is too large to simulate. Raises: WorkloadError naming the op."""
    for field in ("M", "N", "K"):
        if getattr(op, field) > _MOST_ALONG:
            raise WorkloadError(f"op '{op.name}': {field} must be at most {_MOST_ALONG}, got {getattr(op, field)}")
    if op.macs > _MOST_MACS:
        raise WorkloadError(f"op '{op.name}': {op.macs} MACs; at most {_MOST_MACS} are simulated; split the op")
    array = hardware.array
    folds = array.folds(op.M, op.N, op.K)
    if hardware.limits is not None and folds > _MOST_FOLDS:
        raise WorkloadError(
            f"op '{op.name}': {folds} folds of the {array.rows} x {array.cols} array of '{hardware.design.name}'; "
            f"at most {_MOST_FOLDS} are simulated; enlarge the array or split the op"
        )


def require_affordable(hardware: Hardware, op: Op, table: TileTable) -> None:
    """Refuse what the register-accurate array would take hours for. Raises: WorkloadError naming the op."""
    array = hardware.array
    pe_cycles = table.compute_cycles * array.rows * array.cols * op.count
    if pe_cycles > _MOST_PE_CYCLES:
        raise WorkloadError(
            f"op '{op.name}': {pe_cycles} PE-cycles of the {array.rows} x {array.cols} array of "
            f"'{hardware.design.name}'; pe_array simulates at most {_MOST_PE_CYCLES}; use pipeline or a smaller op"
        )


@lru_cache(maxsize=4096)
def _best_table(
    shape: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    depths: tuple[int, int, int],
    dram: IdealDram,
    memories: Memories,
    pinned: Pinned,
    tolerance: float,
) -> TileTable:
    """The table that ``lower`` finds with pipeline cycles; the same shape on the same hardware is searched once."""
    return lower(
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
