"""What prices are charged for: the published way by hand, each choice by itself, never two ways in one library."""

from __future__ import annotations

import re

import pytest

import simulator as sim
from simulator.config import load_cost
from simulator.cost import area_um2, by_group, energy_pj, total
from simulator.counts import Counts, Traffic
from simulator.errors import ConfigError
from simulator.study.building import build

PUBLISHED_BANKS = {
    "cost": "olive_isca23",
    "memory.act_buffer.banks": 32,
    "memory.weight_buffer.banks": 32,
    "memory.out_buffer.banks": 1024,
    "memory.out_buffer.word_bits": 32,
}
"""Scratchpads of the released simulator, the only ones that its library prices."""
PHYSICAL = load_cost("open").conventions.model_dump()


def published(name="olive_systolic", **more):
    return sim.load_design(name, set=PUBLISHED_BANKS | more)


def test_area_of_the_published_array():
    """OliVe, ISCA 2023, Table 11: 64 x 64 4-bit PEs and the decoders of both borders, 22 nm."""
    area = {part: um2 for part, um2 in area_um2(build(published()).bill).items() if um2}
    four_bit, eight_bit, pes = 128 * 37.22, 64 * 49.50, 4096 * 50.01
    assert area == {"pe": pytest.approx(pes), "decoder": pytest.approx(four_bit + eight_bit)}
    shares = [round(100 * part / total(area), 1) for part in (four_bit, eight_bit, pes)]
    assert shares == [2.2, 1.5, 96.3]


def test_published_energy_by_hand():
    """128 x 96 x 200 on OliVe's array with the constants of the released simulator."""
    M, N, K = 128, 96, 200
    result = sim.simulate_gemm(published(), M=M, N=N, K=K)
    reads, cycles = M * N * K * 4, result.cycles
    units = 32 * 32  # of 8 bits, 2 x 2 4-bit PEs each
    by_hand = {
        "pe": units * (64_314e-9 * 2e-9 * 1e12 * cycles["total"] + 279_960e-9 * 2e-9 * 1e12 * cycles["compute"]),
        "act_buffer": reads * 0.0347 + M * K * 4 * 0.0486,
        "weight_buffer": reads * 0.0330 + N * K * 4 * 0.0397,
        "out_buffer": M * N * 16 * (0.0092 + 0.0130),
        "dram_read": (M + N) * K * 4 * 0.6292,
        "dram_write": M * N * 16 * 0.7657,
        "dram_background": 484.615e-3 * 2e-9 * 1e12 * cycles["total"],
    }
    charged = {part: pj for part, pj in result.energy_pj.items() if pj}
    assert charged == pytest.approx(by_hand | {"total": sum(by_hand.values())}, rel=1e-9)
    assert not [part for part in result.area_um2 if part.endswith("_buffer")]
    assert by_group(by_hand)["core"] == by_hand["pe"]


def bill(**changes):
    """``open`` under other conventions, every part running at 1 pJ per cycle."""
    parts = {name: {"dynamic_pj_per_cycle": 1.0} for name in load_cost("open").parts}
    library = {"extends": "open", "name": "mine", "conventions": PHYSICAL | changes, "parts": parts}
    design = build(sim.load_design("int8_systolic"))
    object.__setattr__(design.bill, "library", load_cost(library))
    return design.bill


COUNTS = Counts(
    1000,
    50,
    {"mac_int8x8_acc32": 1000.0, "reg_bit": 10.0},
    {
        ("dram", "act"): Traffic(80, 0),
        ("act_buffer", "act"): Traffic(640, 80),
        ("weight_buffer", "weight"): Traffic(320, 80),
        ("out_buffer", "out"): Traffic(3200, 3200),
    },
    40,
    {
        ("act_buffer", "per_mac"): Traffic(7360),
        ("weight_buffer", "per_mac"): Traffic(7680),
        ("out_buffer", "per_mac/accumulator"): Traffic(28800, 28800),
        ("out_buffer", "per_mac/output"): Traffic(12800, 12800),
        ("out_buffer", "per_edge/output"): Traffic(-1600, -1600),
    },
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"act": (640, 80), "weight": (320, 80), "out": (3200, 3200)}),
        ({"operand_reads": "per_mac"}, {"act": (8000, 80), "weight": (8000, 80), "out": (32000, 32000)}),
        ({"sum_bits": "output"}, {"act": (640, 80), "weight": (320, 80), "out": (1600, 1600)}),
        (
            {"operand_reads": "per_mac", "sum_bits": "output"},
            {"act": (8000, 80), "weight": (8000, 80), "out": (16000, 16000)},
        ),
    ],
)
def test_scratchpad_traffic_is_charged_as_stated(changes, expected):
    priced = bill(**changes)
    energy = energy_pj(priced, COUNTS)
    for name, (read, written) in expected.items():
        sram = priced.buffers[f"{name}_buffer"]
        pj = read * sram.read_pj_per_bit + written * sram.write_pj_per_bit
        assert energy[f"{name}_buffer"] == pytest.approx(pj, rel=1e-12), name
    others = {k: v for k, v in energy.items() if not k.endswith("_buffer")}
    assert others == {k: v for k, v in energy_pj(bill(), COUNTS).items() if not k.endswith("_buffer")}


def test_core_energy_and_static_power_are_charged_as_stated():
    physical, array = energy_pj(bill(), COUNTS), energy_pj(bill(core_energy="full_array_per_cycle"), COUNTS)
    pes = sum(bill().parts.values())  # and the vector unit
    assert array["pe"] + array["vector"] == pytest.approx(pes * 1.0 * 40 + physical["leakage_logic"], rel=1e-12)
    assert set(physical) - set(array) == {"mac", "register", "leakage_logic"}
    assert {k: v for k, v in array.items() if k not in ("pe", "vector")} == {
        k: v for k, v in physical.items() if k in array
    }
    least = energy_pj(bill(static="dram_background_only"), COUNTS)
    assert set(physical) - set(least) == {"leakage_logic", "leakage_sram"}


