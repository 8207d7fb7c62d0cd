"""Fill and drain: the cycles of compute in which no streamed operand enters the array, counted one by one."""

from __future__ import annotations

import pytest

import simulator as sim
from simulator.mapping import DATAFLOWS, FOLD_OVERLAPS, ArrayShape, lower
from tests import naive_schedule
from tests.test_mapping import random_case

HARDWARE = [overlap for overlap in FOLD_OVERLAPS if overlap != "scalesim"]


def counted(op, array):
    """Fill and drain, and all cycles, of a GEMM that only the array cuts, from a schedule found cycle by cycle."""
    streamed = array.stream(op.M, op.N, op.K) * (array.cycles_per_step if array.dataflow == "os" else 1)
    schedule = naive_schedule.os_schedule if array.dataflow == "os" else naive_schedule.held_schedule
    starts, cycles = schedule(array.folds(op.M, op.N, op.K), streamed, array.rows, array.cols, array.overlap)
    return naive_schedule.without_operand(starts, streamed, cycles), cycles


@pytest.mark.parametrize("overlap", HARDWARE)
@pytest.mark.parametrize("seed", range(60))
def test_it_is_what_a_schedule_found_cycle_by_cycle_leaves_idle(seed, overlap):
    op, array, bits, _ = random_case(seed)
    array = ArrayShape(array.rows, array.cols, overlap, array.cycles_per_step, dataflow=array.dataflow)
    table = lower(op, array, bits, None)
    assert (table.fill_drain_cycles, table.compute_cycles) == counted(op, array)


@pytest.mark.parametrize("seed", range(120))
def test_tiles_split_it_but_never_lose_any(seed):
    """However tiles cut a GEMM, its streaming cycles are those of its folds, one by one."""
    op, array, bits, limits = random_case(seed)
    table = lower(op, array, bits, limits)
    streaming = 0
    for t in table.rows:
        down, across = array.places(int(t["m"]), int(t["n"]), int(t["k"]))
        stream = array.stream(int(t["m"]), int(t["n"]), int(t["k"]))
        for _ in range(0, down, array.rows):
            for _ in range(0, across, array.cols):
                streaming += stream * (array.cycles_per_step if array.dataflow == "os" else 1)
    assert table.fill_drain_cycles == max(table.compute_cycles - streaming, 0)
    assert streaming == table.rows["stream_cycles"].sum()
    assert (table.rows["stream_cycles"][:-1] <= table.rows["issue_cycles"][:-1]).all()


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("overlap", FOLD_OVERLAPS)
def test_one_pe_and_one_step_leave_nothing_negative(dataflow, overlap):
    changes = {"array.rows": 1, "array.cols": 1, "array.dataflow": dataflow, "array.fold_overlap": overlap}
    changes["memory.dram.model"] = "none"
    result = sim.simulate_gemm(sim.load_design("int8_systolic", set=changes), M=1, N=1, K=1)
    assert 0 <= result.fill_drain_cycles <= result.cycles["compute"]
    assert result.cycles["compute"] == result.cycles["total"]


@pytest.mark.parametrize("fidelity", ["bound", "pipeline", "event", "pe_array"])
def test_every_engine_says_the_same_and_it_is_a_part_of_compute(fidelity):
    design = sim.load_design("int8_systolic", set={"array.rows": 8, "array.cols": 8})
    result = sim.simulate_gemm(design, M=20, N=30, K=40, fidelity=fidelity)
    folds = 3 * 4
    assert result.fill_drain_cycles == result.cycles["compute"] - folds * 40 == 8 + 8 - 2 + 8
    assert result.to_dict()["fill_drain_cycles"] == result.fill_drain_cycles
