"""Multiprocessors with tensor cores as the mapping sees them: rates per cycle, latencies in cycles, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Machine", "ceil_div"]


@dataclass(frozen=True)
class Machine:
    """A GPU at one precision.

    Attributes:
        sms, sub_cores: multiprocessors, and sub-cores of each.
        macs_per_cycle: of one SM, all dot-product units at work.
        mma: M, N, K of one matrix instruction, which ``mma_warps`` warps issue together; ``mma_latency``: cycles until
            the next one may add to the same sums; ``barrier``: cycles in which a block's warps wait for each other.
        registers: of 32 bits in an SM; ``thread_registers``: most of a thread; ``setup_registers``: of each thread, for
            addresses and counters.
        max_warps, max_blocks, block_warps: resident in an SM at most; warps of a block at most.
        shared_bytes, block_bytes, reserved_bytes: shared memory of an SM, of a block at most, taken by the system.
        shared_rate, shared_latency: bytes per cycle of an SM's shared memory; cycles of a load.
        l2_bytes: of what all SMs read, that the cache holds; ``l2_rate``, ``l2_port``: bytes per cycle of all SMs
            together and of one; ``l2_latency``: cycles; ``warm``: operands that fit are there before the GEMM begins.
        dram_rate: bytes per cycle of DRAM.
        cluster: blocks along M that fetch what they share of W from L2 together (clusters of sm_90).
        lanes: FP32 lanes of an SM.
        reduce_launch: cycles between a kernel that leaves partial sums and the one that adds them.
    """

    sms: int
    sub_cores: int
    macs_per_cycle: int
    mma: tuple[int, int, int]
    mma_warps: int
    mma_latency: int
    barrier: int
    registers: int
    thread_registers: int
    setup_registers: int
    max_warps: int
    max_blocks: int
    block_warps: int
    shared_bytes: int
    block_bytes: int
    reserved_bytes: int
    shared_rate: float
    shared_latency: int
    l2_bytes: int
    l2_rate: float
    l2_port: float
    l2_latency: int
    warm: bool
    dram_rate: float
    cluster: int
    lanes: int
    reduce_launch: int

    @property
    def sub_core_macs(self) -> float:
        """MACs per cycle of one sub-core."""
        return self.macs_per_cycle / self.sub_cores

    @property
    def mma_cycles(self) -> float:
        """Cycles for which one matrix instruction holds the tensor cores of its warps' sub-cores."""
        m, n, k = self.mma
        return m * n * k / (self.sub_core_macs * self.mma_warps)


def ceil_div(value: Any, by: Any) -> Any:
    """Whole ``by`` that hold ``value``: integers, or arrays of them."""
    return -(-value // by)
