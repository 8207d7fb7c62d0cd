"""``values: counted``: what costs depend on is found as tensors are read, and is what encoding would have listed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import formats
from simulator.datapath.gobo import Gobo
from simulator.datapath.remembered import lists_of
from simulator.errors import ConfigError, TraceError
from simulator.formats import gobo
from simulator.formats.largest import largest, largest_read
from simulator.formats.olaccel import OlAccel4
from simulator.formats.streamed import Whole, beyond, knows_of
from simulator.study.building import build
from simulator.study.drawn import Drawn
from simulator.study.evaluate import evaluate
from simulator.study.judged import MEMORY
from simulator.study.operands import encode, marks
from simulator.study.setup import StudySetup, read_study
from simulator.tracing import Trace, TraceWriter, open_trace
from simulator.tracing.streamed import row_blocks
from simulator.tracing.widen import widen
from simulator.workload import Op
from tests.test_trace_store import CREATED, INPUT, MODEL, SHARD, replace_shard

FORMATS = [
    ("gobo3", {}),
    ("gobo4", {"log_probability": -2.0}),
    ("olaccel4", {}),
    ("olaccel4", {"outlier_share": 0.5}),
    ("olaccel4", {"outlier_share": 0.0}),
    ("olaccel4", {"outlier_share": 1.0}),
    ("llm_int8", {"threshold": 2.0}),
    ("biscaled6", {}),
    ("int8", {}),
]
LISTS = ("outlier_position", "outlier_column", "wide_block")
DEPENDENT = ["gobo_array", "gobo_dram_systolic", "olaccel_systolic", "llm_int8_systolic", "biscaled_systolic"]
OTHERS = ["int8_systolic", "fp16_systolic", "mxfp4_systolic", "rtx2080ti_gobo"]
SELECTED = ["olive_systolic", "ant_systolic", "adaptivfloat_systolic"]
"""Their encodings choose types, and say what is stored when they have chosen."""


class Cut(Whole):
    """A tensor in memory, a few rows at a time, which counts how often it is read."""

    readings = 0

    def blocks(self) -> Iterator[tuple[int, int, np.ndarray]]:
        object.__setattr__(self, "readings", self.readings + 1)
        for gemm, values in enumerate(self.tensor):
            for first in range(0, len(values), 5):
                yield gemm, first, values[first : first + 5]


def tensors(kind: str, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape)
    how = {
        "halves": lambda: x.astype(np.float16),
        "floats": lambda: x,
        "many equal": lambda: np.round(2 * x),
        "zeros": lambda: 0 * x,
        "one value": lambda: 0 * x + 3.25,
        "sparse": lambda: np.where(np.abs(x) > 2.5, x, 0),
        "wide": lambda: np.abs(x) * 30,  # from a sigma of 21.8 on every value is an outlier of GOBO
        "large": lambda: x * 1e30,
        "tiny": lambda: x * 1e-39,
    }
    return how[kind]().astype(np.float32)


KINDS = st.sampled_from(["halves", "floats", "many equal", "zeros", "one value", "sparse", "wide", "large", "tiny"])


@pytest.mark.kernels
@pytest.mark.parametrize(("name", "options"), FORMATS, ids=str)
@settings(deadline=None)  # the first example compiles
@given(kind=KINDS, count=st.integers(1, 3), rows=st.integers(1, 17), K=st.integers(1, 90), seed=st.integers(0, 99))
def test_marks_are_what_encoding_lists(name, options, kind, count, rows, K, seed):
    encoding, x = formats.get(name, **options), tensors(kind, (count, rows, K), seed)
    for granularity in ("tensor", "row"):
        encoded = encoding.encode_operand(x, granularity, "absmax")
        marked = encoding.marks_operand(Cut(x), granularity, "absmax")
        for expected, found in zip(encoded, marked, strict=True):
            assert encoding.stored(found) == encoding.stored(expected)
            for extra in set(LISTS) & set(expected.extras):
                assert found.extras[extra].dtype == expected.extras[extra].dtype
                np.testing.assert_array_equal(found.extras[extra], expected.extras[extra])


def earliest_of_largest(x: np.ndarray, n: int) -> list[list[int]]:
    """By sorting: positions in each GEMM's operand."""
    flat = np.abs(x).reshape(-1).tolist()
    chosen = sorted(range(len(flat)), key=lambda at: (-flat[at], at))[:n]
    size = x[0].size
    return [sorted(at - g * size for at in chosen if at // size == g and flat[at] > 0) for g in range(len(x))]


def growing(x: np.ndarray, by: float) -> np.ndarray:
    """Rows whose magnitudes grow, or shrink, from first to last, by that factor."""
    rows = x.reshape(-1, x.shape[-1])
    return (rows * np.geomspace(1, by, len(rows))[:, None]).reshape(x.shape).astype(np.float32)


@pytest.mark.kernels
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 1])
@pytest.mark.parametrize("size", [1, 255, 256, 257, 12287, 12288, 12544, 12545, 30000])
def test_what_is_beyond_bounds(size, share):
    """Also where more are beyond than are found in one go."""
    values = np.where(np.random.default_rng(size).random(size) < share, 3, 1).astype(np.float32)
    values[::2] *= -1
    for low, high, expected in ((-2, 2, np.abs(values) > 2), (-1, 9, values < -1), (-9, 1, values > 1)):
        assert beyond(values[None], low, high).tolist() == np.flatnonzero(expected).tolist()


