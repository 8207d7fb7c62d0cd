"""A design with tensor cores made ready to run: rates, latencies and sizes at one precision, each checked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf
from typing import Any, Self

from simulator import units
from simulator.config.cost import CostLibrary
from simulator.config.tensor_core import BITS, TensorCoreArray, TensorCoreDesign
from simulator.cost import Bill, make_gpu_bill, price_dram
from simulator.datapath import Datapath
from simulator.engine import NO_MEMORY_LIMIT, IdealDram, nest_cycles
from simulator.errors import ConfigError, CostError, MappingError
from simulator.mapping import OperandBits
from simulator.mapping.cuda_cores import CudaCores
from simulator.mapping.tensor_core import GpuPlan, Machine, Tilings, best_plan
from simulator.mapping.vector import VECTOR_ACTIONS
from simulator.study.drams import make_dram
from simulator.study.edp import edp_orders
from simulator.study.hardware import Hardware, make_datapath, with_layers
from simulator.study.libraries import gpu_library_of
from simulator.workload import Op

__all__ = ["GpuHardware", "build_gpu", "cuda_cores_of", "is_batched", "multipliers", "plan_gpu"]


@dataclass(frozen=True, kw_only=True)
class GpuHardware(Hardware):
    """A design with tensor cores.

    Attributes:
        machine: what a kernel runs on, at this precision; ``tilings``: the kernels that are tried.
    """

    design: TensorCoreDesign
    machine: Machine
    tilings: Tilings

    @property
    def macs_per_cycle(self) -> float:
        """Of all tensor cores."""
        return float(self.machine.sms * self.machine.macs_per_cycle)

    @property
    def cores(self) -> int:
        """All multiprocessors work on one table of tiles."""
        return 1

    @property
    def dataflow(self) -> str:
        """None."""
        return ""

    @property
    def area(self) -> dict[str, float]:
        """The whole die and what the datapath adds to it; empty where the die is not known, so that what is added is
        not taken for a whole.
        """
        die_mm2 = self.design.die_mm2
        return {"die": die_mm2 * 1e6} | super().area if die_mm2 else {}

    def repriced(self, change: Callable[[CostLibrary], CostLibrary]) -> Self:
        """The same hardware under changed prices. Raises: ConfigError."""
        bill = replace(_priced(self.design, self.datapath, change(self.bill.library)), scaling=self.bill.scaling)
        layers = tuple((pattern, layer.repriced(change)) for pattern, layer in self.layers)
        return replace(self, bill=bill, layers=layers)

    def mapping_util(self, op: Op) -> float:
        """Useful multiply-accumulates over what all tensor cores could do while the busiest ones are issued to."""
        hardware = self.for_op(op)
        plan = plan_gpu(hardware, op)
        return plan.op.macs / (hardware.macs_per_cycle * plan.nest.total("issue_cycles"))


def build_gpu(design: TensorCoreDesign) -> GpuHardware:
    """Resolve a design's datapath. Raises: ConfigError, one line with file, line and field."""
    return with_layers(design, lambda options, path: _build(design, options, path))


def _build(design: TensorCoreDesign, options: dict[str, Any], path: tuple[str | int, ...]) -> GpuHardware:
    datapath = make_datapath(design, options, path)
    width = _edp_bits(design, datapath)
    answered = type(datapath).kernel_costs is not Datapath.kernel_costs or design.kernels is not None
    if type(datapath).tile_costs is not Datapath.tile_costs and not answered:
        raise ConfigError(
            f"{design.where('datapath', 'name')}: what '{datapath.name}' takes on tensor cores is what software runs "
            "there; name its kernels (docs/gpu_programs.md)"
        )
    bits = OperandBits(
        datapath.width("act"), datapath.width("weight"), datapath.accumulation.bits, design.memory.output_bits
    )
    dram = make_dram(design)
    assert isinstance(dram, IdealDram), "the record of a GPU's memory knows no other"
    limited = design.memory.dram.model != "none"
    return GpuHardware(
        design=design,
        datapath=datapath,
        bits=bits,
        dram=dram if limited else NO_MEMORY_LIMIT,
        launch_cycles=units.ns_to_cycles(design.launch_us * 1e3, design.clock_mhz),
        bill=_bill(design, datapath),
        machine=_machine(design, width, dram, limited),
        tilings=_tilings(design, width),
    )


def _bill(design: TensorCoreDesign, datapath: Datapath) -> Bill:
    """Prices of what the design does. Raises: ConfigError naming what has none."""
    try:
        library, scaling = gpu_library_of(design, design.cost)
    except CostError as error:
        raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None
    return replace(_priced(design, datapath, library), scaling=scaling)


def _priced(design: TensorCoreDesign, datapath: Datapath, library: CostLibrary) -> Bill:
    standard, parts = design.memory.dram.standard, datapath.edp_parts(multipliers(design.array))
    try:
        dram = price_dram(library, standard)
        bill = make_gpu_bill(library, parts, _actions(datapath), design.array.sms, design.clock_mhz, dram)
    except CostError as error:
        raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None
    return replace(bill, dram_standard=standard or "")


def _actions(datapath: Datapath) -> list[str]:
    """Every action that a run on tensor cores can count."""
    own = {*datapath.edp_actions_per_mac(), *datapath.actions_per_output(), *datapath.data_dependent_actions()}
    return sorted(own | set(VECTOR_ACTIONS.values()))


