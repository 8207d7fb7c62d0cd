"""One GEMM on several cores: which part of it each core takes, and how partial sums become results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from math import gcd, lcm
from typing import Literal

import numpy as np

from simulator.counts import Counts, Traffic
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import BufferLimits, OperandBits
from simulator.mapping.scratchpads import Memories
from simulator.tiles import TILE_DTYPE, TileTable
from simulator.workload import Op

__all__ = ["DIMENSIONS", "Dimension", "Part", "can_reduce", "count_reduction", "reduction_tables", "split"]

Dimension = Literal["M", "N", "K"]
DIMENSIONS: tuple[Dimension, ...] = ("M", "N", "K")


@dataclass(frozen=True)
class Part:
    """What one core takes of a GEMM: a GEMM of its own, ``op``, and where it begins in the whole."""

    op: Op
    m0: int = 0
    n0: int = 0
    k0: int = 0

    def placed(self, table: TileTable) -> TileTable:
        """The tiles of ``op`` with their places in the whole GEMM."""
        if not (self.m0 or self.n0 or self.k0):
            return table
        rows = table.rows.copy()
        for corner in ("m0", "n0", "k0"):
            rows[corner] += getattr(self, corner)
        rows.flags.writeable = False
        return replace(table, rows=rows)


def split(op: Op, array: ArrayShape, bits: OperandBits, dimension: Dimension, cores: int) -> list[Part]:
    """Near-equal parts of one of the op's GEMMs along a dimension, in whole folds and packed units; earlier cores take
    one unit more. Where there are fewer units than cores, the last cores have no part.
    """
    length, unit = getattr(op, dimension), _unit(array, bits, dimension)
    each, more = divmod(-(-length // unit), cores)
    sizes = [(each + (core < more)) * unit for core in range(cores) if each or core < more]
    corner = f"{dimension.lower()}0"
    return [
        Part(replace(op, **{dimension: min(size, length - first), "count": 1}), **{corner: first})
        for first, size in zip(accumulate(sizes, initial=0), sizes, strict=False)
    ]


def _unit(array: ArrayShape, bits: OperandBits, dimension: Dimension) -> int:
    """What parts along a dimension are multiples of: what fills the array's rows or columns, packed neighbours of K."""
    if dimension == "K":
        whole_folds = array.rows // gcd(array.rows, array.cycles_per_step) if array.dataflow != "os" else 1
        return lcm(bits.k_align, whole_folds)
    held = {"os": {"M": array.rows, "N": array.cols}, "ws": {"N": array.cols}, "is": {"M": array.cols}}
    return held[array.dataflow].get(dimension, 1)


def reduction_tables(
    op: Op, bits: OperandBits, limits: BufferLimits | None, places: int, parts: int, cores: int, lanes: int
) -> list[TileTable]:
    """How the cores add ``parts`` partial sums of each of a GEMM's outputs, each core its share of the outputs.

    A tile is a chunk of outputs: all their partial sums come from DRAM into the out scratchpad, where their results
    then have a place beside them; ``lanes`` additions are made in a cycle; the results are written back.

    Args:
        limits: as for ``lower``, enough for one output (``can_reduce``); places: chunks that the out scratchpad holds
            at a time, 0 without limits.
    """
    outputs = op.M * op.N
    shares = [n for core in range(cores) if (n := outputs // cores + (core < outputs % cores))]
    chunk = outputs if limits is None else limits.out_bits // _one_output_bits(bits, parts)
    return [_reduction(share, min(chunk, share), bits, places, parts, lanes) for share in shares]


def can_reduce(bits: OperandBits, limits: BufferLimits | None, parts: int) -> bool:
    """Whether the out scratchpad holds all partial sums of one output, and its result beside them."""
    return limits is None or limits.out_bits >= _one_output_bits(bits, parts)


def _one_output_bits(bits: OperandBits, parts: int) -> int:
    return (parts + 1) * bits.accumulator


def _reduction(share: int, chunk: int, bits: OperandBits, places: int, parts: int, lanes: int) -> TileTable:
    rows = np.zeros(-(-share // chunk), TILE_DTYPE)
    rows["n0"] = np.arange(len(rows)) * chunk
    rows["m"], rows["n"] = 1, np.minimum(chunk, share - rows["n0"])
    rows["sum_load_bytes"] = parts * -(-rows["n"] * bits.accumulator // 8)
    rows["store_bytes"] = -(-rows["n"] * bits.output // 8)
    rows["vector_cycles"] = (parts - 1) * -(-rows["n"] // lanes)
    rows["opens_output"] = True
    rows.flags.writeable = False
    return TileTable(rows, 0, places, places, places)


def count_reduction(
    table: TileTable,
    bits: OperandBits,
    memories: Memories,
    parts: int,
    cycles: int,
    per_addition: dict[str, float],
) -> Counts:
    """Counts of one core's share of a reduction: ``per_addition`` are the priced actions of adding two sums."""
    outputs = int(table.rows["n"].sum())
    moved = [table.rows[column] for column in ("sum_load_bytes", "store_bytes")]
    bits_moved = (int(transfers.sum()) * 8 for transfers in moved)
    bursts = (int((-(-transfers // memories.burst_bytes)).sum()) for transfers in moved)
    summed = (parts + 1) * outputs * bits.accumulator
    words = (parts + 1) * int((-(-table.rows["n"] * bits.accumulator // memories.out.word_bits)).sum())
    return Counts(
        0,
        cycles,
        {action: n * outputs * (parts - 1) for action, n in per_addition.items()},
        {
            ("dram", "out"): Traffic(*bits_moved, *bursts),
            ("out_buffer", "out"): Traffic(summed, summed, words, words),
        },
    )
