"""Cores on banked DRAM: the recurrence == SimPy, never faster than ideal, every transfer where its block lies."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import IdealDram
from simulator.engine.addresses import REGIONS, place_blocks
from simulator.engine.bound import run_bound_cores
from simulator.engine.dram_banked import BankedDram
from simulator.engine.event import run_event_cores
from simulator.engine.pipeline import run_pipeline, run_pipeline_cores
from simulator.errors import ConfigError
from tests.test_dram_banked import SHORT, drams
from tests.test_engines import table, tables

pytestmark = pytest.mark.kernels

BIG = 1 << 16
"""Rows, so that whatever is drawn fits."""
LARGE = BankedDram(Fraction(1), 1, 2, 2, BIG, 64, 16, 2, SHORT, queue_depth=4, outstanding_bursts=16)


@st.composite
def with_coordinates(draw):
    """Tiles with weights and sums to load as well, some of them the same block as another tile's."""
    tiles = draw(tables())
    rows = tiles.rows.copy()
    for column in ("m0", "n0", "k0"):
        rows[column] = draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    for column in ("weight_load_bytes", "sum_load_bytes"):
        rows[column] = draw(st.lists(st.sampled_from([0, 0, 9, 40]), min_size=len(rows), max_size=len(rows)))
    return replace(tiles, rows=rows)


cores = st.lists(with_coordinates(), min_size=1, max_size=3)


@settings(max_examples=500, deadline=None)
@given(cores, drams(rows=BIG))
def test_the_recurrence_equals_simpy_event_by_event(tiles, dram):
    fast, readable = run_pipeline_cores(tiles, dram), run_event_cores(tiles, dram)
    assert fast.dram == readable.dram
    for a, b in zip(fast.per_core, readable.per_core, strict=True):
        np.testing.assert_array_equal(a.events, b.events)
        assert a.by_cause() == b.by_cause()


@settings(max_examples=300, deadline=None)
@given(cores, drams(rows=BIG))
def test_never_below_the_bound_and_one_core_never_faster_than_ideal(tiles, dram):
    timing = run_pipeline_cores(tiles, dram)
    assert run_bound_cores(tiles, dram).total_cycles <= timing.total_cycles
    ideal = IdealDram(float(dram.bytes_per_cycle), 0, dram.burst_bytes)
    alone = run_pipeline(tiles[0], dram)
    assert (alone.events >= run_pipeline(tiles[0], ideal).events).all()
    moved = sum(int(t.rows[column].sum()) for t in tiles for column in REGIONS)
    bursts = timing.dram["read_bursts"] + timing.dram["write_bursts"]
    assert bursts * dram.burst_bytes >= moved
    assert bursts == timing.dram["row_hits"] + timing.dram["row_misses"] + timing.dram["row_conflicts"]


@settings(max_examples=200, deadline=None)
@given(cores, st.sampled_from([8, 16]), st.sampled_from([64, 256]))
def test_blocks_lie_apart_and_have_one_place_each(tiles, burst, align):
    placed = place_blocks(tiles, burst, align, 1 << 30)
    blocks = {}
    for core, (one, at) in enumerate(zip(tiles, placed, strict=True)):
        for column, key in REGIONS.items():
            for row, address in zip(one.rows, at[column], strict=True):
                if row[column]:
                    name = (column, *(core if k == "core" else int(row[k]) for k in key))
                    first, size = blocks.setdefault(name, (int(address), 0))
                    assert first == address
                    blocks[name] = first, max(size, int(row[column]))
    spans = sorted(blocks.values())
    assert all(first % burst == 0 for first, _ in spans)
    for (first, size), (after, _) in pairwise(spans):
        assert first + size <= after < first + size + burst + align
    for column in REGIONS:
        firsts = [first for (found, *_), (first, _) in blocks.items() if found == column]
        assert not firsts or min(firsts) % align == 0


def test_a_load_by_hand():
    """64 bytes are 4 bursts in groups 0, 1, 0, 1: ACT at 0 and 2, reads 3, 5, 7, 9; data until 9 + 4 + 2."""
    timing = run_pipeline(table([64], [5], [0]), LARGE)
    assert timing.events[0].tolist() == [0, 15, 15, 20, 20, 20]
    assert (timing.dram["activates"], timing.dram["row_hits"], timing.dram["read_bursts"]) == (2, 2, 4)


def test_a_memory_that_is_too_small_is_said():
    with pytest.raises(ConfigError, match=r"^operands and results of a GEMM take 4096 bytes of this DRAM's 2048$"):
        run_pipeline(table([4096], [5], [0]), replace(LARGE, rows=8))
