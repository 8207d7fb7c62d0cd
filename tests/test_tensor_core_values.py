"""Tensor-core designs: sums follow the plan's slices of K, and what is added to the die is what the papers count."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator.config import load_design
from simulator.datapath.edp import EdpOrder
from simulator.errors import ConfigError
from simulator.mapping.tensor_core import slices
from simulator.resources import shipped_names
from simulator.study.building import build
from simulator.study.describe import describe_design
from simulator.study.edp import edp_orders
from simulator.study.gpu import GpuHardware, multipliers
from simulator.study.plans import plan_op
from simulator.study.verify import verify_design
from simulator.study.workloads import resolve_workload
from simulator.workload import Op
from tests.datapaths import same_bits

DESIGNS = [name for name in shipped_names("configs/designs") if load_design(name).array.kind == "tensor_core"]


def planned(name, M, N, K, **changes):
    design = load_design(name, set={"memory.dram.model": "none", **changes})
    return plan_op(build(design), Op("any", M, N, K))


def test_there_are_designs():
    assert {"a100", "rtx2080ti_fp16", "rtx2080ti_olive", "rtx2080ti_ant", "rtx2080ti_gobo"} <= set(DESIGNS)


@pytest.mark.parametrize("name", DESIGNS)
def test_values_of_every_shipped_design_are_the_reference(name):
    rng = np.random.default_rng(0)
    a, w = rng.standard_t(3, (40, 160)), rng.standard_normal((160, 24))
    found = sim.simulate_gemm(load_design(name), a=a, w=w)
    assert found.exact, found.mismatch
    assert np.isfinite(found.c).all()


# Slices of K


@pytest.mark.parametrize(
    ("changes", "cuts"),
    [
        ({"tiling.split_k": "off"}, (0, 1000)),
        ({"tiling.split_k": 2, "tiling.k": 64}, (0, 512, 1000)),
        ({"tiling.split_k": 4, "tiling.k": 64}, (0, 256, 512, 768, 1000)),
        ({"tiling.split_k": 8, "tiling.k": 64}, (0, 128, 256, 384, 512, 640, 768, 896, 1000)),
    ],
    ids=str,
)
def test_split_k_cuts_whole_steps(changes, cuts):
    (found,) = slices(planned("a100", 64, 64, 1000, **changes).gemm)
    assert found == ((0, 64), (0, 64), cuts)


@pytest.mark.parametrize(("M", "N", "K"), [(700, 500, 640), (1024, 768, 1000), (4000, 130, 96)])
def test_stream_k_deals_out_all_steps_evenly(M, N, K):
    plan = planned("a100", M, N, K, **{"tiling.stream_k": "on", "tiling.split_k": "off"}).gemm
    found = slices(plan)
    covered = np.zeros((M, N), int)
    for part in found:
        covered[slice(*part.rows), slice(*part.cols)] += 1
    assert (covered == 1).all()
    steps = -(-K // plan.kernel.k)
    ends = [tile * steps + (-(-cut // plan.kernel.k)) for tile, part in enumerate(found) for cut in part.cuts[1:]]
    shares = set(range(plan.grid.steps, len(found) * steps, plan.grid.steps)) | {
        (tile + 1) * steps for tile in range(len(found))
    }
    assert set(ends) == shares


@pytest.mark.parametrize(
    "changes", [{"tiling.split_k": 4}, {"tiling.stream_k": "on", "tiling.split_k": "off"}], ids=str
)
def test_values_are_those_of_the_slices(changes):
    """As many partial products as the plan has slices, each of the whole design, added in FP32."""
    changes = {"tiling.k": 32, "tiling.tiles": [[64, 64]], **changes}
    design = load_design("a100", set=changes)
    rng = np.random.default_rng(1)
    a, w = rng.standard_normal((700, 352)), rng.standard_normal((352, 640))
    found = sim.simulate_gemm(design, a=a, w=w).accumulators
    uncut = load_design("a100", set={**changes, "tiling.split_k": "off", "tiling.stream_k": "off"})
    plan = plan_op(build(design), Op("any", 700, 640, 352))
    some = slices(plan.gemm)[:: max(1, len(slices(plan.gemm)) // 12)]
    for part in some:
        rows, cols = slice(*part.rows), slice(*part.cols)
        total = None
        for first, end in zip(part.cuts, part.cuts[1:], strict=False):
            piece = sim.simulate_gemm(uncut, a=a[rows, first:end], w=w[first:end, cols]).accumulators
            total = piece if total is None else total + piece
        same_bits(found[rows, cols], total)


def test_cuts_change_bits_of_floats_and_none_of_integers():
    rng = np.random.default_rng(2)
    a, w = rng.standard_normal((64, 2048)), rng.standard_normal((2048, 64))
    for name, same in (("a100", False), ("rtx2080ti_olive", True)):
        one, four = (
            sim.simulate_gemm(load_design(name, set={"tiling.split_k": n, "tiling.k": 128}), a=a, w=w).accumulators
            for n in ("off", 4)
        )
        assert (one == four).all() == same


# What a design says and refuses


@pytest.mark.parametrize(
    ("name", "bits", "order"),
    [
        ("rtx2080ti_fp16", 16, EdpOrder(8, 1)),
        ("a100", 16, EdpOrder(8, 1)),
        ("h100", 16, EdpOrder(16, 2)),
        ("h200", 8, EdpOrder(32, -10, fraction_bits=13)),
    ],
)
def test_generations_add_as_measured(name, bits, order):
    assert edp_orders(load_design(name).array)[bits] == order


def test_fp8_runs_on_hopper_and_its_sums_are_coarse():
    """13 fraction bits: every sum is a multiple of 2^-13 of its own power of two."""
    rng = np.random.default_rng(4)
    design = load_design("h100", set={"datapath": {"name": "fp8_mac"}})
    found = sim.simulate_gemm(design, a=rng.standard_normal((16, 512)), w=rng.standard_normal((512, 16)))
    assert found.exact
    assert not (found.accumulators.view(np.uint32) & ((1 << 10) - 1)).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"datapath": {"name": "gobo"}},
            "datapath.name: 'gobo' cannot run on 'a100'; its PEs add activations by index; ",
        ),
        (
            {"datapath": {"name": "fp8_mac"}},
            "'fp8_mac' cannot run on 'a100'; the 8-bit dot-product units of this tensor core multiply integers only",
        ),
        ({"array.edp_sums.bits_8": None}, "array.edp_sums.bits_8: missing; edp_width.bits_8 says that there are such"),
        ({"array.edp_width.bits_4": None}, "array.edp_width.bits_4: missing; edp_sums.bits_4 says that there are such"),
        ({"array.edp_sums.bits_16.exact": 3}, "exact: 3 products are no whole part of a group of 8"),
        (
            {"array.edp_sums.bits_16.extra_bits": 21, "array.edp_sums.bits_16.group": 255},
            "extra_bits: a sum of 255 products with 21 extra bits may need 54 bits, of which there are 53",
        ),
        ({"array.edp_sums.bits_16.rounding": "up"}, "array.edp_sums.bits_16.rounding: "),
    ],
    ids=str,
)
def test_what_is_refused_says_where(changes, message):
    with pytest.raises(ConfigError) as error:
        build(load_design("a100", set=changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_design_may_round_to_nearest_or_be_of_another_generation():
    rng = np.random.default_rng(3)
    a, w = rng.standard_normal((16, 512)), rng.standard_normal((512, 16))
    results = []
    for order in ({}, {"rounding": "nearest"}, {"group": 16, "extra_bits": 2}, {"group": 4, "extra_bits": 0}):
        changes = {f"array.edp_sums.bits_16.{field}": value for field, value in order.items()}
        found = sim.simulate_gemm(load_design("a100", set=changes), a=a, w=w)
        assert found.exact
        results.append(found.accumulators.tobytes())
    assert len(set(results)) == 4


# Decoders (OliVe, ISCA 2023, Figure 6 and Table 10)


def test_decoders_of_olive_on_the_die():
    """One 4-bit decoder for each int4 multiplier and one 8-bit decoder for each int8 one: counts, areas and shares."""
    shown = describe_design("rtx2080ti_olive", {})
    parts = {line["name"]: line for line in shown["bill"]}
    four, eight = parts["gpu_decoder_ovp4"], parts["gpu_decoder_ovp8"]
    assert (four["count"], eight["count"]) == (139_264, 69_632)
    assert (round(four["unit_um2"], 2), round(eight["unit_um2"], 2)) == (13.53, 18.00)
    assert (round(four["total_um2"] * 1e-6, 2), round(eight["total_um2"] * 1e-6, 2)) == (1.88, 1.25)
    assert shown["die"]["area_mm2"] == 754
    assert [round(100 * part["share_of_die"], 3) for part in (four, eight)] == [0.250, 0.166]
    total = sum(line["total_um2"] for line in parts.values()) * 1e-6
    assert shown["added to the die"]["area_mm2"] == pytest.approx(total)
    assert shown["added to the die"]["share_of_die"] == pytest.approx(total / 754)


@pytest.mark.parametrize(("field", "value", "times"), [("array.sms", 34, 0.5), ("array.tensor_cores", 4, 2)])
def test_decoders_follow_the_geometry(field, value, times):
    found = build(load_design("rtx2080ti_olive", set={field: value})).bill.parts
    assert found == {part: int(n * times) for part, n in build(load_design("rtx2080ti_olive")).bill.parts.items()}


def test_half_as_wide_units_have_half_the_decoders():
    before, after = (
        build(load_design("rtx2080ti_olive", set=changes)).bill.parts for changes in ({}, {"array.edp_width.bits_4": 8})
    )
    assert after["gpu_decoder_ovp4"] * 2 == before["gpu_decoder_ovp4"]
    assert after["gpu_decoder_ovp8"] == before["gpu_decoder_ovp8"]


@pytest.mark.parametrize(("name", "area"), [("rtx2080ti_fp16", {"die": 754e6}), ("a100", {})])
def test_plain_designs_add_nothing_to_the_die(name, area):
    """A die of which no area is given has none here, not that of what is added."""
    shown = describe_design(name, {})
    assert "bill" not in shown
    assert build(load_design(name)).area == area


def test_both_operands_are_decoded_for_each_product():
    """A pair decode serves two values, a product takes two: as many decodes as MACs, whatever is reused on the way."""
    hardware = build(load_design("rtx2080ti_olive"))
    from simulator.study.simulate import simulate_op

    counts = simulate_op(hardware, Op("any", 300, 200, 100)).counts
    assert counts.actions["decode_ovp4f_pair"] == counts.macs == 300 * 200 * 100
    assert counts.actions["mac_ei4_acc32"] == counts.macs


def test_decoders_cost_no_time():
    """OliVe's path is as fast as int4 alone."""
    olive, int4 = (
        sim.simulate_gemm(load_design("rtx2080ti_olive", set=changes), M=2048, N=768, K=768).cycles
        for changes in ({}, {"datapath": {"name": "int_mac", "act_bits": 4, "weight_bits": 4}})
    )
    assert olive == int4


def test_ant_runs_its_int8_layers_at_the_rate_of_int8():
    hardware = build(load_design("rtx2080ti_ant", set={"layers": [{"ops": "wide", "datapath": {"bits": 8}}]}))
    assert isinstance(hardware, GpuHardware)
    four, eight = (hardware.named(name) for name in ("narrow", "wide"))
    peak = multipliers(hardware.design.array)
    assert (four.macs_per_cycle, eight.macs_per_cycle) == (peak[4], peak[8])
    assert four.bill.parts == eight.bill.parts


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_verify_finds_all_values_right(name):
    """Every op of a real trace, and tensors meant to break a datapath."""
    checks = verify_design(load_design(name), resolve_workload("minilm-l6-sample", None))
    found = [next(checks), next(checks)]
    assert [check.what.split()[0] for check in found] == ["values", "values"]
    assert [check.complaint for check in found] == ["", ""]
