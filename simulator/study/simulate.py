"""One op on one design: tiles, cycles, counts, energy and, with tensors, values checked against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.config.study import Fidelity
from simulator.cost import energy_pj
from simulator.counts import Counts
from simulator.datapath import Job, TileCosts
from simulator.engine import STALL_CAUSES, IdealDram, Timing, run_bound, run_pipeline
from simulator.errors import ConfigError, ConservationError, MappingError, WorkloadError
from simulator.formats import Encoded, Storage
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, Pinned, lower
from simulator.mapping.counting import count
from simulator.study.hardware import Hardware
from simulator.study.operands import encode, random_tensors
from simulator.study.quality import Quality, check_values
from simulator.study.storage import storage_of
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["OpResult", "plan", "simulate_op", "timing_of"]

Tensors = tuple[NDArray[Any], NDArray[Any]]

_MOST_ALONG = 1 << 24  # M, N or K
_MOST_FOLDS = 1 << 22  # of the array: beyond it, tables of tiles fill any memory
_MOST_MACS = 1 << 53  # of an op: counts stay exact as integers of 64 bits and as floats
_MOST_PE_CYCLES = 1 << 40  # of an op on the register-accurate array: about a quarter of an hour


@dataclass(frozen=True)
class OpResult:
    """All that is known of one op on one design; cycles, counts and energy cover all its GEMMs.

    Attributes:
        timing: summed over the op's GEMMs, which run one after another.
        values: accumulators (M, N) of each GEMM, with tensors or ``pe_array``; else empty.
        quality: the check of the values; None without them.
        storage: what each operand takes, all its GEMMs together; None where that depends on values that are not known.
    """

    op: Op
    tiles: int
    timing: Timing
    counts: Counts
    energy: dict[str, float]
    values: list[NDArray[Any]]
    operands: list[tuple[Encoded, Encoded]]
    quality: Quality | None
    storage: dict[str, Storage | None]

    def without_arrays(self) -> OpResult:
        """The same result without values and codes: what a study keeps of an op."""
        return replace(self, timing=replace(self.timing, events=None), values=[], operands=[])


def plan(hardware: Hardware, op: Op) -> TileTable:
    """The tile table of one of the op's GEMMs.

    Raises: ConfigError naming file, line and field of a scratchpad that is too small; WorkloadError for an op that is
    too large to simulate.
    """
    hardware = hardware.for_op(op)
    _require_feasible(hardware, op)
    try:
        shape = Op("any", op.M, op.N, op.K)
        memory = hardware.limits, hardware.depths, hardware.dram
        return _best_table(shape, hardware.array, hardware.bits, *memory, hardware.pinned, hardware.tolerance)
    except MappingError as error:
        where = hardware.design.where(*error.field) if error.field else hardware.design.name
        raise ConfigError(f"{where}: {error} (op '{op.name}', {op.M} x {op.N} x {op.K})") from None


def _require_feasible(hardware: Hardware, op: Op) -> None:
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


def _require_affordable(hardware: Hardware, op: Op, table: TileTable) -> None:
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
        cycles=lambda table: run_pipeline(table, dram).total_cycles,
        bytes_per_cycle=dram.bytes_per_cycle,
        pinned=pinned,
        tolerance=tolerance,
    )


def simulate_op(
    hardware: Hardware,
    op: Op,
    tensors: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
) -> OpResult:
    """Run one op.

    Args:
        tensors: unquantised operands (count, M, K) and (count, N, K); None if only shapes are known.
        fidelity: which engine; ``pe_array`` also takes the values from the array's registers, and draws the tensors
            of one GEMM if only shapes are known.
        seed: for what is drawn when only shapes are known.
    Raises: ConfigError if the design cannot run it; MismatchError or ConservationError if this program is wrong.
    """
    hardware = hardware.for_op(op)
    table = plan(hardware, op)
    if fidelity == "pe_array":
        _require_affordable(hardware, op, table)
    drawn = random_tensors(op.M, op.N, op.K, seed) if fidelity == "pe_array" and tensors is None else tensors
    operands: list[tuple[Encoded, Encoded]] = []
    values, quality = [], None
    if drawn is not None:
        operands = encode(hardware.design, hardware.datapath, *drawn)
        values = [_values(hardware, *pair, table, fidelity) for pair in operands]
        quality = check_values(op.name, hardware.datapath, operands, values, *drawn)
    known = operands if tensors is not None else [(None, None)] * op.count
    _, timing, counts = _costs(hardware, op, table, known, fidelity, seed)
    if counts.macs != op.macs:
        raise ConservationError(f"{op.name}: {counts.macs} MACs were run, the op has {op.macs}")
    storage = storage_of(hardware, op, operands)
    energy = energy_pj(hardware.bill, counts)
    return OpResult(op, len(table), timing, counts, energy, values, operands, quality, storage)


def timing_of(
    hardware: Hardware,
    op: Op,
    tensors: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
) -> tuple[TileTable, Timing]:
    """Tiles of the op's first GEMM, and the timing of all; its events are those of the first.

    Args:
        tensors: as for ``simulate_op``; encoded only where time depends on them.
    """
    hardware = hardware.for_op(op)
    table = plan(hardware, op)
    known: Sequence[tuple[Encoded | None, Encoded | None]] = [(None, None)] * op.count
    if tensors is not None and hardware.datapath.assumed_distribution:
        known = encode(hardware.design, hardware.datapath, *tensors)
    tiles, timing, _ = _costs(hardware, op, table, known, fidelity, seed)
    return tiles, timing


def _gemm_seed(seed: int, op: Op, index: int) -> int:
    """A seed of its own for each GEMM of each op, whatever else a study runs."""
    return int(np.random.SeedSequence([seed, crc32(op.name.encode()), index]).generate_state(1, np.uint64)[0])


def _job(hardware: Hardware, op: Op, table: TileTable, act: Encoded | None, weight: Encoded | None, seed: int) -> Job:
    array = hardware.array
    return Job(
        op.M,
        op.N,
        op.K,
        array.rows,
        array.cols,
        table.rows,
        act,
        weight,
        seed,
        array.fold_beside,
        array.dataflow,
        hardware.dram.bytes_per_cycle,
    )


def _values(hardware: Hardware, act: Encoded, weight: Encoded, table: TileTable, fidelity: Fidelity) -> NDArray[Any]:
    """Results of one GEMM: from the datapath, or from the registers of its arrays."""
    if fidelity != "pe_array":
        return hardware.datapath.matmul(act, weight)
    from simulator.study.registers import run_registers

    return run_registers(hardware, act, weight, table)


def _costs(
    hardware: Hardware,
    op: Op,
    table: TileTable,
    operands: Sequence[tuple[Encoded | None, Encoded | None]],
    fidelity: Fidelity,
    seed: int,
) -> tuple[TileTable, Timing, Counts]:
    """Tiles of an op's first GEMM, cycles and counts of all; one run serves all unless costs depend on the data."""
    first: TileTable | None = None
    timings, counts = [], []
    array, bits, datapath = hardware.array, hardware.bits, hardware.datapath
    for index, (act, weight) in enumerate(operands):
        costs = datapath.tile_costs(_job(hardware, op, table, act, weight, _gemm_seed(seed, op, index)))
        tiles = table if costs is None else _with_costs(table, costs)
        timing = _run(hardware, tiles, fidelity)
        first = tiles if first is None else first
        timings.append(timing)
        counts.append(count(op, tiles, array, bits, datapath, timing.total_cycles, costs))
        if costs is None:
            return tiles, _scaled(timing, len(operands)), counts[0].times(len(operands))
    assert first is not None, "an op has at least one GEMM"
    return first, reduce(_sum, timings), reduce(add, counts)


