"""How often words of the scratchpads are read and written: whole words, wherever a fold's values lie in them.

Each fold reads the words that its values lie in (``scratchpads``); a tile that is loaded writes the words of its block;
sums are written by every fold that they leave, read by every fold that goes on from them, and read row by row when they
are stored to DRAM.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.datapath import Width
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import OperandBits
from simulator.mapping.folds import FoldRanges, Kind, fold_ranges, kinds, reduction_ranges
from simulator.mapping.scratchpads import Memories, Pad, Part, operand_demand, span
from simulator.tiles import Tiles
from simulator.workload import Op

__all__ = ["Accesses", "PadAccesses", "pad_accesses"]


class Accesses(NamedTuple):
    """Words of ``word_bits`` read and written."""

    reads: int
    writes: int
    word_bits: int


class PadAccesses(NamedTuple):
    """Accesses of the three scratchpads in one GEMM."""

    act: Accesses
    weight: Accesses
    out: Accesses

    @classmethod
    def uncounted(cls, memories: Memories) -> PadAccesses:
        """None, for whoever does not ask."""
        return cls(*(Accesses(0, 0, pad.word_bits) for pad in (memories.act, memories.weight, memories.out)))


class _FoldReads(NamedTuple):
    """What the folds of a tile read and write."""

    act: int
    weight: int
    sums_read: int
    sums_written: int


def pad_accesses(op: Op, tiles: Tiles, array: ArrayShape, bits: OperandBits, memories: Memories) -> PadAccesses:
    """Accesses of one of the op's GEMMs."""
    rows = tiles.rows
    found, which = kinds(rows, op, array)
    times = np.zeros(len(found), np.int64)
    np.add.at(times, which, tiles.times)
    of_folds = _os_reads if array.dataflow == "os" else _held_reads
    reads = np.array([of_folds(kind, array, bits, memories) for kind in found])
    act, weight, sums_read, sums_written = (int(n) for n in times @ reads)
    width = np.where(rows["k0"] + rows["k"] == op.K, bits.accumulator, bits.sums)
    stored = tiles.summed(_rows_of_sums(rows, array, width, memories.out) * (rows["store_bytes"] > 0))
    returned = tiles.summed(_rows_of_sums(rows, array, bits.sums, memories.out) * (rows["sum_load_bytes"] > 0))
    return PadAccesses(
        Accesses(act, _loaded(tiles, "act", "m", bits.act, memories.act), memories.act.word_bits),
        Accesses(weight, _loaded(tiles, "weight", "n", bits.weight, memories.weight), memories.weight.word_bits),
        Accesses(sums_read + stored, sums_written + returned, memories.out.word_bits),
    )


def _loaded(tiles: Tiles, side: str, along: str, width: Width, pad: Pad) -> int:
    """Words of the blocks that are loaded."""
    rows = tiles.rows
    lines, units = rows[along], -(-rows["k"] // width.values)
    if pad.layout == "k_major":
        words = lines * -(-units * width.bits // pad.word_bits)
    else:
        words = units * -(-lines * width.bits // pad.word_bits)
    return tiles.summed(words * (rows[f"{side}_load_bytes"] > 0))


def _rows_of_sums(tiles: NDArray[Any], array: ArrayShape, width: Any, pad: Pad) -> NDArray[np.int64]:
    """Words of each tile's sums of ``width`` bits: lines of what leaves the array together."""
    lines, across = ("n", "m") if array.dataflow == "is" else ("m", "n")
    return np.asarray(tiles[lines] * -(-tiles[across] * width // pad.word_bits))


def _sum_words(folds: FoldRanges, width: int, pad: Pad) -> int:
    """Words of one step's sums of ``width`` bits, over all folds along the columns."""
    return int(span(folds.across0 * width, folds.across1 * width, pad.word_bits).sum())


def _os_reads(kind: Kind, array: ArrayShape, bits: OperandBits, memories: Memories) -> _FoldReads:
    folds = fold_ranges(kind, array)
    lines, columns = Part(folds.down0, folds.down1, 0, kind.k), Part(folds.across0, folds.across1, 0, kind.k)
    act = operand_demand(memories.act, bits.act, kind.m, kind.k, lines, "lines").words.sum()
    weight = operand_demand(memories.weight, bits.weight, kind.n, kind.k, columns, "lines").words.sum()
    return _FoldReads(
        len(folds.across0) * int(act),
        len(folds.down0) * int(weight),
        0,
        kind.m * _sum_words(folds, bits.accumulator, memories.out) if kind.last else 0,
    )


def _held_reads(kind: Kind, array: ArrayShape, bits: OperandBits, memories: Memories) -> _FoldReads:
    folds = fold_ranges(kind, array)
    k0, k1 = reduction_ranges(folds, array)
    stream, across = (kind.m, kind.n) if array.dataflow == "ws" else (kind.n, kind.m)
    act, weight = (memories.act, bits.act), (memories.weight, bits.weight)
    streamed, kept = (act, weight) if array.dataflow == "ws" else (weight, act)
    once = operand_demand(*streamed, stream, kind.k, Part(0, stream, k0, k1), "k").words.sum()
    held = Part(folds.across0, folds.across1, k0[:, None], k1[:, None])
    in_place = int(operand_demand(*kept, across, kind.k, held, "lines").words.sum())
    in_turn = len(folds.across0) * int(once)
    unfinished, finished = (stream * _sum_words(folds, width, memories.out) for width in (bits.sums, bits.accumulator))
    adding = len(folds.down0) - (not kind.before)
    sides = (in_turn, in_place) if array.dataflow == "ws" else (in_place, in_turn)
    written = (len(folds.down0) - kind.last) * unfinished + kind.last * finished
    return _FoldReads(*sides, adding * unfinished, written)
