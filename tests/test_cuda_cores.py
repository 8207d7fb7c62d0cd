"""Kernels on CUDA cores: tiles that lose nothing, times that follow from bytes, operations and latencies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.datapath import Width
from simulator.engine import IdealDram, run_pipeline
from simulator.engine.bound import run_bound
from simulator.mapping.cuda_cores import CudaCores, KernelWork, count_kernel, kernel_table, pass_work
from simulator.mapping.l2_reuse import held
from simulator.mapping.vector import VectorJob
from simulator.workload import PASS_KINDS, Pass, work_of
from simulator.workload.passes import TAPPED

GPU = CudaCores(sms=4, lanes=64, special_cycles=4, threads=256, l2_bytes_per_cycle=128, l2_latency_cycles=200)
DRAM = IdealDram(32.0, 400, 64)

work = st.builds(
    KernelWork,
    st.integers(1, 10**6),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 10**8),
    st.integers(0, 10**7),
)


@settings(max_examples=200, deadline=None)
@given(work)
def test_tiles_lose_no_value_no_byte_and_no_cycle(kernel):
    table = kernel_table(kernel, GPU)
    assert int((table.rows["m"] * table.rows["n"]).sum()) == kernel.values
    assert table.total("act_load_bytes") == kernel.read_bytes
    assert table.total("store_bytes") == kernel.write_bytes
    lanes = kernel.lane_ops / (4 * 64)
    specials = kernel.special_ops * 4 / (4 * 64)
    l2 = (kernel.read_bytes + kernel.held_bytes + kernel.write_bytes) / 128
    assert table.total("vector_cycles") == 200 + math.ceil(max(lanes, specials, l2))
    counts = count_kernel(kernel, table, 64, {})
    assert counts.level("dram").read_bits == 8 * kernel.read_bytes
    assert counts.traffic["l2", "act"].read_bits == 8 * (kernel.read_bytes + kernel.held_bytes)
    assert counts.traffic["l2", "out"].write_bits == 8 * kernel.write_bytes


@settings(max_examples=100, deadline=None)
@given(work)
def test_it_takes_no_less_than_its_bound_and_little_more(kernel):
    """More than its slowest resource only for one latency each way, and the halves of threads that start and end it."""
    table = kernel_table(kernel, GPU)
    total, bound = run_pipeline(table, DRAM).total_cycles, run_bound(table, DRAM).total_cycles
    assert total >= bound
    rows = table.rows
    ends = max(DRAM.channel_cycles(rows["act_load_bytes"])) + max(rows["vector_cycles"])
    ends += max(DRAM.channel_cycles(rows["store_bytes"]))
    busy = int(DRAM.channel_cycles(rows["act_load_bytes"]).sum() + DRAM.channel_cycles(rows["store_bytes"]).sum())
    assert total <= max(busy, table.total("vector_cycles")) + 400 * (1 + len(table) // 2) + 2 * ends


@settings(max_examples=100, deadline=None)
@given(work, st.integers(1, 10**6))
def test_what_the_l2_holds_saves_time(kernel, moved):
    moved = min(moved, kernel.read_bytes)
    warm = KernelWork(
        kernel.values, kernel.read_bytes - moved, kernel.held_bytes + moved, kernel.write_bytes, kernel.lane_ops
    )
    cold = KernelWork(kernel.values, kernel.read_bytes, kernel.held_bytes, kernel.write_bytes, kernel.lane_ops)
    assert (
        run_pipeline(kernel_table(warm, GPU), DRAM).total_cycles
        <= run_pipeline(kernel_table(cold, GPU), DRAM).total_cycles
    )


@pytest.mark.parametrize(
    "change", [{"sms": 8}, {"lanes": 128}, {"l2_bytes_per_cycle": 256}, {"special_cycles": 2}, {"l2_latency_cycles": 0}]
)
@pytest.mark.parametrize("kind", ["softmax", "layer_norm", "gelu", "residual"])
def test_more_of_anything_never_costs_a_cycle(kind, change):
    width = Width.plain(16)
    job = VectorJob(512, 768, work_of(Pass("p", kind, 512, 768)), width, width)
    better = CudaCores(**{**GPU.__dict__, **change})
    ours, theirs = (
        run_pipeline(kernel_table(pass_work(job), gpu), IdealDram(1e9, 0)).total_cycles for gpu in (better, GPU)
    )
    assert ours <= theirs


@pytest.mark.parametrize("kind", [kind for kind in PASS_KINDS if kind not in ("max_pool", "mean_pool")])
def test_a_pass_moves_its_operands_parameters_and_results_once(kind):
    width = Width.plain(16)
    job = VectorJob(24, 64, work_of(Pass("p", kind, 24, 64, block=4 if kind in TAPPED else 0)), width, width)
    work, done = pass_work(job), job.work
    assert work.read_bytes == 2 * (24 * (64 * done.inputs + done.row_inputs) + 64 * done.parameters)
    assert (work.held_bytes, work.write_bytes, work.values) == (0, 2 * (24 + done.kept) * 64, 24 * 64)
    assert work.lane_ops >= 24 * 64 * (job.work.inputs + 1)


def test_a_row_too_long_for_registers_is_swept_from_the_l2():
    width = Width.plain(16)
    short, long = (
        pass_work(VectorJob(4, n, work_of(Pass("p", "layer_norm", 4, n)), width, width)) for n in (16384, 16386)
    )
    assert short.held_bytes == 0
    assert long.held_bytes == 2 * 4 * 16386 * 2  # two more sweeps


def test_by_hand():
    """1024 values of FP16, copied, by 4 multiprocessors of 256 threads, 8 values each: one tile of all of them."""
    table = kernel_table(KernelWork(1024, 2048, 0, 2048), GPU)
    assert len(table) == 1
    # 2048 / 32 cycles and the latency; a trip to the L2 and 4096 bytes through it; 64 cycles to write
    assert run_pipeline(table, DRAM).total_cycles == (64 + 400) + (200 + 32) + 64


# What a chain of kernels finds in the L2


def test_what_was_touched_last_is_there():
    chain = [[("a", 40), ("b", 40)], [("b", 40), ("c", 40)], [("a", 40), ("d", 10)]]
    assert held(chain, 100) == [[True, False], [True, False], [False, False]]
    assert held(chain, 1000) == [[True, True]] * 3
    assert held(chain, 1) == [[False, False]] * 3


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcdef"), st.just(0)), min_size=1, max_size=3), min_size=1, max_size=8
    ),
    st.lists(st.integers(1, 30), min_size=6, max_size=6),
    st.integers(0, 100),
)
def test_it_is_least_recently_used_byte_by_byte(chain, sizes, capacity):
    """Against a list of single bytes, of which the last ``capacity`` touched are kept."""
    size = dict(zip("abcdef", sizes, strict=True))
    chain = [[(name, size[name]) for name, _ in kernel] for kernel in chain]
    order: list[tuple[str, int]] = []
    for _ in range(2):
        expected = []
        for kernel in chain:
            kept = set(order[len(order) - min(capacity, len(order)) :])
            expected.append([all((name, i) in kept for i in range(size[name])) for name, _ in kernel])
            for name, _ in kernel:
                order = [byte for byte in order if byte[0] != name] + [(name, i) for i in range(size[name])]
    assert held(chain, capacity) == expected
