"""What a GEMM's blocks move: out of L2, as often as blocks ask for it; out of DRAM, as often as L2 has lost it.

Blocks start in the order of their numbers. They are numbered along a band of ``width`` columns (or rows) of the grid of
blocks, then along the next band, so that those that run at the same time ask for few different rows of A and columns of
W. All of them step along K together: what several of them ask for comes from DRAM once. Beyond that

- the columns of a band are asked for again by every set of blocks that runs in it; they come from DRAM once if L2 holds
  them and the rows of one such set, else each time;
- the rows are asked for again by every band; they come from DRAM once if L2 holds all of them and the columns of the
  bands that run at once, else once per band.

Of all widths and both directions that of least traffic is taken. Results are written to L2. If it cannot hold the whole
GEMM, what is loaded pushes out results of blocks before, byte for byte; what is left when the GEMM ends is written back
after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.machine import Machine, ceil_div
from simulator.mapping.tensor_core.steps import Grid
from simulator.workload import Op

__all__ = ["DramBytes", "dram_bytes", "l2_bytes"]

_WIDTHS = (1, 2, 4, 8, 16, 32)
"""Blocks across a band, as CUTLASS' swizzles have them, and more."""


@dataclass(frozen=True)
class DramBytes:
    """Bytes from DRAM; integers, or arrays of them.

    Attributes:
        act, weight: in all. first_act, first_weight: of them, by the blocks that run first.
        width: of a band; ``along_n``: whether it is one of columns.
        full: whether L2 cannot hold the whole GEMM, so that loads push out results.
    """

    act: Any
    weight: Any
    first_act: Any
    first_weight: Any
    width: Any
    along_n: Any
    full: Any


def l2_bytes(op: Op, machine: Machine, bits: OperandBits, g: Grid) -> tuple[Any, Any]:
    """Bytes of activations and weights that all blocks ask L2 for: each row of A once per block along N, each column of
    W once per block (or cluster of them) along M.
    """
    act, weight = _operand_bytes(op, bits)  # all products of a batch have operands of their own
    return act * g.cols, weight * ceil_div(g.rows, np.minimum(machine.cluster, g.rows))


def _operand_bytes(op: Op, bits: OperandBits) -> tuple[int, int]:
    """Bytes of both operands on chip."""
    return op.count * (-(-op.M * bits.act.row_bits(op.K) // 8)), op.count * (-(-op.N * bits.weight.row_bits(op.K) // 8))


def dram_bytes(op: Op, machine: Machine, bits: OperandBits, x: Any, g: Grid) -> DramBytes:
    """See above."""
    chip = _operand_bytes(op, bits)
    full = sum(chip) + op.count * (op.M * op.N * bits.output // 8) > machine.l2_bytes
    act = op.count * (-(-op.M * bits.act.dram_row_bits(op.K) // 8))
    weight = op.count * (-(-op.N * bits.weight.dram_row_bits(op.K) // 8))
    if machine.warm and not full:
        act = weight = 0
    at_once = np.minimum(machine.sms * g.together, g.blocks)
    parts = np.asarray(x.splits) * op.count  # that have blocks and operands of their own
    held = [side / parts for side in chip]
    times = []
    for width in _WIDTHS:
        passing, kept = _band(g.cols, g.rows, width, at_once, held[1], held[0], machine.l2_bytes)
        times.append((passing, kept))
        passing, kept = _band(g.rows, g.cols, width, at_once, held[0], held[1], machine.l2_bytes)
        times.append((kept, passing))
    moved = np.array([act * acts + weight * weights for acts, weights in times])
    best = np.argmin(moved, axis=0)
    acts, weights = (np.choose(best, [pair[side] for pair in times]) for side in (0, 1))
    along_n = best % 2 == 0
    width = np.minimum(np.array(_WIDTHS)[best // 2], np.where(along_n, g.cols, g.rows))
    share = _first_share(machine, parts, g, width, along_n)
    first = [np.ceil(side * part).astype(np.int64) for side, part in zip((act, weight), share, strict=True)]
    return DramBytes(act * acts, weight * weights, first[0], first[1], width, along_n, full)


def _band(across: Any, along: Any, width: int, at_once: Any, held: Any, passing: Any, capacity: int) -> tuple[Any, Any]:
    """How often the operand that passes along the bands, and the one that a band holds, come from DRAM.

    Args:
        across, along: blocks of the grid across all bands, and along one.
        held, passing: bytes of the two operands (of one part of K).
    """
    wide = np.minimum(width, across)
    band_blocks = along * wide
    bands_at_once = np.maximum(at_once // band_blocks, 1)
    band = held * wide / across
    slab = passing * np.minimum(ceil_div(at_once, wide), along) / along
    kept = np.where(band + slab <= capacity, 1, ceil_div(band_blocks, at_once))
    passes = ceil_div(ceil_div(across, wide), bands_at_once)
    live = band * np.minimum(ceil_div(at_once, band_blocks) + (at_once % band_blocks > 0), ceil_div(across, wide))
    return np.where(passing + live <= capacity, 1, passes), kept


def _first_share(machine: Machine, parts: Any, g: Grid, width: Any, along_n: Any) -> tuple[Any, Any]:
    """Parts of A and of W that the blocks which run first ask for; ``parts`` of K and of a batch are numbered last."""
    tiles = g.rows * g.cols
    at_once = machine.sms * g.together
    blocks = np.minimum(at_once, tiles)
    of_k = np.minimum(ceil_div(at_once, tiles), parts) / parts
    long, wide = np.where(along_n, (g.rows, g.cols), (g.cols, g.rows))
    along = np.minimum(ceil_div(blocks, width), long)
    across = np.minimum(width * ceil_div(blocks, width * long), wide)
    rows, cols = np.where(along_n, along, across), np.where(along_n, across, along)
    return rows / g.rows * of_k, cols / g.cols * of_k