def _run(hardware: Hardware, table: TileTable, fidelity: Fidelity) -> Timing:
    if fidelity == "bound":
        return run_bound(table, hardware.dram)
    if fidelity == "event":
        from simulator.engine.event import run_events

        return run_events(table, hardware.dram)
    return run_pipeline(table, hardware.dram)


def _with_costs(table: TileTable, costs: TileCosts) -> TileTable:
    """The tiles of one GEMM with what its values add."""
    rows = table.rows.copy()
    rows["outlier_cycles"] = costs.outlier_cycles
    rows["vector_cycles"] = costs.vector_cycles
    rows["act_load_bytes"] += costs.act_load_bytes
    rows["weight_load_bytes"] += costs.weight_load_bytes
    return replace(table, rows=rows)


def _scaled(timing: Timing, count: int) -> Timing:
    stalls = {cause: timing.stalls[cause] * count for cause in STALL_CAUSES}
    return Timing(timing.total_cycles * count, timing.compute_cycles * count, stalls, timing.events)


def _sum(a: Timing, b: Timing) -> Timing:
    stalls = {cause: a.stalls[cause] + b.stalls[cause] for cause in STALL_CAUSES}
    return Timing(a.total_cycles + b.total_cycles, a.compute_cycles + b.compute_cycles, stalls, a.events)
