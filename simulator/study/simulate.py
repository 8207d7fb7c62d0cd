"""One op on one design: tiles, cycles, counts, energy and, with tensors, values checked against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.config.study import Fidelity
from simulator.counts import Counts
from simulator.datapath import Datapath, TileCosts
from simulator.datapath.edp import EdpRun
from simulator.engine import IdealDram, Timing, run_bound, run_nest
from simulator.errors import ConfigError, ConservationError
from simulator.formats import Encoded, Storage
from simulator.study.cores import CorePlan
from simulator.study.each import can_run_each, costs_of_each, job_of, timed_each
from simulator.study.hardware import Hardware
from simulator.study.judged import Judged, is_judged_alone, judged
from simulator.study.measured import measured
from simulator.study.operands import encode, random_tensors
from simulator.study.plans import KernelPlan, Plan, plan_op, require_registers
from simulator.study.programs import program_hardware, run_program
from simulator.study.quality import Quality, check_values
from simulator.study.storage import storage_of
from simulator.study.systolic import SystolicHardware
from simulator.study.timings import run_tables, scaled, summed
from simulator.study.workloads import TensorSource
from simulator.workload import Op

__all__ = ["OpResult", "count_op", "simulate_op", "timing_of"]

Tensors = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class OpResult:
    """All that is known of one op on one design; cycles, counts and energy cover all its GEMMs.

    Attributes:
        timing: summed over the op's GEMMs, which run one after another.
        values: accumulators (M, N) of each GEMM, with tensors or ``pe_array``; else empty.
        quality: the check of the values; None without them.
        partition: the dimension along which the cores share a GEMM; empty where one core has it whole.
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
    partition: str = ""

    def without_arrays(self) -> OpResult:
        """The same result without values and codes: what a study keeps of an op."""
        return replace(self, timing=replace(self.timing, events=None, cores=()), values=[], operands=[])


def simulate_op(
    hardware: Hardware,
    op: Op,
    tensors: tuple[ArrayLike, ArrayLike] | TensorSource | None = None,
    *,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
    accesses: bool = True,
) -> OpResult:
    """Run one op.

    Args:
        tensors: unquantised operands (count, M, K) and (count, N, K); None if only shapes are known. Of a source they
            are read once for all designs of the same numbers, and neither they nor results are in what is returned.
        fidelity: which engine; ``pe_array`` also takes the values from the array's registers, and draws the tensors
            of one GEMM if only shapes are known.
        seed: for what is drawn when only shapes are known.
        accesses: whether accesses of scratchpads have to be counted, which no cycle and no energy depends on.
    Raises: ConfigError if the design cannot run it; MismatchError or ConservationError if this program is wrong.
    """
    hardware = hardware.for_op(op)
    plan = plan_op(hardware, op)
    if isinstance(tensors, TensorSource) and is_judged_alone(fidelity):
        return _by_source(hardware, op, plan, tensors, fidelity, seed, accesses)
    if isinstance(tensors, TensorSource):
        tensors = tensors.load()
    if fidelity == "pe_array":
        require_registers(hardware, op, plan)
    drawn = random_tensors(op.M, op.N, op.K, seed) if fidelity == "pe_array" and tensors is None else tensors
    operands: list[tuple[Encoded, Encoded]] = []
    values, quality = [], None
    if drawn is not None:
        operands = encode(hardware.design, hardware.datapath, *drawn)
        values = [_values(hardware, *pair, plan, fidelity) for pair in operands]
        quality = check_values(op.name, hardware.datapath, operands, values, drawn[0], drawn[1], _sums(plan))
    known = operands if tensors is not None else None
    timing, counts, tiles = _timed(hardware, op, plan, known, fidelity, seed, accesses)
    _require_all_macs(op, counts)
    storage = storage_of(hardware, op, operands)
    energy = hardware.energy(counts)
    return OpResult(op, tiles, timing, counts, energy, values, operands, quality, storage, plan.dimension)


