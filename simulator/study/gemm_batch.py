"""One GEMM on many designs: searched and measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.engine import IdealDram
from simulator.errors import MappingError
from simulator.mapping import ArrayShape, BufferLimits
from simulator.mapping.blocking import LOOPS, ORDERS
from simulator.mapping.blocks import case_of
from simulator.mapping.tile_sums import widths_of
from simulator.study.fast_blocking import channel_of, fast_blocking
from simulator.study.measured import _measure
from dataclasses import replace


class Batch(NamedTuple):
    found: Any
    tiles: Any
    waits: Any
    spent: Any
    sums: Any


def measure_many(op, array, bits, limits, depths, rates, latency, burst_bytes, pinned, tolerance) -> Batch:
    P = len(array.rows)
    b = Batch(
        np.zeros(P, bool),
        np.zeros(P, np.int64),
        np.zeros((P, 5), np.int64),
        np.zeros((P, 5), np.int64),
        np.zeros((P, 15), np.int64),
    )
    for p in range(P):
        a = replace(array, rows=int(array.rows[p]), cols=int(array.cols[p]))
        dram = IdealDram(float(rates[p, 0]), int(latency[p]), burst_bytes)
        try:
            bl = fast_blocking(op, a, bits, BufferLimits(*map(int, limits[p])), depths, dram, pinned, tolerance)
        except MappingError:
            continue
        if bl is None:
            continue
        b.found[p] = True
        c = bl.counts(op)
        b.tiles[p] = c[0] * c[1] * c[2]
        b.waits[p], b.spent[p], b.sums[p] = _measure(
            case_of(op, a, bits),
            channel_of(dram, depths),
            widths_of(bits, burst_bytes),
            (bl.m, bl.n, bl.k),
            c,
            LOOPS[ORDERS.index(bl.order)],
        )
    return b
