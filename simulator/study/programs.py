"""A layer on a GPU as software runs it: a host program that launches kernels around and beside its product.

Each kernel's time is that of its own tiles on the engine that was asked for; the queue between host and GPU says when
they run. What of a repetition is spent in no kernel is ``stall_launch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

from simulator.config import Design, load_kernels, named_at
from simulator.config.design import DatapathSpec
from simulator.config.kernels import Host, Kernel, KernelList, Product
from simulator.config.study import Fidelity
from simulator.config.tensor_core import TensorCoreDesign
from simulator.counts import Counts
from simulator.engine import IdealDram, Timing, run_bound, run_nest
from simulator.engine.queue import Asked, HostTimes, run_queue
from simulator.errors import ConfigError
from simulator.formats import Encoded
from simulator.mapping.cuda_cores import KernelWork, count_kernel, kernel_table
from simulator.mapping.kernel_list import kernel_works, size_of, sizes_of
from simulator.mapping.vector import VECTOR_ACTIONS
from simulator.study.gpu import GpuHardware, build_gpu, cuda_cores_of
from simulator.study.hardware import Hardware
from simulator.study.plans import KernelPlan, plan_op
from simulator.study.timings import NOTHING, run_tables, summed
from simulator.workload import Op

__all__ = ["ProgramRun", "host_times", "kernel_list", "program_hardware", "run_program"]


@dataclass(frozen=True)
class ProgramRun:
    """One repetition of a layer's program.

    Attributes:
        tiles: of all its kernels.
    """

    timing: Timing
    counts: Counts
    tiles: int


def program_hardware(hardware: Hardware) -> GpuHardware | None:
    """The hardware, if its design has a list of kernels in place of each product."""
    return hardware if isinstance(hardware, GpuHardware) and hardware.design.kernels else None


def host_times(host: Host, clock_mhz: float) -> HostTimes:
    """A host's times in cycles of the GPU's clock, rounded to the nearest."""
    each = (host.operation_us, host.launch_us, host.gap_us, host.wait_us)
    return HostTimes(*(round(us * clock_mhz) for us in each))


def run_program(hardware: GpuHardware, op: Op, act: Encoded | None, fidelity: Fidelity) -> ProgramRun:
    """One of the op's GEMMs as the design's kernels run it.

    Args:
        act: the activations, whose outlier columns decide what runs; None if only shapes are known.
    Raises: ConfigError for a list that does not exist or a product that the design cannot run.
    """
    outliers = hardware.datapath.outlier_columns(op.K, act)
    key = "program", op.M, op.N, op.K, outliers, fidelity
    if key not in hardware.known:
        hardware.known[key] = _run(hardware, op, outliers, fidelity)
    found: ProgramRun = hardware.known[key]
    return found


def _run(hardware: GpuHardware, op: Op, outliers: int, fidelity: Fidelity) -> ProgramRun:
    sizes = sizes_of(op.M, op.N, op.K, outliers)
    kernels = [kernel for kernel in _kernels(hardware).kernels if outliers or not kernel.needs_outliers]
    works = kernel_works(kernels, sizes, hardware.machine.l2_bytes)
    each = [_kernel(hardware, *of, sizes, fidelity) for of in zip(kernels, works, strict=True)]
    ran = [run for run, kernel in zip(each, kernels, strict=True) for _ in range(kernel.launches)]
    timing = _queued(hardware, kernels, [run.timing for run in each], summed([run.timing for run in ran]))
    counts = reduce(add, (run.counts for run in ran))
    counts = replace(counts, macs=op.M * op.N * op.K, cycles=timing.total_cycles)
    return ProgramRun(timing, counts, sum(run.tiles for run in ran))


def _kernel(
    hardware: GpuHardware, kernel: Kernel, work: KernelWork, sizes: dict[str, int], fidelity: Fidelity
) -> ProgramRun:
    if kernel.product:
        return _product(hardware, kernel, kernel.product, work, sizes, fidelity)
    return _streams(hardware, kernel, work, fidelity)


def kernel_list(design: Design) -> KernelList | None:
    """What runs in place of each product, if the design names a list.

    Raises: ConfigError for a list that does not exist, is wrong, or gives other values than the design's datapath.
    """
    if not isinstance(design, TensorCoreDesign) or design.kernels is None:
        return None
    label, _ = design._source.origin(("kernels",)) if design._source else ("", None)
    with named_at(design.where("kernels")):
        listed = load_kernels(design.kernels, near=Path(label).parent)
    own = design.datapath.name
    if listed.gives != own:
        raise ConfigError(
            f"{design.where('kernels')}: '{listed.name}' runs {listed.gives}, the design has {own}; name a list "
            "for that, or say in the list's key 'datapath' that it gives its values"
        )
    return listed


def _kernels(hardware: GpuHardware) -> KernelList:
    """The list of a hardware that has one, read once."""
    key = ("kernels",)
    if key not in hardware.known:
        hardware.known[key] = kernel_list(hardware.design)
    found: KernelList = hardware.known[key]
    return found


def _queued(hardware: GpuHardware, kernels: Sequence[Kernel], each: Sequence[Timing], busy: Timing) -> Timing:
    """The time of all kernels with that of launching them: behind a host's queue, or one by one."""
    host = hardware.design.host
    if host is None:
        return busy.launched(hardware.launch_cycles * sum(kernel.launches for kernel in kernels))
    steps = [
        Asked((timing.total_cycles,) * kernel.launches, kernel.operations, kernel.waits)
        for kernel, timing in zip(kernels, each, strict=True)
    ]
    period = run_queue(steps, host_times(host, hardware.design.clock_mhz))
    return busy.launched(period - busy.total_cycles)