def _by_source(
    hardware: Hardware, op: Op, plan: Plan, source: TensorSource, fidelity: Fidelity, seed: int, accesses: bool
) -> OpResult:
    """``simulate_op`` of tensors that may have been met before."""
    known = judged(hardware, op, _sums(plan), source)
    each = _each_of(hardware, plan, known, fidelity, accesses)
    if each is None:
        timing, counts, tiles = _timed(hardware, op, plan, known.operands or None, fidelity, seed, accesses)
    else:
        timing, counts, tiles = *each, plan.tiles
    _require_all_macs(op, counts)
    energy = hardware.energy(counts)
    return OpResult(op, tiles, timing, counts, energy, [], [], known.quality, known.storage, plan.dimension)


def _sums(plan: Plan) -> EdpRun | None:
    """How tensor cores add; None on a systolic array."""
    return plan.sums if isinstance(plan, KernelPlan) else None


def _each_of(
    hardware: Hardware, plan: Plan, known: Judged, fidelity: Fidelity, accesses: bool
) -> tuple[Timing, Counts] | None:
    """Cycles and counts of all GEMMs at once; None where these have to be run one by one, or costs know no values."""
    if not known.operands or not can_run_each(hardware, plan, fidelity):
        return None
    assert isinstance(hardware, SystolicHardware), "it can run each"
    assert isinstance(plan, CorePlan), "of a systolic array"
    costs = costs_of_each(hardware, plan, known, accesses=accesses)
    return None if costs is None else timed_each(hardware, costs)


def count_op(
    hardware: Hardware,
    op: Op,
    tensors: tuple[ArrayLike, ArrayLike] | TensorSource | None = None,
    *,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
) -> Counts:
    """What ``simulate_op`` counts, without results; of a source only what counts depend on is looked for."""
    hardware = hardware.for_op(op)
    plan = plan_op(hardware, op)
    if isinstance(tensors, TensorSource):
        known = [*judged(hardware, op, _sums(plan), tensors).operands]
    else:
        known = [] if tensors is None else encode(hardware.design, hardware.datapath, *tensors)
    _, counts, _ = _timed(hardware, op, plan, known or None, fidelity, seed)
    _require_all_macs(op, counts)
    return counts


def _timed(
    hardware: Hardware,
    op: Op,
    plan: Plan,
    operands: Sequence[tuple[Encoded, Encoded]] | None,
    fidelity: Fidelity,
    seed: int,
    accesses: bool = True,
) -> tuple[Timing, Counts, int]:
    """Cycles and counts of all GEMMs of an op, and its tiles; ``operands`` None where only shapes are known."""
    if program := program_hardware(hardware):
        acts = [None] * op.count if operands is None else [act for act, _ in operands]
        runs = [run_program(program, op, act, fidelity) for act in acts]
        return summed([run.timing for run in runs]), reduce(add, (run.counts for run in runs)), runs[0].tiles
    if operands is None and not hardware.datapath.assumed_distribution:
        return *_by_shape(hardware, op, plan, fidelity, accesses), plan.tiles
    _, _, timing, counts = _costs(hardware, op, plan, operands or [(None, None)] * op.count, fidelity, seed)
    return timing, counts, plan.tiles


def _require_all_macs(op: Op, counts: Counts) -> None:
    if counts.macs != op.macs:
        raise ConservationError(f"{op.name}: {counts.macs} MACs were run, the op has {op.macs}")


def timing_of(
    hardware: Hardware,
    op: Op,
    tensors: TensorSource | None = None,
    *,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
) -> tuple[Plan, list[Timing], int]:
    """What the op's first GEMM runs, the timing of each of its phases, and the cycles of all GEMMs.

    Args:
        tensors: of which what time depends on is looked for.
    """
    hardware = hardware.for_op(op)
    if program_hardware(hardware):
        where = hardware.design.where("kernels")
        raise ConfigError(f"{where}: a timeline shows the tiles of one kernel, not those of a list; take kernels out")
    plan = plan_op(hardware, op)
    found = judged(hardware, op, _sums(plan), tensors).operands if tensors is not None else ()
    known: Sequence[tuple[Encoded | None, Encoded | None]] = found or [(None, None)] * op.count
    first, phases, timing, _ = _costs(hardware, op, plan, known, fidelity, seed)
    return first, phases, timing.total_cycles


def _gemm_seed(seed: int, op: Op, index: int) -> int:
    """A seed of its own for each GEMM of each op, whatever else a study runs."""
    return int(np.random.SeedSequence([seed, crc32(op.name.encode()), index]).generate_state(1, np.uint64)[0])


