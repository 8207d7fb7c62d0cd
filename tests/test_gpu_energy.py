"""Energy of GPUs: prices by hand from published figures, power over time, and categories that sum to the total."""

from __future__ import annotations

import math

import pytest

from simulator.config import load_cost, load_scaling
from simulator.cost import by_category, by_group, energy_pj, total
from simulator.cost.gpu import LEVELS, calibrated, gpu_at, standing_energy
from simulator.cost.pricing import Bill, price_dram
from simulator.cost.scaling import factors, scale_library
from simulator.counts import Counts, Traffic
from simulator.errors import ConfigError, ConservationError

TABLE = load_scaling()
PUBLISHED = load_cost("gpu_turing")
AT_12_NM = gpu_at(PUBLISHED.gpu, TABLE, 14)


def bill(sms: int = 68, clock_mhz: float = 1545) -> Bill:
    """A bill of multiprocessors at 12 nm, with GDDR6."""
    library = scale_library(calibrated(PUBLISHED), factors(TABLE, 45, 14), None).model_copy(update={"gpu": AT_12_NM})
    return Bill(library, {}, {}, clock_mhz, price_dram(library, "gddr6"), sms=sms)


def test_published_figures_by_hand():
    """From the node that each was published at to DeepScale's row of 12 nm."""
    assert PUBLISHED.gpu.power.constant_mw == pytest.approx(32325.22272, rel=1e-6)
    assert PUBLISHED.gpu.power.active_sm_mw == pytest.approx(48948.75596 / 80, rel=1e-6)
    assert AT_12_NM.power.active_sm_mw == PUBLISHED.gpu.power.active_sm_mw  # 12 nm already
    assert AT_12_NM.l2.read_pj_per_bit == pytest.approx(15.48 * 0.19 / 0.37)
    assert AT_12_NM.shared_memory.read_pj_per_bit == pytest.approx(5.32 * 0.19 / 0.37)
    assert AT_12_NM.registers.read_pj_per_bit == pytest.approx((8 / 128 + 1.9 / 32) * 0.19 / 0.55, rel=1e-3)
    assert AT_12_NM.registers.write_pj_per_bit == pytest.approx((11 / 128 + 1.9 / 32) * 0.19 / 0.55, rel=1e-3)
    assert AT_12_NM.cuda_core.energy_pj == pytest.approx(30 * 0.19 / 0.63)


def test_the_level_of_logic_is_the_geometric_mean_of_two_published_macs():
    int8, fp16 = (PUBLISHED.actions[name].energy_pj for name in ("mac_int8x8_acc32", "mac_fp16_acc32"))
    assert PUBLISHED.gpu.logic.factor == pytest.approx(math.sqrt(0.3 / int8 * 2.0 / fp16), rel=1e-4)


def test_olive_took_its_areas_to_12_nm_by_the_row_that_we_take():
    """13.53 and 18.00 um2 of its Table 10 are 37.22 and 49.50 of its Table 11 times DeepScale's 22 to 14 nm."""
    area = factors(TABLE, 22, 14).area
    assert 37.22 * area == pytest.approx(13.53, rel=1e-3)
    assert 49.50 * area == pytest.approx(18.00, rel=1e-3)


def test_a_level_further_out_costs_more():
    reads = [getattr(AT_12_NM, name).read_pj_per_bit for name in LEVELS]
    assert reads == sorted(reads, reverse=True)


COUNTS = Counts(
    macs=1000,
    cycles=2000,
    actions={"mac_fp16_acc32": 1000, "vector_mul_fp32": 30, "vector_add_fp32": 10, "decompress_gobo_value": 7},
    traffic={
        ("dram", "act"): Traffic(read_bits=4096),
        ("dram", "out"): Traffic(write_bits=2048),
        ("l2", "act"): Traffic(read_bits=8000, write_bits=500),
        ("shared_memory", "weight"): Traffic(read_bits=9000, write_bits=700),
        ("registers", "act"): Traffic(read_bits=20000),
        ("registers", "out"): Traffic(read_bits=300, write_bits=600),
    },
    active_sm_cycles=2000 * 60 + 100,
)


def test_every_line_by_hand():
    energy = energy_pj(bill(), COUNTS)
    logic = 0.14081 * 0.19 / 0.63
    per_cycle = 1e3 / 1545
    assert energy == pytest.approx(
        {
            "mac": 1000 * PUBLISHED.actions["mac_fp16_acc32"].energy_pj * logic,
            "vector": (30 * 16.949 + 10 * 8.9013) * logic,
            "cuda_core": 40 * 30 * 0.19 / 0.63,
            "decompressor": 7 * 3.9384 * logic,
            "l2": 8500 * 15.48 * 0.19 / 0.37,
            "shared_memory": 9700 * 5.32 * 0.19 / 0.37,
            "registers": (20300 * 0.1219 + 600 * 0.1453) * 0.19 / 0.55,
            "dram_read": 4096 * 2.9411,
            "dram_write": 2048 * 3.4503,
            "dram_activate": (4096 + 2048) / (8 * 2048) * 3240,
            "board": 2000 * 32325.22 * per_cycle,
            "sm_active": 120100 * 611.8594 * per_cycle,
            "sm_idle": (68 * 2000 - 120100) * 282.7917 * per_cycle,
        },
        rel=1e-9,
    )


def test_groups_and_categories_both_sum_to_the_total():
    energy = energy_pj(bill(), COUNTS)
    groups, categories = by_group(energy), by_category(energy)
    assert list(categories) == ["const", "static", "dram_l2", "l1_reg", "core"]
    assert total(groups) == pytest.approx(total(energy), rel=1e-12)
    assert total(categories) == pytest.approx(total(energy), rel=1e-12)
    assert groups["static"] == pytest.approx(categories["const"] + categories["static"])
    assert groups["dram"] + groups["buffer"] + energy["decompressor"] == pytest.approx(
        categories["dram_l2"] + categories["l1_reg"]
    )
    assert categories["core"] + energy["decompressor"] == pytest.approx(groups["core"])


def test_a_systolic_array_has_no_categories():
    assert by_category({"mac": 1.0, "leakage_logic": 2.0}) == {}


def test_a_smaller_node_leaks_less_and_the_board_does_not_care():
    at_7_nm = gpu_at(PUBLISHED.gpu, TABLE, 7)
    assert at_7_nm.power.constant_mw == AT_12_NM.power.constant_mw
    assert at_7_nm.power.active_sm_mw == pytest.approx(AT_12_NM.power.active_sm_mw * 0.21 / 0.32)
    assert all(getattr(at_7_nm, n).read_pj_per_bit < getattr(AT_12_NM, n).read_pj_per_bit for n in LEVELS)


def test_more_active_sms_than_there_are_is_an_error():
    with pytest.raises(ConservationError, match="cycles of active SMs"):
        standing_energy(AT_12_NM.power, 1545, 59, COUNTS)


@pytest.mark.parametrize(
    "library",
    [
        {"extends": "gpu_turing", "conventions": {"static": "all"}},
        {"extends": "open", "conventions": {"static": "board"}},
    ],
)
def test_board_power_goes_with_prices_of_a_gpu(library):
    whole = {
        "operand_reads": "per_edge",
        "sum_bits": "accumulator",
        "core_energy": "per_mac",
        "area": "core_only",
        "nodes": "one",
    }
    with pytest.raises(ConfigError, match="'board' goes with the key 'gpu'"):
        load_cost(library | {"name": "mine", "conventions": whole | library["conventions"]})
