"""A GEMM measured in one call is the GEMM run as loops and counted from its table; so are rows of a sweep."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.engine import NO_MEMORY_LIMIT, run_nest, run_pipeline
from simulator.errors import MappingError
from simulator.mapping import candidates
from simulator.mapping.counting import count
from simulator.mapping.scratchpads import Memories, Pad
from simulator.mapping.tile_sums import sums_of
from simulator.study.evaluate import run_point
from simulator.study.measured import measured
from simulator.study.planning import GemmPlan
from simulator.study.points import open_points
from simulator.study.setup import StudySetup, read_study
from tests.test_blocking_search import drams, searches

pytestmark = pytest.mark.kernels
UNIT = datapath.create("int_mac", {})


@settings(max_examples=200, deadline=None)
@given(searches(60), st.one_of(drams, st.just(NO_MEMORY_LIMIT)), st.integers(0, 10**6), st.sampled_from([1, 32, 64]))
def test_cycles_by_cause_and_counts_are_those_of_the_table(case, dram, which, burst):
    op, array, bits, limits, depths = case
    if dram is NO_MEMORY_LIMIT:
        limits, depths = None, (0, 0, 0)
    try:
        choices = candidates(op, array, bits, limits, spills=depths[2] != 1)
    except MappingError:
        assume(False)
    memories = Memories(Pad(64), Pad(128), Pad(32), burst)
    gemm = GemmPlan(op, array, bits, depths, memories, choices[which % len(choices)])
    timing, counts = measured(gemm, dram, UNIT)
    for tiles, run in ((gemm.nest, run_nest), (gemm.table, run_pipeline)):
        expected = run(tiles, dram)
        assert timing.by_cause() == expected.by_cause()
        assert timing.fill_drain_cycles == expected.fill_drain_cycles
        counted = count(op, tiles, array, bits, UNIT, expected.total_cycles, gemm.accesses, burst)
        assert counts == replace(counted, compute_cycles=expected.compute_cycles)
    assert sums_of(gemm.nest, bits, burst) == sums_of(gemm.table, bits, burst)
    lean = measured(gemm, dram, UNIT, accesses=False)[1]
    assert replace(lean, traffic={}) == replace(counts, traffic={})
    assert {k: (t.read_bits, t.write_bits) for k, t in lean.traffic.items()} == {
        k: (t.read_bits, t.write_bits) for k, t in counts.traffic.items()
    }


def test_a_tile_is_summed_as_numpy_sums_it():
    """The sums of a table, column by column."""
    from simulator.datapath import Width
    from simulator.mapping import ArrayShape, BufferLimits, OperandBits, lower
    from simulator.workload import Op

    bits = OperandBits(Width.plain(4), Width(16, 72, 72), 32, 16)
    table = lower(Op("op", 70, 90, 130), ArrayShape(8, 4, "full", dataflow="ws"), bits, BufferLimits(*[40_000] * 3))
    rows, sums = table.rows, sums_of(table, bits, 64)
    assert len(table) > 5
    for side, name in (("act", "act_load"), ("weight", "weight_load"), ("sum", "sum_load"), ("store", "store")):
        moved = rows[f"{name}_bytes"]
        assert getattr(sums, f"{side}_bytes") == moved.sum()
        assert getattr(sums, f"{side}_bursts") == (-(-moved // 64)).sum()
    written = [-(-int(t["n"]) * bits.weight.row_bits(int(t["k"])) // 8) * 8 for t in rows if t["weight_load_bytes"]]
    assert sums.weight_written == sum(written)
    outputs = rows["m"] * rows["n"]
    assert (sums.returned, sums.stored) == (
        outputs[rows["sum_load_bytes"] > 0].sum(),
        outputs[rows["store_bytes"] > 0].sum(),
    )
    assert (sums.m_blocks, sums.n_blocks) == (len(set(rows["m0"].tolist())), len(set(rows["n0"].tolist())))


def test_a_point_has_the_same_row_with_layers_and_without():
    """Accesses are counted for rows of layers alone; nothing else depends on them."""
    study, source, overrides = read_study("design_space", {})
    points = open_points(StudySetup(study, source, overrides))
    for index in list(points.indices())[::1499]:
        full, layers, _ = run_point(points.point(index), "pipeline", 0)
        points.recent.clear()  # what was found for its hardware, too
        lean, none, _ = run_point(points.point(index), "pipeline", 0, with_layers=False)
        assert repr(full) == repr(lean)
        assert len(layers) == 36
        assert none == []
