"""The register-accurate arrays against closed forms and integer matmul, and how tight their schedules are."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import datapath
from simulator.engine.pe_array import run_os_array
from simulator.engine.pe_array_stationary import run_stationary_array
from simulator.errors import MappingError
from simulator.mapping import DATAFLOWS, FOLD_OVERLAPS, ArrayShape, held_total, os_total
from tests import naive_registers

pytestmark = pytest.mark.kernels

INT_MAC = datapath.get("int_mac").mac
SEEDS = range(120)
every_dataflow = pytest.mark.parametrize("dataflow", DATAFLOWS)


def closed_form(dataflow, M, N, K, rows, cols, overlap, words=1):
    """The contract's table, section 3, once more and by hand; a result of ``words`` words drains that much longer."""
    F, T = {
        "os": (-(-M // rows) * -(-N // cols), K),
        "ws": (-(-K // rows) * -(-N // cols), M),
        "is": (-(-K // rows) * -(-M // cols), N),
    }[dataflow]
    if dataflow == "os":
        drain = rows * words
        return {
            "none": F * (T + rows + drain + cols - 2),
            "wave": (F - 1) * (T + drain - 1) + T + rows + drain + cols - 2,
            "full": (F - 1) * max(T, drain) + T + rows + drain + cols - 2,
            "scalesim": F * (T + rows + cols - 2) - 1,
        }[overlap]
    return {
        "none": F * (T + 2 * rows + cols - 1),
        "wave": rows + (F - 1) * (T + rows - 1) + T + rows + cols - 1,
        "full": rows + (F - 1) * max(T, rows) + T + rows + cols - 1,
        "scalesim": F * (T + 2 * rows + cols - 2) - 1,
    }[overlap]


def random_case(seed):
    rng = np.random.default_rng(seed)
    if seed == 0:
        M = N = K = rows = cols = 1
    else:
        (M, N, K), (rows, cols) = rng.integers(1, 24, 3).tolist(), rng.integers(1, 10, 2).tolist()
    return rng.integers(-128, 128, (M, K)), rng.integers(-128, 128, (N, K)), rows, cols


def run(dataflow, act, weight, rows, cols, overlap, earlier=0, words=1, mac=INT_MAC, **folds):
    shape = ArrayShape(rows, cols, overlap, 1, words, dataflow)
    stream = shape.stream(len(act), len(weight), act.shape[1])
    period = shape.fold(stream).period_cycles - earlier
    how = {"mac": mac, "period_cycles": period, "double_buffered": overlap == "full", **folds}
    if dataflow == "os":
        return run_os_array(act, weight, rows, cols, **how, result_words=words)
    return run_stationary_array(act, weight, rows, cols, **how, held="weight" if dataflow == "ws" else "act")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@every_dataflow
def test_cycles_are_the_closed_form_and_values_are_the_product(seed, overlap, dataflow):
    act, weight, rows, cols = random_case(seed)
    shape = len(act), len(weight), act.shape[1]
    result = run(dataflow, act, weight, rows, cols, overlap)
    expected = closed_form(dataflow, *shape, rows, cols, overlap)
    assert result.cycles == expected == ArrayShape(rows, cols, overlap, dataflow=dataflow).total(*shape)
    np.testing.assert_array_equal(result.values, act @ weight.T)
    assert result.pe_cycles == result.cycles * rows * cols


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@pytest.mark.parametrize("words", [2, 9])
def test_results_of_several_words_drain_longer(seed, overlap, words):
    act, weight, rows, cols = random_case(seed)
    result = run("os", act, weight, rows, cols, overlap, words=words)
    expected = closed_form("os", len(act), len(weight), act.shape[1], rows, cols, overlap, words)
    assert result.cycles == expected
    np.testing.assert_array_equal(result.values, act @ weight.T)


@pytest.mark.parametrize("seed", SEEDS)
@every_dataflow
def test_scalesim_is_its_published_figure(seed, dataflow):
    act, weight, rows, cols = random_case(seed)
    shape = len(act), len(weight), act.shape[1]
    found = ArrayShape(rows, cols, "scalesim", dataflow=dataflow).total(*shape)
    assert found == closed_form(dataflow, *shape, rows, cols, "scalesim")


@pytest.mark.parametrize("overlap", FOLD_OVERLAPS)
def test_totals_by_folds_are_those_by_shapes(overlap):
    assert os_total(6, 7, 3, 4, overlap) == closed_form("os", 6, 12, 7, 3, 4, overlap)
    assert held_total(6, 7, 3, 4, overlap) == closed_form("ws", 7, 12, 6, 3, 4, overlap)


@pytest.mark.parametrize("overlap", ["wave", "full"])
@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 5, 1), (8, 2, 5), (2, 9, 1)], ids=str)
@every_dataflow
def test_one_cycle_earlier_and_results_are_lost(overlap, shape, dataflow):
    """Folds that follow one cycle earlier than the closed form allows overwrite what is still needed."""
    rows, cols, stream = shape
    rng = np.random.default_rng(0)
    M, N, K = {
        "os": (2 * rows, 2 * cols, stream),
        "ws": (stream, 2 * cols, 2 * rows),
        "is": (2 * cols, stream, 2 * rows),
    }[dataflow]
    act, weight = rng.integers(1, 100, (M, K)), rng.integers(1, 100, (N, K))
    period = ArrayShape(rows, cols, overlap, dataflow=dataflow).fold(stream).period_cycles
    assert period - 1 >= stream, "the case must be bound by the array, not the feed"
    np.testing.assert_array_equal(run(dataflow, act, weight, rows, cols, overlap).values, act @ weight.T)
    assert (run(dataflow, act, weight, rows, cols, overlap, earlier=1).values != act @ weight.T).any()


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("overlap", ["wave", "full"])
@every_dataflow
def test_any_schedule_gives_what_the_plain_registers_give(seed, overlap, dataflow):
    """Also one that loses results: then the same results are lost."""
    rng = np.random.default_rng(seed)
    act, weight, rows, cols = random_case(seed)
    stream = {"os": act.shape[1], "ws": len(act), "is": len(weight)}[dataflow]
    words = int(rng.integers(1, 4)) if dataflow == "os" else 1
    how = {"period_cycles": stream + int(rng.integers(0, rows + 2)), "double_buffered": overlap == "full"}
    plain = how["period_cycles"], how["double_buffered"]
    if dataflow == "os":
        run = run_os_array(act, weight, rows, cols, mac=INT_MAC, **how, result_words=words)
        found, cycles = naive_registers.os_array(act.tolist(), weight.tolist(), rows, cols, *plain, words)
    else:
        held = "weight" if dataflow == "ws" else "act"
        run = run_stationary_array(act, weight, rows, cols, mac=INT_MAC, **how, held=held)
        sides = (act, weight) if dataflow == "ws" else (weight, act)
        found, cycles = naive_registers.held_array(*(x.tolist() for x in sides), rows, cols, *plain)
    values = run.values if dataflow != "is" else run.values.T
    assert run.cycles == cycles
    assert {place: int(values[place]) for place in found} == found
    assert len(found) == values.size


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@every_dataflow
def test_the_first_folds_alone_are_those_of_a_longer_run(seed, overlap, dataflow):
    """As many folds as their outputs, or their part of K, would be as a GEMM of their own."""
    act, weight, rows, cols = random_case(seed)
    shape = ArrayShape(rows, cols, overlap, dataflow=dataflow)
    stream, total = shape.stream(len(act), len(weight), act.shape[1]), shape.folds(len(act), len(weight), act.shape[1])
    folds = 1 + seed % total
    some = run(dataflow, act, weight, rows, cols, overlap, folds=folds)
    total_cycles = os_total if dataflow == "os" else held_total
    assert some.cycles == total_cycles(folds, stream, rows, cols, overlap)
    expected = np.zeros_like(some.values)
    for fold in range(folds):
        inner = -(-len(weight) // cols) if dataflow == "os" else -(-act.shape[1] // rows)
        i, j = divmod(fold, inner)
        if dataflow == "os":
            m, n, k = slice(i * rows, (i + 1) * rows), slice(j * cols, (j + 1) * cols), slice(None)
        else:
            kept, k = slice(i * cols, (i + 1) * cols), slice(j * rows, (j + 1) * rows)
            m, n = (slice(None), kept) if dataflow == "ws" else (kept, slice(None))
        expected[m, n] += act[m, k] @ weight[n, k].T
    np.testing.assert_array_equal(some.values, expected)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@every_dataflow
def test_without_values_every_register_still_takes_its_cycle(seed, overlap, dataflow):
    act, weight, rows, cols = random_case(seed)
    timed = run(dataflow, act, weight, rows, cols, overlap, mac=None)
    full = run(dataflow, act, weight, rows, cols, overlap)
    assert (timed.cycles, timed.pe_cycles) == (full.cycles, full.pe_cycles)
    assert not timed.values.any()


WIDE = [(17, 33), (40, 16), (3, 70), (65, 5)]
"""Arrays whose rows are more or less than a machine vector, and whose tapes are rewound at other times."""


@pytest.mark.parametrize("sides", WIDE, ids=str)
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@every_dataflow
def test_arrays_wider_than_a_machine_vector(sides, overlap, dataflow):
    rows, cols = sides
    rng = np.random.default_rng(rows)
    act, weight = rng.integers(-128, 128, (70, 30)), rng.integers(-128, 128, (75, 30))
    result = run(dataflow, act, weight, rows, cols, overlap)
    np.testing.assert_array_equal(result.values, act @ weight.T)
    assert result.cycles == closed_form(dataflow, 70, 75, 30, rows, cols, overlap)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_float_sums_are_added_in_their_order(dataflow):
    """Each PE adds in float32, k by k, however many of them are worked on at once; a zero keeps its sign."""
    rng = np.random.default_rng(5)
    act = rng.standard_normal((37, 51)).astype(np.float32) * np.exp(rng.standard_normal((37, 1))).astype(np.float32)
    weight = rng.standard_normal((35, 51)).astype(np.float32)
    act[:2], act[0, :5], weight[:3] = 0, -0.0, np.abs(weight[:3])
    shape = ArrayShape(9, 17, "full", dataflow=dataflow)
    how = {"mac": datapath.get("fp16_mac").mac, "state_type": np.float32, "double_buffered": True}
    how["period_cycles"] = shape.fold(shape.stream(37, 35, 51)).period_cycles
    if dataflow == "os":
        found = run_os_array(act, weight, 9, 17, **how).values
    else:
        found = run_stationary_array(act, weight, 9, 17, **how, held="weight" if dataflow == "ws" else "act").values
    expected = np.zeros((37, 35), np.float32)
    for k in range(51):
        expected = expected + np.outer(act[:, k], weight[:, k])
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_feeding_two_folds_at_once_is_refused():
    operand = np.ones((4, 6), np.int64)
    with pytest.raises(MappingError, match=r"^a fold of 6 steps cannot be issued every 5 cycles$"):
        run_os_array(operand, operand, 2, 2, mac=INT_MAC, period_cycles=5, double_buffered=True)
    with pytest.raises(MappingError, match=r"^a fold of 4 words cannot be issued every 3 cycles$"):
        run_stationary_array(operand, operand, 2, 2, held="act", mac=INT_MAC, period_cycles=3, double_buffered=True)


def test_operands_must_share_k():
    act, weight = np.ones((4, 6), np.int64), np.ones((4, 5), np.int64)
    with pytest.raises(MappingError, match=r"^operands of shapes \(4, 6\) and \(4, 5\) do not multiply along K$"):
        run_os_array(act, weight, 2, 2, mac=INT_MAC, period_cycles=9, double_buffered=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_many_more_shapes(seed):
    for overlap in ("none", "wave", "full"):
        for dataflow in DATAFLOWS:
            test_cycles_are_the_closed_form_and_values_are_the_product(seed, overlap, dataflow)
