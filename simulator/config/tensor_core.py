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
    """Products that one dot-product unit takes per cycle, by the width of their operands."""

    bits_16: Count | None = None
    """Of 16-bit operands; null: no such mode."""
    bits_8: Count | None = None
    """Of 8-bit operands; null: no such mode."""
    bits_4: Count | None = None
    """Of 4-bit operands; null: no such mode."""


class MmaShapes(Record):
    """M, N and K of one matrix instruction, by the width of its operands."""

    bits_16: MmaShape = (16, 8, 16)
    """For 16-bit operands."""
    bits_8: MmaShape = (16, 8, 32)
    """For 8-bit operands."""
    bits_4: MmaShape = (16, 8, 64)
    """For 4-bit operands."""


class TensorCoreArray(Record):
    """Streaming multiprocessors (SMs), each of equal sub-cores with a warp scheduler and tensor cores of their own."""

    kind: Literal["tensor_core"]
    """What kind of array this is."""
    sms: Count
    """Streaming multiprocessors."""
    sub_cores: Count = 4
    """Sub-cores of one SM."""
    tensor_cores: Count
    """Tensor cores of one sub-core."""
    edp_units: Count
    """Dot-product units (FEDP, 8EDP, 16EDP) of one tensor core."""
    edp_width: EdpWidth
    """Products that one unit takes per cycle."""
    edp_sums: EdpSumsByWidth
    """How the units add, for each width that there are units for."""
    mma: MmaShapes = MmaShapes()
    """Shape of one matrix instruction."""
    mma_warps: Literal[1, 4] = 1
    """Warps that issue one matrix instruction together: 1, or 4 for those of a warpgroup, whose operands come from
    shared memory once for all of them.
    """
    mma_latency_cycles: Cycles
    """Until the next instruction may add to its sums [cycles]."""
    barrier_cycles: Cycles
    """Of a block's warps for each other [cycles]."""
    registers_kib: Count
    """Registers of one SM [KiB]."""
    thread_registers: Count = 255
    """Registers of a thread, at most [of 32 bits]."""
    max_warps: Count
    """Warps that one SM holds, at most."""
    max_blocks: Count
    """Thread blocks that one SM holds, at most."""
    block_warps: Count = 32
    """Warps of a block, at most."""

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
    """The cache between DRAM and all SMs."""

    capacity_kib: Annotated[float, Field(gt=0, le=1e9)]
    """Size [KiB]."""
    usable_kib: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Of data that all SMs read, what it holds before it loses some [KiB]; null: all."""
    bytes_per_cycle: Rate
    """To all SMs together [bytes/cycle]."""
    sm_bytes_per_cycle: Rate
    """To one SM [bytes/cycle]."""
    latency_cycles: Cycles
    """From asking until a hit is there [cycles]."""
    warm: bool = False
    """Whether a GEMM finds in it what fits of its operands, as when it is measured again and again."""

    @model_validator(mode="after")
    def _no_more_than_all_is_usable(self) -> L2Cache:
        if self.usable_kib is not None and self.usable_kib > self.capacity_kib:
            message = f"{self.usable_kib:g} KiB are more than capacity_kib, {self.capacity_kib:g}"
            raise FieldError(("usable_kib",), message)
        return self


class SharedMemory(Record):
    """The scratchpad of an SM."""

    capacity_kib: Annotated[float, Field(gt=0, le=1e6)]
    """Of an SM [KiB]."""
    block_kib: Annotated[float, Field(gt=0, le=1e6)]
    """Of one thread block, at most [KiB]."""
    reserved_kib: NonNegativeFloat = 0.0
    """Of each block, taken by the system [KiB]."""
    bytes_per_cycle: Rate
    """Of one SM [bytes/cycle]."""
    latency_cycles: Cycles
    """From asking until data are there [cycles]."""

    @model_validator(mode="after")
    def _a_block_fits(self) -> SharedMemory:
        if self.block_kib > self.capacity_kib:
            message = f"{self.block_kib:g} KiB of one block are more than capacity_kib, {self.capacity_kib:g}"
            raise FieldError(("block_kib",), message)
        return self


class GpuMemory(Record):
    """DRAM, the cache that all SMs share, and the scratchpad of each."""

    dram: Dram = Dram()
    """Off-chip memory; its `latency_ns` is that of a miss, on top of what a hit of the cache takes."""
    l2: L2Cache
    """The cache that all SMs share."""
    shared_memory: SharedMemory
    """The scratchpad of each SM."""
    output_bits: Literal[4, 8, 16, 32] = 16
    """Width of a stored result [bits]."""


class CudaCores(Record):
    """What an SM has beside its tensor cores."""

    fp32_lanes: Count
    """Values that take one simple operation (add, multiply, compare) per cycle."""
    special_cycles: Annotated[int, Field(gt=0, le=1024)] = 4
    """In which the lanes take one special function (exponential, reciprocal, tanh) each [cycles]."""
    fused: list[FusibleKind] = Field(default=["bias", "dequantise"])
    """Passes that the kernel of a GEMM does on results before it writes them."""


class GpuTiling(Record):
    """How a GEMM is cut into blocks of threads. What is pinned (``m``, ``n``, ``k``, ``split_k``; ``stages`` of one
    entry) is not searched; of all else the combination of least cycles is taken.
    """

    tiles: list[tuple[Side, Side]] = Field(min_length=1, max_length=64)
    """(m, n) of a block's outputs that are tried."""
    k_bytes: list[Annotated[int, Field(ge=16, le=1024)]] = Field(min_length=1, max_length=8)
    """Operands per row and stage that are tried [bytes]."""
    stages: list[Annotated[int, Field(ge=2, le=16)]] = Field(min_length=1, max_length=16)
    """Stages of operands in shared memory at a time that are tried."""
    async_copy: bool = True
    """Whether operands come there past the registers (`cp.async`, TMA)."""
    persistent: bool = False
    """Whether a block runs one tile after another and loads the next one's operands during the last one's end."""
    cluster: Literal[1, 2, 4, 8] = 1
    """Blocks along M that fetch what they share of W from L2 together (multicast of sm_90)."""
    m: PositiveInt | None = None
    """Rows of a block's outputs; null: searched."""
    n: PositiveInt | None = None
    """Columns of a block's outputs; null: searched."""
    k: PositiveInt | None = None
    """Values of K per stage; null: searched."""
    split_k: Literal["auto", "off"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Parts of K that blocks of their own take, or whether that is searched."""
    stream_k: Literal["auto", "off", "on"] = "off"
    """Whether all SMs get equally many steps, across the borders of tiles."""
    reduce_launch_us: NonNegativeFloat = 0.0
    """After which a second kernel adds the sums of `split_k` [us]."""
    setup_registers: NonNegativeInt = 0
    """Registers of each thread for addresses and loop counters."""

    @model_validator(mode="after")
    def _streams_or_splits(self) -> GpuTiling:
        if self.stream_k == "on" and isinstance(self.split_k, int) and self.split_k > 1:
            message = (
                f"{self.split_k} parts of K do not go with stream_k: 'on', which cuts K itself; leave one of them out"
            )
            raise FieldError(("split_k",), message)
        return self


class TensorCoreDesign(Design):
    """A GPU."""

    array: TensorCoreArray
    """Streaming multiprocessors and their tensor cores."""
    tiling: GpuTiling
    """How a GEMM is cut into blocks."""
    memory: GpuMemory
    """DRAM, L2 and shared memory."""
    cuda_cores: CudaCores
    """What an SM has beside its tensor cores."""
    cost: str = "gpu_turing"
    """Price list, by shipped name or path."""
    launch_us: Annotated[float, Field(ge=0, le=1e6)]
    """From the call of a kernel until its first instruction, and from its last one until the caller knows, on top of
    what the kernel takes, once for each [us].
    """
    die_mm2: Annotated[float, Field(gt=0, le=1e5)] | None = None
    """Area of the whole GPU, which what a datapath adds to it is set beside [mm2]."""
    kernels: str | None = None
    """List of kernels, by shipped name or path, that run in place of each GEMM; null: the GEMM alone."""
    host: Host | None = None
    """What the program takes that launches `kernels` without waiting for each, in place of `launch_us`."""

    @model_validator(mode="after")
    def _a_host_has_a_program(self) -> TensorCoreDesign:
        if self.host is not None and self.kernels is None:
            raise FieldError(("host",), "launches what kernels lists; name a list, matmul for a product alone")
        return self
