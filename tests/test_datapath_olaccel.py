"""``olaccel``: three exact sums, stalls and side loads against a naive array, a tight test per rule, wrong options."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.config import load_design
from simulator.datapath import Job, OptionError
from simulator.datapath.outlier_groups import GroupedOutliers, _at_most
from simulator.errors import AccumulatorOverflowError
from simulator.formats import Encoded
from simulator.tiles import TILE_DTYPE
from tests import naive, naive_stalls
from tests.datapaths import encoded_pair, fold, heavy_tailed, on_the_arrays, reference, same_bits, seeds

pytestmark = pytest.mark.kernels


def olaccel(**options):
    return datapath.create("olaccel", options)


def operand(rows):
    """Rows of (value, is outlier) as they are stored."""
    flat = [v for row in rows for v in row]
    position = [i for i, (_, outlier) in enumerate(flat) if outlier]
    extras = {
        "outlier_position": np.array(position, np.uint32),
        "outlier_value": np.array([flat[i][0] for i in position], np.int16),
    }
    codes = [naive.pack_int4([0 if outlier else value for value, outlier in row]) for row in rows]
    return Encoded(np.array(codes, np.uint8), np.ones((), np.float32), len(rows[0]), extras)


def marks_only(marks):
    """An operand of zeros with outliers of 1000 where marked."""
    return operand([[(1000 if mark else 0, mark) for mark in line] for line in marks])


values = st.tuples(st.integers(-32767, 32767), st.booleans()).map(lambda v: v if v[1] else ((v[0] + 8) % 16 - 8, False))


@settings(deadline=None, max_examples=300)
@given(data=st.data(), M=st.integers(1, 3), N=st.integers(1, 3), K=st.integers(1, 9))
def test_results_are_the_three_sums(data, M, N, K):
    acts, weights = ([data.draw(st.lists(values, min_size=K, max_size=K)) for _ in range(rows)] for rows in (M, N))
    dp, pair = olaccel(), (operand(acts), operand(weights))
    expected = np.array([[sum(naive_stalls.sums(a, w)) for w in weights] for a in acts])
    same_bits(dp.matmul(*pair), expected)
    same_bits(reference(dp, pair), expected)
    (lane,) = dp.lanes(*pair, 4, 4)
    same_bits(fold(lane), expected)
    for m, n in np.ndindex(M, N):
        state = np.zeros(3, np.int64)
        for k in range(K):
            lane.mac(state, lane.act[m, k], lane.weight[n, k])
        assert tuple(state.tolist()) == naive_stalls.sums(acts[m], weights[n])


def test_all_dense_products_and_outliers_of_either_sign():
    """All int4 codes and some outliers, 0 among them, on both sides."""
    every = [[(value, False)] for value in range(-8, 8)] + [[(v, True)] for v in (-32767, -8, -1, 0, 1, 300, 32767)]
    pair = operand(every), operand(every)
    expected = np.array([[a[0] * w[0] for (w,) in every] for (a,) in every])
    same_bits(olaccel().matmul(*pair), expected)
    same_bits(fold(olaccel().lanes(*pair, 4, 4)[0]), expected)


def test_encoded_operands_on_the_arrays():
    dp, rng = olaccel(outlier_share=0.1), np.random.default_rng(8)
    pair = encoded_pair(dp, heavy_tailed(rng, (5, 33)), heavy_tailed(rng, (6, 33)), "mse")
    assert [len(x.extras["outlier_position"]) for x in pair] == [16, 19]
    same_bits(dp.matmul(*pair), reference(dp, pair))
    same_bits(on_the_arrays(dp, pair, 2, 3, "wave"), reference(dp, pair))


@pytest.mark.parametrize(
    ("act", "weight", "bits"),
    [((-8, False), (-8, False), 24), ((-7, False), (-32767, True), 32), ((32767, True), (32767, True), 48)],
    ids=["dense", "lane", "high precision"],
)
def test_each_sum_has_a_width_of_its_own(act, weight, bits):
    dp, product = olaccel(), act[0] * weight[0]
    steps = (2 ** (bits - 1) - 1) // product
    most, more = ([operand([[v] * n]) for v in (act, weight)] for n in (steps, steps + 1))
    assert dp.matmul(*most).tolist() == [[steps * product]]
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(*more)
    assert str(error.value) == f"olaccel: a partial sum of output (0, 0) leaves the {bits}-bit accumulator"


# Stalls


def one_tile(M, N, K):
    tiles = np.zeros(1, TILE_DTYPE)
    tiles["m"], tiles["n"], tiles["k"] = M, N, K
    tiles["act_load_bytes"] = tiles["weight_load_bytes"] = 1
    return tiles


def stalls(act, weight, rows=32, cols=36, **options):
    """Stall cycles of marks (M, K) and (N, K), one tile."""
    job = Job(
        len(act), len(weight), len(act[0]), rows, cols, one_tile(len(act), len(weight), len(act[0])), None, None, 0
    )
    job = replace(job, act=marks_only(act), weight=marks_only(weight))
    return int(olaccel(**options).tile_costs(job).outlier_cycles[0])


def column(lines, marked, K=1, k=0):
    """Marks (lines, K) with outliers in step ``k`` of the lines ``marked``."""
    return [[line in marked and step == k for step in range(K)] for line in range(lines)]


none = column(32, ())


@pytest.mark.parametrize(
    ("act", "weight", "expected"),
    [
        (none, column(36, ()), 0),
        (none, column(36, {0}), 0),  # one per group costs nothing
        (none, column(36, {0, 16, 32}), 0),  # one in each of three groups
        (none, column(36, {0, 15}), 1),  # first and last of a group
        (none, column(36, {15, 16}), 0),  # neighbours in different groups
        (none, column(36, {32, 35}), 1),  # the short group
        (none, column(36, set(range(16))), 15),
        (column(32, {0, 16}), column(36, {0}), 0),
        (column(32, {16, 31}), column(36, {0}), 1),
        (column(32, {15, 16}), column(36, {0}), 0),
        (column(32, {0, 1}), column(36, {0, 1}), 1),  # both kinds wait at the same time
        (column(32, {0, 1, 2}), column(36, {0, 1}), 2),
        (column(32, {0, 1}, 2, 0), column(36, {0, 1}, 2, 1), 2),  # in different steps one after the other
        (column(33, {31, 32}), column(37, {35, 36}), 0),  # lines of different folds
        (column(33, {0, 1}), column(37, ()), 2),  # each column fold meets the activations again
        (column(33, {0, 1, 32}), column(37, {36, 0, 1}), 3),  # folds (0,0), (0,1), (1,0) wait, (1,1) does not
    ],
)
def test_what_a_step_costs(act, weight, expected):
    act, weight = ([line + [False] * (2 - len(line)) for line in side] for side in (act, weight))
    assert stalls(act, weight) == expected
    assert stalls(act, weight, stalls=False) == 0


def test_groups_are_as_wide_as_the_design_says():
    act, weight = none, column(36, {0, 8, 35})
    assert [stalls(act, weight, group=group) for group in (1, 8, 9, 36, 64)] == [0, 0, 1, 2, 2]


@seeds(24)
def test_stalls_lists_and_products_are_those_of_the_naive_array(seed):
    """Ragged arrays, groups and tiles, K in chunks, few to many outliers; 1,200 cases, 50 at a time."""
    for case in range(50 * seed, 50 * seed + 50):
        check_costs(case)


def check_costs(seed):
    rng = np.random.default_rng(seed)
    M, N, K = rng.integers(1, 24, 3).tolist()
    rows, cols, group = rng.integers(1, 9, 3).tolist()
    m, n, k = rows * int(rng.integers(1, 4)), cols * int(rng.integers(1, 4)), int(rng.integers(1, K + 1))
    share = (0.03, 0.2, 0.6)[seed % 3]
    act, weight = ((rng.random((lines, K)) < share).tolist() for lines in (M, N))
    corners = [(m0, n0, k0) for m0 in range(0, M, m) for n0 in range(0, N, n) for k0 in range(0, K, k)]
    tiles = np.zeros(len(corners), TILE_DTYPE)
    for tile, (m0, n0, k0) in zip(tiles, corners, strict=True):
        tile["m0"], tile["n0"], tile["k0"] = m0, n0, k0
        tile["m"], tile["n"], tile["k"] = min(m, M - m0), min(n, N - n0), min(k, K - k0)
        tile["act_load_bytes"], tile["weight_load_bytes"] = rng.integers(0, 2, 2)
    job = Job(M, N, K, rows, cols, tiles, marks_only(act), marks_only(weight), 0)
    costs = olaccel(group=group).tile_costs(job)
    expected, loads, read, products = [], ([], []), [0, 0], [0, 0]
    for tile in tiles:
        m0, m, n0, n, k0, k = (int(tile[x]) for x in ("m0", "m", "n0", "n", "k0", "k"))
        expected.append(naive_stalls.tile_stalls(act, weight, (m0, m, n0, n, k0, k), rows, cols, group))
        acts, weights = naive_stalls.marked(act, m0, m, k0, k), naive_stalls.marked(weight, n0, n, k0, k)
        loads[0].append(6 * acts * int(tile["act_load_bytes"]))
        loads[1].append(6 * weights * int(tile["weight_load_bytes"]))
        read[0] += 48 * acts * -(-n // cols)
        read[1] += 48 * weights * -(-m // rows)
        products[0] += weights * m
        products[1] += acts * n
    assert costs.outlier_cycles.tolist() == expected, f"case {seed}"
    assert (costs.act_load_bytes.tolist(), costs.weight_load_bytes.tolist()) == loads
    assert costs.act_buffer_bits == (read[0], 8 * sum(loads[0]))
    assert costs.weight_buffer_bits == (read[1], 8 * sum(loads[1]))
    both = sum(act[m][k] and weight[n][k] for m in range(M) for n in range(N) for k in range(K))
    assert costs.actions["outlier_mac_int16x4_acc32"] == products[0] - both
    assert costs.actions["outlier_mac_int16x16_acc48"] == products[1]
    assert costs.actions["reg_bit"] == sum(products) * (16 + (group - 1).bit_length())
    assert not costs.vector_cycles.any()


# Shapes only


def drawn(M, N, K, seed=0, tiles=None, **options):
    job = Job(M, N, K, 32, 36, one_tile(M, N, K) if tiles is None else tiles, None, None, seed)
    return olaccel(**options).tile_costs(job)


def test_drawn_outliers_have_the_stated_share_and_repeat_with_their_seed():
    M, N, K = 256, 360, 1000
    costs = drawn(M, N, K)
    for found, size in ((costs.act_load_bytes, M * K), (costs.weight_load_bytes, N * K)):
        assert abs(int(found[0]) / 6 - 0.03 * size) < 6 * (size * 0.03 * 0.97) ** 0.5
    again, other = drawn(M, N, K), drawn(M, N, K, seed=1)
    assert costs.outlier_cycles.tolist() == again.outlier_cycles.tolist() != other.outlier_cycles.tolist()
    assert drawn(M, N, K, outlier_share=0.0).outlier_cycles.tolist() == [0]
    everything = drawn(M, N, K, outlier_share=1.0)
    assert everything.outlier_cycles.tolist() == [8 * 10 * K * 15]
    assert everything.act_load_bytes.tolist() == [6 * M * K]


def test_drawn_stalls_are_those_of_drawn_positions_on_average():
    """Counts are drawn, not positions: the mean stall of a step is that of independent outliers, to six sigma."""
    rng, M, N, K = np.random.default_rng(3), 32, 36, 4000
    samples = [
        stalls((rng.random((M, K)) < 0.03).tolist(), (rng.random((N, K)) < 0.03).tolist()),
        int(drawn(M, N, K, seed=5).outlier_cycles[0]),
    ]
    assert abs(samples[0] - samples[1]) < 6 * (2 * K * 0.4) ** 0.5
    assert 0.2 * K < samples[0] < 0.6 * K


@pytest.mark.parametrize(("size", "share"), [(1, 0.03), (16, 0.03), (16, 0.9), (1024, 0.5), (7, 0.0), (7, 1.0)])
def test_counts_of_a_group_are_binomial(size, share):
    p = Fraction(share)
    mass = [math.comb(size, n) * p**n * (1 - p) ** (size - n) for n in range(size)]
    np.testing.assert_allclose(_at_most(size, share), [float(s) for s in itertools.accumulate(mass)], atol=1e-11)


def test_drawn_counts_are_binomial_group_by_group():
    """20 lines are a group of 16 and one of 4: the frequency of each sum is its probability to six sigma."""
    found = GroupedOutliers.drawn(0.1, [3], 20, 50_000, 20, 16)
    for n in range(6):
        p = math.comb(20, n) * 0.1**n * 0.9 ** (20 - n)
        assert abs((found.listed == n).sum() - 50_000 * p) < 6 * (50_000 * p * (1 - p)) ** 0.5
    nothing_more = 0.9**20 + 20 * 0.1 * 0.9**19 + 16 * 0.1 * 0.9**15 * 4 * 0.1 * 0.9**3
    assert abs((found.more == 0).mean() - nothing_more) < 6 * (0.25 / 50_000) ** 0.5


def test_what_is_drawn_does_not_depend_on_the_tiling():
    M, N, K = 64, 72, 96
    halves = np.zeros(2, TILE_DTYPE)
    halves["m"], halves["n"], halves["k"], halves["k0"] = M, N, 48, [0, 48]
    halves["act_load_bytes"] = halves["weight_load_bytes"] = 1
    whole, cut = drawn(M, N, K), drawn(M, N, K, tiles=halves)
    for field in ("outlier_cycles", "act_load_bytes", "weight_load_bytes"):
        assert getattr(whole, field).sum() == getattr(cut, field).sum()
    assert whole.actions == cut.actions


# Options


def test_bills():
    bill = {"pe_olaccel4_acc24": 1152, "outlier_pe_int16x4_acc32": 96, "outlier_pe_int16x16_acc48": 72}
    assert olaccel().area_bill(32, 36) == bill | {"merge_adder32": 72}
    assert olaccel(stalls=False, outlier_share=0.1).area_bill(32, 36) == olaccel().area_bill(32, 36)


def test_the_shipped_design_has_the_published_number_of_pes():
    array = load_design("olaccel_systolic").array
    assert array.rows * array.cols == 1152  # SPARK, HPCA 2024, Table VII


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": 0}, "Input should be greater than or equal to 1, found 0"),
        ({"outlier_share": -0.1}, "Input should be greater than or equal to 0, found -0.1"),
        ({"stalls": "no"}, "Input should be a valid boolean, found 'no'"),
        ({"stall": False}, "unknown option of datapath 'olaccel'; did you mean 'stalls'?"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(OptionError) as error:
        olaccel(**options)
    assert str(error.value) == message
