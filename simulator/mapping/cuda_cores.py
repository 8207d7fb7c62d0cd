"""A kernel on the CUDA cores of a GPU becomes tiles: as many values as half of all threads hold, one after another.

A kernel that is no matrix product streams: each thread loads 16 bytes, works on them, writes its results and is
replaced by the next. All threads that multiprocessors hold are in one of two halves (a tile each): while one waits for
DRAM, the other works. The operand buffers of the table are those two halves, so every engine runs it as it is; the
tensor cores have nothing to do, and ``vector_cycles``, the time on chip, are all there is.

**On chip** a tile takes what its slowest resource takes: FP32 lanes, special-function units, or the L2 cache, through
which every byte goes that is read or written. What is in the L2 already is not read from DRAM. A kernel that waits for
nothing else waits for one trip to the L2 and back.

A pass of a workload, whose work is known per value and row, is such a kernel (``pass_work``). Where rows are reduced in
several sweeps, a row that fits the registers of a block is read once; a longer one is read from the L2 by every sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.mapping.vector import PARAMETER_BITS, VECTOR_ACTIONS, VectorJob, actions_of
from simulator.tiles import TILE_DTYPE, TileTable

__all__ = ["CudaCores", "KernelWork", "count_kernel", "kernel_table", "pass_work"]

THREAD_BYTES = 16
"""What a thread loads or stores at a time: the widest access of a thread, CUDA C++ Programming Guide, device memory
accesses."""
_REGISTER_ROW_BYTES = 1 << 15
"""Longest row that a block keeps on chip between sweeps: 32 KiB, half of a register file of 256 KiB shared by four
blocks (assumed)."""
_MOST_TILES = 1 << 12
"""Longer kernels run in larger tiles: first load and last store are at most this part of their time."""


@dataclass(frozen=True)
class CudaCores:
    """What multiprocessors have beside their tensor cores, and the L2 that all share.

    Attributes:
        sms: multiprocessors.
        lanes: simple operations of one multiprocessor per cycle.
        special_cycles: in which all lanes get a special function each.
        threads: that a multiprocessor holds at a time.
        l2_bytes_per_cycle: between the L2 and all multiprocessors.
        l2_latency_cycles: of one read that finds its data there.
    """

    sms: int
    lanes: int
    special_cycles: int
    threads: int
    l2_bytes_per_cycle: float
    l2_latency_cycles: int


@dataclass(frozen=True)
class KernelWork:
    """What one kernel moves and does.

    Attributes:
        values: results, or operands of a kernel that has fewer results; independent of each other.
        read_bytes: from DRAM; held_bytes: from the L2 alone, where they are already; write_bytes: to DRAM.
        lane_ops, special_ops: operations of FP32 lanes and of special-function units.
    """

    values: int
    read_bytes: int
    held_bytes: int
    write_bytes: int
    lane_ops: int = 0
    special_ops: int = 0

    @property
    def moved_bytes(self) -> int:
        """All that goes through the L2."""
        return self.read_bytes + self.held_bytes + self.write_bytes


def kernel_table(work: KernelWork, cores: CudaCores) -> TileTable:
    """The tiles of one kernel, in time order."""
    ends = _ends(work, cores)
    tiles = np.zeros(len(ends) - 1, TILE_DTYPE)
    tiles["n0"], tiles["n"], tiles["m"] = ends[:-1], np.diff(ends), 1
    tiles["act_load_bytes"] = _shares(work.read_bytes, ends)
    tiles["store_bytes"] = _shares(work.write_bytes, ends)
    tiles["opens_output"] = True
    tiles["vector_cycles"] = np.diff(-(-ends * _chip_cycles(work, cores) // work.values))
    tiles["vector_cycles"][0] += cores.l2_latency_cycles
    tiles.flags.writeable = False
    return TileTable(tiles, 0, 2, 2, 2)


def _ends(work: KernelWork, cores: CudaCores) -> NDArray[np.int64]:
    """Values before each tile, and all of them: near-equal tiles, none larger than half of all threads take."""
    loaded = work.read_bytes + work.held_bytes
    each = max(1, THREAD_BYTES * work.values // max(loaded, work.write_bytes, 1))
    tiles = min(-(-work.values // max(1, cores.sms * cores.threads * each // 2)), _MOST_TILES)
    return np.arange(tiles + 1, dtype=np.int64) * work.values // tiles


def _shares(whole: int, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Parts of ``whole`` in proportion to the values of each tile, which sum to it."""
    before = np.array([whole * int(end) // int(ends[-1]) for end in ends], np.int64)
    return before[1:] - before[:-1]


def _chip_cycles(work: KernelWork, cores: CudaCores) -> int:
    """Cycles of the slowest resource on chip if all multiprocessors share the work evenly."""
    per_resource = (
        work.lane_ops / (cores.sms * cores.lanes),
        work.special_ops * cores.special_cycles / (cores.sms * cores.lanes),
        work.moved_bytes / cores.l2_bytes_per_cycle,
    )
    return int(np.ceil(max(per_resource)))


def pass_work(job: VectorJob, held_bytes: int = 0) -> KernelWork:
    """What one pass of a workload moves and does as one kernel.

    Args:
        held_bytes: of its operands, what is in the L2 already.
    """
    work = job.work
    per_row = work.inputs * job.source.dram_row_bits(job.cols) + job.source.dram_row_bits(work.row_inputs)
    operands = -(-job.rows * per_row // 8)
    parameters = -(-job.cols * work.parameters * PARAMETER_BITS // 8)
    written = job.rows * job.result.dram_row_bits(job.cols) + work.kept * job.cols * PARAMETER_BITS
    again = (work.reads + work.rewrites - 1) * operands if operands > job.rows * _REGISTER_ROW_BYTES else 0
    done = actions_of(job)
    converted = job.rows * job.cols * (work.inputs + 1)  # each operand to FP32, each result from it
    return KernelWork(
        job.rows * job.cols,
        max(0, operands - held_bytes) + parameters,
        min(operands, held_bytes) + again,
        -(-written // 8),
        int(done.get(VECTOR_ACTIONS["add"], 0) + done.get(VECTOR_ACTIONS["mul"], 0)) + converted,
        int(done.get(VECTOR_ACTIONS["special"], 0)),
    )


def count_kernel(work: KernelWork, table: TileTable, burst_bytes: int, actions: dict[str, float]) -> Counts:
    """Counts of one kernel, cycles (also of active SMs) apart: bytes of DRAM, of the L2 and into and out of registers.

    Raises: ConservationError if the tiles lose bytes.
    """
    read, written = table.total("act_load_bytes"), table.total("store_bytes")
    on_chip = read + work.held_bytes
    bursts = (int((-(-table.rows[c] // burst_bytes)).sum()) for c in ("act_load_bytes", "store_bytes"))
    reads, writes = bursts
    loads, stores = -(-on_chip // THREAD_BYTES), -(-written // THREAD_BYTES)
    counts = Counts(
        0,
        0,
        actions,
        {
            ("dram", "act"): Traffic(read_bits=read * 8, reads=reads),
            ("dram", "weight"): Traffic(),
            ("dram", "out"): Traffic(write_bits=written * 8, writes=writes),
            ("l2", "act"): Traffic(on_chip * 8, read * 8, loads, reads),
            ("l2", "out"): Traffic(written * 8, written * 8, writes, stores),
            ("registers", "act"): Traffic(write_bits=on_chip * 8, writes=loads),
            ("registers", "out"): Traffic(read_bits=written * 8, reads=stores),
        },
    )
    counts.require_compulsory(work.read_bytes * 8, 0, work.write_bytes * 8)
    return counts
