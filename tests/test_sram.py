"""The table of SRAM macros: its own prices at its points, monotone between them, refused outside, chosen by name."""

from __future__ import annotations

import csv
import re
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator as sim
from simulator.config import load_cost
from simulator.cost.sram import price_sram
from simulator.errors import ConfigError, CostError

CSV = Path(__file__).resolve().parent.parent / "configs" / "cost" / "cacti7_sram.csv"
ROWS = list(csv.DictReader(line for line in CSV.read_text(encoding="utf-8").splitlines() if not line.startswith("#")))
VARIANTS = ("ant_hp_1r1w_ecc", "hp_1r1w", "hp_1rw", "lstp_1rw")
NODES = (22, 32, 45, 65)
SIZES = [8192 << i for i in range(10)]
WIDTHS = [64 << i for i in range(5)]


def library(variant, node):
    return {"extends": "open", "name": "mine", "node_nm": node, "sram": {"variant": variant, "node_nm": node}}


TABLES = {(v, n): load_cost(library(v, n)).sram for v, n in product(VARIANTS, NODES)}


def figures(table, size, width):
    price = price_sram(table, size, width, 1)
    return price.read_pj_per_bit * width, price.write_pj_per_bit * width, price.leakage_mw, price.area_um2


def test_the_table_is_a_whole_grid():
    found = {(r["variant"], int(r["node_nm"]), int(r["size_bytes"]), int(r["word_bits"])) for r in ROWS}
    assert found == set(product(VARIANTS, NODES, SIZES, WIDTHS))
    assert len(ROWS) == len(found)


def test_a_tabulated_macro_has_its_tabulated_price():
    for row in ROWS:
        table = TABLES[row["variant"], int(row["node_nm"])]
        width = int(row["word_bits"])
        price = price_sram(table, int(row["size_bytes"]), width, 1)
        assert price.read_pj_per_bit == float(row["read_pj"]) / width
        assert price.write_pj_per_bit == float(row["write_pj"]) / width
        assert price.leakage_mw == float(row["leakage_mw"])
        assert price.area_um2 == float(row["area_mm2"]) * 1e6


@given(
    which=st.sampled_from(sorted(TABLES)),
    place=st.integers(0, 8),
    other=st.integers(0, 4),
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=6).map(sorted),
    along_size=st.booleans(),
)
def test_prices_are_monotone_between_neighbours(which, place, other, shares, along_size):
    """From one macro to the next in size or in width, each figure goes one way only and stays between the two."""
    known = SIZES if along_size else WIDTHS
    low, high = known[place % (len(known) - 1)], known[place % (len(known) - 1) + 1]
    at = [low, *(round(low + share * (high - low)) for share in shares), high]
    places = [(x, WIDTHS[other]) if along_size else (SIZES[place], x) for x in at]
    for line in zip(*(figures(TABLES[which], *where) for where in places), strict=True):
        rising = line[-1] >= line[0]
        for a, b in pairwise(line):
            assert b >= a * (1 - 1e-12) if rising else b <= a * (1 + 1e-12)


def test_where_the_table_steps_back_is_known():
    """Of 720 neighbours in size, in how many the larger macro takes less: energy sometimes, leakage and area never."""
    steps = dict.fromkeys(("read_pj", "write_pj", "leakage_mw", "area_mm2"), 0)
    for table, width in product(TABLES.values(), WIDTHS):
        macros = sorted((m for m in table.macros if m.word_bits == width), key=lambda m: m.size_bytes)
        for small, large in pairwise(macros):
            for name in steps:
                steps[name] += getattr(large, name) < getattr(small, name)
    assert steps == {"read_pj": 8, "write_pj": 32, "leakage_mw": 0, "area_mm2": 0}


@pytest.mark.parametrize("word", [64, 100, 1024])
@pytest.mark.parametrize("size", [8191, (4 << 20) + 1])
def test_sizes_outside_are_refused(size, word):
    with pytest.raises(CostError, match=r"bit banks from 8 to 4096 KiB are$") as error:
        price_sram(TABLES["lstp_1rw", 45], size, word, 1)
    assert error.value.field == ("capacity_kib",)


@pytest.mark.parametrize("word", [1, 63, 1025])
def test_widths_outside_are_refused(word):
    message = f"no SRAM of {word}-bit words is priced; words from 64 to 1024 bits are"
    with pytest.raises(CostError, match=f"^{message}$") as error:
        price_sram(TABLES["lstp_1rw", 45], 65536, word, 1)
    assert error.value.field == ("word_bits",)


def test_a_design_beyond_the_table_is_one_line_that_names_the_field():
    design = sim.load_design("int8_systolic", set={"memory.act_buffer.capacity_kib": 8192.0})
    message = r"^set: memory\.act_buffer\.capacity_kib: no SRAM bank of 8192 KiB is priced; 512-bit banks from 8 to "
    with pytest.raises(ConfigError, match=message):
        sim.simulate_gemm(design, M=4, N=4, K=4)


@pytest.mark.parametrize(
    ("sram", "message"),
    [
        ({"variant": "hp_1rv"}, "sram.variant: the table has no macros of hp_1rv; it has *; did you mean 'hp_1rw'?"),
        ({"node_nm": 28}, "sram.node_nm: the table has no macros of 28; it has 22, 32, 45, 65"),
        ({"table": "nowhere.csv"}, "sram.table: cannot read nowhere.csv: No such file or directory"),
    ],
)
def test_what_the_table_lacks_is_one_line(sram, message):
    with pytest.raises(ConfigError, match=re.escape(message).replace(r"\*", ".*") + "$"):
        load_cost({"extends": "open", "name": "mine", "sram": sram})


def test_own_macros_take_the_place_of_the_table():
    macro = {"size_bytes": 1024, "word_bits": 64, "read_pj": 1, "write_pj": 2, "leakage_mw": 0, "area_mm2": 0.01}
    mine = load_cost({"extends": "open", "name": "mine", "sram": {"macros": [macro], "source": "made for this test"}})
    assert [m.size_bytes for m in mine.sram.macros] == [1024]
    assert load_cost({"extends": "open", "name": "mine"}).sram == load_cost("open").sram


def test_a_broken_table_is_one_line(tmp_path):
    path = tmp_path / "mine.csv"
    sram = {"table": str(path), "variant": "a", "node_nm": 45}
    path.write_text("variant,node_nm\na,45\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{path}: columns must be variant,node_nm,.*, found variant,node_nm$"):
        load_cost({"extends": "open", "name": "mine", "sram": sram})
    head = "variant,node_nm,size_bytes,word_bits,read_pj,write_pj,leakage_mw,area_mm2\n"
    path.write_text(f"# made for this test\n{head}a,45,8192,64,one,1,1,1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{path}:3: could not convert string to float: 'one'$"):
        load_cost({"extends": "open", "name": "mine", "sram": sram})
