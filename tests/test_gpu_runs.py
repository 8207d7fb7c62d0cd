"""Energy and GOBO on tensor cores in whole runs: idle SMs, categories, a card's power, weights packed in DRAM."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import simulator as sim
from simulator.config import load_design
from simulator.cost import by_category, total
from simulator.errors import ConfigError
from simulator.study.building import build
from simulator.study.plans import plan_op
from simulator.study.simulate import simulate_op
from simulator.workload import Op

MHZ = 1545
CATEGORIES = ["const", "static", "dram_l2", "l1_reg", "core"]


def run(design, M, N, K, **more):
    hardware = build(load_design(design, more.pop("set", None)))
    op = Op("one", M, N, K)
    return hardware, plan_op(hardware, op).gemm, simulate_op(hardware, op, **more)


def test_one_block_leaves_all_other_sms_idle():
    _, gemm, result = run("rtx2080ti_fp16", 32, 32, 64, set={"tiling.split_k": "off", "tiling.m": 32, "tiling.n": 32})
    cycles, launch = result.counts.cycles, math.ceil(2.2e-6 * MHZ * 1e6)
    assert gemm.grid.blocks == 1
    assert result.counts.active_sm_cycles == cycles - launch
    idle = (68 * cycles - (cycles - launch)) * 0.2827917 / (MHZ * 1e6) * 1e12
    assert result.energy["sm_idle"] == pytest.approx(idle, rel=1e-6)


def test_sms_that_a_ragged_last_set_leaves_out_are_idle_for_as_long_as_it_takes():
    _, gemm, result = run("rtx2080ti_fp16", 128 * 35, 128 * 4, 256, set={"tiling.m": 128, "tiling.n": 128,
                                                                         "tiling.split_k": "off"})  # fmt: skip
    g, counts = gemm.grid, result.counts
    assert (g.sets, g.last) == (-(-140 // (68 * g.together)), 140 - (g.sets - 1) * 68 * g.together)
    idle = 68 * (counts.cycles - math.ceil(2.2e-6 * MHZ * 1e6)) - counts.active_sm_cycles
    least = (68 - min(g.last, 68)) * g.steps * int(gemm.costs.last.whole)
    assert least <= idle <= (68 - min(g.last, 68)) * counts.cycles


@pytest.mark.parametrize(
    ("design", "limit"), [("rtx2080ti_fp16", 250), ("rtx2080ti_gobo", 250), ("a100", 400), ("h100", 700)]
)
def test_a_large_product_draws_about_what_the_card_may(design, limit):
    """Limits of power by NVIDIA's datasheets, in watts; prices of older GPUs come within 35 % of them, above."""
    hardware, _, result = run(design, 4096, 4096, 4096)
    watts = total(result.energy) * 1e-12 / (result.counts.cycles / (hardware.design.clock_mhz * 1e6))
    assert 1 < watts / limit < 1.35


def beside_an_array(first, second):
    """A study of a GPU and a systolic array."""
    return {
        "name": "x",
        "designs": [first, second],
        "workloads": [{"name": "w", "gemms": [{"name": "a", "M": 256, "N": 256, "K": 256, "count": 3}]}],
        "baseline": first,
    }


def test_both_kinds_of_array_are_drawn_in_either_order(tmp_path):
    sim.run_study(beside_an_array("int8_systolic", "rtx2080ti_fp16"), out=tmp_path)
    assert (tmp_path / "figures" / "cycles.png").exists()


