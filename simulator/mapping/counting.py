"""Counts of a GEMM: what moved between DRAM, scratchpads and the array edge, and what the PEs did.

| | ``os`` | ``ws`` | ``is`` |
| --- | --- | --- | --- |
| activations read from their scratchpad | once per column fold | once per column fold | once per block of N |
| weights read from theirs | once per row fold | once per block of M | once per column fold |
| sums written to the out scratchpad | once | once per row fold | once per row fold |
| sums read from it | for write-back | for write-back, and to go on from | as ``ws`` |

Operands then hop from PE to PE: a streamed one through one register per MAC, a held one down to its row. Sums hop down
their column: ``os`` when they leave, ``ws`` and ``is`` through all rows of every fold. docs/counts.md has every formula
and works a small GEMM by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath, TileCosts, Width
from simulator.mapping.accesses import Accesses, PadAccesses
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import OperandBits
from simulator.tiles import Tiles
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
    tiles: Tiles,
    array: ArrayShape,
    bits: OperandBits,
    datapath: Datapath,
    cycles: int,
    pads: PadAccesses,
    burst_bytes: int,
    costs: TileCosts | None = None,
    shared: Mapping[tuple[str, str], Traffic] = MappingProxyType({}),
) -> Counts:
    """Counts of one of the op's GEMMs that took ``cycles``.

    Args:
        tiles: its tiles, data-dependent loads included.
        pads: accesses of its scratchpads, but for those of ``costs``.
        burst_bytes: one access of DRAM.
        costs: what its values add, if they do.
        shared: traffic of levels that belong to no core, the global buffer's.
    Raises: ConservationError if the tiles lose bytes; assertion if they lose MACs.
    """
    macs = tiles.total("macs")
    assert macs == op.M * op.N * op.K, "tiles must cover the GEMM exactly once"
    costs = costs or TileCosts.none(tiles.rows)
    passes = _passes(op, array, tiles)
    sums = _sum_bits(op, tiles, bits, passes)
    traffic = {
        ("dram", "act"): _loads(tiles, "act_load_bytes", burst_bytes),
        ("dram", "weight"): _loads(tiles, "weight_load_bytes", burst_bytes),
        ("dram", "out"): _loads(tiles, "sum_load_bytes", burst_bytes) + _stores(tiles, "store_bytes", burst_bytes),
        **shared,
        ("act_buffer", "act"): _operand(tiles, "act", op.M * passes.act, op.K, bits.act, costs, pads.act),
        ("weight_buffer", "weight"): _operand(
            tiles, "weight", op.N * passes.weight, op.K, bits.weight, costs, pads.weight
        ),
        ("out_buffer", "out"): replace(sums, reads=pads.out.reads, writes=pads.out.writes),
        **_in_array(op, array, bits, datapath, passes),
    }
    actions = _actions(op, array, bits, datapath, passes, costs)
    counts = Counts(macs, cycles, actions, traffic, tiles.compute_cycles, _otherwise(op, tiles, array, bits, passes))
    act_bits, weight_bits = (
        width.dram_bits * rows * op.K // width.values for width, rows in ((bits.act, op.M), (bits.weight, op.N))
    )
    counts.require_compulsory(act_bits, weight_bits, op.M * op.N * bits.output)
    return counts


def _passes(op: Op, array: ArrayShape, tiles: Tiles) -> _Passes:
    down, across = array.places(op.M, op.N, op.K)
    row_folds, col_folds = -(-down // array.rows), -(-across // array.cols)
    if array.dataflow == "os":
        return _Passes(col_folds, row_folds, 1)
    if array.dataflow == "ws":
        return _Passes(col_folds, _blocks(tiles, "n0", "k0"), row_folds)
    return _Passes(_blocks(tiles, "m0", "k0"), col_folds, row_folds)


def _blocks(tiles: Tiles, *others: str) -> int:
    """Blocks along one dimension: tiles at the first block of the other two."""
    rows = tiles.rows
    return tiles.summed(np.logical_and.reduce([rows[corner] == rows[corner][0] for corner in others]))


def _loads(tiles: Tiles, column: str, burst_bytes: int) -> Traffic:
    """DRAM reads of one operand. Bits are those asked for; each tile's transfer takes whole bursts."""
    return Traffic(read_bits=tiles.total(column) * 8, reads=tiles.summed(-(-tiles.rows[column] // burst_bytes)))


def _stores(tiles: Tiles, column: str, burst_bytes: int) -> Traffic:
    loads = _loads(tiles, column, burst_bytes)
    return Traffic(write_bits=loads.read_bits, writes=loads.reads)


def _operand(tiles: Tiles, side: Side, lines: int, K: int, width: Width, costs: TileCosts, words: Accesses) -> Traffic:
    """Scratchpad traffic of one operand: ``lines`` rows of K values read in all, written as they are loaded. What
    values add to it (lists, masks) is taken to be packed in words.
    """
    rows = tiles.rows
    lines_held = rows["m" if side == "act" else "n"]
    block_bits = -(-lines_held * width.row_bits(rows["k"]) // 8) * 8
    loaded = rows[f"{side}_load_bytes"] + rows[f"{side}_global_bytes"] > 0
    written = tiles.summed(block_bits * loaded)
    more_read, more_written = costs.act_buffer_bits if side == "act" else costs.weight_buffer_bits
    more = (-(-bits // words.word_bits) for bits in (more_read, more_written))
    reads, writes = (n + extra for n, extra in zip((words.reads, words.writes), more, strict=True))
    return Traffic(lines * width.row_bits(K) + more_read, written + more_written, reads, writes)


def _sums(op: Op, tiles: Tiles, passes: _Passes) -> Traffic:
    """Sums in and out of their scratchpad: in from the array and from DRAM, out to the array and to DRAM [values]."""
    outputs, rows = op.M * op.N, tiles.rows
    block = rows["m"] * rows["n"]
    returned, stored = (tiles.summed(block * (rows[f"{moved}_bytes"] > 0)) for moved in ("sum_load", "store"))
    return Traffic(outputs * (passes.sums - 1) + stored, outputs * passes.sums + returned)


def _sum_bits(op: Op, tiles: Tiles, bits: OperandBits, passes: _Passes) -> Traffic:
    """Bits of the same: a finished output is one sum, one that is not finished all that the PE has of it."""
    moved, outputs = _sums(op, tiles, passes), op.M * op.N
    finished = outputs * bits.accumulator
    unfinished_read, unfinished_written = moved.read_bits - outputs, moved.write_bits - outputs
    return Traffic(unfinished_read * bits.sums + finished, unfinished_written * bits.sums + finished)


def _otherwise(
    op: Op, tiles: Tiles, array: ArrayShape, bits: OperandBits, passes: _Passes
) -> dict[tuple[str, str], Traffic]:
    """What other conventions of counting would add to the scratchpads' traffic (``Counts.otherwise``).

    ``per_mac``: each MAC reads both operands from their scratchpads instead of taking them from its neighbour and,
    where sums wander (``ws``, ``is``), reads and writes one. ``output``: sums have the width of stored results.
    """
    at_edge = _sums(op, tiles, passes)
    per_mac = at_edge if array.dataflow == "os" else Traffic(op.M * op.N * op.K, op.M * op.N * op.K)
    counted = _sum_bits(op, tiles, bits, passes)
    return {
        ("act_buffer", "per_mac"): Traffic(op.M * (op.N - passes.act) * bits.act.row_bits(op.K)),
        ("weight_buffer", "per_mac"): Traffic(op.N * (op.M - passes.weight) * bits.weight.row_bits(op.K)),
        ("out_buffer", "per_mac/accumulator"): per_mac.times(bits.sums) + counted.times(-1),
        ("out_buffer", "per_mac/output"): per_mac.times(bits.output) + counted.times(-1),
        ("out_buffer", "per_edge/output"): at_edge.times(bits.output) + counted.times(-1),
    }


def _actions(
    op: Op, array: ArrayShape, bits: OperandBits, datapath: Datapath, passes: _Passes, costs: TileCosts
) -> dict[str, float]:
    actions: dict[str, float] = defaultdict(float)
    for per_one, times in (
        (datapath.actions_per_mac(), op.M * op.N * op.K),
        (datapath.actions_per_operand("act"), op.M * op.K * passes.act),
        (datapath.actions_per_operand("weight"), op.N * op.K * passes.weight),
        (datapath.actions_per_output(), op.M * op.N),
        ({"reg_bit": 1}, sum(_hop_bits(op, array, bits, datapath, passes).values())),
        (costs.actions, 1),
    ):
        for action, n in per_one.items():
            actions[action] += n * times
    return dict(actions)


def _hops(op: Op, array: ArrayShape, passes: _Passes) -> dict[str, int]:
    """Registers that operands and sums hop through inside the array.

    Sums hop out of the array (``os``: rows - r hops for a result of array row r), or down through all rows of every
    fold.
    """
    streamed = op.M * op.N * op.K * array.cycles_per_step
    if array.dataflow == "os":
        out = (op.M * (array.rows + 1) - _triangles(op.M, array.rows)) * op.N * array.result_words
        return {"act": streamed, "weight": streamed, "out": out}
    to_their_rows = _triangles(op.K * array.cycles_per_step, array.rows)
    out = op.M * op.N * passes.sums * array.rows
    if array.dataflow == "ws":
        return {"act": streamed, "weight": op.N * to_their_rows * passes.weight, "out": out}
    return {"act": op.M * to_their_rows * passes.act, "weight": streamed, "out": out}


def _word_bits(bits: OperandBits, datapath: Datapath) -> dict[str, float]:
    """Width of the registers inside the array."""
    return {
        "act": datapath.register_bits("act"),
        "weight": datapath.register_bits("weight"),
        "out": bits.sums,
    }


def _hop_bits(op: Op, array: ArrayShape, bits: OperandBits, datapath: Datapath, passes: _Passes) -> dict[str, float]:
    widths = _word_bits(bits, datapath)
    return {operand: hops * widths[operand] for operand, hops in _hops(op, array, passes).items()}


def _in_array(
    op: Op, array: ArrayShape, bits: OperandBits, datapath: Datapath, passes: _Passes
) -> dict[tuple[str, str], Traffic]:
    """What crosses the array's edge (written: into it, read: out of it), and what hops inside it."""
    steps, outputs, widths = array.cycles_per_step, op.M * op.N, _word_bits(bits, datapath)
    enter = {
        "act": op.M * op.K * steps * passes.act,
        "weight": op.N * op.K * steps * passes.weight,
        "out": outputs * (passes.sums - 1),
    }
    leave = {"act": 0, "weight": 0, "out": outputs * passes.sums * array.result_words}
    edge = {
        ("edge", operand): Traffic(leave[operand] * width, enter[operand] * width, leave[operand], enter[operand])
        for operand, width in widths.items()
    }
    hop_bits = _hop_bits(op, array, bits, datapath, passes)
    hops = _hops(op, array, passes)
    return edge | {("registers", o): Traffic(write_bits=hop_bits[o], writes=hops[o]) for o in widths}


def _triangles(length: int, rows: int) -> int:
    """Sum of r + 1 over the array rows r that ``length`` lines take, fold after fold."""
    full, ragged = divmod(length, rows)
    return full * rows * (rows + 1) // 2 + ragged * (ragged + 1) // 2
