"""Designs of several cores: parts cover the GEMM, nothing is lost or free, and no answer changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.config import load_cost, load_design
from simulator.datapath import Width
from simulator.errors import ConfigError, WorkloadError
from simulator.mapping import ArrayShape, OperandBits, split
from simulator.study.building import build
from simulator.study.cores import plan_cores
from simulator.study.passes import simulate_pass, time_pass
from simulator.study.simulate import simulate_op
from simulator.workload import Op, Pass

SMALL = {"array.rows": 8, "array.cols": 8}
BITS = OperandBits(Width.plain(8), Width.plain(8), 32, 16)


def design(name="int8_systolic", count=4, **changes):
    return load_design(name, set=SMALL | {"cores.count": count} | {k.replace("__", "."): v for k, v in changes.items()})


def gemm(M, N, K, fidelity="pipeline", **changes):
    return sim.simulate_gemm(design(**changes), M, N, K, fidelity=fidelity)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(*[st.integers(1, 90)] * 3),
    st.sampled_from("MNK"),
    st.integers(1, 9),
    st.sampled_from(["os", "ws", "is"]),
    st.sampled_from([1, 2]),
)
def test_parts_cover_the_gemm_once_in_near_equal_whole_folds(shape, dimension, cores, dataflow, values):
    bits = OperandBits(Width.plain(8), Width(values, 8 * values, 8 * values), 32, 16) if values > 1 else BITS
    op, array = Op("op", *shape, count=3), ArrayShape(4, 6, "full", dataflow=dataflow)
    parts = split(op, array, bits, dimension, cores)
    length = getattr(op, dimension)
    firsts = [getattr(part, f"{dimension.lower()}0") for part in parts]
    sizes = [getattr(part.op, dimension) for part in parts]
    assert 1 <= len(parts) <= cores
    assert min(sizes) >= 1
    assert firsts == [sum(sizes[:i]) for i in range(len(parts))]
    assert sum(sizes) == length
    unit = {"os": {"M": 4, "N": 6}, "ws": {"N": 6, "K": 4}, "is": {"M": 6, "K": 4}}[dataflow].get(dimension, 1)
    unit = max(unit, values) if dimension == "K" else unit
    assert all(size % unit == 0 for size in sizes[:-1])
    units = [-(-size // unit) for size in sizes]
    assert max(units) - min(units) <= 1
    assert len(parts) == cores or units == [1] * len(parts)
    others = {"M", "N", "K"} - {dimension}
    assert all(getattr(part.op, d) == getattr(op, d) for part in parts for d in others)


@pytest.mark.parametrize("fidelity", ["bound", "pipeline"])
@pytest.mark.parametrize(
    ("name", "partition"),
    [
        (name, partition)
        for name in ("int8_systolic", "olive_systolic", "fp16_systolic", "gobo_array", "olaccel_systolic")
        for partition in ("M", "N", "K", "auto")
        if partition != "K" or name in ("int8_systolic", "olive_systolic")
    ],
)
def test_engines_agree_on_designs_of_several_cores(name, partition, fidelity):
    found = gemm(70, 90, 110, fidelity, name=name, cores__partition=partition)
    event = gemm(70, 90, 110, "event", name=name, cores__partition=partition)
    assert found.macs == 70 * 90 * 110
    assert sum(found.cycles.values()) == 2 * found.cycles["total"]
    if fidelity == "pipeline":
        assert found.cycles == event.cycles
    else:
        assert found.cycles["total"] <= event.cycles["total"]


def test_auto_takes_the_least_cycles():
    for shape in ((64, 64, 4096), (4096, 16, 64), (16, 4096, 64), (1, 1, 9000)):
        each = {p: gemm(*shape, cores__partition=p).cycles["total"] for p in ("M", "N", "K", "auto")}
        assert each["auto"] == min(each[p] for p in "MNK"), (shape, each)
    assert each["auto"] == each["K"] < each["M"], "a single output can only be cut along K"


def test_bytes_of_a_gemm_cut_along_m_by_hand():
    """32 x 16 x 24 int8 on four cores: 8 rows of A each, and all of W four times; results of 16 bits."""
    moved = gemm(32, 16, 24, cores__partition="M").bytes
    assert moved["dram"] == {"read": 32 * 24 + 4 * 16 * 24, "write": 32 * 16 * 2}
    assert moved["act_buffer"]["write"] == 32 * 24
    assert moved["weight_buffer"]["write"] == 4 * 16 * 24


def test_bytes_of_a_gemm_cut_along_k_by_hand():
    """8 x 8 x 40 on four cores: operands once, and 64 sums of 32 bits out of and back into each core."""
    result = gemm(8, 8, 40, cores__partition="K")
    sums = 4 * 64 * 4
    assert result.bytes["dram"] == {"read": 2 * 8 * 40 + sums, "write": sums + 64 * 2}
    # Written: by the array, back from DRAM, and the totals. Read: for each write-back, and by the adders.
    assert result.bytes["out_buffer"] == {"read": 2 * sums + 64 * 4, "write": 2 * sums + 64 * 4}


def test_cycles_of_a_reduction_by_hand():
    """16 sums for each core, of 4 parts, one addition per cycle: 48 cycles of adding, without memory limits."""
    found = gemm(8, 8, 40, cores__partition="K", vector_unit__lanes=1, memory__dram__model="none").cycles
    assert found == {"total": 10 + 22 + 48, "compute": 10 + 22} | {
        "stall_dram_read": 0, "stall_dram_write": 0, "stall_bank": 0, "stall_outlier": 0, "stall_vector": 48
    }  # fmt: skip


def test_additions_are_priced():
    """Three additions for each of 64 outputs, on the cores' vector units."""
    price = load_cost("open").actions["vector_add_fp32"]
    cut = gemm(8, 8, 40, cores__partition="K").energy_pj
    assert cut[price.component] == pytest.approx(3 * 64 * price.energy_pj)
    assert price.component not in gemm(8, 8, 40, cores__partition="M").energy_pj