def test_area_is_charged_as_stated():
    whole, core = area_um2(bill()), area_um2(bill(area="core_only"))
    assert {k: v for k, v in whole.items() if not k.endswith("_buffer")} == core


def test_counts_of_a_gemm_in_every_convention():
    """``os``: reads grow to one of each operand per MAC. ``ws``: sums too. Sums at 16 bits are half of those at 32."""
    for dataflow, sums_per_mac in (("os", None), ("ws", 70 * 96 * 130), ("is", 70 * 96 * 130)):
        design = sim.load_design("int8_systolic", set={"array.dataflow": dataflow})
        base = sim.simulate_gemm(design, M=70, N=96, K=130).bytes
        counts = _counts(design, 70, 96, 130)
        for buffer in ("act_buffer", "weight_buffer"):
            charged = counts.level(buffer) + counts.otherwise[buffer, "per_mac"]
            assert charged.read_bits == 70 * 96 * 130 * 8
            assert charged.write_bits == base[buffer]["write"] * 8
        sums = counts.level("out_buffer")
        half = sums + counts.otherwise["out_buffer", "per_edge/output"]
        assert (half.read_bits * 2, half.write_bits * 2) == (sums.read_bits, sums.write_bits)
        wide = sums + counts.otherwise["out_buffer", "per_mac/accumulator"]
        narrow = sums + counts.otherwise["out_buffer", "per_mac/output"]
        assert (narrow.read_bits * 2, narrow.write_bits * 2) == (wide.read_bits, wide.write_bits)
        expected = sums if sums_per_mac is None else Traffic(sums_per_mac * 32, sums_per_mac * 32)
        assert (wide.read_bits, wide.write_bits) == (expected.read_bits, expected.write_bits)


def _counts(design, M, N, K):
    from simulator.study.simulate import simulate_op
    from simulator.workload import Op

    return simulate_op(build(design), Op("gemm", M, N, K)).counts


def test_counts_add_up_in_every_convention():
    twice = COUNTS.times(2)
    assert twice == COUNTS + COUNTS
    assert twice.compute_cycles == 80
    assert twice.otherwise["out_buffer", "per_edge/output"] == Traffic(-3200, -3200)


# Never mixed silently


def library(tmp_path, name, **changes):
    path = tmp_path / f"{name}.yaml"
    lines = "".join(f"  {key}: {value}\n" for key, value in (PHYSICAL | changes).items())
    path.write_text(f"extends: open\nname: {name}\nconventions:\n{lines}", encoding="utf-8")
    return str(path)


def test_libraries_of_two_conventions_are_not_mixed(tmp_path):
    bases = [library(tmp_path, "a"), library(tmp_path, "b", area="core_only", static="dram_background_only")]
    message = "extends: 'a' and 'b' have other conventions (area, static); state conventions here"
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        load_cost({"extends": bases, "name": "mine"})
    stated = load_cost({"extends": bases, "name": "mine", "conventions": PHYSICAL | {"sum_bits": "output"}})
    assert stated.conventions.unusual() == {"sum_bits": "output"}
    assert load_cost({"extends": [bases[0], "open"], "name": "mine"}).conventions.unusual() == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conventions": {"static": "all"}}, "conventions.operand_reads: missing key 'operand_reads' (and 4 more)"),
        (
            {"conventions": PHYSICAL | {"static": "none"}},
            "conventions.static: found 'none'; allowed: all, dram_background_only, board",
        ),
        ({"node_nm": 22}, "sram.node_nm: 45 nm in a library of 22 nm; say conventions.nodes: mixed"),
        (
            {"conventions": PHYSICAL | {"core_energy": "full_array_per_cycle"}},
            "parts.decoder_ovp4f.dynamic_pj_per_cycle: missing; conventions.core_energy: full_array_per_cycle "
            "charges it",
        ),
        (
            {"sram": {"macros": [{"size_bytes": 1, "word_bits": 8, "read_pj": 1, "write_pj": 1,
                                  "leakage_mw": 0, "area_mm2": 0}]}},
            "sram.macros: a macro has no area, but conventions.area charges scratchpads",
        ),
    ],
)  # fmt: skip
def test_a_library_that_does_not_fit_together_is_one_line(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        load_cost({"extends": "open", "name": "mine"} | changes)


def test_a_part_that_the_published_library_lacks_is_one_line():
    message = "cost: part 'pe_fp16_acc32' has no price in cost library 'olive_isca23'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(published("fp16_systolic"))


def test_a_report_says_what_is_charged_otherwise(tmp_path):
    import json

    study = {
        "name": "priced",
        "designs": [{"extends": "olive_systolic", "name": "published"}, "int4_systolic"],
        "workloads": [{"name": "probe", "gemms": [{"name": "qk", "M": 16, "N": 16, "K": 16}]}],
        "set": PUBLISHED_BANKS,
    }
    sim.run_study(study, out=tmp_path)
    assumptions = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["assumptions"]
    (line,) = [text for text in assumptions if "olive_isca23" in text]
    assert line == (
        "The price list olive_isca23 charges otherwise: operand_reads: per_mac, sum_bits: output, core_energy: "
        "full_array_per_cycle, static: dram_background_only, area: core_only, nodes: mixed (simulator/config/cost.py)."
    )