def multipliers(array: TensorCoreArray) -> dict[int, int]:
    """Width of operands -> products of all tensor cores in a cycle, for each width that they have."""
    units = array.sms * array.sub_cores * array.tensor_cores * array.edp_units
    widths = {bits: getattr(array.edp_width, f"bits_{bits}") for bits in BITS}
    return {bits: units * width for bits, width in widths.items() if width}


def _edp_bits(design: TensorCoreDesign, datapath: Datapath) -> int:
    """Operand width of the dot-product units that run a datapath: its own, or the next wider one that there is.

    Raises: ConfigError if it does not run on tensor cores, or these have no units that it needs.
    """
    orders = edp_orders(design.array)
    refusal = datapath.why_no_edp(orders)
    unit = datapath.edp_unit(orders)
    if refusal or unit is None:
        raise ConfigError(
            f"{design.where('datapath', 'name')}: '{datapath.name}' cannot run on '{design.name}'; {refusal}"
        )
    return unit


def _machine(design: TensorCoreDesign, width: int, dram: IdealDram, limited: bool) -> Machine:
    """Its rates at one width of operands; without memory limits, DRAM, L2 and shared memory are as fast as need be."""
    array, memory = design.array, design.memory
    l2, shared = memory.l2, memory.shared_memory
    units_of_sub_core = array.tensor_cores * array.edp_units
    edp_width = getattr(array.edp_width, f"bits_{width}")
    return Machine(
        sms=array.sms,
        sub_cores=array.sub_cores,
        macs_per_cycle=array.sub_cores * units_of_sub_core * edp_width,
        mma=getattr(array.mma, f"bits_{width}"),
        mma_warps=array.mma_warps,
        mma_latency=array.mma_latency_cycles,
        barrier=array.barrier_cycles,
        registers=array.registers_kib * 256,
        thread_registers=array.thread_registers,
        setup_registers=design.tiling.setup_registers,
        max_warps=array.max_warps,
        max_blocks=array.max_blocks,
        block_warps=array.block_warps,
        shared_bytes=int(shared.capacity_kib * 1024),
        block_bytes=int(shared.block_kib * 1024),
        reserved_bytes=int(shared.reserved_kib * 1024),
        shared_rate=shared.bytes_per_cycle if limited else inf,
        shared_latency=shared.latency_cycles,
        l2_bytes=int(l2.usable_kib * 1024) if l2.usable_kib else int(l2.capacity_kib * 1024),
        l2_rate=l2.bytes_per_cycle if limited else inf,
        l2_port=l2.sm_bytes_per_cycle if limited else inf,
        l2_latency=l2.latency_cycles,
        warm=l2.warm,
        dram_rate=float(dram.bytes_per_cycle) if limited else inf,
        cluster=design.tiling.cluster,
        lanes=design.cuda_cores.fp32_lanes,
        reduce_launch=units.ns_to_cycles(design.tiling.reduce_launch_us * 1e3, design.clock_mhz),
    )


def cuda_cores_of(hardware: GpuHardware) -> CudaCores:
    """What kernels that are no matrix product run on."""
    machine = hardware.machine
    return CudaCores(
        machine.sms,
        machine.lanes,
        hardware.design.cuda_cores.special_cycles,
        32 * machine.max_warps,
        machine.l2_rate,
        machine.l2_latency,
    )


def _tilings(design: TensorCoreDesign, width: int) -> Tilings:
    how = design.tiling
    tiles = tuple((m, n) for m, n in how.tiles)
    return Tilings(
        tiles, tuple(how.k_bytes), tuple(how.stages), width,
        how.async_copy, how.persistent, how.m, how.n, how.k, how.split_k, how.stream_k,
    )  # fmt: skip


def is_batched(hardware: GpuHardware, op: Op) -> bool:
    """Whether one kernel runs all GEMMs of an op: heads of attention and groups of a convolution, as cuBLAS' strided
    batches and cuDNN do; those whose loads depend on values run one by one.
    """
    by_shape = type(hardware.datapath).kernel_costs is Datapath.kernel_costs
    return op.kind in ("bmm", "conv") and op.count > 1 and by_shape


def plan_gpu(hardware: GpuHardware, op: Op) -> GpuPlan:
    """The kernel that runs one of the op's GEMMs, or all of them. Raises: ConfigError if an SM can hold none."""
    dram = hardware.search_dram
    shape = Op("any", op.M, op.N, op.K, op.count if is_batched(hardware, op) else 1)
    try:
        return _best(shape, hardware.machine, hardware.bits, hardware.tilings, dram)
    except MappingError as error:
        where = hardware.design.where(*error.field)
        raise ConfigError(f"{where}: {error} (op '{op.name}', {op.M} x {op.N} x {op.K})") from None


@lru_cache(maxsize=4096)
def _best(shape: Op, machine: Machine, bits: OperandBits, tilings: Tilings, dram: IdealDram) -> GpuPlan:
    return best_plan(
        shape,
        machine,
        bits,
        tilings,
        lambda nest: nest_cycles(nest, dram),
        dram.bytes_per_cycle,
        dram.latency_cycles,
    )
