"""A pass of a workload on a GPU: a kernel of its own, or part of the kernel of the product before it.

A kernel of its own is launched and waited for, as a product is. What it reads is in DRAM unless the cache is ``warm``
and holds operand and result together. A fused pass works on sums in registers before they are written: its operations
show in full (assumed: the tensor cores have nothing to do meanwhile), its parameters come from DRAM, nothing is
launched.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.config.study import Fidelity
from simulator.counts import Counts
from simulator.engine import Timing
from simulator.engine.queue import Asked, run_queue
from simulator.mapping.cuda_cores import KernelWork, count_kernel, kernel_table, pass_work
from simulator.mapping.vector import PARAMETER_BITS, VectorJob, actions_of
from simulator.study.gpu import GpuHardware, cuda_cores_of
from simulator.study.programs import host_times
from simulator.study.timings import run_tables
from simulator.tiles import TileTable

__all__ = ["time_gpu_pass"]


def time_gpu_pass(
    hardware: GpuHardware, job: VectorJob, fidelity: Fidelity, *, fused: bool
) -> tuple[tuple[TileTable, ...], Timing, Counts]:
    """Tiles of a pass done once, its cycles and its counts."""
    work = _fused(job) if fused else _alone(hardware, job)
    cores = cuda_cores_of(hardware)
    table = kernel_table(work, replace(cores, l2_latency_cycles=0) if fused else cores)
    timing = run_tables(replace(hardware, launch_cycles=0), [table], fidelity)
    active = cores.sms * timing.total_cycles  # all share the work evenly
    timing = timing if fused else _launched(hardware, timing)
    counts = count_kernel(work, table, hardware.dram.burst_bytes, actions_of(job))
    return (table,), timing, replace(counts, cycles=timing.total_cycles, active_sm_cycles=active)


def _alone(hardware: GpuHardware, job: VectorJob) -> KernelWork:
    """What a kernel of its own moves and does."""
    cold = pass_work(job)
    fits = cold.read_bytes + cold.write_bytes <= hardware.machine.l2_bytes
    return pass_work(job, cold.read_bytes) if hardware.machine.warm and fits else cold


def _fused(job: VectorJob) -> KernelWork:
    """What a pass adds to the kernel of the product before it: operations and parameters."""
    parameters = -(-job.cols * job.work.parameters * PARAMETER_BITS // 8)
    return replace(pass_work(job), read_bytes=parameters, held_bytes=0, write_bytes=0)


def _launched(hardware: GpuHardware, kernel: Timing) -> Timing:
    """With the time between it and its neighbours: the caller waits for it, or a host has queued it."""
    host = hardware.design.host
    if host is None:
        return kernel.launched(hardware.launch_cycles)
    period = run_queue([Asked((kernel.total_cycles,))], host_times(host, hardware.design.clock_mhz))
    return kernel.launched(period - kernel.total_cycles)
