"""The hardware of many alike points as one, whose numbers are arrays with an entry for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np

from simulator.cost import Bill
from simulator.cost.sram import SramPrice
from simulator.engine import IdealDram
from simulator.mapping import BufferLimits
from simulator.study.point import Point
from simulator.study.rows import Row, sizes_of
from simulator.study.systolic import SystolicHardware

__all__ = ["stacked_hardware", "stacked_sizes"]


def stacked_hardware(many: Sequence[SystolicHardware]) -> SystolicHardware:
    """All of them as one; its design is that of the first, of which only what they share may be read."""
    first = many[0]
    array = replace(first.array, rows=_column([h.array.rows for h in many]), cols=_column([h.array.cols for h in many]))
    limits = cast(Sequence[BufferLimits], [h.limits for h in many])
    return replace(
        first,
        array=array,
        limits=BufferLimits(*(_column([getattr(one, f.name) for one in limits]) for f in fields(BufferLimits))),
        dram=_dram([h.search_dram for h in many]),
        bill=_bill([h.bill for h in many]),
    )


def stacked_sizes(points: Sequence[Point]) -> Row:
    """Columns of designs alone (``rows.sizes_of``), as arrays."""
    each = [sizes_of(point.hardware.design) for point in points]
    return {name: _column([row[name] for row in each]) for name in each[0]}


def _dram(many: Sequence[IdealDram]) -> IdealDram:
    rate, latency = (_column([getattr(d, name) for d in many]) for name in ("bytes_per_cycle", "latency_cycles"))
    return IdealDram(rate, latency, many[0].burst_bytes)


def _bill(many: Sequence[Bill]) -> Bill:
    first = many[0]
    return replace(
        first,
        parts={part: _column([bill.parts[part] for bill in many]) for part in first.parts},
        buffers={name: _sram([bill.buffers[name] for bill in many]) for name in first.buffers},
        dram_channels=_column([bill.dram_channels for bill in many]),
    )


def _sram(many: Sequence[SramPrice]) -> SramPrice:
    return SramPrice(*(_column([getattr(price, f.name) for price in many]) for f in fields(SramPrice)))


def _column(numbers: Sequence[Any]) -> Any:
    """Numbers as an array, which is given where a number of one design is."""
    return np.array(numbers)
