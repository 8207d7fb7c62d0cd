"""GEMMs on tensor cores: against a simulation block by block, against rooflines, and up the ladder of engines."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import load_design
from simulator.engine import run_bound, run_nest, run_pipeline
from simulator.engine.event import run_events
from simulator.study.building import build
from simulator.study.gemm import simulate_gemm
from simulator.study.gpu import plan_gpu
from simulator.study.passes import simulate_pass
from simulator.study.plans import plan_op
from simulator.study.simulate import simulate_op
from simulator.workload import Op, Pass
from tests import naive_tensor_core as naive

NAMES = ("a100", "h100", "rtx2080ti_fp16", "rtx2080ti_int8")
GPUS = {name: build(load_design(name)) for name in NAMES}
PINNED = {"array.sms": 5, "tiling.split_k": 1, "launch_us": 0.0, "memory.l2.warm": False}
TILES = ((64, 64, 32), (128, 64, 32), (32, 32, 64), (256, 128, 64))


def kernel_time(hardware, M, N, K):
    plan = plan_gpu(hardware, Op("op", M, N, K))
    return run_nest(plan.nest, hardware.dram).total_cycles / hardware.design.clock_mhz


def tiny_gpu(tile, splits, l2_kib=1 << 20, **more):
    m, n, k = tile
    pins = {"tiling.m": m, "tiling.n": n, "tiling.k": k, "tiling.split_k": splits, "memory.l2.capacity_kib": l2_kib}
    return build(load_design("a100", set=PINNED | pins | {"memory.l2.usable_kib": None} | more))


# The formulas against every block and every step


@pytest.mark.parametrize("tile", TILES)
@settings(max_examples=12, deadline=None)
@given(
    M=st.integers(1, 900),
    N=st.integers(1, 700),
    K=st.integers(1, 300),
    splits=st.sampled_from((1, 1, 2, 3)),
    batch=st.sampled_from((1, 1, 2, 5)),
)
def test_counts_are_those_of_every_block_and_every_step(tile, M, N, K, splits, batch):
    steps = -(-K // tile[2])
    if -(-steps // -(-steps // min(splits, steps))) != splits:
        splits = 1
    hardware = tiny_gpu(tile, splits)
    op = Op("op", M, N, K, batch, "bmm")
    plan = plan_op(hardware, op)
    assert plan.batch == batch
    g, x = plan.gemm.grid, plan.gemm.kernel
    d = plan.gemm.costs.dram
    expected = naive.run(
        (M, N, K), tile, (x.warps_m, x.warps_n), splits, 5, x.resident, 16, (int(d.width), bool(d.along_n)), batch=batch
    )
    assert (g.sets, g.blocks, g.last_together) == (expected.sets, expected.blocks, expected.busiest[-1])
    assert all(blocks == g.together for blocks in expected.busiest[:-1])
    nest = plan.nest
    traffic = plan.counts(run_nest(nest, hardware.dram), [nest]).traffic
    assert nest.total("macs") == expected.macs == op.macs
    m, n, k = plan.gemm.machine.mma
    assert traffic["registers", "out"].read_bits // (32 * m * n) * m * n * k == expected.issued_macs
    for side in ("act", "weight"):
        assert traffic["l2", side].read_bits == expected.l2_bits[side]
        assert traffic["shared_memory", side].write_bits == expected.l2_bits[side]
        assert traffic["shared_memory", side].read_bits == expected.shared_read_bits[side]
        assert traffic["dram", side].read_bits == expected.dram_bits[side], "L2 holds all: each byte comes once"


def test_bytes_from_dram_are_about_those_of_an_lru_cache():
    """The closed form of L2 against least-recently-used panels, in the same order of blocks. L2 holds at least what the
    blocks of one set ask for in a step: what is asked for at the same time comes once, however small it is. Where it
    only just holds what is asked for again, least-recently-used loses all of that; the closed form nothing.
    """
    draw, tile, ratios = random.Random(7), (64, 64, 32), []
    for _ in range(60):
        M, N, K, kib = (draw.randint(*r) for r in ((200, 1500), (200, 1500), (64, 400), (128, 900)))
        hardware = tiny_gpu(tile, 1, l2_kib=kib)
        plan = plan_gpu(hardware, Op("op", M, N, K))
        d, x = plan.costs.dram, plan.kernel
        order, capacity = (int(d.width), bool(d.along_n)), kib * 8192
        lru = naive.run((M, N, K), tile, (x.warps_m, x.warps_n), 1, 5, x.resident, 16, order, capacity)
        found = 8 * (d.act + d.weight)
        assert 16 * (M * K + N * K) <= found <= 16 * (M * K * plan.grid.cols + N * K * plan.grid.rows)
        ratios.append(found / sum(lru.dram_bits.values()))
    assert sum(0.5 < ratio < 1.25 for ratio in ratios) >= 57, "nineteen of twenty within a factor of two"
    assert min(ratios) > 0.2
    assert max(ratios) < 1.25


def test_heads_and_groups_run_in_one_kernel():
    """One launch, all SMs; layers of one shape follow one another, and so do products whose loads depend on values."""
    a100 = GPUS["a100"]
    one, heads, layers = (
        simulate_op(a100, Op("x", 128, 128, 64, count, kind)).timing
        for count, kind in ((1, "bmm"), (192, "bmm"), (192, "linear"))
    )
    assert layers.total_cycles == 192 * one.total_cycles
    assert one.total_cycles < heads.total_cycles < 2 * one.total_cycles
    assert heads.stalls["stall_launch"] == one.stalls["stall_launch"] == a100.launch_cycles
    gobo = build(load_design("rtx2080ti_gobo"))
    assert plan_op(gobo, Op("x", 128, 128, 64, 12, "bmm")).batch == 1


def test_passes_around_a_batch_run_in_one_kernel():
    steps = [Op("qk", 128, 128, 64, 192, "bmm"), Pass("softmax", "softmax", 128, 128, 192, "qk")]
    single = [replace(steps[0], count=1), replace(steps[1], count=1)]
    whole, one = (simulate_pass(GPUS["a100"], chain, 1) for chain in (steps, single))
    assert whole.timing.stalls["stall_launch"] == one.timing.stalls["stall_launch"]
    assert whole.counts.actions == {action: 192 * n for action, n in one.counts.actions.items()}
    assert one.timing.total_cycles < whole.timing.total_cycles < 192 * one.timing.total_cycles


# The ladder


@pytest.mark.parametrize(("tile", "warps_n"), [((128, 256, 64), 2), ((128, 128, 64), 1), ((64, 64, 64), 1)])
def test_what_warpgroups_move_by_hand(tile, warps_n):
    """A group's instruction takes no more columns than it has, both operands out of shared memory, where a cluster of
    two puts W twice for one reading of L2.
    """
    m, n, k = tile
    pins = {"tiling.m": m, "tiling.n": n, "tiling.k": k, "tiling.split_k": 1, "tiling.stream_k": "off"}
    hardware = build(load_design("h100", set=pins))
    plan = plan_op(hardware, Op("op", 1024, 1024, 512))
    nest, groups = plan.nest, plan.gemm.kernel.warps_m * plan.gemm.kernel.warps_n
    traffic = plan.counts(run_nest(nest, hardware.dram), [nest]).traffic
    assert n // plan.gemm.kernel.warps_n == n // warps_n
    assert traffic["registers", "out"].read_bits == 1024 * 1024 * (512 // 16) * 32
    assert traffic["registers", "act"].read_bits == traffic["registers", "weight"].read_bits == 0
    blocks, steps = (1024 // m) * (1024 // n), 512 // k
    assert traffic["shared_memory", "weight"].write_bits == blocks * steps * n * k * 16
    assert traffic["l2", "weight"].read_bits == blocks * steps * n * k * 16 // 2
    assert traffic["shared_memory", "act"].write_bits == blocks * steps * m * k * 16
    assert traffic["shared_memory", "weight"].read_bits == blocks * steps * groups * (n // warps_n) * k * 16


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(M=st.integers(1, 3000), N=st.integers(1, 3000), K=st.integers(1, 2000))
def test_bound_pipeline_nest_and_event_agree(name, M, N, K):
    hardware = GPUS[name]
    plan = plan_gpu(hardware, Op("op", M, N, K))
    nest, pipeline = run_nest(plan.nest, hardware.dram), run_pipeline(plan.table, hardware.dram)
    assert nest.by_cause() == pipeline.by_cause() == run_events(plan.table, hardware.dram).by_cause()
    assert run_bound(plan.nest, hardware.dram).total_cycles <= nest.total_cycles
    for column in ("macs", "act_load_bytes", "weight_load_bytes", "evicted_bytes", "issue_cycles", "sync_cycles"):
        assert plan.nest.total(column) == plan.table.total(column)


@settings(max_examples=1500, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    M=st.integers(1, 1 << 14),
    N=st.integers(1, 1 << 14),
    K=st.integers(1, 1 << 14),
)
def test_no_gemm_beats_its_roofline(name, M, N, K):
    """Neither the peak of the tensor cores, nor DRAM's bytes over its bandwidth, nor L2's over its own."""
    hardware = GPUS[name]
    plan = plan_gpu(hardware, Op("op", M, N, K))
    cycles = run_nest(plan.nest, hardware.dram).total_cycles
    assert cycles >= M * N * K / hardware.macs_per_cycle
    assert cycles >= math.floor(plan.nest.summed(plan.nest.load_bytes) / hardware.dram.bytes_per_cycle)
    assert cycles >= math.floor(sum(plan.costs.l2) / hardware.machine.l2_rate)


# Directions

SHAPES = ((8192, 4096, 4096), (64, 8192, 8192), (512, 512, 512), (1, 4096, 4096), (4096, 4096, 1024))


def changed(**fields):
    given = {path.replace("__", "."): value for path, value in fields.items()}
    return build(load_design("a100", set={"launch_us": 0.0, "memory.l2.warm": False} | given))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "better",
    [
        {"clock_mhz": 2820},
        {"array__sms": 216, "memory__l2__bytes_per_cycle": 7660},
        {"memory__dram__bandwidth_gb_s": 4078},
        {"memory__l2__bytes_per_cycle": 7660, "memory__l2__sm_bytes_per_cycle": 128},
        {"memory__shared_memory__bytes_per_cycle": 256},
        {"memory__l2__latency_cycles": 100},
        {"array__barrier_cycles": 0},
        {"memory__l2__warm": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_twice_of_anything_never_takes_longer(shape, better):
    before, after = kernel_time(changed(), *shape), kernel_time(changed(**better), *shape)
    assert after <= before * 1.001


def test_what_is_doubled_shows_where_it_binds():
    big, skinny = (8192, 8192, 8192), (1, 12288, 12288)
    base = {shape: kernel_time(changed(), *shape) for shape in (big, skinny)}

    def speedup(shape, **fields):
        return base[shape] / kernel_time(changed(**fields), *shape)

    assert 1.9 < speedup(big, clock_mhz=2820) <= 2.0
    assert 1.85 < speedup(big, array__sms=216, memory__l2__bytes_per_cycle=7660) < 2.05
    assert speedup(big, memory__dram__bandwidth_gb_s=4078) < 1.01
    assert speedup(skinny, memory__dram__bandwidth_gb_s=4078) > 1.6
    assert speedup(skinny, clock_mhz=2820) < 1.05
    assert speedup(skinny, array__sms=216) < 1.05


def test_one_block_more_than_fits_the_sms_is_another_set():
    """Wave quantisation: a hundred and eight blocks take as long as one, a hundred and nine nearly twice as long."""
    hardware = changed(tiling__m=256, tiling__n=128, tiling__k=64, tiling__split_k="off", memory__dram__model="none")
    one, full, more = (kernel_time(hardware, 256 * blocks, 128, 8192) for blocks in (1, 108, 109))
    assert one == pytest.approx(full, rel=0.01)
    assert more / full == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(
    ("datapath", "bits", "tops"), [("fp16_mac", 16, 107.6), ("int_mac", 8, 215.2), ("int_mac", 4, 430.3)]
)
def test_a_fed_2080_ti_reaches_its_peak(datapath, bits, tops):
    """OliVe, ISCA 2023, Table 5: 107.6, 215.2 and 430.3 TOPS."""
    widths = {} if datapath == "fp16_mac" else {"datapath.act_bits": bits, "datapath.weight_bits": bits}
    design = load_design("rtx2080ti_fp16", set={"datapath.name": datapath, "memory.dram.model": "none"} | widths)
    assert build(design).peak_tops == pytest.approx(tops, rel=1e-3)
    M, N, K = 256 * 68, 128 * 16, 16384
    reached = 2 * M * N * K / simulate_gemm(design, M, N, K).latency_s / 1e12
    assert 0.95 * tops < reached <= tops


# Kernels


def test_parts_of_k_fill_the_sms_of_a_small_grid():
    free, off = (kernel_time(changed(tiling__split_k=how), 128, 128, 1 << 16) for how in ("auto", "off"))
    assert free < off / 4


def test_stream_k_evens_out_a_ragged_last_set():
    hardware = {how: changed(tiling__stream_k=how) for how in ("off", "on", "auto")}
    times = {how: kernel_time(h, 1024, 12288, 12288) for how, h in hardware.items()}
    assert times["auto"] == min(times.values())
    assert times["on"] < times["off"]


def test_a_kernel_of_cutlass_takes_what_its_authors_measured():
    """NVIDIA/cutlass, media/docs/profiler.md: 256x128x32, 3 stages, 3456 x 4096 x 8192: 0.98647 ms."""
    pins = {"tiling.m": 256, "tiling.n": 128, "tiling.k": 32, "tiling.stages": [3], "tiling.split_k": "off"}
    hardware = build(load_design("a100", set=pins))
    assert kernel_time(hardware, 3456, 4096, 8192) == pytest.approx(986.47, rel=0.03)


def test_the_launch_of_a_product_of_one_value_is_what_was_measured():
    """LLMCompass' 21 us are those of a 1 x 1 x 1 product, so that launch and kernel together make them."""
    assert simulate_gemm("a100", 1, 1, 1).latency_s == pytest.approx(21e-6, rel=0.01)


def test_causes_sum_to_the_total_and_launch_is_one_of_them():
    result = simulate_gemm("a100", 300, 200, 100)
    total, *parts = result.cycles.values()
    assert total == sum(parts)
    assert result.cycles["stall_launch"] == pytest.approx(20.6e-6 * 1410e6, abs=1)
