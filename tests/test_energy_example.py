"""docs/energy.md by its own numbers: each line is count times price, and the lines are what the simulator says."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

import simulator as sim
from simulator.config import load_cost
from tests.test_conventions import PUBLISHED_BANKS

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "energy.md").read_text(encoding="utf-8")
SMALL = {"array.rows": 8, "array.cols": 8}
SECTIONS = {"open": SMALL, "olive_isca23": SMALL | PUBLISHED_BANKS}


def lines(section: str) -> list[tuple[str, float, str, float, float]]:
    """Component, count, of what, price and energy of each line of a section's table."""
    body = TEXT.split(f"## What it costs: `{section}`")[1].split("\n#")[0]
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\w -]+) \| ([\d.,]+) \| ([\d.,]+) \|$", body, re.MULTILINE)
    assert len(rows) == 10 + (section == "open")
    return [(name, number(count), of, number(each), number(pj)) for name, count, of, each, pj in rows]


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize("section", SECTIONS)
def test_each_line_is_count_times_price(section):
    for name, count, _, each, pj in lines(section):
        assert round(count * each, 2) == pytest.approx(pj, abs=0.011), name


@pytest.mark.parametrize("section", SECTIONS)
def test_the_lines_are_the_simulators(section):
    result = sim.simulate_gemm(sim.load_design("olive_systolic", set=SECTIONS[section]), M=8, N=8, K=16)
    by_hand = defaultdict(float)
    for name, *_, pj in lines(section):
        by_hand[name] += pj
    found = {name: pj for name, pj in result.energy_pj.items() if name != "total" and pj}
    assert found == pytest.approx(dict(by_hand), abs=0.011)
    assert result.energy_pj["total"] == pytest.approx(sum(by_hand.values()), abs=0.06)


def test_the_prices_are_the_librarys():
    library = load_cost("open")
    sram = {m.size_bytes: m for m in library.sram.macros if m.word_bits == 512}
    leakage_nw = sum(
        n * library.parts[part].leakage_nw
        for part, n in (
            *(("pe_ei4_acc32", 64), ("decoder_ovp4f", 16), ("decoder_ovp8", 8), ("merge_adder32", 16)),
            *(("vector_lane_fp32", 64), ("special_unit_fp32", 16)),
        )
    )
    leakage_mw = sram[1 << 18].leakage_mw + 2 * sram[1 << 17].leakage_mw
    expected = {
        "mac": library.actions["mac_ei4_acc32"].energy_pj,
        "decoder": library.actions["decode_ovp4f_pair"].energy_pj,
        "register": library.actions["reg_bit"].energy_pj,
        "act_buffer": (sram[1 << 18].read_pj + sram[1 << 18].write_pj) / 512,
        "weight_buffer": (sram[1 << 17].read_pj + sram[1 << 17].write_pj) / 512,
        "out_buffer": (sram[1 << 17].read_pj + sram[1 << 17].write_pj) / 512,
        "dram_read": library.dram.read_pj_per_bit,
        "dram_write": library.dram.write_pj_per_bit,
        "leakage_logic": leakage_nw * 1e-6 * 2,
        "leakage_sram": leakage_mw * 2,
        "dram_background": library.dram.background_mw * 2,
    }
    assert {name: each for name, _, _, each, _ in lines("open")} == pytest.approx(expected, abs=6e-7)


def test_the_counts_are_those_of_the_text():
    """What the bullets derive: cycles, MACs, pairs, register bits and bytes."""
    result = sim.simulate_gemm(sim.load_design("olive_systolic", set=SMALL), M=8, N=8, K=16)
    M = N = rows = cols = 8
    K = 16
    load = -(-64 // 128) + -(-64 // 128) + 50 - 1
    assert result.cycles["stall_dram_read"] == load == 51
    assert result.cycles["compute"] == K + 2 * rows + cols - 2 == 38
    assert result.cycles["total"] == 90
    counts = {name: count for name, count, *_ in lines("open")}
    assert counts["mac"] == M * N * K
    assert counts["decoder"] == 2 * M * K / 2
    assert counts["register"] == M * N * K * 14 + sum(range(1, rows + 1)) * cols * 32
    assert counts["out_buffer"] == M * N * 32 == result.bytes["out_buffer"]["read"] * 8


def test_a_product_on_a_graphics_card():
    """The lines of the last section, and what is always drawn."""
    body = TEXT.split("# The energy of a product on a graphics card")[1]
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\w ]+) \| ([\d.,]+) \| ([\d.,]+) \|$", body, re.MULTILINE)
    assert len(rows) == 9
    by_hand = defaultdict(float)
    for name, count, _, each, nj in rows:
        assert number(count) * number(each) * 1e-6 == pytest.approx(number(nj), rel=5e-5), name
        by_hand[name] += number(nj) * 1e3
    pinned = {"tiling.m": 128, "tiling.n": 128, "tiling.split_k": 1}
    result = sim.simulate_gemm(sim.load_design("rtx2080ti_olive", set=pinned), M=512, N=512, K=512)
    always = {name: result.energy_pj[name] for name in ("board", "sm_active", "sm_idle")}
    rest = {name: pj for name, pj in result.energy_pj.items() if name not in always and name != "total"}
    assert rest == pytest.approx(dict(by_hand), rel=1e-4)
    assert sum(rest.values()) == pytest.approx(278.6e6, rel=1e-3)
    launch = result.cycles["stall_launch"]
    ran, pj_per_mw = result.cycles["total"] - launch, 1e3 / 1545
    assert always == pytest.approx(
        {
            "board": 32325.22 * pj_per_mw * (ran + launch),
            "sm_active": 611.8594 * pj_per_mw * 16 * ran,
            "sm_idle": 282.7917 * pj_per_mw * (52 * ran + 68 * launch),
        },
        rel=1e-6,
    )
    assert sum(always.values()) > result.energy_pj["total"] / 2
