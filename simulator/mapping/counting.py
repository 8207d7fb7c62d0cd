"""Counts of a GEMM: what moved between DRAM, scratchpads and the array edge, and what the PEs did.

| | ``os`` | ``ws`` | ``is`` |
| --- | --- | --- | --- |
| activations read from their scratchpad | once per column fold | once per column fold | once per block of N |
| weights read from theirs | once per row fold | once per block of M | once per column fold |
| sums written to the out scratchpad | once | once per row fold | once per row fold |
| sums read from it | for write-back | for write-back, and to go on from | as ``ws`` |

Operands then hop from PE to PE: a streamed one through one register per MAC, a held one down to its row. Sums hop down
their column: ``os`` when they leave, ``ws`` and ``is`` through all rows of every fold.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath, TileCosts, Width
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import OperandBits
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["count"]

Side = Literal["act", "weight"]


class _Passes(NamedTuple):
    """How often each operand is read from its scratchpad, and how many sums leave the array per output."""

    act: int
    weight: int
    sums: int


def count(
    op: Op,
    table: TileTable,
    array: ArrayShape,
    bits: OperandBits,
    datapath: Datapath,
    cycles: int,
    costs: TileCosts | None = None,
) -> Counts:
    """Counts of one of the op's GEMMs that took ``cycles``.

    Args:
        table: its tiles, data-dependent loads included.
        costs: what its values add, if they do.
    Raises: ConservationError if the tiles lose bytes; assertion if they lose MACs.
    """
    tiles = table.rows
    macs = int(tiles["macs"].sum())
    assert macs == op.M * op.N * op.K, "tiles must cover the GEMM exactly once"
    costs = costs or TileCosts.none(tiles)
    passes = _passes(op, array, tiles)
    counts = Counts(
        macs,
        cycles,
        _actions(op, array, bits, datapath, passes, costs),
        {
            ("dram", "act"): Traffic(read_bits=_bits(tiles["act_load_bytes"])),
            ("dram", "weight"): Traffic(read_bits=_bits(tiles["weight_load_bytes"])),
            ("dram", "out"): Traffic(_bits(tiles["sum_load_bytes"]), _bits(tiles["store_bytes"])),
            ("act_buffer", "act"): _operand(tiles, "act", op.M * passes.act, op.K, bits.act, costs),
            ("weight_buffer", "weight"): _operand(tiles, "weight", op.N * passes.weight, op.K, bits.weight, costs),
            ("out_buffer", "out"): _sums(op, tiles, bits, passes),
        },
    )
    act_bits, weight_bits = (
        width.dram_bits * rows * op.K // width.values for width, rows in ((bits.act, op.M), (bits.weight, op.N))
    )
    counts.require_compulsory(act_bits, weight_bits, op.M * op.N * bits.output)
    return counts


def _passes(op: Op, array: ArrayShape, tiles: NDArray[Any]) -> _Passes:
    down, across = array.places(op.M, op.N, op.K)
    row_folds, col_folds = -(-down // array.rows), -(-across // array.cols)
    if array.dataflow == "os":
        return _Passes(col_folds, row_folds, 1)
    if array.dataflow == "ws":
        return _Passes(col_folds, len(np.unique(tiles["m0"])), row_folds)
    return _Passes(len(np.unique(tiles["n0"])), col_folds, row_folds)


def _bits(byte_counts: NDArray[Any]) -> int:
    return int(byte_counts.sum()) * 8


def _operand(tiles: NDArray[Any], side: Side, lines: int, K: int, width: Width, costs: TileCosts) -> Traffic:
    """Scratchpad traffic of one operand: ``lines`` rows of K values read in all, written as they are loaded."""
    loaded = tiles[f"{side}_load_bytes"] > 0
    rows = tiles["m" if side == "act" else "n"]
    written = (-(-rows * width.row_bits(tiles["k"]) // 8) * 8)[loaded].sum()
    more_read, more_written = costs.act_buffer_bits if side == "act" else costs.weight_buffer_bits
    return Traffic(lines * width.row_bits(K) + more_read, int(written) + more_written)


def _sums(op: Op, tiles: NDArray[Any], bits: OperandBits, passes: _Passes) -> Traffic:
    """Scratchpad traffic of sums: in from the array and from DRAM, out to the array and to DRAM."""
    outputs = op.M * op.N
    returned = int((tiles["m"] * tiles["n"])[tiles["sum_load_bytes"] > 0].sum())
    stored = int((tiles["m"] * tiles["n"])[tiles["store_bytes"] > 0].sum())
    going_on, finished = outputs * (passes.sums - 1), outputs * bits.accumulator
    return Traffic((going_on + stored - outputs) * bits.sums + finished, (going_on + returned) * bits.sums + finished)


def _actions(
    op: Op, array: ArrayShape, bits: OperandBits, datapath: Datapath, passes: _Passes, costs: TileCosts
) -> dict[str, float]:
    actions: dict[str, float] = defaultdict(float)
    for per_one, times in (
        (datapath.actions_per_mac(), op.M * op.N * op.K),
        (datapath.actions_per_operand("act"), op.M * op.K * passes.act),
        (datapath.actions_per_operand("weight"), op.N * op.K * passes.weight),
        (datapath.actions_per_output(), op.M * op.N),
        ({"reg_bit": 1}, _operand_hop_bits(op, array, datapath, passes) + _sum_hop_bits(op, array, bits, passes)),
        (costs.actions, 1),
    ):
        for action, n in per_one.items():
            actions[action] += n * times
    return dict(actions)


def _operand_hop_bits(op: Op, array: ArrayShape, datapath: Datapath, passes: _Passes) -> float:
    """Register bits that operands hop through inside the array."""
    streamed = op.M * op.N * op.K * array.cycles_per_step
    act, weight = datapath.register_bits("act"), datapath.register_bits("weight")
    if array.dataflow == "os":
        return streamed * (act + weight)
    down = op.K * array.cycles_per_step
    to_their_rows = _triangles(down, array.rows)
    if array.dataflow == "ws":
        return streamed * act + op.N * to_their_rows * passes.weight * weight
    return streamed * weight + op.M * to_their_rows * passes.act * act


def _sum_hop_bits(op: Op, array: ArrayShape, bits: OperandBits, passes: _Passes) -> int:
    """Register bits that sums hop through: out of the array (``os``), or down through all rows of every fold."""
    if array.dataflow == "os":
        hops = op.M * (array.rows + 1) - _triangles(op.M, array.rows)  # rows - r hops for a result of array row r
        return hops * op.N * bits.accumulator * array.result_words
    return op.M * op.N * passes.sums * array.rows * bits.sums


def _triangles(length: int, rows: int) -> int:
    """Sum of r + 1 over the array rows r that ``length`` lines take, fold after fold."""
    full, ragged = divmod(length, rows)
    return full * rows * (rows + 1) // 2 + ragged * (ragged + 1) // 2
