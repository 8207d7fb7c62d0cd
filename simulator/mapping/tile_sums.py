"""What the tiles of a GEMM add up to: everything that its counts need of them, in one go over their rows."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import kernel
from simulator.mapping.blocking import OperandBits
from simulator.mapping.blocks import ACT_LOAD, COLUMNS, K0, M0, MACS, N0, STORE, SUM_LOAD, WEIGHT_LOAD, K, M, N
from simulator.tiles import Tiles

__all__ = ["TileSums", "Widths", "added_sums", "sums_of", "widths_of"]


class TileSums(NamedTuple):
    """Sums over all tiles.

    Attributes:
        macs: useful multiply-accumulates.
        act_bytes, weight_bytes, sum_bytes, store_bytes: that move between DRAM and scratchpads; ``_bursts``: in whole
            bursts per tile.
        act_written, weight_written: bits of the blocks that are written into their scratchpad, whole bytes per block.
        returned, stored: sums that come from DRAM and that go there [values].
        m_blocks, n_blocks: along M and N: tiles at the first block of the other two dimensions.
    """

    macs: int
    act_bytes: int
    act_bursts: int
    weight_bytes: int
    weight_bursts: int
    sum_bytes: int
    sum_bursts: int
    store_bytes: int
    store_bursts: int
    act_written: int
    weight_written: int
    returned: int
    stored: int
    m_blocks: int
    n_blocks: int


class Widths(NamedTuple):
    """How operands lie in scratchpads, and one access of DRAM [bytes]."""

    act_values: int
    act_bits: int
    weight_values: int
    weight_bits: int
    burst_bytes: int


@cache
def widths_of(bits: OperandBits, burst_bytes: int) -> Widths:
    """See ``Widths``."""
    return Widths(bits.act.values, bits.act.bits, bits.weight.values, bits.weight.bits, burst_bytes)


def sums_of(tiles: Tiles, bits: OperandBits, burst_bytes: int) -> TileSums:
    """Of tiles from wherever: what comes from a global buffer is written into a scratchpad, too."""
    rows = np.stack([tiles.rows[column] for column in COLUMNS], axis=-1, dtype=np.int64)
    held = np.stack([tiles.rows[f"{side}_global_bytes"] for side in ("act", "weight")], axis=-1)
    return TileSums(*_summed(rows, held, np.ascontiguousarray(tiles.times), widths_of(bits, burst_bytes)))


def added_sums(
    tiles: Tiles, act: NDArray[np.int64], weight: NDArray[np.int64], bits: OperandBits, burst_bytes: int
) -> TileSums:
    """By how much the sums of many GEMMs are larger, all together, for what each loads more of its operands; bytes
    (GEMMs, tiles), a row for each tile. Nothing comes from a global buffer.
    """
    rows = np.stack([tiles.rows[column] for column in COLUMNS], axis=-1, dtype=np.int64)
    return TileSums(*_added(rows, act, weight, widths_of(bits, burst_bytes)))


@kernel
def _added(rows, act, weight, widths):
    sums, without = np.zeros(15, np.int64), np.zeros(15, np.int64)
    loads = rows.copy()
    for g in range(len(act)):
        for i in range(len(rows)):
            loads[i, ACT_LOAD] = rows[i, ACT_LOAD] + act[g, i]
            loads[i, WEIGHT_LOAD] = rows[i, WEIGHT_LOAD] + weight[g, i]
            add_row(sums, loads, i, 0, 0, 1, widths)
            add_row(without, rows, i, 0, 0, 1, widths)
    more = sums - without
    return (
        more[0], more[1], more[2], more[3], more[4], more[5], more[6], more[7], more[8], more[9], more[10], more[11],
        more[12], more[13], more[14],
    )  # fmt: skip


@kernel
def _summed(rows, held, times, widths):
    sums = np.zeros(15, np.int64)
    for i in range(len(times)):
        add_row(sums, rows, i, held[i, 0], held[i, 1], times[i], widths)
    return (
        sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9], sums[10], sums[11],
        sums[12], sums[13], sums[14],
    )  # fmt: skip


@kernel
def add_row(sums, rows, i, act_held, weight_held, times, widths):
    """Add so many tiles of one row to the sums, in the order of ``TileSums``."""
    m, n, k = rows[i, M], rows[i, N], rows[i, K]
    sums[0] += times * rows[i, MACS]
    sums[1] += times * rows[i, ACT_LOAD]
    sums[2] += times * -(-rows[i, ACT_LOAD] // widths.burst_bytes)
    sums[3] += times * rows[i, WEIGHT_LOAD]
    sums[4] += times * -(-rows[i, WEIGHT_LOAD] // widths.burst_bytes)
    sums[5] += times * rows[i, SUM_LOAD]
    sums[6] += times * -(-rows[i, SUM_LOAD] // widths.burst_bytes)
    sums[7] += times * rows[i, STORE]
    sums[8] += times * -(-rows[i, STORE] // widths.burst_bytes)
    if rows[i, ACT_LOAD] + act_held > 0:
        sums[9] += times * (-(-m * (-(-k // widths.act_values) * widths.act_bits) // 8) * 8)
    if rows[i, WEIGHT_LOAD] + weight_held > 0:
        sums[10] += times * (-(-n * (-(-k // widths.weight_values) * widths.weight_bits) // 8) * 8)
    if rows[i, SUM_LOAD] > 0:
        sums[11] += times * m * n
    if rows[i, STORE] > 0:
        sums[12] += times * m * n
    first_m, first_n, first_k = (
        rows[i, M0] == rows[0, M0],
        rows[i, N0] == rows[0, N0],
        rows[i, K0] == rows[0, K0],
    )
    if first_n and first_k:
        sums[13] += times
    if first_m and first_k:
        sums[14] += times