@pytest.mark.parametrize(
    "name", ["int8_systolic", "gobo_array", "olaccel_systolic", "llm_int8_systolic", "biscaled_systolic"]
)
@pytest.mark.parametrize("partition", ["M", "N"])
def test_values_do_not_depend_on_cores_and_neither_does_work_on_outliers(name, partition):
    rng = np.random.default_rng(0)
    tensors = rng.standard_t(3, (1, 40, 64)).astype(np.float32), rng.standard_t(3, (1, 48, 64)).astype(np.float32)
    op = Op("op", 40, 48, 64)
    one, three = (simulate_op(build(design(name, n, cores__partition=partition)), op, tensors) for n in (1, 3))
    np.testing.assert_array_equal(one.values[0], three.values[0])
    assert three.quality.exact
    work = [a for a in one.counts.actions if a.startswith(("outlier_mac", "mac_", "fifo"))]
    assert work
    assert {a: three.counts.actions[a] for a in work} == {a: one.counts.actions[a] for a in work}


def test_area_leakage_and_peak_are_of_all_cores():
    one, four = (build(design(count=n, cores__partition="M")) for n in (1, 4))
    assert four.bill.parts == {part: 4 * n for part, n in one.bill.parts.items()}
    assert four.peak_tops == 4 * one.peak_tops
    for of_all in ("logic_leakage_mw", "sram_leakage_mw"):
        assert getattr(four.bill, of_all) == pytest.approx(4 * getattr(one.bill, of_all))
    results = [gemm(8, 8, 8, count=n, cores__partition="M") for n in (1, 4)]
    assert results[1].area_um2["total"] == pytest.approx(4 * results[0].area_um2["total"])


def test_a_core_without_work_is_idle():
    plan = plan_cores(build(design(cores__partition="M")), Op("op", 9, 8, 8))
    assert [part.op.M for part in plan.parts] == [8, 1]
    assert gemm(8, 8, 8, cores__partition="M").cycles == gemm(8, 8, 8, count=1).cycles


def test_four_cores_are_faster_than_one_where_memory_allows():
    one, four = (gemm(256, 256, 256, count=n).cycles["total"] for n in (1, 4))
    assert 3.5 * four < one
    starved = [gemm(256, 256, 256, count=n, memory__dram__bandwidth_gb_s=0.5).cycles["total"] for n in (1, 4)]
    assert starved[1] > 0.9 * starved[0]


