"""Banked DRAM, every preset against a calculation by hand: streams, rows, activates, refreshes, latencies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.config import load_dram
from simulator.engine.dram_banked import serve
from simulator.resources import shipped_names
from simulator.study.drams import banked_dram

PRESETS = shipped_names("configs/dram")


def total_cycles(dram, requests):
    return int(serve(dram, dram.start(), requests)[-1, 1])


def preset(name, **changes):
    """A preset with one channel's clock as the array's, so that cycles are DRAM cycles."""
    part = load_dram(name)
    return replace(banked_dram(part, part.clock_mhz), **changes)


def without_refresh(dram):
    return replace(dram, timings=replace(dram.timings, trefi=0))


def address(dram, bank, group, row):
    """First byte of a row in channel 0; all presets have the map row:bank:column:group:channel."""
    columns = dram.row_bytes // dram.burst_bytes
    bursts = ((row * dram.banks_per_group + bank) * columns * dram.bank_groups + group) * dram.channels
    return bursts * dram.burst_bytes


def dead_cycles(dram, write=0):
    """Cycles that a refresh takes from a stream: from a column command to a precharge, a refresh, an activate and the
    next column command, instead of tCCD; then the rows of all groups are opened one by one.
    """
    t = dram.timings
    to_precharge = t.cwl + dram.burst_cycles + t.twr if write else t.trtp
    between = to_precharge + t.trp + t.trfc + t.trcd - t.tccd_s
    return between + (dram.bank_groups - 1) * max(0, t.trrd_s - t.tccd_s)


STREAM = 64 << 20


@pytest.mark.parametrize("scheduler", ["in_order", "fr_fcfs"])
@pytest.mark.parametrize("write", [0, 1])
@pytest.mark.parametrize("name", PRESETS)
def test_a_sequential_stream_reaches_what_refresh_leaves(name, write, scheduler):
    dram = preset(name, scheduler=scheduler)
    reached = dram.least_cycles(STREAM) / total_cycles(dram, [(0, 0, STREAM, write)])
    by_hand = 1 - dead_cycles(dram, write) / dram.timings.trefi
    assert reached >= 0.9
    assert reached == pytest.approx(by_hand, rel=0.02)


@pytest.mark.parametrize("name", PRESETS)
def test_refresh_costs_its_time(name):
    dram = preset(name)
    reads = [(0, 0, STREAM, 0)]
    lost = 1 - total_cycles(without_refresh(dram), reads) / total_cycles(dram, reads)
    assert lost == pytest.approx(dead_cycles(dram) / dram.timings.trefi, rel=0.02)
    assert lost > dram.timings.trfc / dram.timings.trefi


@pytest.mark.parametrize("scheduler", ["in_order", "fr_fcfs"])
@pytest.mark.parametrize("refresh", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_random_rows_of_one_bank_take_a_row_cycle_each(name, refresh, scheduler):
    dram = preset(name, scheduler=scheduler)
    dram = dram if refresh else without_refresh(dram)
    t, n = dram.timings, 4000
    rows = np.random.default_rng(0).choice(dram.rows, n, replace=False)
    requests = [(0, address(dram, 1, 1, int(row)), dram.burst_bytes, 0) for row in rows]
    row_cycle = max(t.tras, t.trcd + t.trtp) + t.trp
    by_hand = n * row_cycle / (1 - (t.trfc / t.trefi if refresh else 0))
    assert total_cycles(dram, requests) == pytest.approx(by_hand, rel=0.02)


@pytest.mark.parametrize("limit", ["tFAW", "tRRD", "as it is"])
@pytest.mark.parametrize("name", PRESETS)
def test_random_rows_of_many_banks_take_an_activate_each(name, limit):
    """Banks in turn, groups first, so that neither tRC nor tRRD_L binds; then four activates take tFAW, or tRRD each.

    The bound knows nothing of the command bus. As it is, DDR4 loses a cycle of 35 there: the fifth activate is due when
    the fourth read is.
    """
    dram = without_refresh(preset(name))
    if limit == "tRRD":
        dram = replace(dram, timings=replace(dram.timings, tfaw=1, trrd_s=8, trrd_l=8), shared_command_bus=False)
    if limit == "tFAW":
        dram = replace(dram, timings=replace(dram.timings, tfaw=36), shared_command_bus=False)
    t, n, groups = dram.timings, 4000, dram.bank_groups
    rows = np.random.default_rng(0).integers(0, dram.rows, n).tolist()
    requests = [
        (0, address(dram, i // groups % dram.banks_per_group, i % groups, row), dram.burst_bytes, 0)
        for i, row in enumerate(rows)
    ]
    banks = groups * dram.banks_per_group
    row_cycle = (max(t.tras, t.trcd + t.trtp) + t.trp) / banks
    activate = max(t.tfaw / 4, t.trrd_s)
    assert activate > max(t.trrd_l / groups, row_cycle, t.tccd_s)
    lost_on_the_bus = 1 / 34 if (name, limit) == ("ddr4_3200", "as it is") else 0
    assert total_cycles(dram, requests) == pytest.approx(n * activate * (1 + lost_on_the_bus), rel=0.02)


@pytest.mark.parametrize("name", PRESETS)
def test_a_lone_read_takes_the_datasheets_latency(name):
    dram, t = preset(name), preset(name).timings
    requests = [(100, 0, dram.burst_bytes, 0)]
    assert total_cycles(dram, requests) == 100 + t.trcd + t.cl + dram.burst_cycles


@pytest.mark.parametrize("name", PRESETS)
def test_choosing_helps_random_rows(name):
    dram = preset(name)
    rng = np.random.default_rng(1)
    places = rng.integers(0, dram.capacity_bytes // dram.burst_bytes, 4000)
    requests = [(0, int(place) * dram.burst_bytes, dram.burst_bytes, 0) for place in places]
    assert total_cycles(replace(dram, scheduler="fr_fcfs"), requests) < 0.9 * total_cycles(dram, requests)


@pytest.mark.parametrize("name", PRESETS)
def test_too_few_bursts_under_way_are_a_latency_bound(name):
    """A window of w bursts moves w bursts per latency (Little's law), if that is below the peak."""
    dram = without_refresh(preset(name, outstanding_bursts=4))
    bursts, t = 4000, dram.timings
    by_hand = bursts / 4 * (t.cl + dram.burst_cycles + 3 * t.tccd_s * (dram.channels == 1))
    reached = total_cycles(dram, [(0, 0, bursts * dram.burst_bytes, 0)])
    assert reached >= bursts / 4 * (t.cl + dram.burst_cycles)
    assert reached <= by_hand * 1.5
