"""Scratchpads as the mapping sees them: how values lie in words, words in banks, and what reading a block takes.

A word of ``word_bits`` bits has an address; word ``a`` lies in bank ``a mod banks``, and a bank serves one word per
cycle. A block of an operand is ``lines`` (rows of A, columns of W) times K. Its packed units (``Width``: so many
neighbours along K, scales among them, stay together) follow each other bit by bit, and each line, or each unit of K,
begins a word:

| layout | a word holds | unit ``u`` of line ``l`` begins in word | ``stride`` |
| --- | --- | --- | --- |
| ``k_major`` | neighbours along K of one line | ``l * stride + u * bits // word_bits`` | words of a line |
| ``line_major`` | neighbouring lines at one unit of K | ``u * stride + l * bits // word_bits`` | words of a unit |

What an edge takes in one step lies either along its words or across them:

- *along*: the step reads ``span`` consecutive words; they are in consecutive banks: ``ceil(span / banks)`` cycles.
- *across*: each of ``lanes`` lanes of the edge has a word buffer of its own and reads its next word when that is used
  up, all of them together. Their addresses are ``stride`` apart and so fall on ``banks / gcd(stride, banks)`` banks in
  turn: the fullest one serves ``ceil(lanes * gcd(stride, banks) / banks)`` words, for each of the ``span`` words.

Sums lie as ``k_major`` lines of what leaves the array together: neighbours along its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.datapath import Width

__all__ = ["Demand", "Memories", "Pad", "Part", "adding_cycles", "operand_demand", "span"]

Layout = Literal["k_major", "line_major"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pad:
    """One scratchpad: ``banks`` single-ported banks of words of ``word_bits``."""

    word_bits: int
    banks: int = 1
    layout: Layout = "k_major"


@dataclass(frozen=True)
class Memories:
    """What an access is at each level, and whether scratchpads make the array wait for it.

    Attributes:
        burst_bytes: what DRAM moves at a time.
        bank_conflicts: False: ports are as wide as the array's edge, and words never wait for their bank.
    """

    act: Pad
    weight: Pad
    out: Pad
    burst_bytes: int = 1
    bank_conflicts: bool = False


class Part(NamedTuple):
    """Parts of a block, as arrays that broadcast: lines ``[line0, line1)``, reduction steps ``[k0, k1)``."""

    line0: Any
    line1: Any
    k0: Any
    k1: Any


class Demand(NamedTuple):
    """Words that are read, and cycles for which the fullest bank is busy with them."""

    words: Ints
    cycles: Ints


def span(start: Any, stop: Any, word_bits: int) -> Any:
    """Words that bits ``[start, stop)`` lie in."""
    return -(-stop // word_bits) - start // word_bits


def operand_demand(pad: Pad, width: Width, lines: int, k: int, part: Part, edge: Literal["lines", "k"]) -> Demand:
    """What reading a part of a block of ``lines`` x ``k`` takes, once, for an edge whose lanes hold lines or K."""
    first, last = part.k0 // width.values, -(-part.k1 // width.values)
    units, some_lines = last - first, part.line1 - part.line0
    if pad.layout == "k_major":
        words = span(first * width.bits, last * width.bits, pad.word_bits)
        stride = -(-width.row_bits(k) // pad.word_bits)
        lanes, across = some_lines, edge == "lines"
    else:
        words = span(part.line0 * width.bits, part.line1 * width.bits, pad.word_bits)
        stride = -(-lines * width.bits // pad.word_bits)
        lanes, across = units, edge == "k"
    cycles = words * -(-lanes * gcd(stride, pad.banks) // pad.banks) if across else lanes * -(-words // pad.banks)
    return Demand(np.asarray(lanes * words), np.asarray(cycles))


def adding_cycles(words: Ints, stride: int, banks: int) -> Ints:
    """Cycles of a step in which ``words`` consecutive words of sums are read, and those of the step before, which lie
    ``stride`` words earlier, are written back.

    Each of the two takes ``words // banks`` accesses of every bank and one more of ``words % banks`` neighbouring ones;
    where these overlap, two more.
    """
    whole, rest = words // banks, words % banks
    apart = stride % banks
    overlap = (apart < rest) | (banks - apart < rest)
    return 2 * whole + np.where(rest == 0, 0, np.where(overlap, 2, 1))
