"""Kernels that a host asks for one by one: the time of a repetition, against two processes of SimPy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.queue import Asked, HostTimes, run_queue
from tests.naive_queue import repetitions

cycles = st.integers(0, 40)
step = st.builds(Asked, st.lists(cycles, max_size=4).map(tuple), st.integers(1, 4), st.booleans())
host = st.builds(HostTimes, st.integers(1, 12), st.integers(0, 6), st.integers(0, 4), st.integers(0, 9))


@settings(max_examples=300, deadline=None)
@given(st.lists(step, min_size=1, max_size=6), host)
def test_a_repetition_takes_what_two_processes_say(steps, times):
    given_steps = [(s.kernels, s.operations, s.waits) for s in steps]
    period = run_queue(steps, times)
    n = 60
    end, _ = repetitions(given_steps, times.operation, times.launch, times.gap, times.wait, n)
    if any(s.waits for s in steps):
        _, later = repetitions(given_steps, times.operation, times.launch, times.gap, times.wait, 3)
        waits_last = steps[-1].waits
        if waits_last:
            assert later[2] - later[1] == later[1] - later[0] == period
        assert abs(end - n * period) <= 2 * period
    else:
        longest = sum(s.host_cycles(times) + s.gpu_cycles(times) for s in steps)
        assert n * period <= end <= n * period + longest


@settings(max_examples=150, deadline=None)
@given(st.lists(step, min_size=1, max_size=6), host, st.integers(1, 20))
def test_slower_kernels_and_hosts_never_make_it_faster(steps, times, more):
    slower = [Asked(tuple(c + more for c in s.kernels), s.operations, s.waits) for s in steps]
    assert run_queue(slower, times) >= run_queue(steps, times)
    later = HostTimes(times.operation + more, times.launch, times.gap, times.wait + more)
    assert run_queue(steps, later) >= run_queue(steps, times)


def test_by_hand():
    """Two calls of 10 cycles, kernels of 3 and 50 with gaps of 1: the GPU's 55 cycles hide the host's 20."""
    times = HostTimes(operation=10, launch=2, gap=1, wait=7)
    assert run_queue([Asked((3,)), Asked((50,))], times) == 55
    assert run_queue([Asked((3,)), Asked((5,))], times) == 20
    # the host waits after the first, whose kernel is done at 14: it goes on at 21 and asks again at 31; the second
    # kernel runs to 82, the first one of the next repetition to 86, and the host goes on at 93, 72 later
    assert run_queue([Asked((3,), waits=True), Asked((50,))], times) == 10 + 51 + 4 + 7


@pytest.mark.parametrize("launches", [1, 2, 5])
def test_launches_of_one_call_cost_the_host_less_than_calls(launches):
    times = HostTimes(operation=10, launch=2, gap=0, wait=0)
    assert run_queue([Asked((0,) * launches)], times) == 10 + 2 * (launches - 1)