def _streams(hardware: GpuHardware, kernel: Kernel, work: KernelWork, fidelity: Fidelity) -> ProgramRun:
    """A kernel on the CUDA cores; nothing where it launches none."""
    if not kernel.launches:
        return ProgramRun(NOTHING, Counts(0, 0), 0)
    table = kernel_table(work, cuda_cores_of(hardware))
    timing = run_tables(replace(hardware, launch_cycles=0), [table], fidelity)
    actions = {VECTOR_ACTIONS["add"]: kernel.adds, VECTOR_ACTIONS["mul"]: kernel.muls}
    actions[VECTOR_ACTIONS["special"]] = kernel.specials
    done = {action: float(n * work.values) for action, n in actions.items() if n}
    counts = count_kernel(work, table, hardware.dram.burst_bytes, done)
    active = hardware.machine.sms * timing.total_cycles  # all share the work evenly
    return ProgramRun(timing, replace(counts, active_sm_cycles=active), len(table))


def _product(
    hardware: GpuHardware,
    kernel: Kernel,
    product: Product,
    work: KernelWork,
    sizes: dict[str, int],
    fidelity: Fidelity,
) -> ProgramRun:
    """A product on the tensor cores, its operands in the L2 only where the kernels before left them there."""
    m, n, k = (size_of(size, sizes) for size in (product.m, product.n, product.k))
    op = Op(kernel.name, m, n, k)
    try:
        own = _product_hardware(hardware, product, kernel.writes[0].bits, warm=work.read_bytes == 0)
    except ConfigError as error:
        where = hardware.design.where("kernels")
        raise ConfigError(f"{where}: kernel '{kernel.name}': {error}") from None
    _require_same_rate(hardware, own, kernel.name)
    plan = plan_op(own, op)
    assert isinstance(plan, KernelPlan), "a design with tensor cores has plans of kernels"
    assert isinstance(own.dram, IdealDram), "the record of a GPU's memory knows no other"
    if fidelity == "event":
        timing = run_tables(own, plan.tables, fidelity)
    else:
        timing = run_bound(plan.nest, own.dram) if fidelity == "bound" else run_nest(plan.nest, own.dram)
    return ProgramRun(timing, plan.counts(timing, [plan.nest]), plan.tiles)


def _require_same_rate(hardware: GpuHardware, product: GpuHardware, kernel: str) -> None:
    """A list's product in the design's own datapath has its widths too. Raises: ConfigError."""
    name, rates = hardware.datapath.name, (product.macs_per_cycle, hardware.macs_per_cycle)
    if product.datapath.name == name and rates[0] != rates[1]:
        raise ConfigError(
            f"{hardware.design.where('kernels')}: kernel '{kernel}' multiplies {rates[0]:g} values per cycle, the "
            f"design's {name} {rates[1]:g}; set the product's options to the design's widths"
        )


def _product_hardware(hardware: GpuHardware, product: Product, result_bits: int, *, warm: bool) -> GpuHardware:
    """The design as it is for one of its list's products, which nobody waits for."""
    key = "product", product.datapath, tuple(sorted(product.options.items())), result_bits, warm
    if key not in hardware.known:
        design = hardware.design
        l2 = design.memory.l2.model_copy(update={"warm": warm})
        changes = {
            "datapath": DatapathSpec(name=product.datapath, **product.options),
            "memory": design.memory.model_copy(update={"output_bits": result_bits, "l2": l2}),
            "launch_us": 0.0,
            "layers": [],
            "kernels": None,
            "host": None,
        }
        hardware.known[key] = build_gpu(design.model_copy(update=changes))
    found: GpuHardware = hardware.known[key]
    return found
