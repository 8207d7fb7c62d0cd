"""Bank conflicts: closed forms against banks simulated request by request; what more banks and wider words do."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.datapath import Width
from simulator.engine import IdealDram, run_bound, run_pipeline
from simulator.engine.event import run_events
from simulator.errors import OlivineError
from simulator.mapping import ArrayShape, Blocking, OperandBits, table_of
from simulator.mapping.scratchpads import Memories, Pad, Part, adding_cycles, operand_demand
from simulator.workload import Op
from tests import naive_banks, naive_schedule

LAYOUTS = ("k_major", "line_major")
WIDTHS = [Width(1, 8, 8), Width(2, 8, 8), Width(1, 16, 16), Width(4, 24, 24), Width(8, 40, 40), Width(3, 7, 7)]
pads = st.builds(Pad, st.sampled_from([8, 16, 32, 64, 24]), st.integers(1, 7), st.sampled_from(LAYOUTS))
widths = st.sampled_from(WIDTHS)


@settings(max_examples=300, deadline=None)
@given(st.data(), pads, widths, st.integers(1, 12), st.integers(1, 30), st.booleans())
def test_a_part_of_a_block_takes_what_its_banks_say(data, pad, width, lines, k, by_line):
    """Lanes hold lines and step through K, or hold K and step through lines, of a block of any size and alignment."""
    line0, k0 = data.draw(st.integers(0, lines - 1)), data.draw(st.integers(0, k - 1))
    line1, k1 = data.draw(st.integers(line0 + 1, lines)), data.draw(st.integers(k0 + 1, k))
    operand = naive_banks.Operand(lines, k, width.values, width.bits, pad.word_bits, pad.banks, pad.layout)
    by_steps_of_k = [[(line, step) for line in range(line0, line1)] for step in range(k0, k1)]
    by_lines = [[(line, step) for step in range(k0, k1)] for line in range(line0, line1)]
    edge = "lines" if by_line else "k"
    found = operand_demand(pad, width, lines, k, Part(line0, line1, k0, k1), edge)
    assert found == naive_banks.read(operand, by_steps_of_k if by_line else by_lines, edge)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 16), st.data())
def test_adding_to_sums_takes_what_its_banks_say(first, more, row, banks, data):
    last, acc, word = first + 1 + more, data.draw(st.sampled_from([16, 32])), data.draw(st.sampled_from([32, 64, 256]))
    across = last + data.draw(st.integers(0, 9))
    words = -(-last * acc // word) - first * acc // word
    found = adding_cycles(np.array([words]), -(-across * acc // word), banks)
    assert found == [naive_banks.step_of_sums(row, first, last, across, acc, word, banks, adds=True)]


@st.composite
def gemms(draw):
    """An op, a blocking, an array, widths and scratchpads."""
    dataflow = draw(st.sampled_from(["os", "ws", "is"]))
    rows, cols, cps = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.sampled_from([1, 1, 2]))
    words = draw(st.sampled_from([1, 1, 2])) if dataflow == "os" else 1
    overlap = draw(st.sampled_from(["none", "wave", "full", "scalesim"]))
    array = ArrayShape(rows, cols, overlap, cps, words, dataflow)
    M, N, K = (draw(st.integers(1, 14)) for _ in range(3))
    bits = OperandBits(draw(widths), draw(widths), draw(st.sampled_from([16, 32])), 16)
    out = Pad(draw(st.sampled_from([16, 32, 64])), draw(st.integers(1, 5)))
    memories = Memories(draw(pads), draw(pads), out, 1, True)
    k_fold = bits.k_align * max(1, rows)
    k = K if draw(st.booleans()) else min(K, k_fold)
    m, n = (rows, cols) if dataflow == "os" and k < K else (rows * 2, cols * 2)
    if dataflow != "os":
        m, n = (draw(st.integers(1, 9)), cols * 2) if dataflow == "ws" else (cols * 2, draw(st.integers(1, 9)))
    return Op("op", M, N, K), Blocking(min(m, M), min(n, N), k, "mnk"), array, bits, memories


def counted(op, array, bits, memories, tile):
    """The phases of every fold of a tile, from the request-by-request banks."""
    m, n, k, k0 = (int(tile[c]) for c in ("m", "n", "k", "k0"))
    rows, cols, cps = array.rows, array.cols, array.cycles_per_step
    blocks = {
        side: naive_banks.Operand(lines, k, width.values, width.bits, pad.word_bits, pad.banks, pad.layout)
        for side, lines, width, pad in (("act", m, bits.act, memories.act), ("weight", n, bits.weight, memories.weight))
    }
    folds = []
    if array.dataflow == "os":
        out = (n, bits.accumulator, memories.out.word_bits, memories.out.banks) if k0 + k == op.K else None
        for r in range(0, m, rows):
            for c in range(0, n, cols):
                lines, columns = range(r, min(r + rows, m)), range(c, min(c + cols, n))
                sides = blocks["act"], blocks["weight"]
                before = k0 * cps if out else 0
                folds.append(naive_banks.os_fold(*sides, out, lines, columns, k, rows, array.result_words, before, cps))
                if array.overlap == "scalesim":  # its figure has no drain
                    a, b, long_a, _ = folds[-1]
                    folds[-1] = a, b, long_a, b
        return folds
    stream, across, order = (m, n, ("act", "weight")) if array.dataflow == "ws" else (n, m, ("weight", "act"))
    out = (across, bits.accumulator, memories.out.word_bits, memories.out.banks)
    for f, down in enumerate(range(0, k * cps, rows)):
        for c in range(0, across, cols):
            part, columns = range(down, min(down + rows, k * cps)), range(c, min(c + cols, across))
            sides = (blocks[side] for side in order)
            adds = f > 0 or k0 > 0
            folds.append(naive_banks.held_fold(*sides, out, stream, columns, part, rows, cps, adds))
    return folds


@settings(max_examples=250, deadline=None)
@given(gemms())
def test_tiles_wait_as_long_as_their_banks_do(case):
    op, blocking, array, bits, memories = case
    table = table_of(op, array, bits, blocking, memories=memories)
    for i, tile in enumerate(table.rows):
        folds = counted(op, array, bits, memories, tile)
        expected = naive_banks.waits(folds, array.overlap)
        if array.overlap == "full" and i == len(table) - 1:
            a, b, long_a, long_b = folds[-1]
            expected += min(long_a, long_b) - min(a, b)
        assert tile["conflict_cycles"] == expected


@settings(max_examples=200, deadline=None)
@given(gemms(), st.integers(1, 3))
def test_a_gemm_of_equal_folds_takes_as_long_as_a_schedule_of_stretched_phases(case, times):
    """The whole GEMM against folds that enter as soon as nothing they need is taken, their phases stretched."""
    _, _, array, bits, memories = case
    assume(array.overlap != "scalesim")
    down = array.rows // gcd(array.rows, array.cycles_per_step)
    M, N, K = {"os": (array.rows, array.cols, 7), "ws": (6, array.cols, down), "is": (array.cols, 6, down)}[
        array.dataflow
    ]
    assume(array.dataflow == "os" or down * array.cycles_per_step == array.rows)
    M, N = (M * times, N) if array.dataflow != "ws" else (M, N * times)
    op = Op("op", M, N, K)
    table = table_of(op, array, bits, Blocking(M, N, K), memories=memories)
    folds = counted(op, array, bits, memories, table.rows[0])
    assume(len(set(folds)) == 1)  # else words begin elsewhere in some folds
    _, _, long_a, long_b = folds[0]
    if array.dataflow == "os":
        _, cycles = naive_schedule.os_schedule(len(folds), long_a, array.rows, array.cols, array.overlap, drain=long_b)
    else:
        _, cycles = naive_schedule.held_schedule(
            len(folds), long_a, array.rows, array.cols, array.overlap, loading=long_b
        )
    assert table.compute_cycles + table.rows["conflict_cycles"].sum() == cycles


@settings(max_examples=200, deadline=None)
@given(gemms(), st.integers(2, 4))
def test_a_multiple_of_the_banks_never_costs_cycles(case, times):
    op, blocking, array, bits, memories = case
    more = Memories(
        *(Pad(p.word_bits, p.banks * times, p.layout) for p in (memories.act, memories.weight, memories.out)), 1, True
    )
    few, many = (table_of(op, array, bits, blocking, memories=x).rows["conflict_cycles"] for x in (memories, more))
    assert (many <= few).all()


def test_other_numbers_of_banks_may_cost_cycles():
    """Lanes five words apart: four banks serve four at a time, five banks one."""
    part = Part(0, 4, 0, 40)
    cycles = {b: int(operand_demand(Pad(64, b), Width(1, 8, 8), 4, 40, part, "lines").cycles) for b in (4, 5, 6, 8)}
    assert cycles == {4: 5, 5: 20, 6: 5, 8: 5}


def test_off_is_a_port_as_wide_as_the_edge_and_no_memory_limit_is_none_at_all():
    slow = {"memory.act_buffer.word_bits": 64, "memory.act_buffer.layout": "line_major", "array.rows": 16}
    results = [
        sim.simulate_gemm(sim.load_design("int8_systolic", set=slow | more), M=64, N=64, K=64).cycles
        for more in ({}, {"memory.bank_conflicts": True}, {"memory.bank_conflicts": True, "memory.dram.model": "none"})
    ]
    assert [r["stall_bank"] > 0 for r in results] == [False, True, False]
    assert results[2]["total"] == results[2]["compute"] == results[0]["compute"] == results[1]["compute"]
    # 4 row folds x 2 column folds; 16 int8 lines are two 64-bit words per step on one bank
    assert results[1]["stall_bank"] == pytest.approx(4 * 2 * 64, rel=0.2)


def test_by_hand():
    """4 x 4, int8, K = 8, words of 16 bits, one bank, line_major: every step reads two words of each operand.

    A: 8 steps become 16. B: four 32-bit results are 8 words a hop: 4 hops become 32. ``full``: one fold takes
    16 + 4 + 4 - 2 + 32 cycles in place of 8 + 4 + 4 - 2 + 4.
    """
    pad = Pad(16, 1, "line_major")
    bits = OperandBits(Width(1, 8, 8), Width(1, 8, 8), 32, 16)
    for overlap in ("none", "wave", "full"):
        memories = Memories(pad, pad, Pad(16), 1, True)
        table = table_of(Op("op", 4, 4, 8), ArrayShape(4, 4, overlap), bits, Blocking(4, 4, 8), memories=memories)
        assert table.compute_cycles == 8 + 4 + 4 - 2 + 4
        assert table.rows["conflict_cycles"].tolist() == [(16 - 8) + (32 - 4)]


@settings(max_examples=60, deadline=None)
@given(gemms(), st.floats(0.2, 20), st.integers(0, 20))
def test_conflicts_are_array_time_in_every_engine(case, rate, latency):
    op, blocking, array, bits, memories = case
    table = table_of(op, array, bits, blocking, (2, 2, 2), memories)
    dram = IdealDram(rate, latency)
    timings = run_pipeline(table, dram), run_events(table, dram), run_bound(table, dram)
    assert timings[0].by_cause() == timings[1].by_cause()
    assert {t.stalls["stall_bank"] for t in timings} == {int(table.rows["conflict_cycles"].sum())}
    assert timings[2].total_cycles <= timings[0].total_cycles


def test_a_results_scratchpad_has_no_layout():
    with pytest.raises(OlivineError, match=r"memory\.out_buffer\.layout: unknown key"):
        sim.load_design("int8_systolic", set={"memory.out_buffer.layout": "k_major"})
    with pytest.raises(
        OlivineError, match=r"memory\.act_buffer\.layout: found 'row_major'; allowed: k_major, line_major"
    ):
        sim.load_design("int8_systolic", set={"memory.act_buffer.layout": "row_major"})
