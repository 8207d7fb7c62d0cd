"""``bitfusion``: all products from two-bit bricks, 16 bits in passes, arrays that grow as operands shrink."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import datapath
from simulator.datapath import OptionError
from simulator.errors import AccumulatorOverflowError
from simulator.study.building import build
from simulator.workload import Op
from tests import naive, naive_fused, naive_int_float
from tests.datapaths import on_the_arrays, same_bits, stored

pytestmark = pytest.mark.kernels

NARROW = list(itertools.product((2, 4, 8), repeat=2))
LONG = [(16, 2), (16, 8), (8, 16), (4, 16), (16, 16)]


def make(act_bits, weight_bits):
    return datapath.create("bitfusion", {"act_bits": act_bits, "weight_bits": weight_bits})


def operand(values, bits):
    pack = naive_int_float.pack_int16 if bits == 16 else lambda row: naive_int_float.pack(row, bits)
    return stored(np.array([pack(row) for row in values], np.uint8), len(values[0]))


def every(bits):
    return range(-(2 ** (bits - 1)), 2 ** (bits - 1))


def terms(dp, act_words, weight_words):
    """What each pass adds to the accumulator."""
    found = []
    for a, w in zip(act_words.tolist(), weight_words.tolist(), strict=True):
        state = np.zeros(1, np.int64)
        dp.mac(state, a, w)
        found.append(int(state[0]))
    return found


# Products


@pytest.mark.parametrize(("a_bits", "w_bits"), NARROW)
def test_bricks_make_every_product(a_bits, w_bits):
    """The unit's sum of brick products, and the kernel's direct product, for all pairs of codes."""
    dp = make(a_bits, w_bits)
    a, w = ([[v] for v in every(bits)] for bits in (a_bits, w_bits))
    pair = operand(a, a_bits), operand(w, w_bits)
    expected = np.array(naive.int_matmul(a, w))
    same_bits(dp.matmul(*pair), expected)
    act, weight = (dp.edge_words(x, which)[:, 0].tolist() for x, which in zip(pair, ("act", "weight"), strict=True))
    state, found = np.zeros(1, np.int64), np.empty_like(expected)
    for m, x in enumerate(act):
        for n, y in enumerate(weight):
            state[0] = 3
            dp.mac(state, x, y)
            found[m, n] = state[0] - 3
    same_bits(found, expected)


def test_the_oracle_counts_the_bricks_of_a_unit():
    """16 bricks: one 8 x 8 product, four 4 x 4, sixteen 2 x 2, as ``logical_array`` says."""
    for a_bits, w_bits in NARROW:
        for a, w in itertools.product((-(2 ** (a_bits - 1)), -1, 0, 1), (-(2 ** (w_bits - 1)), -1, 0, 1)):
            product, bricks = naive_fused.brick_product(a, a_bits, w, w_bits)
            rows, cols = make(a_bits, w_bits).logical_array(1, 1)
            assert (product, bricks * rows * cols) == (a * w, 16)


@pytest.mark.parametrize(("a_bits", "w_bits"), LONG)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_16_bits_pass_by_pass(a_bits, w_bits, data):
    dp = make(a_bits, w_bits)
    a, w = (
        data.draw(st.one_of(st.sampled_from([min(every(b)), max(every(b)), -1, 0]), st.sampled_from(every(b))))
        for b in (a_bits, w_bits)
    )
    pair = operand([[a]], a_bits), operand([[w]], w_bits)
    fed = dp.edge_words(pair[0], "act")[0], dp.edge_words(pair[1], "weight")[0]
    found = terms(dp, *fed)
    assert found == naive_fused.passes(a, a_bits, w, w_bits)
    assert (len(found), sum(found)) == (dp.cycles_per_step(), a * w)
    same_bits(dp.matmul(*pair), np.array([[a * w]]))


def test_the_order_of_halves():
    """Activation halves outermost, high before low: 0x1234 x 0x5678 is 12 x 56, 12 x 78, 34 x 56, 34 x 78."""
    dp = make(16, 16)
    pair = operand([[0x1234, -1]], 16), operand([[0x5678, 1]], 16)
    found = terms(dp, dp.edge_words(pair[0], "act")[0], dp.edge_words(pair[1], "weight")[0])
    assert found[:4] == [0x12 * 0x56 << 16, 0x12 * 0x78 << 8, 0x34 * 0x56 << 8, 0x34 * 0x78]
    assert found[4:] == [0, -256, 0, 255]


@pytest.mark.parametrize(("a_bits", "w_bits"), LONG)
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
def test_the_arrays_give_the_product_in_as_many_passes(a_bits, w_bits, overlap):
    rng = np.random.default_rng(a_bits + w_bits)
    dp = make(a_bits, w_bits)
    a, w = (rng.integers(-(2 ** (b - 1)), 2 ** (b - 1), (rows, 5)) // 4 for b, rows in ((a_bits, 5), (w_bits, 3)))
    pair = operand(a.tolist(), a_bits), operand(w.tolist(), w_bits)
    same_bits(on_the_arrays(dp, pair, 2, 1, overlap), np.array(naive.int_matmul(a.tolist(), w.tolist())))


# Accumulators


def test_a_sum_that_only_a_half_breaks():
    """2 x 32767^2 + 32768 fits int32; with the high halves of -1 x -32768 alone it would be 2^23 more."""
    act, weight = [32767, 32767, -1], [32767, 32767, -32768]
    dp, pair = make(16, 16), (operand([act], 16), operand([weight], 16))
    assert naive.first_overflow([act], [weight], 32) is None
    assert naive_fused.first_overflow([act], [weight], 16, 16, 32) == (0, 0)
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(*pair)
    assert str(error.value) == "bitfusion: a partial sum of output (0, 0) leaves the 32-bit accumulator"
    whole = datapath.create("int_mac", {"act_bits": 16, "weight_bits": 16})
    assert whole.matmul(*pair).tolist() == [[2 * 32767**2 + 32768]]


@pytest.mark.parametrize("seed", range(20))
def test_overflow_is_judged_after_every_pass(seed):
    rng = np.random.default_rng(seed)
    a_bits, w_bits = ((16, 16), (16, 8), (8, 16))[seed % 3]
    dp = make(a_bits, w_bits)
    K = 4 if a_bits == w_bits else 600
    edges = [[-(2 ** (b - 1)), 2 ** (b - 1) - 1, -1] for b in (a_bits, w_bits)]
    a, w = ([rng.choice(edge, K, p=[0.1, 0.8, 0.1]).tolist() for _ in range(2)] for edge in edges)
    where = naive_fused.first_overflow(a, w, a_bits, w_bits, 32)
    pair = operand(a, a_bits), operand(w, w_bits)
    if where is None:
        same_bits(dp.matmul(*pair), np.array(naive.int_matmul(a, w)))
        return
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(*pair)
    assert str(error.value) == f"bitfusion: a partial sum of output {where} leaves the 32-bit accumulator"


# Shape, bills, options


@pytest.mark.parametrize(
    ("a_bits", "w_bits", "array", "cycles", "action", "reg_bits"),
    [
        (8, 8, (32, 16), 1, "fusion_8x8", 16),
        (8, 4, (32, 32), 1, "fusion_8x4", 8),
        (4, 8, (64, 16), 1, "fusion_8x4", 8),
        (4, 4, (64, 32), 1, "fusion_4x4", 4),
        (2, 4, (128, 32), 1, "fusion_4x2", 2),
        (8, 2, (32, 64), 1, "fusion_8x2", 4),
        (2, 2, (128, 64), 1, "fusion_2x2", 1),
        (16, 8, (32, 16), 2, "fusion_8x8", 32),
        (4, 16, (64, 16), 2, "fusion_8x4", 16),
        (16, 16, (32, 16), 4, "fusion_8x8", 64),
    ],
)
def test_arrays_passes_and_bills(a_bits, w_bits, array, cycles, action, reg_bits):
    dp = make(a_bits, w_bits)
    assert dp.logical_array(32, 16) == array
    assert dp.cycles_per_step() == cycles
    assert dp.actions_per_mac() == {action: cycles}
    assert cycles * (dp.register_bits("act") + dp.register_bits("weight")) == reg_bits
    assert dp.area_bill(32, 16) == {"pe_fusion8_acc32": 512}


@pytest.mark.parametrize(("a_bits", "w_bits"), [(8, 8), (4, 4), (2, 8), (16, 8), (16, 16)])
def test_cycles_of_a_gemm(a_bits, w_bits):
    options = {"datapath.act_bits": a_bits, "datapath.weight_bits": w_bits, "memory.dram.model": "none"}
    dp = make(a_bits, w_bits)
    rows, cols = dp.logical_array(32, 32)
    cycles = sim.simulate_gemm(sim.load_design("bitfusion_systolic", set=options), M=150, N=70, K=90).cycles["total"]
    assert cycles == naive.os_cycles(150, 70, 90 * dp.cycles_per_step(), rows, cols, "full")


def test_layers_set_the_precision_of_the_same_units():
    layers = [{"ops": "*.narrow", "datapath": {"act_bits": 4, "weight_bits": 4}}]
    hardware = build(sim.load_design({"extends": "bitfusion_systolic", "name": "mixed", "layers": layers}))
    narrow, wide = (hardware.for_op(Op(name, 8, 8, 8)) for name in ("a.narrow", "a.wide"))
    assert narrow.bill.parts == wide.bill.parts
    assert narrow.peak_tops == 4 * wide.peak_tops


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("act_bits", 3, "Input should be 2, 4, 8 or 16, found 3"),
        ("weight_bits", True, "Input should be 2, 4, 8 or 16, found True"),
        ("acc_bits", 32, "unknown option of datapath 'bitfusion'; did you mean 'act_bits'?"),
    ],
)
def test_wrong_options(option, value, message):
    with pytest.raises(OptionError) as error:
        datapath.create("bitfusion", {option: value})
    assert (error.value.option, str(error.value)) == (option, message)
