"""Prices: interpolated between macros and never beyond, every line in the total, by hand for a small GEMM."""

from __future__ import annotations

import math

import pytest

import simulator as sim
from simulator import units
from simulator.config import load_cost
from simulator.config.cost import SramMacro, SramTable
from simulator.cost import by_group, total
from simulator.cost.sram import price_sram
from simulator.counts import Counts, Traffic
from simulator.errors import ConservationError, CostError

TABLE = SramTable(
    source="made for this test",
    node_nm=45,
    macros=[
        SramMacro(size_bytes=1024, word_bits=64, read_pj=1.0, write_pj=2.0, leakage_mw=0.5, area_mm2=0.01),
        SramMacro(size_bytes=4096, word_bits=64, read_pj=4.0, write_pj=8.0, leakage_mw=2.0, area_mm2=0.04),
    ],
)


def test_sram_at_a_tabulated_size_is_the_table():
    price = price_sram(TABLE, 4096, 64, 1)
    assert (price.read_pj_per_bit, price.write_pj_per_bit) == (4 / 64, 8 / 64)
    assert (price.leakage_mw, price.area_um2) == (2.0, 0.04e6)


def test_sram_between_sizes_is_on_the_power_law():
    assert price_sram(TABLE, 2048, 64, 1).read_pj_per_bit == pytest.approx(2 / 64, rel=1e-12)


def test_banks_share_the_capacity_and_add_up():
    price = price_sram(TABLE, 8192, 64, 8)
    assert price.read_pj_per_bit == 1 / 64
    assert price.leakage_mw == pytest.approx(4.0)
    assert price.area_um2 == pytest.approx(0.08e6)


@pytest.mark.parametrize(
    ("capacity", "word", "message"),
    [
        (512, 64, "no SRAM bank of 0.5 KiB is priced; 64-bit banks from 1 to 4 KiB are"),
        (4097, 64, "no SRAM bank of 4.00098 KiB is priced; 64-bit banks from 1 to 4 KiB are"),
        (2048, 32, "no SRAM of 32-bit words is priced; 64-bit words are"),
    ],
)
def test_nothing_is_extrapolated(capacity, word, message):
    with pytest.raises(CostError) as error:
        price_sram(TABLE, capacity, word, 1)
    assert str(error.value) == message


def test_units():
    assert units.mw_to_pj_per_cycle(484.615, 500) == pytest.approx(969.23)
    assert units.gb_s_to_bytes_per_cycle(64, 500) == 128
    assert units.ns_to_cycles(100, 500) == 50
    assert units.ns_to_cycles(101, 500) == 51
    assert units.ns_to_cycles(0, 500) == 0
    assert units.bits_to_bytes(9) == 2
    assert units.kib_to_bits(0.5) == 4096
    assert units.cycles_to_s(500, 500) == 1e-6


def test_energy_and_area_by_hand():
    """16 x 16 x 16 on a 16 x 16 int8 array: one fold, one tile; every count on the fingers."""
    design = sim.load_design("int8_systolic", set={"array.rows": 16, "array.cols": 16})
    result = sim.simulate_gemm(design, M=16, N=16, K=16)
    library = load_cost("open")
    price = {action: record.energy_pj for action, record in library.actions.items()}
    macs = 16**3
    drain_hops = 16 * sum(range(1, 17))  # 16 columns; a result of row r hops 16 - r times
    sram = {m.size_bytes: m for m in library.sram.macros if m.word_bits == 512}
    act, weight = sram[256 * 1024], sram[128 * 1024]
    cycles, pj_per_mw = result.cycles["total"], 1e3 / 500
    lanes = {"vector_lane_fp32": 64, "special_unit_fp32": 16}  # idle, but they leak
    parts = {part: (library.parts[part], n) for part, n in {"pe_int8x8_acc32": 256, **lanes}.items()}
    leakage_logic_mw = sum(part.leakage_nw * n for part, n in parts.values()) * 1e-6
    by_hand = {
        "mac": macs * price["mac_int8x8_acc32"],
        "register": (macs * 16 + drain_hops * 32) * price["reg_bit"],
        "act_buffer": 2048 * (act.read_pj + act.write_pj) / 512,
        "weight_buffer": 2048 * (weight.read_pj + weight.write_pj) / 512,
        "out_buffer": 256 * 32 * (weight.read_pj + weight.write_pj) / 512,
        "dram_read": 2 * 2048 * 3.92,
        "dram_write": 256 * 16 * 3.92,
        "leakage_logic": leakage_logic_mw * pj_per_mw * cycles,
        "leakage_sram": (act.leakage_mw + 2 * weight.leakage_mw) * pj_per_mw * cycles,
        "dram_background": 484.615 * pj_per_mw * cycles,
    }
    assert set(result.energy_pj) == {*by_hand, "total"}
    for part, pj in by_hand.items():
        assert result.energy_pj[part] == pytest.approx(pj, rel=1e-12), part
    assert result.energy_pj["total"] == pytest.approx(math.fsum(by_hand.values()), rel=1e-12)
    assert result.area_um2["pe"] == pytest.approx(256 * 828.058)
    assert result.area_um2["vector"] == pytest.approx(sum(parts[part][0].area_um2 * n for part, n in lanes.items()))
    logic = 256 * 828.058 + result.area_um2["vector"]
    assert result.area_um2["total"] == pytest.approx(logic + (act.area_mm2 + 2 * weight.area_mm2) * 1e6)
    assert result.bytes["dram"] == {"read": 512, "write": 512}


def test_olive_has_a_decoder_per_row_and_column_and_half_the_traffic():
    """OliVe, ISCA 2023, section 4.3 and Table 11: n + m decoders, half as many for 8 bits, which 4-bit operands do not
    use; they move exactly half of int8's bytes.
    """
    pair = [
        sim.simulate_gemm(sim.load_design(name, set={"array.rows": 64, "array.cols": 64}), M=64, N=64, K=64)
        for name in ("olive_systolic", "int8_systolic")
    ]
    library = load_cost("open")
    narrow, wide = (library.parts[f"decoder_{kind}"].area_um2 for kind in ("ovp4f", "ovp8"))
    assert pair[0].area_um2["decoder"] == pytest.approx(128 * narrow + 64 * wide)
    assert pair[0].bytes["dram"]["read"] * 2 == pair[1].bytes["dram"]["read"]
    decodes = pair[0].energy_pj["decoder"] / library.actions["decode_ovp4f_pair"].energy_pj
    assert decodes == pytest.approx(2 * 64 * 64 / 2)


def test_groups_hold_every_component():
    energy = {"mac": 1.0, "decoder": 2.0, "act_buffer": 4.0, "dram_read": 8.0, "leakage_sram": 16.0, "new_thing": 32.0}
    assert by_group(energy) == {"static": 16.0, "dram": 8.0, "buffer": 4.0, "core": 35.0}
    assert sum(by_group(energy).values()) == total(energy)


def test_missing_bytes_are_an_error():
    counts = Counts(
        1, 1, {}, {("dram", "act"): Traffic(7), ("dram", "weight"): Traffic(8), ("dram", "out"): Traffic(0, 8)}
    )
    with pytest.raises(ConservationError, match=r"^act: 7 bits read from DRAM, but the operand has 8$"):
        counts.require_compulsory(8, 8, 8)
    with pytest.raises(ConservationError, match=r"^out: 8 bits written to DRAM, but the results have 9$"):
        counts.require_compulsory(7, 8, 9)
    counts.require_compulsory(7, 8, 8)
