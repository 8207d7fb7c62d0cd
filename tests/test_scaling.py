"""Prices at another node: published factors, nothing silent, nothing scaled that has prices of its own there."""

from __future__ import annotations

import json
import re

import pytest

import simulator as sim
from simulator.config import load_cost, load_scaling, load_sram_at, price_lists
from simulator.cost.scaling import factors, scale_library
from simulator.errors import ConfigError
from simulator.study.building import build
from simulator.study.describe import describe_design
from tests.test_conventions import PUBLISHED_BANKS

TABLE = load_scaling()
OPEN = load_cost("open")


def test_published_factors():
    """Sarangi and Baas, ISCAS 2021: 130 to 45 nm by 8.3; 22 to 7 nm by 0.05, as MicroScopiQ takes OliVe's areas."""
    assert factors(TABLE, 130, 45).area == pytest.approx(1 / 8.3)
    assert factors(TABLE, 22, 7).area == pytest.approx(0.05)
    assert 50.01 * factors(TABLE, 22, 7).area == pytest.approx(2.51, abs=0.01)  # OliVe's PE at 7 nm, Table 5 there
    assert factors(TABLE, 45, 32).leakage == pytest.approx(0.63 / 0.78)


def test_power_is_energy_over_delay():
    """The tool's third factor follows from two others, within its two digits: the table was copied whole."""
    for row in TABLE.nodes:
        assert row.energy / row.delay == pytest.approx(row.power, abs=0.015)


def test_there_and_back_is_where_it_was():
    there, back = factors(TABLE, 45, 7), factors(TABLE, 7, 45)
    for name in ("area", "energy", "leakage", "delay"):
        assert getattr(there, name) * getattr(back, name) == pytest.approx(1, rel=1e-12)


def test_smaller_nodes_take_less_of_everything():
    for name in ("area", "delay", "energy", "power"):
        values = [getattr(row, name) for row in sorted(TABLE.nodes, key=lambda row: row.node_nm)]
        assert values == sorted(values)


def test_every_price_of_logic_is_scaled_and_says_so():
    by = factors(TABLE, 45, 28)
    scaled = scale_library(OPEN, by, None)
    assert (scaled.name, scaled.node_nm, scaled.sram.node_nm) == ("open@28nm", 28, 28)
    for name, action in scaled.actions.items():
        assert action.energy_pj == pytest.approx(OPEN.actions[name].energy_pj * 0.37 / 0.63)
        assert action.source.endswith("; scaled from 45 to 28 nm")
    for name, part in scaled.parts.items():
        assert part.area_um2 == pytest.approx(OPEN.parts[name].area_um2 * 0.35)
        assert part.leakage_nw == pytest.approx(OPEN.parts[name].leakage_nw * 0.56 / 0.78)
    for macro, before in zip(scaled.sram.macros, OPEN.sram.macros, strict=True):
        assert macro.area_mm2 == pytest.approx(before.area_mm2 * 0.35)
        assert macro.read_pj == pytest.approx(before.read_pj * 0.37 / 0.63)
    assert (scaled.dram, scaled.drams) == (OPEN.dram, OPEN.drams)


@pytest.mark.parametrize(("node", "own"), [(22, True), (32, True), (65, True), (28, False), (7, False)])
def test_scratchpads_come_from_the_table_where_it_knows_the_node(node, own):
    bill = build(sim.load_design("int8_systolic", set={"node_nm": node})).bill
    made = load_sram_at("open", node)
    assert (made is not None) == own
    if own:
        assert bill.library.sram == made
        macro = next(m for m in made.macros if (m.size_bytes, m.word_bits) == (256 * 1024, 512))
        assert bill.buffers["act_buffer"].area_um2 == pytest.approx(macro.area_mm2 * 1e6)
    assert ("made for" if own else "scaled likewise") in bill.scaling


def test_the_node_of_the_library_changes_nothing():
    plain, same = (build(sim.load_design("int8_systolic", set=s)).bill for s in ({}, {"node_nm": 45}))
    assert plain == same
    assert same.scaling == ""


def test_show_and_reports_say_from_which_node_to_which(tmp_path):
    how = (
        "logic from 45 to 22 nm (area x 0.22, energy x 0.4762, leakage x 0.6154; gates take 0.7654 of the time) with "
        "DeepScaleTool, scratchpads made for 22 nm, DRAM as it is"
    )
    prices = describe_design("int8_systolic", {"node_nm": 22})["prices"]
    assert (prices["library"], prices["node_nm"], prices["scaling"]) == ("open@22nm", 22, how)
    study = {
        "name": "nodes",
        "designs": ["int8_systolic"],
        "workloads": [{"name": "probe", "gemms": [{"name": "qk", "M": 16, "N": 16, "K": 16}]}],
        "sweep": {"node_nm": [45, 22]},
    }
    table = sim.run_study(study, out=tmp_path)
    assert table["area_part_pe_um2"][1] == pytest.approx(table["area_part_pe_um2"][0] * 0.22)
    assert table["total_cycles"][1] == table["total_cycles"][0]
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert f"The price list open@22nm: {how}." in manifest["assumptions"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"node_nm": 12},
            "node_nm: no scaling from or to 12 nm is published; nodes: 130, 90, 65, 45, 40, 32, 28, 22, 14, 10, 7",
        ),
        (
            PUBLISHED_BANKS | {"node_nm": 7},
            "node_nm: cost library 'olive_isca23' has prices of several nodes: they cannot be scaled",
        ),
    ],
)
def test_what_cannot_be_scaled_is_one_line(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        build(sim.load_design("olive_systolic", set=changes))


def test_factors_are_no_price_list():
    assert not [name for name in price_lists() if "scaling" in name]
