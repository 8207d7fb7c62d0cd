"""Passes of the vector unit on one design: which widths, whether at all, fused or not; and the walk over all steps.

A workload says where a pass is, the design what it takes:

- ``quantise`` writes the width that its GEMM's datapath reads. Its scale is found at run time where every row or block
  has its own (granularity ``token`` or ``channel``, block formats); one per tensor is known beforehand.
- Where a datapath reads what results already are (FP16 operands, 16-bit results), ``quantise`` and ``dequantise`` are
  nothing.
- All else reads and writes results, of ``memory.output_bits``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Literal, cast

from numpy.typing import ArrayLike

from simulator.config.study import Fidelity
from simulator.config.tensor_core import TensorCoreDesign
from simulator.counts import Counts
from simulator.datapath import Width
from simulator.engine import IdealDram, Timing
from simulator.errors import ConfigError, MappingError, WorkloadError
from simulator.formats.blocks import BlockFormat
from simulator.mapping.fused import count_fused, fused_nest, waiting_cycles
from simulator.mapping.vector import Lanes, VectorJob, count_pass, vector_cycles, whole_table
from simulator.study.cores import plan_cores
from simulator.study.gpu import GpuHardware, is_batched
from simulator.study.gpu_passes import time_gpu_pass
from simulator.study.hardware import Hardware
from simulator.study.likeness import likeness
from simulator.study.pass_loops import Cut, PassRun, can_loop, fused_on_loops, on_loops, pass_nest
from simulator.study.plans import plan_op
from simulator.study.programs import program_hardware
from simulator.study.simulate import OpResult, simulate_op
from simulator.study.systolic import SystolicHardware
from simulator.study.timings import NOTHING, run_tables, scaled
from simulator.study.workloads import TensorSource
from simulator.tiles import TileTable
from simulator.workload import Op, Pass, Work, work_of

__all__ = [
    "PassResult",
    "Step",
    "plan_step",
    "repeated_at_once",
    "run_pass",
    "simulate_pass",
    "simulate_step",
    "time_pass",
    "waiting_of",
]

Step = Op | Pass
Side = Literal["act", "weight"]

_RESULT_FORMATS = {16: "fp16", 32: "fp32"}
"""What results of so many bits are; narrower ones are codes of some scale."""
_MOST_VALUES = 1 << 40
_MOST_ALONG = 1 << 26


@dataclass(frozen=True)
class PassResult:
    """All that is known of one pass on one design; cycles, counts and energy cover all ``count`` of it."""

    op: Pass
    tiles: int
    timing: Timing
    counts: Counts
    energy: dict[str, float]


def simulate_step(
    hardware: Hardware,
    steps: Sequence[Step],
    index: int,
    tensors: tuple[ArrayLike, ArrayLike] | TensorSource | None = None,
    *,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
    accesses: bool = True,
) -> OpResult | PassResult:
    """One step of a workload: an op as ``simulate_op`` runs it, or a pass."""
    step = steps[index]
    if isinstance(step, Op):
        return simulate_op(hardware, step, tensors, fidelity=fidelity, seed=seed, accesses=accesses)
    return simulate_pass(hardware, steps, index, fidelity=fidelity)


def plan_step(hardware: Hardware, steps: Sequence[Step], index: int) -> None:
    """Refuse a step that cannot run. Raises: as ``plan_cores`` and ``time_pass``."""
    step = steps[index]
    if isinstance(step, Op):
        plan_op(hardware, step)
    else:
        time_pass(hardware, steps, index, "bound")


def simulate_pass(
    hardware: Hardware, steps: Sequence[Step], index: int, *, fidelity: Fidelity = "pipeline"
) -> PassResult:
    """Run one pass. Raises: as ``time_pass``."""
    step = cast(Pass, steps[index])
    if not isinstance(hardware, SystolicHardware) or hardware.layers:
        return _simulated(hardware, steps, index, fidelity)
    key = "alike", likeness(steps)[index], fidelity
    if key not in hardware.known:
        hardware.known[key] = _simulated(hardware, steps, index, fidelity)
    found: PassResult = hardware.known[key]
    return PassResult(step, found.tiles, found.timing, found.counts, found.energy)


def _simulated(hardware: Hardware, steps: Sequence[Step], index: int, fidelity: Fidelity) -> PassResult:
    step = cast(Pass, steps[index])
    run = run_pass(hardware, steps, index, fidelity)
    times = step.count // repeated_at_once(hardware, steps, index)
    key = "pass", id(run), times  # a run that is met again is the same object, and held with what was made of it
    if key not in hardware.known:
        counts = run.counts.times(times)
        hardware.known[key] = run, scaled(run.timing, times), counts, hardware.energy(counts)
    _, timing, counts, energy = hardware.known[key]
    return PassResult(step, run.tiles, timing, counts, energy)


def waiting_of(hardware: SystolicHardware, steps: Sequence[Step], index: int) -> int | None:
    """Cycles that one repetition of a fused pass adds to what it is fused with; None for any other pass."""
    step = cast(Pass, steps[index])
    special = hardware.named(step.gemm)
    if _is_nothing(special, step) or not _is_fused(special, step):
        return None
    behind = _behind(hardware, steps, index)
    return _fused_cycles(hardware, step, *behind) if behind else None


def run_pass(
    hardware: Hardware, steps: Sequence[Step], index: int, fidelity: Fidelity, waiting: int | None = None
) -> PassRun:
    """As ``time_pass``, without tables where loops say as much; a fused pass waits so long, if that is known."""
    step = cast(Pass, steps[index])
    special = hardware.named(step.gemm)
    if not isinstance(special, SystolicHardware) or not can_loop(special, fidelity) or _is_nothing(special, step):
        tables, timing, counts = time_pass(hardware, steps, index, fidelity)
        return PassRun(sum(map(len, tables)), timing, counts)
    assert isinstance(hardware, SystolicHardware), "layers have the design's kind of array"
    assert isinstance(special.dram, IdealDram), "the loops know of no other"
    _require_feasible(step)
    (job,), how = _jobs(special, step), (special.dram, special.memories, fidelity)
    behind = _behind(hardware, steps, index) if _is_fused(special, step) else None
    if behind:
        cycles = _fused_cycles(hardware, step, *behind) if waiting is None else waiting
        return fused_on_loops(job, cycles, *how)
    with _naming(special, step):
        return on_loops(job, _cut(special, 1), *how)


def time_pass(
    hardware: Hardware, steps: Sequence[Step], index: int, fidelity: Fidelity
) -> tuple[tuple[TileTable, ...], Timing, Counts]:
    """Tiles of a pass, a table per core that has work, and the cycles and counts of doing it once (or as often as one
    kernel does it, ``repeated_at_once``); no table where it is nothing.

    Raises: ConfigError naming the field of a scratchpad that is too small; WorkloadError for a pass that is too large.
    """
    step = cast(Pass, steps[index])
    _require_feasible(step)
    special = hardware.named(step.gemm)
    if _is_nothing(special, step):
        return (), NOTHING, Counts(0, 0, dram_activates=0)
    behind = _behind(hardware, steps, index) if _is_fused(special, step) else None
    if isinstance(special, GpuHardware):
        job = _repeated(_job(special, step), repeated_at_once(hardware, steps, index))
        return time_gpu_pass(special, job, fidelity, fused=behind is not None)
    assert isinstance(hardware, SystolicHardware), "a design has one of the kinds of array"
    assert isinstance(special, SystolicHardware), "and so have its layers"
    jobs = _jobs(special, step)
    if behind:
        waiting = _fused_cycles(hardware, step, *behind)
        tables = tuple(TileTable(fused_nest(job, waiting).rows, 0, 0, 0, 0) for job in jobs)
    else:
        with _naming(special, step):
            nests = [pass_nest(job, _cut(special, len(jobs))) for job in jobs]
        tables = tuple(whole_table(job, _lanes(special), nest) for job, nest in zip(jobs, nests, strict=True))
    timing = run_tables(special, tables, fidelity)
    count = count_fused if behind else count_pass
    done = [count(job, table, special.memories) for job, table in zip(jobs, tables, strict=True)]
    rows = timing.dram.get("activates")
    counts = replace(reduce(add, done), cycles=timing.total_cycles, dram_activates=rows)
    return tables, timing, counts


def repeated_at_once(hardware: Hardware, steps: Sequence[Step], index: int) -> int:
    """How often one kernel does a pass: as often as its product runs in one kernel, else once."""
    step = cast(Pass, steps[index])
    special = hardware.named(step.gemm)
    if not isinstance(special, GpuHardware):
        return 1
    product = next((op for op in steps if isinstance(op, Op) and op.name == step.gemm), None)
    batched = product is not None and product.count == step.count and is_batched(special, product)
    return step.count if batched else 1


def _repeated(job: VectorJob, times: int) -> VectorJob:
    """All repetitions of a pass in one: further rows; further columns if these have parameters (groups have their own)
    and no row is reduced.
    """
    if job.work.parameters and not job.work.reductions:
        return replace(job, cols=job.cols * times)
    return replace(job, rows=job.rows * times)


def _require_feasible(step: Pass) -> None:
    for field in ("rows", "cols"):
        if getattr(step, field) > _MOST_ALONG:
            raise WorkloadError(
                f"pass '{step.name}': {field} must be at most {_MOST_ALONG}, got {getattr(step, field)}"
            )
    values = step.rows * step.cols * step.count
    if values > _MOST_VALUES:
        raise WorkloadError(f"pass '{step.name}': {values} values; at most {_MOST_VALUES} are simulated; split it")


def _is_nothing(hardware: Hardware, step: Pass) -> bool:
    """Whether the operand is, as it lies in DRAM, what the result already was, or a list of kernels makes it so."""
    if program_hardware(hardware) and step.kind in ("quantise", "dequantise"):
        return True
    result = _RESULT_FORMATS.get(hardware.bits.output)
    side = cast(Side, step.operand)
    return step.kind in ("quantise", "dequantise") and hardware.datapath.stored_format(side) == result


def _is_fused(hardware: Hardware, step: Pass) -> bool:
    """Raises: ConfigError for a pass that needs all of a row before it can begin."""
    design = hardware.design
    unit = "cuda_cores" if isinstance(design, TensorCoreDesign) else "vector_unit"
    if step.kind not in getattr(design, unit).fused:
        return False
    if _work(hardware, step).reductions:
        where = design.where(unit, "fused")
        raise ConfigError(
            f"{where}: '{step.kind}' cannot be fused in '{hardware.design.name}' (pass '{step.name}'): its scale is "
            "found from a whole row or block of values; take it out, or give the operand one scale per tensor"
        )
    return True


def _work(hardware: Hardware, step: Pass) -> Work:
    """Operations of a pass; a scale per row or block is found at run time."""
    if step.kind != "quantise":
        return work_of(step)
    datapath, how = hardware.datapath, hardware.design.quantisation
    encoding = datapath.act_format if step.operand == "act" else datapath.weight_format
    if isinstance(encoding, BlockFormat):
        return work_of(step, encoding.values_per_group)
    granularity = how.activations.granularity if step.operand == "act" else how.weights.granularity
    return work_of(step, None if granularity == "tensor" else 0)


def _jobs(hardware: SystolicHardware, step: Pass) -> list[VectorJob]:
    """Near-equal shares of the rows, one for each core that gets any; the first has most."""
    whole, cores = _job(hardware, step), hardware.design.cores.count
    shares = (step.rows // cores + (core < step.rows % cores) for core in range(cores))
    return [replace(whole, rows=share) for share in shares if share]


def _job(hardware: Hardware, step: Pass) -> VectorJob:
    result = Width.plain(hardware.bits.output)
    written = result
    if step.kind == "quantise":
        written = hardware.bits.act if step.operand == "act" else hardware.bits.weight
    return VectorJob(step.rows, step.cols, _work(hardware, step), result, written)


def _lanes(hardware: SystolicHardware) -> Lanes:
    unit = hardware.design.vector_unit
    return Lanes(unit.lanes, unit.special_cycles)


def _cut(hardware: SystolicHardware, sharing: int) -> Cut:
    """How passes are cut on a core that shares DRAM with others."""
    dram = replace(hardware.search_dram, bytes_per_cycle=hardware.search_dram.bytes_per_cycle / sharing)
    return Cut(_lanes(hardware), hardware.limits, hardware.depths, dram)


@contextmanager
def _naming(hardware: SystolicHardware, step: Pass) -> Iterator[None]:
    """Inside, a scratchpad that is too small is a complaint about its line."""
    try:
        yield
    except MappingError as error:
        shape = f"{step.kind} '{step.name}', {step.rows} x {step.cols}"
        raise ConfigError(f"{hardware.design.where(*error.field)}: {error} ({shape})") from None


def _behind(hardware: Hardware, steps: Sequence[Step], index: int) -> tuple[Step, list[Pass]] | None:
    """The GEMM or unfused pass whose results a fused pass works on, and the fused passes between: all as often as the
    pass. None where there is none such, so that its values are in DRAM.
    """
    between: list[Pass] = []
    for earlier in reversed(steps[:index]):
        if earlier.count != steps[index].count:
            return None
        if isinstance(earlier, Op):
            return earlier, between
        special = hardware.named(earlier.gemm)
        if _is_nothing(special, earlier):
            continue
        if not _is_fused(special, earlier):
            return earlier, between
        between.append(earlier)
    return None


def _fused_cycles(hardware: SystolicHardware, step: Pass, source: Step, between: Sequence[Pass]) -> int:
    """Cycles that one repetition of a fused pass adds to its GEMM, those of the passes between deducted.

    Behind a pass, or where partial sums are added first, the vector unit is busy already: all of its cycles show. Of
    several cores, the first has most of the GEMM and of the pass.
    """
    own, before = _all_cycles(hardware, step), sum(_all_cycles(hardware, earlier) for earlier in between)
    if not isinstance(source, Op):
        return own
    array, part = hardware.for_op(source).array, source
    if hardware.cores > 1:
        plan = plan_cores(hardware, source)
        if plan.reduction:
            return own
        part = plan.parts[0].op
    return waiting_cycles(part, array, before + own) - waiting_cycles(part, array, before)


def _all_cycles(hardware: SystolicHardware, step: Pass) -> int:
    """Vector cycles of one repetition on the first core, whatever they hide behind."""
    special = hardware.named(step.gemm)
    job = _jobs(special, step)[0]
    return vector_cycles(job, _lanes(special), job.rows, job.cols)