NO_CUT = "cores.partition: K cannot be cut: {}; use M, N or auto"
WRONG = {
    "float sums": ("fp16_systolic", "partition", "K", NO_CUT.format("'fp16_mac' rounds its sums, in order of K")),
    "costs of data": ("olaccel_systolic", "partition", "K", NO_CUT.format("what 'olaccel' takes depends on the data")),
    "letter": ("int8_systolic", "partition", "m", "cores.partition: found 'm'; allowed: auto, M, N, K"),
    "key": ("int8_systolic", "counts", 2, "cores.counts: unknown key; did you mean 'count'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_line(case):
    name, key, value, message = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        sim.simulate_gemm(design(name, **{f"cores__{key}": value}), 8, 8, 8)
    assert str(caught.value) == f"set: {message}"


def test_registers_are_those_of_one_core():
    message = "cores.count: pe_array runs the array of one core; use pipeline, event or bound, or one core"
    with pytest.raises(ConfigError) as caught:
        gemm(8, 8, 8, "pe_array")
    assert str(caught.value) == f"set: {message}"


def test_an_op_too_large_to_simulate_is_refused_as_on_one_core():
    op = Op("huge", 1 << 20, 1 << 14, 1 << 14, count=1 << 10)
    messages = []
    for count in (1, 4):
        with pytest.raises(WorkloadError) as caught:
            plan_cores(build(design(count=count)), op)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].endswith("at most 9007199254740992 are simulated; split the op")


def test_rows_of_a_pass_are_shared_by_the_cores():
    """10 rows on four cores: 3, 3, 2 and 2; the same operations and bytes as on one core, and no core idle for long."""
    softmax = Pass("p", "softmax", 10, 64)
    one, four = (build(design(count=n)) for n in (1, 4))
    tables, timing, counts = time_pass(four, [softmax], 0, "pipeline")
    assert [int(table.rows["m"].sum()) for table in tables] == [3, 3, 2, 2]
    alone = time_pass(one, [softmax], 0, "pipeline")
    assert counts.actions == alone[2].actions
    assert counts.level("dram") == alone[2].level("dram")
    assert timing.stalls["stall_vector"] < alone[1].stalls["stall_vector"]
    assert len(timing.per_core) == 4
    assert time_pass(four, [softmax], 0, "event")[1].total_cycles == timing.total_cycles
    assert time_pass(four, [softmax], 0, "bound")[1].total_cycles <= timing.total_cycles


def test_a_fused_pass_on_cores_that_cut_k_hides_behind_nothing():
    op, bias = Op("op", 64, 64, 256), Pass("b", "bias", 64, 64)
    along = {cut: build(design(cores__partition=cut, vector_unit__lanes=1)) for cut in ("M", "K")}
    times = {
        cut: simulate_pass(hardware, [op, bias], 1).timing.stalls["stall_vector"] for cut, hardware in along.items()
    }
    assert times["K"] == 64 * 64 // 4  # one addition per value, a lane per core
    assert times["M"] < times["K"]


@pytest.mark.parametrize("partition", ["M", "K"])
def test_event_takes_several_cores_without_memory_limits(partition):
    how = {"cores__partition": partition, "memory__dram__model": "none"}
    assert gemm(40, 24, 56, "event", **how).cycles == gemm(40, 24, 56, **how).cycles


def test_a_cut_of_k_whose_sums_do_not_fit_is_left_out_or_refused_by_field():
    small = {"count": 1024, "memory__out_buffer__capacity_kib": 8}
    assert gemm(32, 16, 1024, **small).cycles == gemm(32, 16, 1024, **small, cores__partition="M").cycles
    with pytest.raises(ConfigError, match=r"cores\.partition: K cannot be cut: the out scratchpad cannot hold 1024"):
        gemm(32, 16, 1024, **small, cores__partition="K")


@pytest.mark.parametrize(("cut", "shape"), [("M", (64, 8, 8)), ("K", (8, 8, 512)), ("", (8, 8, 8))])
def test_a_result_says_along_what_the_cores_share_it(cut, shape):
    assert gemm(*shape, cores__partition="auto").partition == cut
    assert gemm(*shape, count=1).partition == ""
