"""One GEMM on many machines in one call: each has the blocking and the measurements that it has alone."""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import IdealDram, nest_cycles
from simulator.errors import MappingError
from simulator.mapping import ORDERS, BufferLimits, Pinned, best_blocking
from simulator.mapping.blocking import LOOPS, axes_of
from simulator.mapping.blocks import case_of
from simulator.mapping.scratchpads import Memories, Pad
from simulator.mapping.tile_sums import widths_of
from simulator.study.fast_blocking import channel_of, fast_blocking
from simulator.study.gemm_batch import Alike, Machines, measure_many
from simulator.study.measured import measure
from tests.test_blocking_search import searches

pytestmark = pytest.mark.kernels

MEMORIES = Memories(Pad(64), Pad(64), Pad(64))


def alone(op, alike, array, limits, dram):
    """Blocking, tiles and measurements of one machine, a list; zeros where there is none. Output-stationary folds in
    chunks of K have no search of their own.
    """
    on, how = (op, array, alike.bits, limits, alike.depths), (alike.pinned, alike.tolerance)
    try:
        b = fast_blocking(*on, dram, *how)
        if b is None and array.dataflow == "os" and alike.pinned == Pinned():
            cycles, rate = partial(_cycles, dram), dram.bytes_per_cycle
            b = best_blocking(*on, cycles=cycles, bytes_per_cycle=rate, tolerance=alike.tolerance, memories=MEMORIES)
    except MappingError:
        b = None
    if b is None:
        return [0] * 30
    counts, order = b.counts(op), ORDERS.index(b.order)
    channel, widths = channel_of(dram, alike.depths), widths_of(alike.bits, alike.access_bytes)
    measurements = measure(case_of(op, array, alike.bits), channel, widths, (b.m, b.n, b.k), counts, LOOPS[order])
    return [b.m, b.n, b.k, order, np.prod(counts), *(number for part in measurements for number in part)]


def _cycles(dram, nest):
    return nest_cycles(nest, dram)


def machines_of(arrays, limits, drams):
    """As ``measure_many`` is given them."""
    return Machines(
        np.array([array.rows for array in arrays]),
        np.array([array.cols for array in arrays]),
        np.array([[fit.act_bits, fit.weight_bits, fit.out_bits] for fit in limits]),
        np.array([[dram.bytes_per_cycle, dram.read_bytes_per_cycle] for dram in drams]),
        np.array([dram.latency_cycles for dram in drams]),
    )


@st.composite
def batches(draw):
    """A GEMM, what machines have in common, and up to 14 of them, most of which differ from one before in one thing."""
    op, array, bits, limits, depths = draw(searches(90))
    burst, outstanding = draw(st.sampled_from([1, 4, 16, 64])), draw(st.one_of(st.none(), st.integers(1, 4)))
    rates = st.one_of(st.floats(0.2, 40, allow_nan=False), st.just(float("inf")))
    dram = IdealDram(draw(rates), draw(st.integers(0, 60)), burst, outstanding)
    machines = [(array, limits, dram)]
    for _ in range(draw(st.integers(0, 13))):
        array, limits, dram = draw(st.sampled_from(machines[-3:]))
        what = draw(st.sampled_from(["rate", "rate", "latency", "rows", "cols", "limits", "less", "less"]))
        if what == "rate":
            dram = replace(dram, bytes_per_cycle=draw(rates))
        elif what == "latency":
            dram = replace(dram, latency_cycles=draw(st.integers(0, 60)))
        elif what == "limits":
            limits = BufferLimits(*[draw(st.integers(200, 60_000)) for _ in range(3)])
        elif what == "less":
            limits = BufferLimits(*[int(fit * draw(st.floats(0.3, 1))) for fit in astuple(limits)])
        else:
            array = replace(array, **{what: draw(st.integers(1, 9))})
        machines.append((array, limits, dram))
    pinned = Pinned(order=draw(st.sampled_from([None, None, None, *ORDERS])))
    if draw(st.booleans()):
        axes = axes_of(op, machines[0][0], bits, Pinned())
        pinned = pinned._replace(
            **{dim: draw(st.sampled_from([None, *axis.tolist()])) for dim, axis in zip("mnk", axes, strict=True)}
        )
    tolerance = draw(st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.2]))
    return op, Alike(array, bits, depths, burst, draw(st.sampled_from([burst, 32])), pinned, tolerance), machines


@settings(max_examples=300, deadline=None)
@given(batches())
def test_each_has_what_it_has_alone(batch):
    op, alike, machines = batch
    found = measure_many(op, alike, machines_of(*zip(*machines, strict=True)))
    rows = np.column_stack([found.sizes, found.order, found.tiles, found.waits, found.spent, found.sums])
    assert rows.tolist() == [alone(op, alike, *machine) for machine in machines]
    assert found.found.tolist() == [row[0] > 0 for row in rows]


def test_no_machines_have_nothing():
    """Arrays of length 0 are arrays."""
    from simulator.datapath import Width
    from simulator.mapping import ArrayShape, OperandBits
    from simulator.workload import Op

    alike = Alike(ArrayShape(8, 8, "full"), OperandBits(Width.plain(8), Width.plain(8), 32, 16), (2, 2, 2), 64, 64)
    none = Machines(*[np.zeros(0, np.int64)] * 2, np.zeros((0, 3), np.int64), np.zeros((0, 2)), np.zeros(0, np.int64))
    assert len(measure_many(Op("op", 4, 5, 6), alike, none).found) == 0
