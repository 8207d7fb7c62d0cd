"""docs/costs.md beside Horowitz, ISSCC 2014: its prices are ours, its ratios follow and stay where the text says."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from simulator.config import load_cost

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
OURS = {
    "int32 add": "prim_add32",
    "int8 multiply, int32 add": "pe_int8",
    "FP32 add": "prim_fp32add",
    "FP16 multiply": "prim_fp16mul",
    "FP32 multiply": "prim_fp32mul",
}
"""Rows of hardware/reference.csv, from which the prices of ``open`` come; areas without flip-flops."""


def measured() -> dict[str, tuple[float, float]]:
    with (ROOT / "hardware" / "reference.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    by_name = {r["module"]: r for r in rows if r["library"] == "nangate45"}
    return {
        name: (float(by_name[row]["energy_delayed_fj"]) / 1e3, float(by_name[row]["comb_area_um2"]))
        for name, row in OURS.items()
    }


ROWS = {
    row[0]: [float(cell) for cell in row[1:]]
    for row in (
        [cell.strip() for cell in line.strip("| ").split("|")] for line in TEXT.splitlines() if line.startswith("| ")
    )
    if row[0] in OURS
}


@pytest.mark.parametrize("name", OURS)
def test_the_table_is_ours_over_the_published(name):
    pj, our_pj, pj_ratio, um2, our_um2, um2_ratio = ROWS[name]
    assert (our_pj, our_um2) == (
        pytest.approx(measured()[name][0], abs=6e-4),
        pytest.approx(measured()[name][1], abs=0.6),
    )
    assert pj_ratio == pytest.approx(our_pj / pj, abs=0.06)
    assert um2_ratio == pytest.approx(our_um2 / um2, abs=0.06)
    assert 2 <= our_pj / pj <= 9
    assert 1 / 2.65 <= our_um2 / um2 <= 2.65


def test_the_price_list_charges_what_the_table_shows():
    library = load_cost("open")
    assert library.actions["mac_int8x8_acc32"].energy_pj == pytest.approx(ROWS["int8 multiply, int32 add"][1], abs=6e-4)
    assert library.actions["merge_int32"].energy_pj == ROWS["int32 add"][1]
    assert library.parts["merge_adder32"].area_um2 == pytest.approx(ROWS["int32 add"][4], abs=0.5)


def test_every_convention_is_explained():
    for name, field in type(load_cost("open").conventions).model_fields.items():
        (line,) = re.findall(rf"^\| `{name}` \|.*$", TEXT, re.MULTILINE)
        for choice in field.annotation.__args__:
            assert choice in line