def _added(
    hardware: Hardware, op: Op, plan: Plan, act: Encoded | None, weight: Encoded | None, seed: int
) -> TileCosts | None:
    """What values add to the tiles of one GEMM."""
    if isinstance(plan, KernelPlan):
        return plan.costs_of(act, weight, seed)
    return hardware.datapath.tile_costs(replace(job_of(hardware, plan, seed), act=act, weight=weight))


def _values(hardware: Hardware, act: Encoded, weight: Encoded, plan: Plan, fidelity: Fidelity) -> NDArray[Any]:
    """Results of one GEMM: from the datapath, on tensor cores in their order, or from the registers of its arrays."""
    if isinstance(plan, KernelPlan):
        return hardware.datapath.edp_matmul(act, weight, plan.sums)
    if fidelity != "pe_array":
        return hardware.datapath.matmul(act, weight)
    from simulator.study.registers import run_registers

    return run_registers(plan.hardware, act, weight, plan.tables[0])


def _by_shape(hardware: Hardware, op: Op, plan: Plan, fidelity: Fidelity, accesses: bool) -> tuple[Timing, Counts]:
    """Cycles and counts of all GEMMs of an op whose costs follow from its shape: run once for each."""
    key = op.M, op.N, op.K, op.count, plan.batch, fidelity, accesses
    if key not in hardware.known:
        if _need_no_rows(hardware, fidelity):
            timing, counts = _on_loops(hardware, plan, fidelity, accesses)
        else:
            _, _, timing, counts = _costs(hardware, op, plan, [(None, None)] * plan.batch, fidelity, 0)
        times = op.count // plan.batch
        hardware.known[key] = scaled(replace(timing, events=None, cores=()), times), counts.times(times)
    timing, counts = hardware.known[key]
    return timing, counts


def _need_no_rows(hardware: Hardware, fidelity: Fidelity) -> bool:
    """Whether nothing asks for the tiles one by one: values, events, other cores, places in DRAM or a global buffer."""
    shared = isinstance(hardware, SystolicHardware) and hardware.global_buffer is not None
    alone = hardware.cores == 1 and not shared and isinstance(hardware.dram, IdealDram)
    return alone and fidelity in ("bound", "pipeline") and type(hardware.datapath).tile_costs is Datapath.tile_costs


def _on_loops(hardware: Hardware, plan: Plan, fidelity: Fidelity, accesses: bool) -> tuple[Timing, Counts]:
    """Cycles and counts of one GEMM on one core, in memory that does not grow with its tiles."""
    assert isinstance(hardware.dram, IdealDram), "the loops know of no other"
    if isinstance(plan, CorePlan) and fidelity == "pipeline" and plan.is_measurable:
        return measured(plan.gemms[0], hardware.dram, hardware.datapath, accesses=accesses)
    nest = plan.nest
    timing = run_bound(nest, hardware.dram) if fidelity == "bound" else run_nest(nest, hardware.dram)
    timing = timing.launched(hardware.launch_cycles)
    return timing, plan.counts(timing, [nest])


def _costs(
    hardware: Hardware,
    op: Op,
    plan: Plan,
    operands: Sequence[tuple[Encoded | None, Encoded | None]],
    fidelity: Fidelity,
    seed: int,
) -> tuple[Plan, list[Timing], Timing, Counts]:
    """What an op's first GEMM runs and its phases, cycles and counts of all; one run serves all unless costs depend on
    the data.
    """
    first: tuple[Plan, list[Timing]] | None = None
    timings, counts = [], []
    for index, (act, weight) in enumerate(operands):
        costs = _added(hardware, op, plan, act, weight, _gemm_seed(seed, op, index))
        whole = plan if costs is None else replace(plan, costs=costs)
        phases = [run_tables(hardware, tables, fidelity) for tables in whole.phases]
        first = (whole, phases) if first is None else first
        timings.append(summed(phases))
        counts.append(whole.counts(timings[-1], whole.tables))
        if costs is None:
            times = len(operands) // plan.batch
            return *first, scaled(timings[0], times), counts[0].times(times)
    assert first is not None, "an op has at least one GEMM"
    return *first, summed(timings), reduce(add, counts)
