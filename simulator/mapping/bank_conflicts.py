"""Cycles that folds take longer because words of a scratchpad wait for their bank.

Every fold has two phases, and each is stretched to what the banks need for its words (``scratchpads``):

| | phase A | busy with it | phase B | busy with it |
| --- | --- | --- | --- | --- |
| ``os`` | operands stream for ``K`` steps | both operand pads | results leave in ``rows`` hops | out pad, hop by hop |
| ``ws``, ``is`` | one operand, for ``T`` steps | its pad, out pad | held words enter in ``rows`` cycles | its pad |

The pads work side by side, so in a phase the busiest decides. Results of ``os`` are written once. Sums of ``ws`` and
``is`` leave in every step: those of the first fold along K are written, later ones are read, added to and written back,
two accesses of single-ported banks.

The phases then follow each other as the array overlaps its folds: with ``none`` and ``wave`` phase B comes after A (its
wavefront), and both waits add up; with ``full`` they run side by side and a fold lasts as long as the longer one:

    waits of a fold = (A' - A) + (B' - B)                 none, wave (scalesim: os has no phase B)
                      max(A', B') - max(A, B)             full

With ``full`` the shorter phase of the last fold (``ws``, ``is``: of the first) has nothing to hide behind: the last
tile pays ``min(A', B') - min(A, B)`` of its last fold. All follows from the closed forms with A' and B' in place of A
and B. Where an output-stationary fold comes in chunks of K, each chunk pays its own A' - A, the last one the drain.

Bank cycles are exact. Assumed: edge buffers even demand out within a phase, so that what counts is how long the banks
are busy with the words of the phase; a word is read again by each fold that uses it; words on their way between a
scratchpad and DRAM take cycles that the array leaves over; outlier lists, masks and arrays beside the main one have
ports of their own.

More banks: if their number is multiplied by a whole number no wait grows, for each new bank has a part of what one of
the old ones had. Between other numbers it may: 4 banks serve 4 lanes 5 words apart in one cycle, 5 banks in four.

Source: derived here; equal to banks simulated request by request (tests/test_bank_conflicts.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.datapath import Width
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import OperandBits
from simulator.mapping.folds import FoldRanges, Kind, fold_ranges, kinds, reduction_ranges
from simulator.mapping.scratchpads import Memories, Pad, Part, adding_cycles, operand_demand, span
from simulator.workload import Op

__all__ = ["conflict_cycles"]

Ints = NDArray[np.int64]
Side = tuple[Pad, Width]


class _Phases(NamedTuple):
    """Cycles of the two phases of each fold (down, across), and what the banks stretch them to."""

    a: int
    b: int
    stretched_a: Ints
    stretched_b: Ints


def conflict_cycles(
    tiles: NDArray[Any], op: Op, array: ArrayShape, bits: OperandBits, memories: Memories
) -> NDArray[np.int64]:
    """Cycles that each tile of a GEMM waits for banks, on top of its issue cycles."""
    found, which = kinds(tiles, op, array)
    phases = [(_os_phases if array.dataflow == "os" else _held_phases)(kind, array, bits, memories) for kind in found]
    waits = np.array([int(_waits(p, array).sum()) for p in phases], np.int64)[which]
    if array.overlap == "full":
        last = phases[which[-1]]
        shorter = np.minimum(last.stretched_a, last.stretched_b).flat[-1]
        waits[-1] += int(shorter) - min(last.a, last.b)
    return waits


def _waits(phases: _Phases, array: ArrayShape) -> Ints:
    a, b, stretched_a, stretched_b = phases
    if array.overlap == "full":
        return np.maximum(stretched_a, stretched_b) - max(a, b)
    return np.asarray((stretched_a - a) + (stretched_b - b))


def _os_phases(kind: Kind, array: ArrayShape, bits: OperandBits, memories: Memories) -> _Phases:
    folds = fold_ranges(kind, array)
    act = Part(folds.down0[:, None], folds.down1[:, None], 0, kind.k)
    weight = Part(folds.across0, folds.across1, 0, kind.k)
    busy = np.maximum(
        operand_demand(memories.act, bits.act, kind.m, kind.k, act, "lines").cycles,
        operand_demand(memories.weight, bits.weight, kind.n, kind.k, weight, "lines").cycles,
    )
    before, steps = kind.before * array.cycles_per_step, kind.k * array.cycles_per_step
    stretched = np.maximum(steps, busy)
    if not kind.last:  # the sums stay in the PEs: no results leave, and the next chunk follows at once
        return _Phases(steps, 0, stretched, np.zeros_like(stretched))
    hop = np.maximum(array.result_words, _writing_cycles(folds, bits, memories.out))
    used = (folds.down1 - folds.down0)[:, None]
    drain = used * hop + (array.rows - used) * array.result_words
    if array.overlap == "scalesim":
        drain = np.full_like(drain, array.rows * array.result_words)
    return _Phases(before + steps, array.rows * array.result_words, before + stretched, drain)


def _held_phases(kind: Kind, array: ArrayShape, bits: OperandBits, memories: Memories) -> _Phases:
    folds = fold_ranges(kind, array)
    k0, k1 = (k[:, None] for k in reduction_ranges(folds, array))
    stream = array.stream(kind.m, kind.n, kind.k)
    across = kind.n if array.dataflow == "ws" else kind.m
    streamed, kept = _sides(array, bits, memories)
    in_step = operand_demand(*streamed, stream, kind.k, Part(0, stream, k0, k1), "k").cycles
    entering = operand_demand(*kept, across, kind.k, Part(folds.across0, folds.across1, k0, k1), "lines").cycles
    sums = stream * _sum_cycles(kind, folds, across, bits, memories.out)
    return _Phases(stream, array.rows, np.maximum(stream, np.maximum(in_step, sums)), np.maximum(array.rows, entering))


def _sides(array: ArrayShape, bits: OperandBits, memories: Memories) -> tuple[Side, Side]:
    """Scratchpad and width of the operand that streams, and of the one that is held."""
    act, weight = (memories.act, bits.act), (memories.weight, bits.weight)
    return (act, weight) if array.dataflow == "ws" else (weight, act)


def _sum_words(folds: FoldRanges, bits: OperandBits, pad: Pad) -> Ints:
    return np.asarray(span(folds.across0 * bits.sums, folds.across1 * bits.sums, pad.word_bits))


def _writing_cycles(folds: FoldRanges, bits: OperandBits, pad: Pad) -> Ints:
    """Cycles in which a step's results are written, for each fold along the columns."""
    return -(-_sum_words(folds, bits, pad) // pad.banks)


def _sum_cycles(kind: Kind, folds: FoldRanges, across: int, bits: OperandBits, pad: Pad) -> Ints:
    """Cycles of a step's sums for each fold (down, across): the first fold along K writes, later ones also read. What
    is finished is written where its sums were, and charged as they are.
    """
    stride = -(-across * bits.sums // pad.word_bits)
    adding = adding_cycles(_sum_words(folds, bits, pad), stride, pad.banks)
    cycles = np.tile(adding, (len(folds.down0), 1))
    if not kind.before:
        cycles[0] = _writing_cycles(folds, bits, pad)
    return cycles
