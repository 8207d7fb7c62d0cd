"""Prices of logic: they follow from the checked-in tables, siblings agree, and their order makes sense."""

from __future__ import annotations

import csv
from itertools import pairwise
from math import prod
from pathlib import Path

import pytest

from hardware.modules import MODULES, WIDTHS
from hardware.prices import OUT, prices, read_tables, text
from simulator.config import load_cost, price_lists

HARDWARE = Path(__file__).resolve().parent.parent / "hardware"
LIBRARIES = ("sg13g2", "sky130hd", "asap7")
LIBRARY = load_cost("open")


def rows(name: str) -> list[dict[str, str]]:
    with (HARDWARE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


OURS = {(r["module"], r["library"]): r for r in rows("synthesis.csv")}
KNOWN = {(r["module"], r["library"]): r for r in rows("reference.csv")}


def test_the_file_follows_from_the_tables():
    for name, entries in prices(read_tables()).items():
        assert (OUT / name).read_text(encoding="utf-8") == text(entries)


def test_no_name_is_priced_twice():
    names = [(p.name, p.energy_pj is None) for entries in prices(read_tables()).values() for p in entries]
    assert len(names) == len(set(names))
    own = (OUT / "open.yaml").read_text(encoding="utf-8")
    assert [name for name, _ in names if f"  {name}:" in own] == []


def test_every_module_is_synthesised_on_every_library():
    assert list(OURS) == [(module, library) for module in MODULES for library in LIBRARIES]


def siblings(row: dict[str, str]) -> dict[str, float]:
    """Names and weights, as the CSV writes them."""
    return {name: float(weight) for name, _, weight in (item.partition(":") for item in row["siblings"].split())}


@pytest.mark.parametrize("row", OURS.values(), ids=[f"{m}-{lib}" for m, lib in OURS])
def test_a_ratio_is_module_over_siblings(row):
    weights = siblings(row)
    assert weights == MODULES[row["module"]].like
    assert sum(weights.values()) == pytest.approx(1 if weights else 0)
    for ratio, figure in (
        ("comb_ratio", "comb_area_um2"),
        ("leakage_ratio", "leakage_nw"),
        ("energy_ratio", "energy_fj"),
    ):
        if not weights:
            assert row[ratio] == ""
            continue
        mixed = prod(float(OURS[name, row["library"]][figure]) ** weight for name, weight in weights.items())
        assert float(row[ratio]) == pytest.approx(float(row[figure]) / mixed, rel=1e-4)


def mean_ratio(module: str, sibling: str, figure: str) -> float:
    return prod(float(OURS[module, lib][figure]) / float(OURS[sibling, lib][figure]) for lib in LIBRARIES) ** (1 / 3)


@pytest.mark.parametrize(
    ("name", "sibling", "row", "registers"),
    [("af8_acc40", "af8", "pe_af8", 40 + 16), ("int8x8_acc48", "int8", "pe_int8", 48 + 16)],
)
def test_a_transferred_price_by_hand(name, sibling, row, registers):
    """Logic of the measured row times our ratio, flip-flops of 4.522 um2; leakage and energy times their ratios."""
    known = KNOWN[row, "nangate45"]
    part, action = LIBRARY.parts[f"pe_{name}"], LIBRARY.actions[f"mac_{name}"]
    logic = float(known["comb_area_um2"]) * mean_ratio(name, sibling, "comb_area_um2")
    assert part.area_um2 == pytest.approx(logic + registers * 4.522, rel=1e-4)
    assert part.leakage_nw == pytest.approx(
        float(known["leakage_nw"]) * mean_ratio(name, sibling, "leakage_nw"), rel=1e-4
    )
    energy = float(known["energy_delayed_fj"]) / 1e3 * mean_ratio(name, sibling, "energy_fj")
    assert action.energy_pj == pytest.approx(energy, rel=1e-4)


SIBLINGS = [(m, lib) for m, lib in OURS if MODULES[m].known]


@pytest.mark.parametrize(("module", "library"), SIBLINGS)
def test_our_siblings_are_as_large_as_the_measured_ones(module, library):
    """Within 11 %, but for what holds an FP32 adder, where ours is the smaller design, and the tiny flint decoder."""
    adders = {"fp32add": 0.16, "gobo8": 0.16, "fp16": 0.12, "flint4": 0.18}
    ratio = float(OURS[module, library]["area_um2"]) / float(KNOWN[MODULES[module].known, library]["area_um2"])
    assert ratio == pytest.approx(1, abs=adders.get(module, 0.11))


@pytest.mark.parametrize(
    ("module", "other"),
    [("int8", "int4"), ("int16", "int8"), ("int16x4", "int8"), ("int4x4_acc24", "int4"), ("af8", "int8"),
     ("fp16", "fp32mul"), ("fp32add", "fp16"), ("gobo8", "fp16")],
)  # fmt: skip
def test_the_transfer_foretells_what_was_measured(module, other):
    """Modules measured on NanGate45, foretold from another one by the rule for those that were not."""

    def error(figure: str, known: str) -> float:
        ours = prod(float(OURS[module, lib][figure]) / float(OURS[other, lib][figure]) for lib in LIBRARIES) ** (1 / 3)
        measured = [float(KNOWN[MODULES[m].known, "nangate45"][known]) for m in (module, other)]
        return ours * measured[1] / measured[0] - 1

    assert abs(error("comb_area_um2", "comb_area_um2")) < 0.2
    assert abs(error("leakage_nw", "leakage_nw")) < 0.2
    assert abs(error("energy_fj", "energy_delayed_fj")) < 0.35


def area(name: str) -> float:
    return LIBRARY.parts[f"pe_{name}"].area_um2


def energy(name: str) -> float:
    return LIBRARY.actions[f"mac_{name}"].energy_pj


def test_wider_integers_cost_more():
    """Energy up to 5 % aside: how much a multiplier glitches depends on what the mapper made of it."""
    for fixed in WIDTHS:
        for narrow, wide in pairwise(WIDTHS):
            assert area(f"int{narrow}x{fixed}_acc32") < area(f"int{wide}x{fixed}_acc32")
            assert 0.95 * energy(f"int{narrow}x{fixed}_acc32") < energy(f"int{wide}x{fixed}_acc32")
    for size, accs in ((4, (16, 24, 32)), (8, (16, 24, 32, 48))):
        for narrow, wide in pairwise(accs):
            assert area(f"int{size}x{size}_acc{narrow}") < area(f"int{size}x{size}_acc{wide}")


def test_operands_may_change_places():
    for a in WIDTHS:
        for w in WIDTHS:
            assert energy(f"int{a}x{w}_acc32") == energy(f"int{w}x{a}_acc32")
            assert area(f"int{a}x{w}_acc32") == area(f"int{w}x{a}_acc32")


def test_formats_stand_in_the_order_of_their_hardware():
    assert area("int4x4_acc32") < area("ei4_acc32") < area("ei8_acc32") < area("fp16_acc32")
    assert area("mxfp4") < area("mxfp6") < area("mxfp8") < area("mxfp8_e5m2")
    assert area("mxfp4") < area("nvfp4")
    assert area("mxfp4") < area("fp16_acc32")
    assert area("fp8_acc32") < area("fp16_acc32")
    assert area("af8_acc32") < area("af8_acc40")
    assert area("int6x6_acc32") < area("bs6_acc32") < area("bs6_acc48")
    assert area("gobo3") < area("gobo4")
    assert energy("mxfp4") < energy("mxfp6") < energy("mxfp8") < energy("fp8_acc32") < energy("fp16_acc32")


def test_a_fused_unit_pays_for_its_flexibility():
    """More than one int8 MAC for an 8 x 8 product, less per product the narrower the operands are."""
    names = ("fusion_8x8", "fusion_8x4", "fusion_4x4", "fusion_4x2", "fusion_2x2")
    costs = [LIBRARY.actions[name].energy_pj for name in names]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > energy("int8x8_acc32")
    assert area("fusion8_acc32") > area("int8x8_acc32")


def test_files_made_to_be_extended_are_no_price_lists():
    assert price_lists() == ["gpu_turing", "olive_isca23", "open"]
