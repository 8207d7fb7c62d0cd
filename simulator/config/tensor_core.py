"""A design of streaming multiprocessors with tensor cores: what of it differs from a systolic array."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from simulator.config.design import Design, Dram
from simulator.config.edp import EdpSumsByWidth
from simulator.config.kernels import Host
from simulator.config.load import FieldError
from simulator.config.pass_kinds import FusibleKind
from simulator.config.record import Record

__all__ = [
    "BITS",
    "CudaCores",
    "GpuMemory",
    "GpuTiling",
    "L2Cache",
    "SharedMemory",
    "TensorCoreArray",
    "TensorCoreDesign",
]

BITS = (16, 8, 4)
"""Widths of operands that a tensor core may have a mode for, the widest first."""
Count = Annotated[int, Field(gt=0, le=65536)]
Cycles = Annotated[int, Field(ge=0, le=1 << 20)]
Rate = Annotated[float, Field(ge=1e-3, le=1e6)]
Side = Annotated[int, Field(ge=8, le=1024)]
MmaShape = tuple[Side, Side, Side]


class EdpWidth(Record):
    """Products that one dot-product unit takes per cycle, by the width of their operands; null: it has no such mode."""

    bits_16: Count | None = None
    bits_8: Count | None = None
    bits_4: Count | None = None


class MmaShapes(Record):
    """M, N and K of one matrix instruction, by the width of its operands."""

    bits_16: MmaShape = (16, 8, 16)
    bits_8: MmaShape = (16, 8, 32)
    bits_4: MmaShape = (16, 8, 64)


class TensorCoreArray(Record):
    """Streaming multiprocessors (SMs), each of equal sub-cores with a warp scheduler and tensor cores of their own.

    ``tensor_cores``: of one sub-core. ``edp_units``: dot-product units (FEDP, 8EDP, 16EDP) of one tensor core.
    ``edp_sums``: how these add, for each width that there are units for.
    ``mma_warps``: warps that issue one matrix instruction together: 1, or 4 for those of a warpgroup, whose operands
    come from shared memory once for all of them. ``mma_latency_cycles``: until the next one may add to its sums.
    ``barrier_cycles``: of a block's warps for each other. ``registers_kib``, ``max_warps``, ``max_blocks``: of one SM.
    ``thread_registers``: at most, of 32 bits. ``block_warps``: most warps of a block.
    """

    kind: Literal["tensor_core"]
    sms: Count
    sub_cores: Count = 4
    tensor_cores: Count
    edp_units: Count
    edp_width: EdpWidth
    edp_sums: EdpSumsByWidth
    mma: MmaShapes = MmaShapes()
    mma_warps: Literal[1, 4] = 1
    mma_latency_cycles: Cycles
    barrier_cycles: Cycles
    registers_kib: Count
    thread_registers: Count = 255
    max_warps: Count
    max_blocks: Count
    block_warps: Count = 32

    @model_validator(mode="after")
    def _every_width_adds(self) -> TensorCoreArray:
        for bits in BITS:
            field = f"bits_{bits}"
            there, said = (getattr(x, field) is not None for x in (self.edp_width, self.edp_sums))
            if there != said:
                other = "edp_width" if there else "edp_sums"
                missing = "edp_sums" if there else "edp_width"
                raise FieldError((missing, field), f"missing; {other}.{field} says that there are such units")
        return self


class L2Cache(Record):
    """The cache between DRAM and all SMs.

    ``usable_kib``: of data that all SMs read, what it holds before it loses some; null: all. ``bytes_per_cycle``: of
    all SMs together, ``sm_bytes_per_cycle`` of one. ``latency_cycles``: from asking until a hit is there. ``warm``: a
    GEMM finds in it what fits of its operands, as when it is measured again and again.
    """

    capacity_kib: Annotated[float, Field(gt=0, le=1e9)]
    usable_kib: Annotated[float, Field(gt=0, le=1e9)] | None = None
    bytes_per_cycle: Rate
    sm_bytes_per_cycle: Rate
    latency_cycles: Cycles
    warm: bool = False

    @model_validator(mode="after")
    def _no_more_than_all_is_usable(self) -> L2Cache:
        if self.usable_kib is not None and self.usable_kib > self.capacity_kib:
            message = f"{self.usable_kib:g} KiB are more than capacity_kib, {self.capacity_kib:g}"
            raise FieldError(("usable_kib",), message)
        return self


class SharedMemory(Record):
    """The scratchpad of an SM. ``block_kib``: at most, of one block; ``reserved_kib``: of each block, by the system."""

    capacity_kib: Annotated[float, Field(gt=0, le=1e6)]
    block_kib: Annotated[float, Field(gt=0, le=1e6)]
    reserved_kib: NonNegativeFloat = 0.0
    bytes_per_cycle: Rate
    latency_cycles: Cycles

    @model_validator(mode="after")
    def _a_block_fits(self) -> SharedMemory:
        if self.block_kib > self.capacity_kib:
            message = f"{self.block_kib:g} KiB of one block are more than capacity_kib, {self.capacity_kib:g}"
            raise FieldError(("block_kib",), message)
        return self


class GpuMemory(Record):
    """DRAM, the cache that all SMs share, and the scratchpad of each. ``output_bits``: width of a stored result.

    ``dram.latency_ns``: of a miss, on top of what a hit of the cache takes.
    """

    dram: Dram = Dram()
    l2: L2Cache
    shared_memory: SharedMemory
    output_bits: Literal[4, 8, 16, 32] = 16


class CudaCores(Record):
    """What an SM has beside its tensor cores.

    ``fp32_lanes``: values that take one simple operation (add, multiply, compare) per cycle. ``special_cycles``: in
    which the lanes take one special function (exponential, reciprocal, tanh) each. ``fused``: passes that the kernel
    of a GEMM does on results before it writes them.
    """

    fp32_lanes: Count
    special_cycles: Annotated[int, Field(gt=0, le=1024)] = 4
    fused: list[FusibleKind] = Field(default=["bias", "dequantise"])


class GpuTiling(Record):
    """How a GEMM is cut into blocks of threads. What is pinned (``m``, ``n``, ``k``, ``split_k``; ``stages`` of
    one entry) is not searched; of all else the combination of least cycles is taken.

    ``tiles``: (m, n) of a block's outputs that are tried. ``k_bytes``: of operands per row and stage. ``stages``: of
    operands in shared memory at a time. ``async_copy``: they come there past the registers (``cp.async``, TMA).
    ``persistent``: a block runs one tile after another and loads the next one's operands during the last one's end.
    ``cluster``: blocks along M that fetch what they share of W from L2 together (multicast of sm_90).
    ``split_k``: parts of K that blocks of their own take; their sums are added by a second kernel ``reduce_launch_us``
    later. ``stream_k``: all SMs get equally many steps, across the borders of tiles.
    ``setup_registers``: of each thread, for addresses and loop counters.
    """

    tiles: list[tuple[Side, Side]] = Field(min_length=1, max_length=64)
    k_bytes: list[Annotated[int, Field(ge=16, le=1024)]] = Field(min_length=1, max_length=8)
    stages: list[Annotated[int, Field(ge=2, le=16)]] = Field(min_length=1, max_length=16)
    async_copy: bool = True
    persistent: bool = False
    cluster: Literal[1, 2, 4, 8] = 1
    m: PositiveInt | None = None
    n: PositiveInt | None = None
    k: PositiveInt | None = None
    split_k: Literal["auto", "off"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    stream_k: Literal["auto", "off", "on"] = "off"
    reduce_launch_us: NonNegativeFloat = 0.0
    setup_registers: NonNegativeInt = 0

    @model_validator(mode="after")
    def _streams_or_splits(self) -> GpuTiling:
        if self.stream_k == "on" and isinstance(self.split_k, int) and self.split_k > 1:
            message = (
                f"{self.split_k} parts of K do not go with stream_k: 'on', which cuts K itself; leave one of them out"
            )
            raise FieldError(("split_k",), message)
        return self


class TensorCoreDesign(Design):
    """A GPU. ``launch_us``: from the call of a kernel until its first instruction, and from its last one until the
    caller knows; on top of what the kernel takes, once for each. ``die_mm2``: of the whole GPU, which what a datapath
    adds to it is set beside.

    ``kernels``: list of kernels, by name or path, that run in place of each GEMM; null: the GEMM alone. ``host``: what
    the program takes that launches them without waiting for each, in place of ``launch_us``.
    """

    array: TensorCoreArray
    tiling: GpuTiling
    memory: GpuMemory
    cuda_cores: CudaCores
    cost: str = "gpu_turing"
    launch_us: Annotated[float, Field(ge=0, le=1e6)]
    die_mm2: Annotated[float, Field(gt=0, le=1e5)] | None = None
    kernels: str | None = None
    host: Host | None = None

    @model_validator(mode="after")
    def _a_host_has_a_program(self) -> TensorCoreDesign:
        if self.host is not None and self.kernels is None:
            raise FieldError(("host",), "launches what kernels lists; name a list, matmul for a product alone")
        return self
