"""DRAM parts as data: what is shipped loads, what is wrong is one line that says where."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

import pytest

from simulator.config import load_dram
from simulator.config.dram import DramTimingCycles
from simulator.engine.dram_banked import DramTimings
from simulator.errors import ConfigError
from simulator.resources import shipped_dir, shipped_names
from simulator.study.drams import banked_dram

TEXT = (shipped_dir("configs/dram") / "ddr4_3200.yaml").read_text(encoding="utf-8")

PEAKS = {"ddr4_3200": 25.6, "lpddr5_6400": 51.2, "hbm2e_3200": 409.6, "gddr6_14": 448.0}
"""GB/s: pins times data rate over 8."""


def test_the_four_kinds_are_shipped():
    assert sorted(PEAKS) == shipped_names("configs/dram")


@pytest.mark.parametrize("name", sorted(PEAKS))
def test_a_part_has_its_name_and_its_peak(name):
    part = load_dram(name)
    assert part.name == name
    assert part.bandwidth_gb_s == pytest.approx(PEAKS[name], rel=1e-12)
    assert f"{PEAKS[name]:g} GB/s" in part.description
    dram = banked_dram(part, 500)
    assert dram.bytes_per_cycle == Fraction(str(PEAKS[name])) * 1000 / 500
    assert dram.clock_ratio == Fraction(repr(part.clock_mhz)) / 500


def test_timings_of_config_and_engine_have_the_same_names():
    assert [name.lower() for name in DramTimingCycles.model_fields] == [f.name for f in fields(DramTimings)]


def test_overrides():
    part = load_dram("ddr4_3200", set={"channels": 2, "controller.scheduler": "fr_fcfs"})
    assert banked_dram(part, 1600).scheduler == "fr_fcfs"
    assert part.bandwidth_gb_s == pytest.approx(51.2)


def line_of(key):
    return next(i for i, line in enumerate(TEXT.splitlines(), start=1) if line.strip().startswith(f"{key}:"))


WRONG = [
    ("rows: 65536", "rows: 65535", "rows: 65535 is not a power of two"),
    ("bus_bits: 64", "bus_bits: 4", "bus_bits: 4 bits are not whole bytes"),
    ("burst_length: 8", "burst_length: 1", "burst_length: 1 beats are not whole cycles of 2 beats"),
    ("row_bytes: 8192", "row_bytes: 32", "row_bytes: a row of 32 bytes cannot hold a burst of 64"),
    ("tCCD_S: 4", "tCCD_S: 3", "timing_cycles.tCCD_S: 3 cycles are fewer than a burst takes (4)"),
    ("tRRD_L: 8", "tRRD_L: 2", "timing_cycles.tRRD_L: 2 cycles are fewer than tRRD_S (4)"),
    (
        "tREFI: 12480",
        "tREFI: 600",
        "timing_cycles.tREFI: 600 cycles leave no time for work between refreshes; need 952",
    ),
    ("description: DDR4-3200", "descriptoin: DDR4-3200", "descriptoin: unknown key; did you mean 'description'?"),
    ("tRAS: 52", "tRAS: fast", "timing_cycles.tRAS: "),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[new for _, new, _ in WRONG])
def test_what_is_wrong_is_said_with_its_place(tmp_path, old, new, message):
    assert TEXT.count(f"{old} ") == 1
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT.replace(f"{old} ", f"{new} "), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_dram(path)
    assert str(caught.value).startswith(f"{path}:{line_of(old.split(':')[0])}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("queue_depth", 48, "controller.queue_depth: 48 is not a power of two"),
        (
            "address_map",
            "row:bank:column:channel",
            "controller.address_map: 'row:bank:column:channel' must name each of row, bank, group, column, channel "
            "once, with ':' between",
        ),
    ],
)
def test_a_wrong_controller_is_refused(key, value, message):
    with pytest.raises(ConfigError) as caught:
        load_dram("ddr4_3200", set={f"controller.{key}": value})
    assert message in str(caught.value)


def test_an_unknown_part_is_refused():
    with pytest.raises(ConfigError) as caught:
        load_dram("ddr4_320")
    known = ", ".join(shipped_names("configs/dram"))
    assert str(caught.value) == f"unknown DRAM 'ddr4_320'; did you mean 'ddr4_3200'?; known: {known}"
