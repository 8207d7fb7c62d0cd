"""The outlier coordinator: fast form, cycle loop and naive loop agree; one tight test per clause of the rule."""

from __future__ import annotations

import time

import numpy as np
import pytest

from simulator import datapath
from simulator.datapath.coordinator import coordinator_batch, coordinator_cycles, coordinator_schedule
from simulator.errors import DatapathError
from tests import naive_blocks

pytestmark = pytest.mark.kernels


def counts(positions, length, P=1, D=1, S=1, W=1):
    """The counts on which both forms and the naive version must agree."""
    found = coordinator_cycles(positions, length, P, D, S, W)
    assert coordinator_schedule(positions, length, P, D, S, W).counts == found
    assert naive_blocks.coordinator(positions, length, P, D, S, W) == found
    assert set(found) == {"steps", "stall_cycles", "lane_cycles", "total_cycles"}
    return tuple(found[name] for name in ("steps", "stall_cycles", "lane_cycles", "total_cycles"))


def random_case(rng):
    length = int(rng.integers(1, 60))
    share = rng.choice([0.0, 0.02, 0.1, 0.4, 0.9, 1.0])
    positions = np.flatnonzero(rng.random(length) < share)
    if rng.random() < 0.3:  # a burst, then a long idle stretch
        positions = positions[positions < rng.integers(1, 20)]
        length += int(rng.integers(0, 100))
    P, D, S, W = (int(n) for n in (rng.integers(1, 12), rng.integers(1, 8), rng.integers(1, 9), rng.integers(1, 6)))
    return positions, length, P, D, S, W


@pytest.mark.parametrize("seed", range(10), ids=lambda s: f"seed{s}")
def test_fast_form_is_the_cycle_loop_on_500_random_cases(seed):
    rng = np.random.default_rng(seed)
    for _ in range(500):
        positions, length, P, D, S, W = random_case(rng)
        case = (positions.tolist(), length, P, D, S, W)
        found = coordinator_cycles(*case)
        assert coordinator_schedule(*case).counts == found, case
        assert naive_blocks.coordinator(*case) == found, case
        assert found["lane_cycles"] == found["steps"] + found["stall_cycles"]
        assert found["total_cycles"] >= max(found["lane_cycles"], len(positions) * S + (len(positions) > 0))


