"""The global buffer: what is resident, who brings it, what that saves, and the same cycles in both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.config import load_cost, load_design
from simulator.cost.sram import price_sram
from simulator.engine import GlobalBuffer, IdealDram
from simulator.engine.bound import run_bound_cores
from simulator.engine.event import run_event_cores
from simulator.engine.pipeline import run_pipeline_cores
from simulator.errors import ConfigError, ConservationError
from simulator.mapping.residency import make_resident
from simulator.study.building import build
from simulator.study.describe import describe_design
from simulator.study.passes import time_pass
from simulator.study.simulate import simulate_op, timing_of
from simulator.study.timeline import gemm_timeline
from simulator.tiles import TILE_DTYPE, TileTable
from simulator.workload import Op, Pass
from tests.test_banked_cores import BIG
from tests.test_contention import drams
from tests.test_dram_banked import drams as banked_drams
from tests.test_engines import table, tables

pytestmark = pytest.mark.kernels

EIGHT_KIB = {"capacity_kib": 8.0, "word_bits": 64, "bandwidth_gb_s": 64.0}
KEYS = {"act": ("m0", "m", "k0", "k"), "weight": ("n0", "n", "k0", "k")}


def gemm(M, N, K, buffer=EIGHT_KIB, fidelity="pipeline", name="int8_systolic", **changes):
    return sim.simulate_gemm(design(buffer, name, **changes), M, N, K, fidelity=fidelity)


def design(buffer=EIGHT_KIB, name="int8_systolic", **changes):
    given = {"array.rows": 8, "array.cols": 8, "cores.count": 4, "cores.partition": "M"}
    given |= {"memory.global_buffer": buffer} if buffer else {}
    return load_design(name, set=given | {k.replace("__", "."): v for k, v in changes.items()})


def test_four_cores_share_weights_by_hand():
    """32 x 16 x 24 int8: 8 rows of A each; all of W (384 bytes, 48 words) from DRAM once, from the buffer thrice."""
    found, without = gemm(32, 16, 24), gemm(32, 16, 24, None)
    assert without.bytes["dram"]["read"] == 32 * 24 + 4 * 16 * 24
    assert found.bytes["dram"] == {"read": 32 * 24 + 16 * 24, "write": 32 * 16 * 2}
    assert found.bytes["global_buffer"] == {"read": 3 * 16 * 24, "write": 16 * 24}
    words = {r["operand"]: (r["reads"], r["writes"]) for r in found.counts if r["level"] == "global_buffer"}
    assert words == {"act": (0, 0), "weight": (3 * 48, 48)}
    for pad in ("act_buffer", "weight_buffer", "out_buffer"):
        assert found.bytes[pad] == without.bytes[pad]
    assert found.cycles["total"] < without.cycles["total"]


def test_reads_writes_area_and_leakage_have_their_prices():
    found, without = gemm(32, 16, 24), gemm(32, 16, 24, None)
    price = price_sram(load_cost("open").sram, 8 * 1024, 64, 1)
    pj = 8 * (3 * 384 * price.read_pj_per_bit + 384 * price.write_pj_per_bit)
    assert found.energy_pj["global_buffer"] == pytest.approx(pj)
    saved = 3 * 384 * 8 * load_cost("open").dram.read_pj_per_bit
    assert without.energy_pj["dram_read"] - found.energy_pj["dram_read"] == pytest.approx(saved)
    assert found.area_um2["total"] - without.area_um2["total"] == pytest.approx(price.area_um2)
    leakage = [build(design(buffer)).bill.sram_leakage_mw for buffer in (EIGHT_KIB, None)]
    assert leakage[0] - leakage[1] == pytest.approx(price.leakage_mw)
    shown = describe_design("int8_systolic", {"memory.global_buffer": EIGHT_KIB})
    assert (shown["memory"]["global_buffer_kib"], shown["memory"]["global_buffer_gb_s"]) == (8.0, 64.0)
    assert [line["name"] for line in shown["bill"]].count("global_buffer") == 1
    assert "global_buffer" not in str(describe_design("int8_systolic", {}))


def test_cycles_of_three_cores_by_hand():
    """DRAM: 1 byte a cycle, latency 2; buffer: 2 bytes a cycle. Core 0 brings 8 bytes of weights, there at 10. Core 1
    loads 4 bytes from cycle 8 to 12; core 2 loads nothing else, asks at 10 and is served until 14; core 1 asks at 12
    and is served from then on until 18.
    """
    tiles = [
        with_found(table([8], [10], [0])),
        with_found(table([4], [10], [0]), 8),
        with_found(table([0], [10], [0]), 8),
    ]
    for run in (run_pipeline_cores, run_event_cores):
        timing = run(tiles, IdealDram(1.0, 2), GlobalBuffer(8, 16, 2.0))
        assert [core.events[0, :2].tolist() for core in timing.per_core] == [[0, 10], [8, 18], [10, 14]]
        assert timing.total_cycles == 28
    assert run_bound_cores(tiles, IdealDram(1.0, 2), GlobalBuffer(8, 16, 0.5)).total_cycles == 32


def with_found(tiles, size=0, bringer=0):
    """One tile that finds ``size`` bytes of weights which tile ``bringer`` of all has brought."""
    rows = tiles.rows.copy()
    rows["weight_global_bytes"], rows["weight_global_tile"] = size, bringer
    return replace(tiles, rows=rows)


@st.composite
def finding(draw):
    """Tiles of cores, some of which find in the buffer what one before them in the order of turns has brought."""
    cores = draw(st.lists(tables(), min_size=1, max_size=4))
    firsts = np.cumsum([0, *(len(t) for t in cores)]).tolist()
    rows, brought = [t.rows.copy() for t in cores], []
    for tile, core in sorted((tile, core) for core, t in enumerate(cores) for tile in range(len(t))):
        for side in KEYS if brought else ():
            rows[core][f"{side}_global_bytes"][tile] = draw(st.sampled_from([0, 0, 3, 40]))
            rows[core][f"{side}_global_tile"][tile] = draw(st.sampled_from(brought))
        if cores[core].load_bytes[tile]:
            brought.append(firsts[core] + tile)
    return [replace(t, rows=r) for t, r in zip(cores, rows, strict=True)]


buffers = st.builds(GlobalBuffer, st.just(0), st.sampled_from([8, 64, 20]), st.floats(0.2, 20))


@settings(max_examples=400, deadline=None)
@given(finding(), drams | banked_drams(rows=BIG), buffers)
def test_the_recurrence_equals_simpy_event_by_event_and_never_beats_the_bound(tiles, dram, buffer):
    fast, readable = run_pipeline_cores(tiles, dram, buffer), run_event_cores(tiles, dram, buffer)
    assert fast.dram == readable.dram
    for a, b in zip(fast.per_core, readable.per_core, strict=True):
        np.testing.assert_array_equal(a.events, b.events)
        assert a.by_cause() == b.by_cause()
    assert run_bound_cores(tiles, dram, buffer).total_cycles <= fast.total_cycles


@settings(max_examples=100, deadline=None)
@given(st.lists(tables(), min_size=1, max_size=4), drams, buffers)
def test_a_buffer_in_which_nothing_is_found_changes_no_event(tiles, dram, buffer):
    one, other = run_pipeline_cores(tiles, dram, buffer), run_pipeline_cores(tiles, dram)
    for a, b in zip(one.per_core, other.per_core, strict=True):
        np.testing.assert_array_equal(a.events, b.events)


@st.composite
def loading(draw):
    """Tiles of cores that load blocks of few places and sizes, one byte a value."""
    cores = []
    for _ in range(draw(st.integers(1, 3))):
        rows = np.zeros(draw(st.integers(1, 6)), TILE_DTYPE)
        for column, values in (
            ("m0", (0, 4)),
            ("n0", (0, 4)),
            ("k0", (0, 8)),
            ("m", (4, 3)),
            ("n", (4, 2)),
            ("k", (8,)),
        ):
            rows[column] = draw(st.lists(st.sampled_from(values), min_size=len(rows), max_size=len(rows)))
        for side, line in (("act", "m"), ("weight", "n")):
            used = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
            rows[f"{side}_load_bytes"] = np.where(used, rows[line] * rows["k"], 0)
        cores.append(TileTable(rows, 0, 2, 2, 2))
    return cores


def hold(cores, side):
    """Block -> (bytes, the tile that brings it), and all bytes that are loaded; tiles by turn and core."""
    held, loaded = {}, 0
    for turn, core in sorted((turn, core) for core, t in enumerate(cores) for turn in range(len(t))):
        tile = cores[core].rows[turn]
        if size := int(tile[f"{side}_load_bytes"]):
            held.setdefault(tuple(int(tile[key]) for key in KEYS[side]), (size, turn, core))
            loaded += size
    return held, loaded


@settings(max_examples=300, deadline=None)
@given(loading(), st.integers(0, 400))
def test_residency_is_that_of_a_search_by_hand(cores, capacity):
    helds = {side: hold(cores, side) for side in KEYS}
    sizes = {side: sum(size for size, *_ in held.values()) for side, (held, _) in helds.items()}
    best, most, room = (), 0, 0
    for sides in (("act",), ("weight",), ("act", "weight")):
        size = sum(sizes[side] for side in sides)
        saved = sum(helds[side][1] - sizes[side] for side in sides)
        if size <= capacity and (saved > most or (saved == most > 0 and size < room)):
            best, most, room = sides, saved, size
    # Nothing to require of what the tiles cover: the op is as small as can be.
    values = {side: any(t.rows[f"{side}_load_bytes"].any() for t in cores) for side in KEYS}
    found = make_resident(Op("op", 1, 1, 1), cores, capacity, 8)
    assert found.operands == best
    assert all(values[side] for side in best)
    for core, (before, after, moved) in enumerate(zip(cores, found.tables, found.traffic, strict=True)):
        for side in KEYS:
            held, _ = helds[side]
            read = written = 0
            for turn in range(len(before)):
                size = int(before.rows[f"{side}_load_bytes"][turn])
                block = tuple(int(before.rows[key][turn]) for key in KEYS[side])
                hit = side in best and size > 0 and held[block][1:] != (turn, core)
                assert after.rows[f"{side}_load_bytes"][turn] == (0 if hit else size)
                assert after.rows[f"{side}_global_bytes"][turn] == (size if hit else 0)
                if hit:
                    _, first_turn, first_core = held[block]
                    joint = sum(len(t) for t in cores[:first_core]) + first_turn
                    assert after.rows[f"{side}_global_tile"][turn] == joint
                    read += size
                elif side in best:
                    written += size
            traffic = moved["global_buffer", side]
            assert (traffic.read_bits, traffic.write_bits) == (8 * read, 8 * written)
            assert (traffic.reads, traffic.writes) == (read, written)


@settings(max_examples=200, deadline=None)
@given(loading(), st.integers(0, 300), st.integers(0, 300))
def test_more_capacity_never_takes_more_dram_bytes(cores, capacity, more):
    op = Op("op", 1, 1, 1)
    small, large = (make_resident(op, cores, size, 8).tables for size in (capacity, capacity + more))
    assert sum(t.load_bytes.sum() for t in large) <= sum(t.load_bytes.sum() for t in small)


def test_an_operand_that_is_not_whole_is_an_error():
    rows = np.zeros(2, TILE_DTYPE)
    rows["m"] = rows["n"] = rows["k"] = rows["weight_load_bytes"] = 1
    with pytest.raises(ConservationError, match="the global buffer holds 1 values of weight, which has 4"):
        make_resident(Op("op", 1, 2, 2), [TileTable(rows, 0, 2, 2, 2)], 9, 8)
    rows["weight_load_bytes"] = 1, 2
    with pytest.raises(ConservationError, match="op: loads of one block of weight differ"):
        make_resident(Op("op", 1, 1, 1), [TileTable(rows, 0, 2, 2, 2)], 9, 8)


SMALL_PADS = {f"memory__{pad}_buffer__capacity_kib": 8.0 for pad in ("act", "weight", "out")}


@pytest.mark.parametrize(
    "name", ["int8_systolic", "olive_systolic", "gobo_array", "olaccel_systolic", "llm_int8_systolic"]
)
@pytest.mark.parametrize("partition", ["M", "N", "auto"])
def test_designs_agree_in_both_engines_and_lose_nothing(name, partition):
    given = {"name": name, "cores__partition": partition, "memory__dram__bandwidth_gb_s": 8.0} | SMALL_PADS
    buffer = EIGHT_KIB | {"capacity_kib": 128.0}
    shape = 150, 130, 170
    bound, found, event = (gemm(*shape, buffer, fidelity, **given) for fidelity in ("bound", "pipeline", "event"))
    assert found.cycles == event.cycles
    assert bound.cycles["total"] <= found.cycles["total"]
    assert found.bytes == event.bytes == bound.bytes
    assert found.bytes["global_buffer"]["read"] > 0
    if partition != "auto":
        without = gemm(*shape, None, **given)
        reads = found.bytes["dram"]["read"] + found.bytes["global_buffer"]["read"]
        assert reads == without.bytes["dram"]["read"]
        assert {pad: found.bytes[pad] for pad in without.bytes if pad != "dram"} == {
            pad: moved for pad, moved in without.bytes.items() if pad != "dram"
        }


def test_operands_that_cores_cut_alike_are_read_once_in_full():
    """W is shared by all cores, and in the rows of each core A comes back for every block of columns."""
    moved = gemm(
        128, 128, 256, EIGHT_KIB | {"capacity_kib": 128.0}, **SMALL_PADS, tiling__n=16, tiling__order="nmk"
    ).bytes
    assert moved["dram"]["read"] == 2 * 128 * 256
    assert moved["global_buffer"]["write"] == 2 * 128 * 256


def test_more_capacity_of_a_design_never_takes_more_dram_bytes():
    sizes = (None, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
    reads = [
        gemm(256, 192, 256, size and EIGHT_KIB | {"capacity_kib": size}, **SMALL_PADS).bytes["dram"]["read"]
        for size in sizes
    ]
    assert reads == sorted(reads, reverse=True)
    assert reads[0] == reads[1] > reads[-1] == (256 + 192) * 256


def test_without_a_buffer_nothing_changes():
    absent, null = gemm(64, 64, 64, None), gemm(64, 64, 64, None, memory__global_buffer=None)
    assert absent.to_dict() == null.to_dict()
    assert "global_buffer" not in str(absent.to_dict())
    too_small = gemm(256, 256, 256)  # 64 KiB of each operand
    assert too_small.cycles == gemm(256, 256, 256, None).cycles
    assert too_small.bytes["global_buffer"] == {"read": 0, "write": 0}


def test_one_core_finds_what_it_has_loaded_before():
    given = {"cores__count": 1, "cores__partition": "auto"} | SMALL_PADS
    found = gemm(256, 256, 256, EIGHT_KIB | {"capacity_kib": 128.0}, **given)
    assert found.bytes["dram"]["read"] == 2 * 256 * 256 < gemm(256, 256, 256, None, **given).bytes["dram"]["read"]


def test_values_and_actions_do_not_depend_on_the_buffer():
    rng = np.random.default_rng(0)
    tensors = rng.standard_t(3, (1, 40, 64)).astype(np.float32), rng.standard_t(3, (1, 48, 64)).astype(np.float32)
    for name in ("int8_systolic", "olaccel_systolic", "llm_int8_systolic"):
        with_it, without = (
            simulate_op(build(design(b, name)), Op("op", 40, 48, 64), tensors) for b in (EIGHT_KIB, None)
        )
        np.testing.assert_array_equal(with_it.values[0], without.values[0])
        assert with_it.counts.actions == without.counts.actions
        assert with_it.timing.stalls["stall_outlier"] == without.timing.stalls["stall_outlier"]


def test_sums_and_passes_do_not_use_it():
    cut = [gemm(8, 8, 40, buffer, cores__partition="K") for buffer in (EIGHT_KIB, None)]
    assert cut[0].cycles == cut[1].cycles
    assert cut[0].bytes["dram"] == cut[1].bytes["dram"]
    softmax = [
        time_pass(build(design(buffer)), [Pass("p", "softmax", 10, 64)], 0, "event") for buffer in (EIGHT_KIB, None)
    ]
    assert softmax[0][1].by_cause() == softmax[1][1].by_cause()
    assert softmax[0][2] == softmax[1][2]


def test_no_memory_limit_is_none_of_the_buffers_either():
    results = [
        gemm(64, 16, 24, buffer, fidelity, memory__dram__model="none")
        for fidelity in ("pipeline", "event", "bound")
        for buffer in (EIGHT_KIB, None)
    ]
    assert all(result.cycles == results[0].cycles for result in results)
    assert results[0].bytes["global_buffer"] == {"read": 3 * 384, "write": 384}


def test_partition_is_chosen_with_the_buffer():
    """What the cores share comes from DRAM once, so another cut may be the best; auto takes no more than any."""
    given = {"memory__dram__bandwidth_gb_s": 4.0}
    cycles = {p: gemm(96, 200, 64, fidelity="pipeline", cores__partition=p, **given).cycles["total"] for p in "MNK"}
    assert gemm(96, 200, 64, cores__partition="auto", **given).cycles["total"] == min(cycles.values())


def test_gemms_of_an_op_each_have_their_own():
    hardware = build(design())
    one, three = (simulate_op(hardware, Op("op", 32, 16, 24, count=count)).counts for count in (1, 3))
    assert three.level("global_buffer") == one.level("global_buffer").times(3)


WRONG = {
    "capacity": ({"capacity_kib": 0.0}, "memory.global_buffer.capacity_kib: "),
    "bandwidth": ({"bandwidth_gb_s": 0.0}, "memory.global_buffer.bandwidth_gb_s: "),
    "word": ({"word_bits": 0}, "memory.global_buffer.word_bits: "),
    "key": ({"bandwidth": 3.0}, "memory.global_buffer.bandwidth: unknown key; did you mean 'bandwidth_gb_s'?"),
    "price": ({"capacity_kib": 1.0}, "memory.global_buffer.capacity_kib: no SRAM bank of 1 KiB is priced; "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_line(case):
    change, message = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        gemm(8, 8, 8, EIGHT_KIB | change)
    assert str(caught.value).startswith(f"set: {message}")
    assert "\n" not in str(caught.value)


def test_its_bandwidth_must_be_said():
    with pytest.raises(ConfigError, match=r"memory\.global_buffer\.bandwidth_gb_s: "):
        gemm(8, 8, 8, {"capacity_kib": 8.0})


def test_a_timeline_shows_loads_from_the_buffer():
    point = build(design(EIGHT_KIB | {"capacity_kib": 128.0}, **SMALL_PADS))
    plan, (timing,), _ = timing_of(point, Op("op", 128, 128, 256))
    for table_, one in zip(plan.tables, timing.per_core, strict=True):
        shown = gemm_timeline(point, "core", Op("op", 128, 128, 256), table_, one.events)
        found = table_.global_bytes > 0
        assert found.any()
        assert (shown.loads[found][:, 1] > shown.loads[found][:, 0]).all()
        assert (shown.loads[:, 1] <= one.events[:, 2]).all()
        assert [label.get("global_bytes", 0) for label in shown.labels[:-1]] == table_.global_bytes.tolist()


def test_registers_take_their_time_from_the_same_pipeline():
    one = {"cores__count": 1, "cores__partition": "auto"} | SMALL_PADS
    slow, fast = (gemm(32, 32, 400, fidelity=fidelity, **one) for fidelity in ("pe_array", "pipeline"))
    assert slow.exact
    assert slow.cycles == fast.cycles
