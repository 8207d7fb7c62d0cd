"""DRAM by standard: the file follows from the currents, a design picks one, rows and channels are charged."""

from __future__ import annotations

import re

import pytest

import simulator as sim
from hardware.dram import OUT, text
from simulator.config import load_cost, load_dram
from simulator.cost import by_group, energy_pj
from simulator.counts import Counts, Traffic
from simulator.errors import ConfigError
from simulator.resources import shipped_dir
from simulator.study.building import build

LIBRARY = load_cost("open")
STANDARDS = ("ddr4", "gddr6", "hbm2e", "lpddr5")
MOVED = {("dram", "act"): Traffic(read_bits=8 * 4096), ("dram", "out"): Traffic(write_bits=8 * 2048)}


def test_the_file_follows_from_the_currents():
    assert OUT.read_text(encoding="utf-8") == text()
    assert sorted(LIBRARY.drams) == sorted(STANDARDS)


def test_ddr4_by_hand():
    """Eight devices of 8 pins at 3.2 Gb/s, 1.2 V; 34 + 40 ohm on the wires when read, 34 + 120 when written."""
    price = LIBRARY.drams["ddr4"]
    assert price.read_pj_per_bit == pytest.approx(1.2 * (168 - 52) / 25.6 + 0.5 * 1.44 / 74 / 3.2e-3, rel=1e-4)
    assert price.write_pj_per_bit == pytest.approx(1.2 * (150 - 52) / 25.6 + 0.5 * 1.44 / 154 / 3.2e-3, rel=1e-4)
    assert price.activate_pj == pytest.approx(8 * 1.2 * (57 * 46.25 - 52 * 32.5 - 37 * 13.75), rel=1e-4)
    assert price.background_mw == pytest.approx(8 * 1.2 * (52 + (250 - 52) * 350 / 7800), rel=1e-4)


@pytest.mark.parametrize(
    ("standard", "part", "channels"),
    [("ddr4", "ddr4_3200", 1), ("lpddr5", "lpddr5_6400", 4), ("gddr6", "gddr6_14", 8), ("hbm2e", "hbm2e_3200", 1)],
)
def test_prices_are_of_the_parts_that_are_simulated(standard, part, channels):
    """Rows as large, and as much bandwidth for one background power."""
    price, simulated = LIBRARY.drams[standard], load_dram(part)
    assert price.row_bytes == simulated.row_bytes
    assert price.channel_gb_s * channels == pytest.approx(simulated.bandwidth_gb_s)


def priced(standard, gb_s=64.0):
    design = sim.load_design(
        "int8_systolic", set={"memory.dram.standard": standard, "memory.dram.bandwidth_gb_s": gb_s}
    )
    return build(design).bill


@pytest.mark.parametrize("standard", STANDARDS)
def test_a_design_is_charged_for_the_standard_it_picks(standard):
    price, bill = LIBRARY.drams[standard], priced(standard)
    energy = energy_pj(bill, Counts(1, 100, {}, MOVED))
    assert energy["dram_read"] == pytest.approx(8 * 4096 * price.read_pj_per_bit)
    assert energy["dram_write"] == pytest.approx(8 * 2048 * price.write_pj_per_bit)
    assert energy["dram_activate"] == pytest.approx(price.activate_pj * 6144 / price.row_bytes)
    channels = -(-64 // price.channel_gb_s)
    assert energy["dram_background"] == pytest.approx(price.background_mw * channels * 2 * 100)
    assert by_group(energy)["dram"] == energy["dram_read"] + energy["dram_write"] + energy["dram_activate"]


def test_rows_that_were_counted_are_charged_as_counted():
    bill, counted = priced("ddr4"), Counts(1, 100, {}, MOVED, dram_activates=7)
    assert energy_pj(bill, counted)["dram_activate"] == pytest.approx(7 * 4200)
    assert (counted + counted.times(2)).dram_activates == 21
    assert (counted + Counts(0, 0)).dram_activates is None


@pytest.mark.parametrize(("gb_s", "channels"), [(1.0, 1), (25.6, 1), (25.7, 2), (51.2, 2), (204.8, 8)])
def test_as_many_channels_as_the_bandwidth_needs(gb_s, channels):
    assert priced("ddr4", gb_s).dram_channels == channels


def test_without_a_standard_nothing_changes():
    bill = priced(None)
    assert (bill.dram, bill.dram_channels) == (LIBRARY.dram, 1)
    assert "dram_activate" not in energy_pj(bill, Counts(1, 100, {}, MOVED))


def test_an_unknown_standard_is_one_line():
    message = "memory.dram.standard: cost library 'open' has no DRAM 'lpddr4'; did you mean 'lpddr5'?"
    with pytest.raises(ConfigError, match=re.escape(message)):
        priced("lpddr4")
    message = "cost library 'olive_isca23' has no DRAM 'x'; it has none"
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(sim.load_design("olive_systolic", set={"cost": "olive_isca23", "memory.dram.standard": "x",
              "memory.act_buffer.banks": 32, "memory.weight_buffer.banks": 32, "memory.out_buffer.banks": 1024,
              "memory.out_buffer.word_bits": 32}))  # fmt: skip


def test_a_row_without_a_size_is_one_line():
    dram = {"activate_pj": 1.0}
    message = "dram.row_bytes: missing; activate_pj is the price of a row of that size"
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        load_cost({"extends": "open", "name": "mine", "dram": dram})


def test_a_part_of_another_standard_in_the_same_file_is_priced_anew(tmp_path):
    part = tmp_path / "part.yaml"
    written = (shipped_dir("configs/dram") / "ddr4_3200.yaml").read_text(encoding="utf-8")
    dram = {"model": "banked", "part": str(part)}
    study = {
        "name": "standards",
        "designs": [{"extends": "int8_systolic", "name": "mine", "memory": {"dram": dram}}],
        "workloads": [{"name": "w", "gemms": [{"name": "qk", "M": 64, "N": 64, "K": 64}]}],
    }
    charged = []
    for standard in ("ddr4", "lpddr5"):
        part.write_text(written.replace("standard: ddr4", f"standard: {standard}"), encoding="utf-8")
        charged.append(sim.run_study(study, out=tmp_path / "run")["energy_dram_pj"].item())
    assert charged[1] < charged[0] / 2
