"""Passes on results on their way: no trip to DRAM, and time only where the vector unit is slower than the array.

Results leave the array in blocks: of a fold for ``os``, of a column of folds for ``ws`` and ``is``, whose last fold
along K finishes them. While the array works on a block, the vector unit works on the one before. With equal blocks, of
``a`` array and ``v`` vector cycles each, B of them take ``B a + (B - 1) max(0, v - a) + v``: the first block waits for
nothing, and nothing runs beside the vector unit's last. All but ``B a`` is waiting for the vector unit.
"""

from __future__ import annotations

import numpy as np

from simulator.counts import Counts, Traffic
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.scratchpads import Memories
from simulator.mapping.vector import PARAMETER_BITS, VectorJob, actions_of
from simulator.tiles import TILE_DTYPE, LoopNest, Tiles
from simulator.workload import Op

__all__ = ["count_fused", "fused_nest", "waiting_cycles"]


def waiting_cycles(op: Op, array: ArrayShape, vector: int) -> int:
    """Cycles by which ``vector`` cycles of passes on the results of one of the op's GEMMs prolong it."""
    down, across = array.places(op.M, op.N, op.K)
    blocks = -(-across // array.cols) * (-(-down // array.rows) if array.dataflow == "os" else 1)
    a, v = array.total(op.M, op.N, op.K) // blocks, -(-vector // blocks)
    return (blocks - 1) * max(0, v - a) + v if vector else 0


def fused_nest(job: VectorJob, waiting: int) -> LoopNest:
    """One tile: parameters are loaded, values come and go on chip."""
    tiles = np.zeros(1, TILE_DTYPE)
    tiles["m"], tiles["n"] = job.rows, job.cols
    tiles["weight_load_bytes"] = -(-job.cols * job.work.parameters * PARAMETER_BITS // 8)
    tiles["vector_cycles"] = waiting
    tiles.flags.writeable = False
    return LoopNest(tiles, 0, 0, 0, 0, (1, 1, 1))


def count_fused(job: VectorJob, table: Tiles, memories: Memories) -> Counts:
    """Counts of one fused pass: its operations, and its parameters from DRAM and out of the weight scratchpad."""
    parameters = table.total("weight_load_bytes") * 8
    used = job.rows * job.cols * job.work.parameters * PARAMETER_BITS
    words = (-(-bits // memories.weight.word_bits) for bits in (used, parameters))
    traffic = {
        ("dram", "weight"): Traffic(read_bits=parameters, reads=-(-parameters // (8 * memories.burst_bytes))),
        ("weight_buffer", "weight"): Traffic(used, parameters, *words),
    }
    return Counts(0, 0, actions_of(job), traffic)
