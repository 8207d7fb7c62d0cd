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
from types import MappingProxyType
from typing import NamedTuple

from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath, TileCosts
from simulator.elementwise import everywhere
from simulator.mapping.accesses import Accesses, PadAccesses
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import OperandBits
from simulator.mapping.tile_sums import TileSums, sums_of
from simulator.tiles import Tiles
from simulator.workload import Op

__all__ = ["count"]


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
    sums = sums_of(tiles, bits, burst_bytes)
    return count_sums(op, sums, tiles.compute_cycles, array, bits, datapath, cycles, pads, costs, shared)


def count_sums(
    op: Op,
    tiles: TileSums,
    compute_cycles: int,
    array: ArrayShape,
    bits: OperandBits,
    datapath: Datapath,
    cycles: int,
    pads: PadAccesses,
    costs: TileCosts | None = None,
    shared: Mapping[tuple[str, str], Traffic] = MappingProxyType({}),
) -> Counts:
    """The same from what the tiles add up to."""
    assert everywhere(tiles.macs == op.M * op.N * op.K), "tiles must cover the GEMM exactly once"
    passes = _passes(op, array, tiles)
    sums = _sum_bits(op, tiles, bits, passes)
    act_more, weight_more = (costs.act_buffer_bits, costs.weight_buffer_bits) if costs else ((0, 0), (0, 0))
    traffic = {
        ("dram", "act"): Traffic(read_bits=tiles.act_bytes * 8, reads=tiles.act_bursts),
        ("dram", "weight"): Traffic(read_bits=tiles.weight_bytes * 8, reads=tiles.weight_bursts),
        ("dram", "out"): Traffic(tiles.sum_bytes * 8, tiles.store_bytes * 8, tiles.sum_bursts, tiles.store_bursts),
        **shared,
        ("act_buffer", "act"): _operand(
            op.M * passes.act * bits.act.row_bits(op.K), tiles.act_written, act_more, pads.act
        ),
        ("weight_buffer", "weight"): _operand(
            op.N * passes.weight * bits.weight.row_bits(op.K), tiles.weight_written, weight_more, pads.weight
        ),
        ("out_buffer", "out"): Traffic(sums.read_bits, sums.write_bits, pads.out.reads, pads.out.writes),
        **_in_array(op, array, bits, datapath, passes),
    }
    actions = _actions(op, array, bits, datapath, passes, costs)
    counts = Counts(tiles.macs, cycles, actions, traffic, compute_cycles, _otherwise(op, tiles, array, bits, passes))
    act_bits, weight_bits = (
        width.dram_bits * rows * op.K // width.values for width, rows in ((bits.act, op.M), (bits.weight, op.N))
    )
    counts.require_compulsory(act_bits, weight_bits, op.M * op.N * bits.output)
    return counts


def _passes(op: Op, array: ArrayShape, tiles: TileSums) -> _Passes:
    down, across = array.places(op.M, op.N, op.K)
    row_folds, col_folds = -(-down // array.rows), -(-across // array.cols)
    if array.dataflow == "os":
        return _Passes(col_folds, row_folds, 1)
    if array.dataflow == "ws":
        return _Passes(col_folds, tiles.m_blocks, row_folds)
    return _Passes(tiles.n_blocks, col_folds, row_folds)


def _operand(read: float, written: int, more: tuple[int, int], words: Accesses) -> Traffic:
    """Scratchpad traffic of one operand: bits read in all, and written as they are loaded. What values add to it
    (lists, masks) is taken to be packed in words.
    """
    reads, writes = (
        n + -(-extra // words.word_bits) for n, extra in zip((words.reads, words.writes), more, strict=True)
    )
    return Traffic(read + more[0], written + more[1], reads, writes)


def _sums(op: Op, tiles: TileSums, passes: _Passes) -> Traffic:
    """Sums in and out of their scratchpad: in from the array and from DRAM, out to the array and to DRAM [values]."""
    outputs = op.M * op.N
    return Traffic(outputs * (passes.sums - 1) + tiles.stored, outputs * passes.sums + tiles.returned)


def _sum_bits(op: Op, tiles: TileSums, bits: OperandBits, passes: _Passes) -> Traffic:
    """Bits of the same: a finished output is one sum, one that is not finished all that the PE has of it."""
    moved, outputs = _sums(op, tiles, passes), op.M * op.N
    finished = outputs * bits.accumulator
    unfinished_read, unfinished_written = moved.read_bits - outputs, moved.write_bits - outputs
    return Traffic(unfinished_read * bits.sums + finished, unfinished_written * bits.sums + finished)


def _otherwise(
    op: Op, tiles: TileSums, array: ArrayShape, bits: OperandBits, passes: _Passes
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
    op: Op, array: ArrayShape, bits: OperandBits, datapath: Datapath, passes: _Passes, costs: TileCosts | None
) -> dict[str, float]:
    actions: dict[str, float] = defaultdict(float)
    for per_one, times in (
        (datapath.actions_per_mac(), op.M * op.N * op.K),
        (datapath.actions_per_operand("act"), op.M * op.K * passes.act),
        (datapath.actions_per_operand("weight"), op.N * op.K * passes.weight),
        (datapath.actions_per_output(), op.M * op.N),
        ({"reg_bit": 1}, sum(_hop_bits(op, array, bits, datapath, passes).values())),
        (costs.actions if costs else {}, 1),
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
