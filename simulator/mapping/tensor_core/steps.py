"""What one step of the blocks of an SM takes of each of its resources, and what their beginning and their end take.

Blocks that an SM holds at the same time run in step: they share all it has, and wait at the same time. A step
multiplies ``m x k`` activations and ``k x n`` weights of each of them. Its cycles on the busiest SM are the largest of

- *tensor cores*: matrix instructions of the busiest sub-core, one after another;
- *shared memory*: every warp reads its fragments of both operands, and a later step's operands are written;
- *L2*: a later step's operands come through the SM's port, and out of the cache for all SMs together;
- *latency*: instructions that add to the same sums wait for each other; then the warps of a block wait for each other,
  and for the first fragments of the next step.

Their end (epilogue) hands sums through shared memory, so that rows are written whole, scales and rounds them in the
FP32 lanes and writes them to L2: the three overlap, so the longest of them counts, behind the latencies of the last
instruction and of shared memory.

All functions take one kernel, ``x``, or arrays of many (``Kernel``, ``Kernels``) and answer likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.machine import Machine, ceil_div
from simulator.workload import Op

__all__ = ["Grid", "StepCycles", "epilogue_cycles", "grid", "reduction_cycles", "step_cycles"]

_EPILOGUE_OPERATIONS = 2
"""Of an FP32 lane per output: times alpha, and to the width that is stored."""


@dataclass(frozen=True)
class Grid:
    """How a kernel's blocks cover a GEMM, in sets that run at the same time; integers, or arrays of them.

    Attributes:
        rows, cols: blocks along M and N; ``blocks``: all of them, parts of K and all products of a batch too.
        steps: of a block along K.
        together: blocks of an SM that run at the same time; ``sets``: how often all SMs are filled with them.
        last: blocks of the last set; ``last_together``: of them, those of the busiest SM.
        m, n: rows and columns of a whole block that there are.
    """

    rows: Any
    cols: Any
    blocks: Any
    steps: Any
    together: Any
    sets: Any
    last: Any
    last_together: Any
    m: Any
    n: Any


def grid(op: Op, machine: Machine, x: Any) -> Grid:
    """See ``Grid``."""
    rows, cols, steps = ceil_div(op.M, x.m), ceil_div(op.N, x.n), ceil_div(op.K, x.k)
    blocks = rows * cols * x.splits * op.count
    whole = np.where(x.stream, ceil_div(blocks * steps, machine.sms), ceil_div(steps, x.splits))
    blocks = np.where(x.stream, np.minimum(blocks * steps, machine.sms), blocks)
    together = np.minimum(x.resident, ceil_div(blocks, machine.sms))
    sets = ceil_div(blocks, machine.sms * together)
    last = blocks - (sets - 1) * machine.sms * together
    m, n = np.minimum(x.m, op.M), np.minimum(x.n, op.N)
    return Grid(rows, cols, blocks, whole, together, sets, last, ceil_div(last, machine.sms), m, n)


@dataclass(frozen=True)
class StepCycles:
    """Cycles of one step of a set on the busiest SM, by resource."""

    tensor: Any
    shared: Any
    l2: Any
    latency: Any

    @property
    def whole(self) -> Any:
        """Cycles of a step."""
        return np.maximum.reduce([self.tensor, self.shared, self.l2, self.latency])


def step_cycles(machine: Machine, bits: OperandBits, x: Any, g: Grid, last: bool) -> StepCycles:
    """See above; of the last set, or of one that fills all SMs."""
    groups = x.warps_m * x.warps_n
    m, n = x.m // x.warps_m, x.n // x.warps_n
    mma_m, mma_n, mma_k = machine.mma
    together, blocks = _of_set(machine, g, last)
    each = ceil_div(m, mma_m) * (n / mma_n) * ceil_div(groups * machine.mma_warps, machine.sub_cores)
    each = each * machine.mma_cycles * together
    read = groups * (m * bits.act.row_bits(x.k) + n * bits.weight.row_bits(x.k))
    written = x.m * bits.act.row_bits(x.k) + x.n * bits.weight.row_bits(x.k)
    clusters = ceil_div(g.rows, np.minimum(machine.cluster, g.rows))
    asked = ceil_div(g.m * bits.act.row_bits(x.k) + ceil_div(g.n * bits.weight.row_bits(x.k) * clusters, g.rows), 8)
    chained = np.maximum(each, machine.mma_latency) * (x.k // mma_k)
    return StepCycles(
        _whole(each * (x.k // mma_k)),
        _whole(together * (read + written) / 8 / machine.shared_rate),
        _l2_cycles(machine, asked, together, blocks),
        _whole(chained + machine.barrier + machine.shared_latency),
    )


def epilogue_cycles(machine: Machine, bits: OperandBits, x: Any, g: Grid, last: bool) -> Any:
    """Cycles from a set's last step until its results are in L2."""
    together, blocks = _of_set(machine, g, last)
    width = np.where(np.asarray(x.splits) > 1, bits.accumulator, bits.output)
    through = together * 2 * x.m * x.n * bits.accumulator / 8 / machine.shared_rate
    lanes = together * _EPILOGUE_OPERATIONS * x.m * x.n / machine.lanes
    stored = _l2_cycles(machine, g.m * g.n * width / 8, together, blocks)
    longest = np.maximum.reduce([_whole(through), _whole(lanes), stored])
    return machine.mma_latency + 2 * machine.shared_latency + longest


def reduction_cycles(op: Op, machine: Machine, bits: OperandBits, x: Any) -> Any:
    """Cycles of the kernel that adds partial sums of ``splits`` parts of K, its launch too; or, for stream-K, of the
    blocks that take over sums of tiles that they finish.
    """
    outputs = op.M * op.N * op.count
    moved = outputs * (np.asarray(x.splits) * bits.accumulator + bits.output) / 8
    added = outputs * (np.asarray(x.splits) + _EPILOGUE_OPERATIONS) / machine.lanes / machine.sms
    apart = machine.reduce_launch + machine.l2_latency + np.maximum(_whole(moved / machine.l2_rate), _whole(added))
    sums = x.m * x.n * bits.accumulator / 8
    fixed = machine.l2_latency + _l2_cycles(machine, 2 * sums, 1, np.asarray(machine.sms))
    return np.where(x.stream, fixed, np.where(np.asarray(x.splits) > 1, apart, 0))


def _of_set(machine: Machine, g: Grid, last: bool) -> tuple[Any, Any]:
    """Blocks of the busiest SM, and of all SMs."""
    return (g.last_together, g.last) if last else (g.together, machine.sms * g.together)


def _l2_cycles(machine: Machine, block_bytes: Any, together: Any, blocks: Any) -> Any:
    """Cycles in which ``blocks`` blocks, ``together`` of them on the busiest SM, move so many bytes each with L2."""
    port, cache = together * block_bytes / machine.l2_port, blocks * block_bytes / machine.l2_rate
    return np.maximum(_whole(port), _whole(cache))


def _whole(cycles: Any) -> Any:
    return np.ceil(np.asarray(cycles, np.float64) - 1e-9).astype(np.int64)
