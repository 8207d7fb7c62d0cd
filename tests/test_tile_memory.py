"""What a GEMM takes of this machine's memory: nothing for each of its tiles."""

from __future__ import annotations

import tracemalloc

import pytest

import simulator as sim
from simulator.study.planning import _best_plan

pytestmark = pytest.mark.kernels

PINNED = {
    "os": {"tiling.m": 8, "tiling.n": 8},
    "ws": {"tiling.m": 8, "tiling.n": 8, "tiling.k": 8, "tiling.order": "nkm"},
    "is": {"tiling.m": 8, "tiling.n": 8, "tiling.k": 8, "tiling.order": "mkn"},
}
MOST_GROWTH = 2_000_000  # bytes; a table of a million tiles has 156 of them


def peak_bytes(design, M, fidelity):
    """Most that is held at a time by a GEMM that nothing is known of, and its tiles."""
    _best_plan.cache_clear()
    tracemalloc.start()
    try:
        result = sim.simulate_gemm(design, M, 80, 80, fidelity=fidelity)
        return tracemalloc.get_traced_memory()[1], result.tiles
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fidelity", ["pipeline", "bound"])
@pytest.mark.parametrize("dataflow", PINNED)
def test_memory_does_not_grow_with_the_tiles(dataflow, fidelity):
    size = {"array.dataflow": dataflow, "array.rows": 8, "array.cols": 8, "memory.bank_conflicts": True}
    design = sim.load_design("int8_systolic", set=size | PINNED[dataflow])
    per_row = 10 if dataflow == "os" else 100
    rows = [8 * tiles // per_row for tiles in (1_000, 1_000_000)]
    peak_bytes(design, rows[0], fidelity)  # compiles
    (few, fewer), (many, more) = (peak_bytes(design, M, fidelity) for M in rows)
    assert (fewer, more) == (1_000, 1_000_000)
    assert many - few < MOST_GROWTH


def test_a_run_that_looks_at_each_tile_holds_a_row_of_it():
    """The yardstick can fail: the same tiles as events take more than the limit."""
    size = {"array.rows": 8, "array.cols": 8}
    design = sim.load_design("int8_systolic", set=size | PINNED["os"])
    peak_bytes(design, 8, "event")
    peak, tiles = peak_bytes(design, 8 * 1_000, "event")
    assert tiles == 10_000
    assert peak > MOST_GROWTH
