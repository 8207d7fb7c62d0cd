"""Banked DRAM: equal to the naive schedulers, every command legal and none possible earlier, never above its peak."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.dram_banked import COMMANDS, BankedDram, DramCounts, DramTimings, serve
from simulator.errors import ConfigError
from tests import naive_dram

pytestmark = pytest.mark.kernels

MAPS = [":".join(names) for names in permutations(("row", "bank", "group", "column", "channel"))]
SHORT = DramTimings(3, 3, 4, 2, 7, 2, 3, 2, 3, 9, 4, 2, 4, 3, 0, 11, 1)
SMALL = BankedDram(Fraction(1), 1, 2, 2, 8, 64, 16, 2, SHORT, queue_depth=4, outstanding_bursts=16)

cycles = st.integers(1, 9)
pairs = st.tuples(cycles, cycles).map(sorted)


@st.composite
def timings(draw, burst_cycles):
    names = ("trcd", "trp", "cl", "cwl", "tras", "twr", "trtp")
    t = {name: draw(cycles) for name in names} | {"turnaround": draw(st.integers(0, 3))}
    for name, least in (("tccd", burst_cycles), ("trrd", 1), ("twtr", 1)):
        short, long = draw(pairs)
        t |= {f"{name}_s": max(short, least), f"{name}_l": max(long, least)}
    t |= {"tfaw": draw(st.integers(1, 40)), "trfc": draw(st.integers(1, 40))}
    work = 2 * sum(t[name] for name in ("trp", "trcd", "tras", "twr", "cl", "cwl", "tfaw")) + 2 * burst_cycles
    refresh = draw(st.sampled_from([0, 1, 2]))
    return DramTimings(**t, trefi=refresh * (t["trfc"] + work + draw(st.integers(0, 50))))


@st.composite
def drams(draw, **fixed):
    burst_cycles, burst_bytes = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([8, 16]))
    power = st.sampled_from([1, 2, 4])
    given = {
        "clock_ratio": Fraction(draw(st.integers(1, 7)), draw(st.integers(1, 7))),
        "channels": draw(st.sampled_from([1, 2])),
        "bank_groups": draw(power),
        "banks_per_group": draw(st.sampled_from([1, 2])),
        "rows": draw(st.sampled_from([2, 4])),
        "row_bytes": burst_bytes * draw(power),
        "shared_command_bus": draw(st.booleans()),
        "address_map": draw(st.sampled_from(MAPS)),
        "page_policy": draw(st.sampled_from(["open", "open", "closed"])),
        "scheduler": draw(st.sampled_from(["in_order", "fr_fcfs"])),
        "queue_depth": draw(st.sampled_from([1, 2, 4, 8])),
        "age_cap": draw(st.integers(0, 4)),
        "outstanding_bursts": draw(st.sampled_from([1, 4, 16])),
        "timings": draw(timings(burst_cycles)),
    }
    return BankedDram(**{**given, "burst_bytes": burst_bytes, "burst_cycles": burst_cycles, **fixed})


@st.composite
def transfers(draw, dram, most=8):
    def one():
        address = draw(st.integers(0, dram.capacity_bytes - 1))
        size = draw(st.integers(0, min(dram.capacity_bytes - address, 5 * dram.burst_bytes)))
        return (draw(st.sampled_from([0, 0, 1, 7, 50, 300])), address, size, draw(st.integers(0, 1)))

    return [one() for _ in range(draw(st.integers(1, most)))]


@st.composite
def cases(draw, **fixed):
    dram = draw(drams(**fixed))
    return dram, draw(transfers(dram))


def traced(dram, *calls):
    """Times of all calls, and the commands as the naive checker wants them."""
    state = dram.start(trace=5000)
    times = [tuple(pair) for call in calls for pair in serve(dram, state, call).tolist()]
    commands = [(t, c, COMMANDS[kind], g, b, row) for t, c, kind, g, b, row in dram.commands(state).tolist()]
    return times, commands, DramCounts.of(state)


# The naive schedulers give the same cycles


@settings(max_examples=120, deadline=None)
@given(cases(), st.integers(0, 8))
def test_times_and_commands_equal_the_naive_scheduler(case, cut):
    dram, requests = case
    calls = [requests[:cut], requests[cut:]]
    times, commands, _ = traced(dram, *calls)
    expected_times, expected_commands = naive_dram.run(dram, calls)
    assert times == expected_times
    assert sorted(commands) == sorted(expected_commands)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_several_dmas_each_have_their_own_bursts_under_way(data, dmas):
    dram = data.draw(drams(dmas=dmas))
    requests = [(*one, data.draw(st.integers(0, dmas - 1))) for one in data.draw(transfers(dram))]
    times, commands, _ = traced(dram, requests)
    expected_times, expected_commands = naive_dram.run(dram, [requests])
    assert times == expected_times
    assert sorted(commands) == sorted(expected_commands)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_no_command_breaks_a_rule(case):
    dram, requests = case
    assert naive_dram.violations(dram, traced(dram, requests)[1]) == set()


EVERY_RULE = {
    "tRCD", "tRP", "tRAS", "tCCD_S", "tCCD_L", "tRRD_S", "tRRD_L", "tFAW", "tWR", "tWTR_S", "tWTR_L", "tRTP", "tRFC",
    "turnaround", "command bus", "refresh early",
}  # fmt: skip


def test_no_command_could_be_a_cycle_earlier():
    """With everything there at cycle 0 only rules hold a command back; each rule does so for some command."""
    seen = set()
    rng = np.random.default_rng(0)
    for page_policy in ("open", "closed"):
        for trefi in (0, 160):
            t = replace(SHORT, trefi=trefi, trrd_l=4, tfaw=13)
            dram = replace(SMALL, bank_groups=4, timings=t, page_policy=page_policy)
            dram = replace(dram, queue_depth=64, outstanding_bursts=64)
            for _ in range(6):
                addresses = rng.integers(0, dram.capacity_bytes // 16, 30) * 16
                requests = [(0, int(a), 16, int(rng.integers(0, 2))) for a in addresses]
                commands = traced(dram, requests)[1]
                for i, command in enumerate(commands):
                    if command[0] > 0:
                        early = (command[0] - 1, *command[1:])
                        others = [*commands[:i], *commands[i + 1 :]]
                        broken = naive_dram.faults(dram, early, others)
                        broken = broken or naive_dram.violations(dram, [*others, early])
                        assert broken, command
                        seen |= broken
    assert seen >= EVERY_RULE


def test_a_trace_without_refresh_or_with_a_wrong_row_is_found():
    dram = replace(SMALL, timings=replace(SHORT, trefi=160))
    commands = traced(dram, [(0, 0, 16, 0), (400, 64, 16, 0)])[1]
    assert naive_dram.violations(dram, commands) == set()
    assert "refresh missing" in naive_dram.violations(dram, [c for c in commands if c[2] != "REF"])
    other = [(*c[:5], c[5] + 1) if c[2] == "RD" else c for c in commands]
    assert "closed row" in naive_dram.violations(dram, other)


def test_a_hand_calculation():
    """A read of a closed bank, a hit, a conflict; tRCD 3, CL 4, 2 cycles of data, tRTP 3, tRAS 7, tRP 3, tCCD_L 3.

    ACT 0, RD 3, data until 9; RD 6, data until 12; PRE at max(7, 6 + 3) = 9, ACT 12, RD 15, data until 21.
    """
    dram = replace(SMALL, address_map="row:bank:group:column:channel")
    times, commands, counts = traced(dram, [(0, 0, 16, 0), (0, 16, 16, 0), (0, 256, 16, 0)])
    assert [(c[0], c[2]) for c in commands] == [(0, "ACT"), (3, "RD"), (6, "RD"), (9, "PRE"), (12, "ACT"), (15, "RD")]
    assert times == [(0, 9), (0, 12), (0, 21)]
    assert counts == DramCounts(2, 1, 3, 0, 0, 1, 1, 1, 6)


# Never faster than ideal, and other directions


def total_cycles(dram, requests):
    return int(serve(dram, dram.start(), requests)[-1, 1])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_never_faster_than_ideal(case):
    """Nor than the sum of bytes, which is what a bound knows."""
    dram, requests = case
    times = serve(dram, dram.start(), requests)
    ideal = naive_dram.ideal_ends(dram, requests)
    assert all(end >= least for (_, end), least in zip(times.tolist(), ideal, strict=True))
    moved = sum(size for *_, size, _ in requests)
    assert moved == 0 or times[:, 1].max() >= dram.least_cycles(moved)


@settings(max_examples=100, deadline=None)
@given(cases(scheduler="in_order"), st.integers(0, 8))
def test_in_order_calls_one_by_one_are_one_call(case, cut):
    dram, requests = case
    state = dram.start()
    parts = [serve(dram, state, part) for part in (requests[:cut], requests[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), serve(dram, dram.start(), requests))


@settings(max_examples=100, deadline=None)
@given(cases(scheduler="in_order"), st.integers(1, 5))
def test_a_faster_clock_never_costs_time_when_all_is_there(case, faster):
    dram, requests = case
    requests = [(0, *rest) for _, *rest in requests]
    quick = replace(dram, clock_ratio=dram.clock_ratio * Fraction(faster + 5, 5))
    assert (serve(quick, quick.start(), requests) <= serve(dram, dram.start(), requests)).all()


def test_a_faster_clock_may_meet_a_refresh_that_a_slower_one_missed():
    """Refresh is due every 160 DRAM cycles: cycle 160 of the array at 1:1, cycle 128 at 5:4, where a read arrives."""
    slow = replace(SMALL, timings=replace(SHORT, trefi=160))
    fast = replace(slow, clock_ratio=Fraction(5, 4))
    reads = [(0, 0, 16, 0), (130, 0, 16, 0)]
    assert total_cycles(slow, reads) == 136
    assert total_cycles(fast, reads) > 136


@settings(max_examples=100, deadline=None)
@given(cases())
def test_counters_add_up(case):
    dram, requests = case
    _, commands, counts = traced(dram, requests)
    kinds = [c[2] for c in commands]
    assert counts.read_bursts + counts.write_bursts == counts.row_hits + counts.row_misses + counts.row_conflicts
    assert counts.activates == counts.row_misses + counts.row_conflicts == kinds.count("ACT")
    assert (counts.read_bursts, counts.write_bursts) == (kinds.count("RD"), kinds.count("WR"))
    assert counts.refreshes == kinds.count("REF")
    assert counts.bus_busy_cycles == dram.burst_cycles * (counts.read_bursts + counts.write_bursts)
    closed = kinds.count("PRE") + kinds.count("auto PRE")
    assert closed <= counts.precharges <= counts.activates
    touched = [range(a // dram.burst_bytes, -(-(a + n) // dram.burst_bytes)) for _, a, n, _ in requests if n]
    assert counts.read_bursts + counts.write_bursts == sum(map(len, touched))


@pytest.mark.parametrize("address_map", MAPS)
def test_addresses_fill_every_row_of_every_bank_once(address_map):
    dram = replace(SMALL, channels=2, address_map=address_map)
    commands = traced(dram, [(0, 0, dram.capacity_bytes, 0)])[1]
    places = [(c[4], c[5]) for c in commands if c[2] == "RD"]
    columns = dram.row_bytes // dram.burst_bytes
    assert sorted(places) == sorted((b, r) for b in range(8) for r in range(dram.rows) for _ in range(columns))


# FR-FCFS


@settings(max_examples=100, deadline=None)
@given(cases(scheduler="fr_fcfs", age_cap=0))
def test_a_controller_that_never_overtakes_is_in_order(case):
    dram, requests = case
    in_order = replace(dram, scheduler="in_order")
    np.testing.assert_array_equal(
        serve(dram, dram.start(), requests), serve(in_order, in_order.start(), requests)
    )  # fmt: skip


BY_ROWS = replace(SMALL, scheduler="fr_fcfs", address_map="row:bank:group:column:channel", queue_depth=16, age_cap=99)


def served_rows(dram, requests):
    return [c[5] for c in traced(dram, requests)[1] if c[2] == "RD"]


def test_row_hits_go_first():
    """Rows 0 1 0 1 0 1 of one bank are served as 0 0 0 1 1 1, with two activates instead of six."""
    requests = [(0, 256 * (i % 2) + 16 * (i // 2), 16, 0) for i in range(6)]
    in_order = replace(BY_ROWS, scheduler="in_order")
    assert served_rows(in_order, requests) == [0, 1, 0, 1, 0, 1]
    assert served_rows(BY_ROWS, requests) == [0, 0, 0, 1, 1, 1]
    assert total_cycles(BY_ROWS, requests) < total_cycles(in_order, requests)


def test_a_row_is_not_closed_while_a_waiting_burst_hits_it():
    """A read of an open row waits for tWTR after a write elsewhere; a write to another row of its bank could be sooner,
    and is where no read waits.
    """
    dram = replace(BY_ROWS, timings=replace(SHORT, twtr_s=40, twtr_l=40))
    read, elsewhere, hit, closing = (0, 0, 16, 0), (0, 64, 16, 1), (20, 16, 16, 0), (20, 256, 16, 1)
    for requests, order in (
        ([read, elsewhere, hit, closing], ["RD", "WR", "RD", "WR"]),
        ([read, elsewhere, (20, 128, 16, 0), closing], ["RD", "WR", "WR", "RD"]),
    ):
        commands = traced(dram, requests)[1]
        assert [c[2] for c in sorted(commands) if c[2] in ("RD", "WR")] == order
        assert sorted(commands) == sorted(naive_dram.run(dram, [requests])[1])


@pytest.mark.parametrize("cap", [0, 1, 2, 5, 8])
def test_nothing_starves(cap):
    """One request for another row waits for ``cap`` hits that came later, and no more."""
    requests = [(0, 0, 16, 0), (0, 256, 16, 0), *[(0, 16 * (i % 4), 16, 0) for i in range(12)]]
    rows = served_rows(replace(BY_ROWS, age_cap=cap), requests)
    assert rows.index(1) == 1 + cap


@settings(max_examples=100, deadline=None)
@given(cases(scheduler="fr_fcfs", channels=1))
def test_no_burst_waits_longer_than_the_cap_allows(case):
    """Of ``queue_depth`` bursts each is the oldest in turn, and then overtaken ``age_cap`` times at most."""
    dram, requests = case
    controller = naive_dram.Controller(dram)
    order = []
    issue = controller.issue
    controller.issue = lambda burst: (order.append(burst.number), issue(burst))
    for i, (_, at, size, write) in enumerate(requests):
        for number in range(at // dram.burst_bytes, -(-(at + size) // dram.burst_bytes) if size else 0):
            controller.enter(0, number, bool(write), i)
    while controller.waiting[0]:
        controller.serve_one(0)
    late = [place - number for place, number in enumerate(order)]
    assert max(late, default=0) <= dram.queue_depth * dram.age_cap


# Limits of the DMA and the clocks


def test_the_dma_has_so_many_bursts_under_way_and_no_more():
    """With one burst at a time each waits for the data of the one before."""
    one = replace(SMALL, outstanding_bursts=1)
    times = serve(one, one.start(), [(0, 0, 16, 0), (0, 32, 16, 0), (0, 64, 16, 0)])
    assert times.tolist() == [[0, 9], [9, 15], [15, 21]]


def test_clocks_never_drift():
    """A read every 7 array cycles for a billion cycles at 1600 MHz : 933.3 MHz ends where exact fractions say."""
    dram = replace(SMALL, clock_ratio=Fraction(1600) / Fraction("933.3"))
    arrivals = [0, 7, 10**6 + 1, 10**9 + 7, 10**11 + 3]
    times = serve(dram, dram.start(), [(a, 0, 16, 0) for a in arrivals])
    for arrival, (start, end) in zip(arrivals[1:], times[1:].tolist(), strict=True):
        entry = -(-arrival * dram.clock_ratio // 1)
        assert start == arrival
        assert end == -(-(entry + 4 + 2) / dram.clock_ratio // 1)


def test_idle_time_is_full_of_refreshes():
    dram = replace(SMALL, timings=replace(SHORT, trefi=160))
    _, _, counts = traced(dram, [(0, 0, 16, 0), (160_010, 0, 16, 0)])
    assert counts.refreshes == 1000
    assert total_cycles(dram, [(160_008, 0, 16, 0)]) == 160_000 + 11 + 3 + 4 + 2, "the last one is still under way"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            (0, 2000, 49, 0),
            "a transfer of 49 bytes at address 2000 in cycle 0 is not within the 2048 bytes of this DRAM *",
        ),
        ((0, -1, 4, 0), "a transfer of 4 bytes at address -1 in cycle 0 *"),
        ((1 << 40, 0, 4, 0), "a transfer of 4 bytes at address 0 in cycle 1099511627776 *"),
    ],
)
def test_a_transfer_outside_is_refused(request_, message):
    with pytest.raises(ConfigError) as caught:
        serve(SMALL, SMALL.start(), [(0, 0, 4, 0), request_])
    assert str(caught.value).startswith(message.removesuffix(" *"))


def test_clocks_without_a_short_ratio_are_refused():
    with pytest.raises(ConfigError, match="too long for exact cycles"):
        replace(SMALL, clock_ratio=Fraction("1.0000001")).start()


def test_no_transfers_and_no_bytes_take_no_time():
    state = SMALL.start()
    assert serve(SMALL, state, []).shape == (0, 2)
    assert serve(SMALL, state, [(5, 0, 0, 0)]).tolist() == [[5, 5]]
    assert not any(asdict(DramCounts.of(state)).values())