@pytest.mark.parametrize("seed", range(10), ids=lambda s: f"seed{s}")
def test_a_batch_is_every_lane_by_itself(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        _, length, *unit = random_case(rng)
        lanes = [np.flatnonzero(rng.random(length) < rng.choice([0, 0.05, 0.5, 1])) for _ in range(rng.integers(0, 12))]
        first = np.cumsum([0, *map(len, lanes)])
        found = coordinator_batch(np.concatenate([[], *lanes]).astype(np.int64), first, length, *unit)
        expected = [coordinator_cycles(lane, length, *unit) for lane in lanes]
        assert list(found) == ["steps", "stall_cycles", "lane_cycles", "total_cycles"]
        for name, each in found.items():
            assert each.dtype == np.int64
            assert each.tolist() == [lane[name] for lane in expected], (lanes, length, unit)


@pytest.mark.parametrize(
    ("positions", "first", "message"),
    [
        ([1, 0], [0, 2], "positions must ascend without duplicates; position 0 follows 1 at index 1"),
        ([1, 0, 0], [0, 1, 3], "positions must ascend without duplicates; position 0 follows 0 at index 2"),
        ([1, 0], [0, 1], "first must be integers that ascend from 0 to 2"),
        ([1, 0], [1, 2], "first must be integers that ascend from 0 to 2"),
        ([1, 0], [0, 2, 1, 2], "first must be integers that ascend from 0 to 2"),
        ([], [], "first must be integers that ascend from 0 to 0"),
        ([], [[0]], "first must be integers that ascend from 0 to 0"),
        ([8], [0, 1], "position 8 is outside [0, 8)"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_in_one_line(positions, first, message):
    with pytest.raises(DatapathError) as info:
        coordinator_batch(np.array(positions, np.int64), np.array(first, np.int64), 8, 2, 2, 2, 2)
    assert str(info.value) == f"coordinator: {message}"
    assert coordinator_batch([1, 0], [0, 1, 2], 8, 2, 2, 2, 2)["steps"].tolist() == [4, 4]


# One tight test per clause


def test_serve_takes_only_entries_of_an_earlier_cycle():
    """Pushed in cycle 0, served in cycle 1 and not in cycle 0: busy until cycle 2."""
    assert counts([0], 1) == (1, 0, 1, 2)
    schedule = coordinator_schedule([0], 1, 1, 1, 1, 1)
    assert (schedule.pushed, schedule.served) == ([0], [1])


def test_serve_keeps_the_unit_busy_for_exactly_s_cycles():
    """Pops in cycles 1, 4, 7 when S is 3; with S = 1 in 1, 2, 3."""
    assert coordinator_schedule([0, 1, 2], 3, 3, 3, 3, 3).served == [1, 4, 7]
    assert counts([0, 1, 2], 3, P=3, D=3, S=3, W=3) == (1, 0, 1, 10)
    assert coordinator_schedule([0, 1, 2], 3, 3, 3, 1, 3).served == [1, 2, 3]
    assert counts([0, 1, 2], 3, P=3, D=3, S=1, W=3) == (1, 0, 1, 4)


def test_serve_comes_before_push_so_a_popped_place_is_free_at_once():
    """D = 1: the pop of cycle 1 frees the only place for the push of cycle 1, so nothing stalls."""
    assert counts([0, 1], 2) == (2, 0, 2, 3)
    schedule = coordinator_schedule([0, 1], 2, 1, 1, 1, 1)
    assert (schedule.pushed, schedule.served) == ([0, 1], [1, 2])


def test_a_busy_unit_frees_no_place():
    """D = 1, S = 2: outlier 2 waits in cycle 2 for the pop of cycle 3."""
    assert counts([0, 1, 2], 3, S=2) == (3, 1, 4, 7)
    schedule = coordinator_schedule([0, 1, 2], 3, 1, 1, 2, 1)
    assert (schedule.pushed, schedule.served) == ([0, 1, 3], [1, 3, 5])


def test_push_enters_at_most_w_a_cycle():
    assert counts([0, 1, 2, 3], 4, P=4, D=8, W=4)[1] == 0
    assert counts([0, 1, 2, 3], 4, P=4, D=8, W=3)[1] == 1
    assert counts([0, 1, 2, 3], 4, P=4, D=8, W=2)[1] == 1
    assert counts([0, 1, 2, 3], 4, P=4, D=8, W=1)[1] == 3
    assert coordinator_schedule([0, 1, 2, 3], 4, 4, 8, 1, 3).pushed == [0, 0, 0, 1]


def test_push_enters_at_most_d_minus_the_occupancy():
    assert counts([0, 1, 2, 3], 4, P=4, D=4, S=9, W=4)[1] == 0
    assert counts([0, 1, 2, 3], 4, P=4, D=3, S=9, W=4)[1] == 1  # the pop of cycle 1 makes room for the fourth
    assert counts([0, 1, 2, 3], 4, P=4, D=2, S=9, W=4) == (1, 10, 11, 37)  # the fourth waits for the pop of cycle 10
    assert coordinator_schedule([0, 1, 2, 3], 4, 4, 2, 9, 4).pushed == [0, 0, 1, 10]


def test_push_takes_the_lowest_coordinate_first():
    schedule = coordinator_schedule([1, 2, 5, 6], 8, 4, 2, 2, 1)
    assert schedule.pushed == sorted(schedule.pushed) == [0, 1, 2, 3]
    assert schedule.served == sorted(schedule.served) == [1, 3, 5, 7]


def test_push_takes_only_outliers_of_this_step():
    """Two steps of one outlier each: the second enters in cycle 1 however wide the entrance."""
    assert coordinator_schedule([0, 1], 2, 1, 8, 1, 8).pushed == [0, 1]
    assert coordinator_schedule([0, 1], 2, 2, 8, 1, 8).pushed == [0, 0]
    assert coordinator_schedule([3, 4], 8, 4, 8, 1, 8).pushed == [0, 1]  # coordinate 4 belongs to step 1


def test_a_step_retires_in_the_cycle_in_which_its_last_outlier_enters():
    assert counts([0, 1], 4, P=2, D=2, W=2) == (2, 0, 2, 3)
    assert counts([0, 1], 4, P=2, D=2, W=1) == (2, 1, 3, 3)


def test_stalls_are_lane_cycles_minus_steps():
    assert counts([], 10, P=3) == (4, 0, 4, 4)
    assert counts([], 12, P=3) == (4, 0, 4, 4)
    assert counts([], 13, P=3) == (5, 0, 5, 5)
    assert counts([0, 1, 2], 13, P=3, D=9) == (5, 2, 7, 7)


def test_total_is_the_later_of_lane_and_unit():
    assert counts([0], 10) == (10, 0, 10, 10)  # the lane
    assert counts([8], 10) == (10, 0, 10, 10)  # both: the unit is busy in cycle 9, the last of the lane
    assert counts([9], 10) == (10, 0, 10, 11)  # the unit
    assert counts([0], 10, S=9) == (10, 0, 10, 10)
    assert counts([0], 10, S=10) == (10, 0, 10, 11)


def test_an_idle_stretch_drains_the_fifo_no_faster_than_s():
    """Four entries, S = 5, pops in 1, 6, 11, 16: the place that the burst at the end needs is free from 16 on."""
    burst = [0, 1, 2, 3]
    for gap, stall in ((15, 1), (16, 0)):
        late = 4 * gap
        assert counts([*burst, *(late + g for g in burst)], late + 4, P=4, D=4, S=5, W=4)[1] == stall


# Size and arguments


def test_cost_does_not_grow_with_the_length():
    start = time.perf_counter()
    found = coordinator_cycles([0, 10**9, 10**15], 10**15 + 1, 1, 1, 3, 1)
    assert found == {"steps": 10**15 + 1, "stall_cycles": 0, "lane_cycles": 10**15 + 1, "total_cycles": 10**15 + 4}
    huge = coordinator_cycles([0, 1, 2], 3, 4, 1, 2**59, 4)
    assert huge["total_cycles"] == 3 * 2**59 + 1
    assert huge["lane_cycles"] == 2**59 + 2
    assert time.perf_counter() - start < 30  # compilation included; a walk over the length would take days


def test_numpy_and_python_integers_give_python_integers():
    found = coordinator_cycles(np.array([1, 5], np.uint8), np.int64(8), np.int32(4), np.uint64(2), np.int8(3), 1)
    assert found == coordinator_cycles([1, 5], 8, 4, 2, 3, 1)
    assert all(type(n) is int for n in found.values())
    assert coordinator_cycles([], np.uint64(8), np.uint64(3), 1, 1, 1)["steps"] == 3


@pytest.mark.parametrize("call", [coordinator_cycles, coordinator_schedule])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([3, 1], 8, 2, 2, 2, 2), "positions must ascend without duplicates; position 1 follows 3 at index 1"),
        (([1, 4, 4], 8, 2, 2, 2, 2), "positions must ascend without duplicates; position 4 follows 4 at index 2"),
        (([0, 8], 8, 2, 2, 2, 2), "position 8 is outside [0, 8)"),
        (([-1, 2], 8, 2, 2, 2, 2), "position -1 is outside [0, 8)"),
        ((np.array([2**63], np.uint64), 8, 2, 2, 2, 2), f"position {2**63} is outside [0, 8)"),
        (([0.5], 8, 2, 2, 2, 2), "positions must be integers in one dimension, got float64 of shape (1,)"),
        (([True], 8, 2, 2, 2, 2), "positions must be integers in one dimension, got bool of shape (1,)"),
        (([[1]], 8, 2, 2, 2, 2), "positions must be integers in one dimension, got int64 of shape (1, 1)"),
        (([], 0, 2, 2, 2, 2), "length must be a positive integer below 2^62, got 0"),
        (([], 8, 0, 2, 2, 2), "P must be a positive integer below 2^62, got 0"),
        (([], 8, 2, -1, 2, 2), "D must be a positive integer below 2^62, got -1"),
        (([], 8, 2, 2, 1.5, 2), "S must be a positive integer below 2^62, got 1.5"),
        (([], 8, 2, 2, 2, True), "W must be a positive integer below 2^62, got True"),
        (([], 2**62, 2, 2, 2, 2), f"length must be a positive integer below 2^62, got {2**62}"),
        (([0, 1], 8, 2, 2, 2**61, 2), f"2 outliers of {2**61} cycles each do not fit 64-bit cycle counts"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call, arguments, message):
    with pytest.raises(DatapathError) as info:
        call(*arguments)
    assert str(info.value) == f"coordinator: {message}"


def test_the_module_registers_no_datapath():
    assert not [name for name in datapath.names() if "coordinator" in datapath.get(name).__module__]