@settings(deadline=None)  # the first example compiles
@given(
    kind=KINDS,
    shape=st.sampled_from([(2, 9, 31), (1, 60, 200), (3, 40, 64)]),
    by=st.sampled_from([1, 1e-3, 1e3]),
    data=st.data(),
)
def test_largest_magnitudes(kind, shape, by, data):
    x = growing(tensors(kind, shape, 7), by)
    n = data.draw(st.one_of(st.integers(0, x.size), st.integers(0, x.size // 20)))
    expected = earliest_of_largest(x, n)
    read = Cut(x)
    assert [part.tolist() for part in largest_read(read, n)] == expected
    assert read.readings <= 2
    found = np.flatnonzero(largest(np.abs(x).reshape(-1), n))
    assert [int(at) for at in found] == [at + g * x[0].size for g, part in enumerate(expected) for at in part]


@pytest.mark.parametrize(("by", "readings"), [(1, 1), (1e3, 1), (1e-3, 2)], ids=["alike", "growing", "shrinking"])
def test_largest_magnitudes_are_read_again_only_where_the_first_block_misleads(by, readings):
    """And what is kept is bounded, twice what is wanted and a block, and cut down no oftener than it has grown so."""
    x = Cut(growing(tensors("floats", (2, 200, 256), 5), by))
    n, most, cuts = 1000, [], []
    original = np.concatenate

    def counted(magnitude, n):
        cuts.append(n)
        return largest(magnitude, n)

    def concatenated(parts):
        whole = original(parts)
        most.append(len(whole))
        return whole

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("simulator.formats.largest.np.concatenate", concatenated)
        patched.setattr("simulator.formats.largest.largest", counted)
        largest_read(x, n)
    assert x.readings == readings
    assert max(most) <= 2 * n + 5 * 256
    assert len(cuts) <= 40


@settings(deadline=None)  # the first example compiles
@given(
    mean=st.floats(-100, 100),
    sigma=st.floats(1e-30, 21.8),
    limit=st.floats(-50, -4),
)
def test_bounds_of_gobo_are_those_of_its_density(mean, sigma, limit):
    peak = -np.log(sigma) - gobo._HALF_LOG_2PI
    low, high = gobo._bounds(mean, sigma, peak, limit)
    if low > high:
        assert gobo._is_outlier(np.float32(mean), mean, sigma, peak, limit)
        return
    for bound, towards in ((low, -np.inf), (high, np.inf)):
        assert not gobo._is_outlier(np.float32(bound), mean, sigma, peak, limit)
        outside = np.nextafter(np.float32(bound), np.float32(towards))
        assert gobo._is_outlier(outside, mean, sigma, peak, limit)


@pytest.mark.parametrize(
    ("name", "kind", "readings"),
    [("gobo3", "floats", 3), ("olaccel4", "floats", 1), ("olaccel4", "zeros", 1), ("llm_int8", "floats", 1)],
)
def test_how_often_a_tensor_is_read(name, kind, readings):
    x = Cut(tensors(kind, (2, 40, 64), 3))
    formats.get(name).marks_operand(x, "tensor", "mse")
    assert x.readings == readings


@pytest.mark.kernels
def test_every_half_and_bfloat16_is_widened_exactly():
    words = np.arange(1 << 16, dtype=np.uint16)
    for stored in (words.view(np.float16), words.view(ml_dtypes.bfloat16)):
        out, expected = np.empty(words.shape, np.float32), stored.astype(np.float32)
        assert not widen(stored, out)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))
        same = ~np.isnan(expected)
        np.testing.assert_array_equal(out.view(np.uint32)[same], expected.view(np.uint32)[same])
        finite = np.ascontiguousarray(stored[np.isfinite(expected)])
        assert widen(finite, np.empty(finite.shape, np.float32))
    assert not widen(np.array([1e300]), np.empty(1, np.float32))


def drawn(folder: Path, dtype: str = "float16", keep: int | None = None) -> Trace:
    """A linear layer and two heads, with outliers."""
    rng = np.random.default_rng(5)
    with TraceWriter(folder, model=MODEL, input=INPUT, created=CREATED) as trace:
        for name, shape in {"x": (40, 96), "w": (70, 96), "qk.a": (2, 40, 33), "qk.w": (2, 40, 33)}.items():
            values = rng.standard_normal(shape) * np.where(rng.random(shape) < 0.02, 9, 1)
            trace.add_tensor(name, values.astype(dtype), keep=keep if name == "x" else None)
        trace.add_op(Op("q", 40, 70, 96), a="x", w="w")
        trace.add_op(Op("qk", 40, 40, 33, 2, "bmm"), a="qk.a", w="qk.w")
    return open_trace(folder)


@pytest.mark.parametrize(("dtype", "keep"), [("float16", None), ("float32", None), ("bfloat16", None), ("float16", 8)])
def test_blocks_of_a_trace_are_its_operands(tmp_path, dtype, keep):
    trace = drawn(tmp_path / "t", dtype, keep)
    for op in trace.ops:
        for side, whole in zip(("a", "w"), trace.load(op.name), strict=True):
            out = np.full(whole.shape, np.nan, np.float32)
            for gemm, first, values in trace.blocks(op.name, side):
                out[gemm, first : first + len(values)] = values
            np.testing.assert_array_equal(out, whole)


@pytest.mark.parametrize("block_values", [1, 33, 100, 1 << 18])
def test_rows_come_in_order_whatever_the_block(tmp_path, block_values):
    trace = drawn(tmp_path / "t")
    tensor = trace._tensor(trace.record("qk"), "a")
    found = [(gemm, first, values.copy()) for gemm, first, values, _ in row_blocks(tensor, 40, block_values)]
    assert [(gemm, first) for gemm, first, _ in found] == sorted((gemm, first) for gemm, first, _ in found)
    np.testing.assert_array_equal(np.concatenate([x for _, _, x in found]), trace.load("qk")[0].reshape(-1, 33))


def test_a_nan_is_told_as_loading_tells_it(tmp_path):
    drawn(tmp_path / "t")
    replace_shard(tmp_path / "t", lambda values: values["qk.w"].__setitem__((1, 7, 3), np.nan))
    trace = open_trace(tmp_path / "t")
    with pytest.raises(TraceError) as loading:
        trace.load("qk")
    with pytest.raises(TraceError) as reading:
        list(trace.blocks("qk", "w"))
    assert str(reading.value) == str(loading.value)
    assert "holds nan at (count, row, k) = [1, 7, 3]" in str(reading.value)
    (result,) = run(["gobo_array"], str(tmp_path / "t"), "counted")
    assert str(loading.value) in result.failure.reason


def test_of_two_bad_operands_the_activations_are_told(tmp_path):
    drawn(tmp_path / "t")

    def spoil(values):
        values["qk.w"][1, 7, 3] = values["qk.a"][1, 2, 3] = np.nan

    replace_shard(tmp_path / "t", spoil)
    for design in DEPENDENT:
        (result,) = run([design], str(tmp_path / "t"), "counted")
        told = "qk.w" if design.startswith("gobo") else "qk.a"
        assert f"'{told}' holds nan" in result.failure.reason


def test_a_shard_that_became_shorter_is_told(tmp_path):
    trace = drawn(tmp_path / "t")
    shard = tmp_path / "t" / SHARD
    tensor = trace._tensor(trace.record("qk"), "w")
    shard.write_bytes(shard.read_bytes()[: tensor.offset + 4])
    with pytest.raises(TraceError, match="has become shorter"):
        list(row_blocks(tensor, 40))


def run(designs, workload, values, **more):
    MEMORY.clear()
    asked = {"name": "s", "designs": designs, "workloads": [workload], "values": values, **more}
    return evaluate(StudySetup(*read_study(asked, {})), range(len(designs)))


def test_cycles_bytes_and_energy_are_those_of_checked_values(tmp_path):
    drawn(tmp_path / "t")
    designs = DEPENDENT + OTHERS + SELECTED
    for checked, counted in zip(
        *(run(designs, str(tmp_path / "t"), values) for values in ("checked", "counted")), strict=True
    ):
        assert not checked.failure
        assert counted.key != checked.key
        for one, other in zip((checked.row, *checked.layers), (counted.row, *counted.layers), strict=True):
            judged = {"sqnr_db", "sqnr_quantisation_db", "sqnr_arithmetic_db", "exact"}
            if one["design"] in SELECTED:
                judged |= {"act_bits_per_value", "weight_bits_per_value"}
            assert {k: v for k, v in one.items() if k not in judged and v == v} == {
                k: v for k, v in other.items() if k not in judged and v == v
            }
            assert one["exact"] is True
            assert other["exact"] is None


def test_nothing_is_read_that_nothing_depends_on(tmp_path, monkeypatch):
    drawn(tmp_path / "t")
    asked = []
    blocks = Trace.blocks
    monkeypatch.setattr(Trace, "load_side", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(Trace, "blocks", lambda trace, op, side: asked.append((op, side)) or blocks(trace, op, side))
    read = {}
    for design in ("int8_systolic", "olive_systolic", "gobo_array", "llm_int8_systolic", "olaccel_systolic"):
        asked.clear()
        (result,) = run([design], str(tmp_path / "t"), "counted")
        assert not result.failure
        read[design] = {side for _, side in asked}
    assert read == {
        "int8_systolic": set(),
        "olive_systolic": set(),
        "gobo_array": {"w"},
        "llm_int8_systolic": {"a"},
        "olaccel_systolic": {"a", "w"},
    }


def test_drawn_tensors_are_counted_too():
    workload = {"name": "drawn", "statistics": {"weights": "P(0.0084, 0.0004, 20)", "activations": "K(300)"}}
    workload |= {"gemms": [{"name": "x", "M": 30, "N": 50, "K": 70}]}
    checked, counted = (run(DEPENDENT, workload, values) for values in ("checked", "counted"))
    assert [x.row["total_cycles"] for x in checked] == [x.row["total_cycles"] for x in counted]
    assert [x.row["energy_total_pj"] for x in checked] == [x.row["energy_total_pj"] for x in counted]


def test_registers_compute_values():
    with pytest.raises(ConfigError, match=r"values: fidelity: pe_array computes every value; say checked"):
        read_study(
            {
                "name": "s",
                "designs": ["int8_systolic"],
                "workloads": ["minilm-l6-sample"],
                "values": "counted",
                "fidelity": "pe_array",
            },
            {},
        )


@pytest.mark.parametrize("name", DEPENDENT)
def test_marks_of_a_datapath_are_what_its_costs_see(name):
    hardware = build(sim.load_design(name))
    act, weight = tensors("floats", (2, 21, 64), 1), tensors("halves", (2, 33, 64), 2)
    whole = encode(hardware.design, hardware.datapath, act, weight)
    found = marks(hardware.design, hardware.datapath, Cut(act), Cut(weight))
    for pair, other in zip(whole, found, strict=True):
        for one, two in zip(
            hardware.datapath.seen_by_costs(*pair), hardware.datapath.seen_by_costs(*other), strict=True
        ):
            assert set(one.extras) == set(two.extras)
            assert all(np.array_equal(one.extras[key], two.extras[key]) for key in one.extras)


@dataclass(frozen=True)
class _Clipped(Gobo):
    """Encodes otherwise than its formats."""

    def encode(self, act, weight, *how):
        return super().encode(act, np.clip(weight, -2, 2), *how)


@dataclass(frozen=True)
class _Curious(Gobo):
    """Looks at more."""

    def seen_by_costs(self, act, weight):
        return act, lists_of(weight, "outlier_position", "outlier_value")


@dataclass(frozen=True)
class _Half(OlAccel4):
    """Lists the outliers of half the values."""

    def encode_operand(self, x, granularity, method):
        return super().encode_operand(np.asarray(x) * 0.5, granularity, method)


@pytest.mark.parametrize("kind", [_Clipped, _Curious])
def test_who_encodes_otherwise_is_asked_to_encode(kind):
    design = build(sim.load_design("gobo_array")).design
    act, weight = tensors("floats", (1, 9, 64), 1), tensors("wide", (1, 33, 64), 2)
    (whole,), (found,) = encode(design, kind(), act, weight), marks(design, kind(), Cut(act), Cut(weight))
    for one, two in zip(kind().seen_by_costs(*whole), kind().seen_by_costs(*found), strict=True):
        assert set(one.extras) == set(two.extras)
        assert all(np.array_equal(one.extras[key], two.extras[key]) for key in one.extras)


def test_what_a_format_says_of_marks_is_not_inherited_by_one_that_encodes_otherwise():
    assert knows_of(OlAccel4, "marks_operand", "encode_operand")
    assert not knows_of(_Half, "marks_operand", "encode_operand")


def test_a_list_of_kernels_reads_what_it_asks_for(tmp_path, monkeypatch):
    drawn(tmp_path / "t")
    monkeypatch.setattr(Trace, "load_side", lambda *_: pytest.fail("loaded"))
    design = {"extends": "rtx2080ti_int8", "name": "listed", "kernels": "int8_matmul"}
    (result,) = run([design], str(tmp_path / "t"), "counted")
    assert not result.failure


def test_of_what_is_drawn_only_that_side_is(monkeypatch):
    sides = []
    side = Drawn.side
    monkeypatch.setattr(Drawn, "side", lambda how, op, which: sides.append(which) or side(how, op, which))
    workload = {"name": "d", "statistics": {"weights": "N()", "activations": "N()"}}
    workload |= {"gemms": [{"name": "x", "M": 30, "N": 50, "K": 70}]}
    for design, expected in (("int8_systolic", set()), ("gobo_array", {1}), ("llm_int8_systolic", {0})):
        sides.clear()
        run([design], workload, "counted")
        assert set(sides) == expected


def test_what_needs_results_is_refused():
    asked = {"name": "s", "designs": ["int8_systolic"], "workloads": ["minilm-l6-sample"], "values": "counted"}
    with pytest.raises(ConfigError, match=r"constraints.*'sqnr_db' needs results, which values: counted does not"):
        read_study(asked | {"constraints": ["sqnr_db > 10"]}, {})
    objectives = {"objectives": ["latency_s", "sqnr_db"], "points": 4}
    with pytest.raises(ConfigError, match=r"'sqnr_db' needs results"):
        read_study(asked | {"sweep": {"array.rows": [8, 16]}, "search": {"method": "random"} | objectives}, {})


def test_a_page_says_that_values_were_counted(tmp_path):
    drawn(tmp_path / "t")
    asked = {"name": "s", "designs": ["gobo_array"], "workloads": [str(tmp_path / "t")], "values": "counted"}
    sim.run_study(asked, out=tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Tensors were counted, no product was computed." in page
    assert "(values: counted): no product was computed or held to the reference" in page


@pytest.mark.parametrize("name", ["gobo4", "olaccel4", "llm_int8"])
def test_memory_is_bounded_by_a_block(tmp_path, name):
    rows, K = 2048, 4096  # 32 MiB as float32
    with TraceWriter(tmp_path / "t", model=MODEL, input=INPUT, created=CREATED) as trace:
        values = np.random.default_rng(1).standard_normal((rows, K), np.float32).astype(np.float16)
        trace.add_tensor("x", values)
        trace.add_tensor("w", values[:8])
        trace.add_op(Op("q", rows, 8, K), a="x", w="w")

    class OfTrace(Whole):
        shape = (1, rows, K)  # type: ignore[assignment]

        def blocks(self):
            return opened.blocks("q", "a")

    opened, encoding = open_trace(tmp_path / "t"), formats.get(name)
    encoding.marks_operand(OfTrace(values[None, :1]), "tensor", "mse")
    tracemalloc.start()
    (found,) = encoding.marks_operand(OfTrace(values[None, :1]), "tensor", "mse")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    listed = sum(extra.size for extra in found.extras.values())
    assert peak < (8 << 20) + 32 * listed
