"""The register-accurate array against closed forms and integer matmul, and how tight its schedule is."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import datapath
from simulator.engine.pe_array import run_os_array
from simulator.errors import MappingError
from simulator.mapping import os_fold, os_total

pytestmark = pytest.mark.kernels

INT_MAC = datapath.get("int_mac").mac
SEEDS = range(150)


def closed_form(folds, K, rows, cols, overlap):
    """The contract's table, section 3, once more and by hand."""
    return {
        "none": folds * (K + 2 * rows + cols - 2),
        "wave": (folds - 1) * (K + rows - 1) + K + 2 * rows + cols - 2,
        "full": (folds - 1) * max(K, rows) + K + 2 * rows + cols - 2,
        "scalesim": folds * (K + rows + cols - 2) - 1,
    }[overlap]


def random_case(seed):
    rng = np.random.default_rng(seed)
    if seed == 0:
        M = N = K = rows = cols = 1
    else:
        (M, N, K), (rows, cols) = rng.integers(1, 24, 3).tolist(), rng.integers(1, 10, 2).tolist()
    act, weight = rng.integers(-128, 128, (M, K)), rng.integers(-128, 128, (N, K))
    return act, weight, rows, cols, -(-M // rows) * -(-N // cols)


def run(act, weight, rows, cols, overlap, earlier=0):
    period = os_fold(act.shape[1], rows, cols, overlap).period_cycles - earlier
    return run_os_array(
        act, weight, rows, cols, mac=INT_MAC, period_cycles=period, double_buffered=overlap == "full"
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
def test_cycles_are_the_closed_form_and_values_are_the_product(seed, overlap):
    act, weight, rows, cols, folds = random_case(seed)
    result = run(act, weight, rows, cols, overlap)
    K = act.shape[1]
    assert result.cycles == closed_form(folds, K, rows, cols, overlap) == os_total(folds, K, rows, cols, overlap)
    np.testing.assert_array_equal(result.values, act @ weight.T)
    assert result.pe_cycles == result.cycles * rows * cols


@pytest.mark.parametrize("seed", SEEDS)
def test_scalesim_is_its_published_figure(seed):
    act, _, rows, cols, folds = random_case(seed)
    K = act.shape[1]
    assert os_total(folds, K, rows, cols, "scalesim") == closed_form(folds, K, rows, cols, "scalesim")


@pytest.mark.parametrize("overlap", ["wave", "full"])
@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 5, 1), (8, 2, 5)], ids=str)
def test_one_cycle_earlier_and_results_are_lost(overlap, shape):
    """Folds that follow one cycle earlier than the closed form allows overwrite results that have not left yet."""
    rows, cols, K = shape
    rng = np.random.default_rng(0)
    act, weight = rng.integers(1, 100, (2 * rows, K)), rng.integers(1, 100, (2 * cols, K))
    assert os_fold(K, rows, cols, overlap).period_cycles - 1 >= K, "the case must be bound by the drain, not the feed"
    np.testing.assert_array_equal(run(act, weight, rows, cols, overlap).values, act @ weight.T)
    assert (run(act, weight, rows, cols, overlap, earlier=1).values != act @ weight.T).any()


def test_feeding_two_folds_at_once_is_refused():
    operand = np.ones((4, 6), np.int64)
    with pytest.raises(MappingError, match=r"^a fold of 6 steps cannot be issued every 5 cycles$"):
        run_os_array(operand, operand, 2, 2, mac=INT_MAC, period_cycles=5, double_buffered=True)


def test_operands_must_share_k():
    act, weight = np.ones((4, 6), np.int64), np.ones((4, 5), np.int64)
    with pytest.raises(MappingError, match=r"^operands of shapes \(4, 6\) and \(4, 5\) do not multiply along K$"):
        run_os_array(act, weight, 2, 2, mac=INT_MAC, period_cycles=9, double_buffered=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_many_more_shapes(seed):
    for overlap in ("none", "wave", "full"):
        test_cycles_are_the_closed_form_and_values_are_the_product(seed, overlap)