def test_results_and_ops_have_the_five_categories(tmp_path):
    study = beside_an_array("rtx2080ti_fp16", "int8_systolic")
    table = sim.run_study(study, out=tmp_path)
    columns = [f"energy_gpu_{name}_pj" for name in CATEGORIES]
    gpu, systolic = table.iloc[0], table.iloc[1]
    assert sum(gpu[columns]) == pytest.approx(gpu["energy_total_pj"])
    assert gpu["energy_static_pj"] == pytest.approx(gpu["energy_gpu_const_pj"] + gpu["energy_gpu_static_pj"])
    assert systolic[columns].isna().all()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Shared memory + registers (" in page  # a column of the ops' table


def test_prices_of_the_wrong_kind_are_one_line():
    with pytest.raises(ConfigError, match=r"cost: cost library 'open' has no prices of GPUs .*'gpu_turing' has"):
        build(load_design("rtx2080ti_fp16", {"cost": "open"}))
    with pytest.raises(ConfigError, match=r"cost: cost library 'gpu_turing' is for array.kind: tensor_core"):
        build(load_design("int8_systolic", {"cost": "gpu_turing"}))


def test_another_node_is_another_price_of_logic_levels_and_leakage_but_not_of_the_board():
    _, _, at_12 = run("rtx2080ti_fp16", 512, 512, 512)
    _, _, at_7 = run("rtx2080ti_fp16", 512, 512, 512, set={"node_nm": 7})
    ratio = {part: at_7.energy[part] / at_12.energy[part] for part in at_12.energy}
    energy, power = 0.11 / 0.19, 0.21 / 0.32
    assert ratio == pytest.approx(
        dict.fromkeys(("mac", "l2", "shared_memory", "registers"), energy)
        | dict.fromkeys(("sm_active", "sm_idle"), power)
        | dict.fromkeys(("board", "dram_read", "dram_write", "dram_activate"), 1)
    )


M, N, K = 1024, 768, 1536


def test_gobo_is_fp16_beyond_dram():
    """Weights take 4 bits and their list in DRAM; L2, shared memory, registers and arithmetic see FP16 alone."""
    (_, plain, fp16), (_, packed, gobo) = run("rtx2080ti_fp16", M, N, K), run("rtx2080ti_gobo", M, N, K)
    assert plain.kernel == packed.kernel
    for key, moved in fp16.counts.traffic.items():
        if key != ("dram", "weight"):
            assert gobo.counts.traffic[key] == moved
    loads = fp16.counts.traffic["dram", "weight"].read_bits / (16 * N * K)
    listed = gobo.counts.traffic["dram", "weight"].read_bits - 4 * N * K * loads
    assert listed % 64 == 0
    assert listed / 64 == pytest.approx(0.001 * N * K * loads, rel=0.15)  # drawn: some 1,200 of them
    assert gobo.counts.actions["decompress_gobo_value"] == N * K * loads
    assert gobo.counts.cycles <= fp16.counts.cycles + 1  # whole cycles


def test_gobo_lists_what_tensors_have():
    rng = np.random.default_rng(5)
    act, weight = rng.normal(size=(1, 96, 512)), rng.normal(size=(1, 64, 512))
    weight[0, 3, 7] = weight[0, 60, 500] = 40.0
    hardware, _, result = run("rtx2080ti_gobo", 96, 64, 512, tensors=(act, weight))
    outliers = len(result.operands[0][1].extras["outlier_position"])
    assert outliers >= 2
    assert result.counts.traffic["dram", "weight"].read_bits == 4 * 64 * 512 + 64 * outliers
    assert result.quality is not None
    assert result.quality.exact
    assert type(hardware.datapath).name == "gobo_dram"


def test_engines_agree_on_gobo():
    cycles = {
        f: run("rtx2080ti_gobo", 300, 200, 700, fidelity=f)[2].counts.cycles for f in ("bound", "pipeline", "event")
    }
    assert cycles["bound"] <= cycles["pipeline"] == cycles["event"]


def test_decompression_is_work_on_the_way_from_dram():
    _, _, result = run("rtx2080ti_gobo", M, N, K)
    without = {part: pj for part, pj in result.energy.items() if part != "decompressor"}
    assert by_category(result.energy)["dram_l2"] - by_category(without)["dram_l2"] == pytest.approx(
        result.energy["decompressor"]
    )


def test_a_kernel_of_the_cuda_cores_keeps_all_sms_active_and_pays_for_each_operation(tmp_path):
    """It draws the static power of 68 SMs but for its launch, and 9 pJ for each of its operations besides."""
    study = {
        "name": "x",
        "designs": ["rtx2080ti_fp16"],
        "workloads": [
            {
                "name": "w",
                "gemms": [{"name": "a", "M": 512, "N": 512, "K": 512}],
                "passes": [{"kind": "gelu", "after": ["a"]}],
            }
        ],
    }
    sim.run_study(study, out=tmp_path)
    layers = pd.read_parquet(tmp_path / "layers.parquet").set_index("op")
    gelu = layers.loc["a.gelu"]
    pj_per_mw = 1e3 / MHZ
    active = 68 * (gelu["total_cycles"] - gelu["stall_launch_cycles"]) * 611.8594 * pj_per_mw
    idle = 68 * gelu["stall_launch_cycles"] * 282.7917 * pj_per_mw
    assert gelu["energy_gpu_static_pj"] == pytest.approx(active + idle, rel=1e-6)
    assert gelu["energy_gpu_core_pj"] > 8 * 512 * 512 * 30 * 0.19 / 0.63
