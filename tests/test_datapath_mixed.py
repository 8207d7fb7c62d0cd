"""``mixed_int8_fp16``: the worked example, values of both arrays, and every pass of LLM.int8() by tight examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.datapath import Job, OptionError
from simulator.errors import AccumulatorOverflowError
from simulator.formats import Encoded
from simulator.mapping import FOLD_OVERLAPS, ArrayShape, BufferLimits, OperandBits, lower
from simulator.study.quality import check_values
from simulator.workload import Op
from tests import naive_mixed
from tests.datapaths import encoded_pair, fold, reference, same_bits, seeds

pytestmark = [pytest.mark.kernels, pytest.mark.filterwarnings("ignore:overflow encountered in")]

A = np.float32([[0.5, -1, 8, 0.25], [1.5, 0.75, -7, -2]])
W = np.float32([[0.2, -0.4, 0.1, 0.6], [-0.3, 0.5, 0.05, -0.1], [0.8, 0.1, -0.2, 0.4]])


def make(**options):
    return datapath.create("mixed_int8_fp16", options)


def planted(rng, shape, columns):
    """A bell with values beyond the threshold in these columns."""
    x = rng.standard_normal(shape).astype(np.float32).clip(-5, 5)
    for k in columns:
        x[rng.integers(shape[0]), k] = rng.choice([-1, 1]) * rng.uniform(6.5, 60)
    return x


def parts(act, weight):
    """What the plain loop needs of a pair."""
    return (
        act.codes.view(np.int8).tolist(),
        act.extras["row_scale"].reshape(-1).tolist(),
        weight.codes.view(np.int8).tolist(),
        weight.scale.reshape(-1).tolist(),
        act.extras["outlier_value"].tolist(),
        weight.extras["outlier_weight"].tolist(),
    )


# Values


def test_worked_example():
    """Dettmers et al.'s method by hand, rows of W for column 2 from the int8 codes (facts of the method, 2.2).

    The example keeps those rows unrounded; here they are halves, so its FP16 part is reached with what rounding took.
    """
    dp = make(outlier_weights="int8")
    act, weight = encoded_pair(dp, A, W)
    int8, fp16 = (fold(lane) for lane in dp.lanes(act, weight, 2, 4))
    assert int8.tolist() == [[17547, -21793, 8144], [-16219, 2051, 4705]]
    scales = act.extras["row_scale"].astype(np.float64) * weight.row_scale.T
    expected_int8 = [[0.65275, -0.675584, 0.403943], [-1.206696, 0.127162, 0.466737]]
    expected_fp16 = [[0.793701, 0.409449, -1.612598], [-0.694488, -0.358268, 1.411024]]
    expected = [[1.44645, -0.266136, -1.208655], [-1.901184, -0.231105, 1.877761]]
    np.testing.assert_allclose(int8 * scales, expected_int8, rtol=0, atol=1e-6)
    unrounded = weight.codes.view(np.int8)[:, [2]] * weight.row_scale
    lost = np.float64([[8], [-7]]) @ (unrounded - weight.extras["outlier_weight"]).T
    assert np.abs(lost).max() < 8 * 2**-11 * 0.21  # half a unit in the last place of a half below 0.21
    np.testing.assert_allclose(fp16 + lost, expected_fp16, rtol=0, atol=1e-6)
    result = dp.real(dp.matmul(act, weight), act, weight)
    np.testing.assert_allclose(result + lost, expected, rtol=0, atol=1e-6)
    assert np.abs(result + lost - A.astype(np.float64) @ W.T.astype(np.float64)).max() == pytest.approx(
        0.00886, abs=5e-6
    )


@pytest.mark.parametrize("outlier_weights", ["fp16", "int8"])
@seeds(12)
def test_matmul_is_the_plain_loop(outlier_weights, seed):
    rng = np.random.default_rng(seed)
    M, N, K = (1, 1, 1) if seed == 0 else rng.integers(1, 24, 3).tolist()
    columns = [[], range(K), [0, K - 1], [K // 2, max(K // 2 - 1, 0)]][seed % 4]
    dp = make(outlier_weights=outlier_weights)
    pair = encoded_pair(dp, planted(rng, (M, K), columns), rng.standard_normal((N, K)).astype(np.float32))
    assert pair[0].extras["outlier_column"].tolist() == sorted(set(columns))
    expected = naive_mixed.matmul(*parts(*pair))
    same_bits(dp.matmul(*pair), expected)
    same_bits(reference(dp, pair), expected)


def split_pair(codes, weights, row_scale=1.0, col_scale=1.0, halves=None, half_weights=None):
    """Operands of int8 codes (M, K) and (N, K) and outlier columns (M, O) and (N, O)."""
    codes, weights = np.asarray(codes, np.int8), np.asarray(weights, np.int8)
    M, N = len(codes), len(weights)
    act = {
        "row_scale": np.full((M, 1), row_scale, np.float32),
        "outlier_column": np.arange(0 if halves is None else np.shape(halves)[1], dtype=np.uint32),
        "outlier_value": np.zeros((M, 0), np.float16) if halves is None else np.float16(halves),
    }
    weight = {"outlier_weight": np.zeros((N, 0), np.float16) if halves is None else np.float16(half_weights)}
    return (
        Encoded(codes.view(np.uint8), np.ones((), np.float32), codes.shape[1], act),
        Encoded(weights.view(np.uint8), np.full((N, 1), col_scale, np.float32), weights.shape[1], weight),
    )


def test_all_pairs_of_codes():
    codes = np.arange(-128, 128)[:, None]
    found = make().matmul(*split_pair(codes, codes, 0.5, 0.25))
    same_bits(found, (codes * codes.T / 8).astype(np.float32))


finite = st.floats(-60000, 60000, width=16)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), K=st.integers(1, 6), columns=st.integers(1, 4))
def test_any_split_is_the_plain_loop(data, K, columns):
    integers = st.lists(st.integers(-127, 127), min_size=K, max_size=K)
    halves = st.lists(finite, min_size=columns, max_size=columns)
    scale = st.floats(2.0**-20, 2.0**20, width=32)
    draw = data.draw
    pair = split_pair([draw(integers)], [draw(integers)], draw(scale), draw(scale), [draw(halves)], [draw(halves)])
    same_bits(make().matmul(*pair), naive_mixed.matmul(*parts(*pair)))


def test_each_step_of_the_merge_rounds_once():
    """2^24 + 1 is lost on the way to FP32; the product of the scales is rounded before it meets the sum."""
    codes = [[127] * 1041 + [83, 1]]
    exact = 127 * 127 * 1041 + 83 * 127 + 1
    assert exact % 2 == 1
    assert exact > 2**24
    assert make().matmul(*split_pair(codes, [[127] * 1042 + [1]])).tolist() == [[exact + 1]]  # to the even neighbour
    third = np.float32(1 / 3)
    found = make().matmul(*split_pair([[3]], [[1]], third, third, [[1]], [[2.0**-24]]))[0, 0]
    assert found == np.float32(np.float32(3 * (third * third)) + np.float32(2.0**-24))


def test_the_fp16_array_sums_in_order_of_k():
    """4096^2 = 2^24 swallows ones that come after it, not two that came before."""
    for row, expected in (([4096, 1, 1], 2.0**24), ([1, 1, 4096], 2.0**24 + 2)):
        assert make().matmul(*split_pair([[0]], [[0]], halves=[row], half_weights=[row])).tolist() == [[expected]]


def test_an_integer_sum_beyond_int32_is_named():
    codes = np.full((1, 2**31 // 127**2 + 1), 127)
    with pytest.raises(AccumulatorOverflowError, match=r"output \(0, 0\) leaves the 32-bit accumulator"):
        make().matmul(*split_pair(codes, codes))


def test_errors_are_those_of_the_codes_and_of_float32():
    rng = np.random.default_rng(0)
    a, w = planted(rng, (1, 12, 96), []), rng.standard_normal((1, 7, 96))
    a[0, 3, 5] = 40
    dp = make()
    pairs = dp.encode(a, w, ("row", "row"), ("absmax", "absmax"))
    quality = check_values("op", dp, pairs, [dp.matmul(*p) for p in pairs], a, w)
    assert quality.exact
    codes = dp.decoded(*pairs[0])
    np.testing.assert_allclose(codes[0] @ codes[1].T, dp.matmul(*pairs[0]), rtol=1e-5, atol=1e-5)
    assert 0 < quality.arithmetic_noise < 1e-8 * quality.quantisation_noise
    assert 30 < quality.sqnr_db < 60


@pytest.mark.parametrize("threshold", [0.5, 6.0, float("inf")])
def test_the_threshold_decides_which_columns_take_the_other_array(threshold):
    rng = np.random.default_rng(1)
    a = planted(rng, (6, 20), [3, 17])
    dp = make(threshold=threshold)
    pair = encoded_pair(dp, a, rng.standard_normal((5, 20)).astype(np.float32))
    lanes = dp.lanes(*pair, 4, 4)
    expected = np.flatnonzero((np.abs(a) >= threshold).any(axis=0))
    assert len(lanes) == 1 + (len(expected) > 0)
    assert (lanes[0].rows, lanes[0].cols, lanes[0].act.shape[1]) == (4, 4, 20)
    if len(expected):
        assert (lanes[1].rows, lanes[1].cols, lanes[1].act.shape[1]) == (4, 8, len(expected))
        assert not lanes[0].act[:, expected].any()


# Passes over the operands and results


def table(M, N, K, rows, cols, overlap="full", usable=None, options=None):
    limits = None if usable is None else BufferLimits(usable, usable, usable)
    dp = make(**(options or {}))
    bits = OperandBits(dp.width("act"), dp.width("weight"), 32, 16)
    return lower(Op("any", M, N, K), ArrayShape(rows, cols, overlap), bits, limits, (2, 2, 2)).rows


def costs(dp, tiles, rows, cols, overlap="full", pair=(None, None), seed=0):
    M, N, K = (int((tiles[f"{x}0"] + tiles[x]).max()) for x in "mnk")
    return dp.tile_costs(Job(M, N, K, rows, cols, tiles, *pair, seed, ArrayShape(rows, cols, overlap).fold_beside))


SHAPES = [
    (1, 1, 1, None),
    (9, 13, 40, None),
    (40, 8, 8, 2048),
    (8, 24, 64, 2048),
    (12, 9, 33, 1024),
    (5, 9, 300, 2048),
    (64, 64, 2, 4096),
]


@pytest.mark.parametrize("outlier_weights", ["fp16", "int8"])
@pytest.mark.parametrize("overlap", FOLD_OVERLAPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("which", ["none", "edges", "some", "all"])
def test_costs_are_the_plain_passes(which, shape, overlap, outlier_weights):
    M, N, K, usable = shape
    rows, cols, fp16_cols, vector_lanes = [(4, 4, 2, 4), (3, 5, 1, 7), (2, 8, 8, 1)][(M + K) % 3]
    columns = {"none": [], "edges": sorted({0, K - 1}), "some": list(range(0, K, 3)), "all": list(range(K))}[which]
    rng = np.random.default_rng(0)
    dp = make(outlier_weights=outlier_weights, fp16_cols=fp16_cols, vector_lanes=vector_lanes)
    pair = encoded_pair(dp, planted(rng, (M, K), columns), rng.standard_normal((N, K)).astype(np.float32))
    tiles = table(M, N, K, rows, cols, overlap, usable)
    plain = [dict(zip(tiles.dtype.names, t.tolist(), strict=True)) for t in tiles]
    how = {"rows": rows, "overlap": overlap, "fp16_cols": fp16_cols, "vector_lanes": vector_lanes}
    expected = naive_mixed.costs(plain, K, columns, **how, from_dram=outlier_weights == "fp16")
    found = costs(dp, tiles, rows, cols, overlap, pair)
    fields = ("outlier_cycles", "vector_cycles", "act_load_bytes", "weight_load_bytes")
    assert [list(row) for row in zip(*(getattr(found, f).tolist() for f in fields), strict=True)] == expected[
        "per_tile"
    ]
    assert found.act_buffer_bits == expected["act_buffer_bits"]
    assert found.weight_buffer_bits == expected["weight_buffer_bits"]
    assert found.actions == expected["actions"]


def test_the_shapes_above_have_chunks_of_k_reloads_and_many_tiles():
    tables = [table(M, N, K, 4, 4, usable=usable) for M, N, K, usable in SHAPES]
    assert any((t["k0"] > 0).any() for t in tables)
    assert any((t["weight_load_bytes"][1:] == 0).any() for t in tables)
    assert any((t["act_load_bytes"][1:] == 0).any() for t in tables)


def waits(M, N, K, columns=0, rows=4, cols=4, **options):
    """(imbalance, vector cycles) of one tile with the first ``columns`` columns outliers."""
    dp = make(**options)
    pair = split_pair(
        np.zeros((M, K)), np.zeros((N, K)), halves=np.zeros((M, columns)), half_weights=np.zeros((N, columns))
    )
    found = costs(dp, table(M, N, K, rows, cols), rows, cols, pair=pair)
    return int(found.outlier_cycles[0]), int(found.vector_cycles[0])


def test_the_int8_array_waits_where_the_fp16_array_needs_longer():
    """One fold of 16 steps, empty after 16 + 10 cycles, beside ``4 / fp16_cols`` folds of ``columns`` steps."""
    assert waits(4, 4, 16, 9, fp16_cols=2)[0] == 0  # 2 * 9 + 8
    assert waits(4, 4, 16, 10, fp16_cols=2)[0] == 2
    assert waits(4, 4, 16, 16, fp16_cols=4)[0] == 0
    assert waits(4, 4, 16, 3, fp16_cols=1)[0] == 0  # four folds of max(3, 4 rows to drain) cycles: 16 + 6
    assert waits(4, 4, 16, 5, fp16_cols=1)[0] == 1  # 4 * 5 + 7
    assert waits(4, 4, 16, 0, fp16_cols=1)[0] == 0


def test_a_tile_that_is_not_the_last_waits_until_the_fp16_array_takes_the_next_one():
    tiles = np.repeat(table(4, 4, 16, 4, 4), 2)
    tiles["m0"] = [0, 4]
    tiles["issue_cycles"] = 16
    assert costs(make(fp16_cols=2, outlier_dims=9), tiles, 4, 4).outlier_cycles.tolist() == [2, 0]


def test_the_scan_takes_every_value_once_and_the_last_merge_every_result():
    assert waits(4, 4, 16, vector_lanes=64)[1] == 1 + 1
    assert waits(4, 4, 17, vector_lanes=64)[1] == 2 + 1
    assert waits(4, 4, 16, vector_lanes=1)[1] == 64 + 16
    assert waits(4, 5, 16, vector_lanes=16)[1] == 4 + 2


def test_a_merge_hides_behind_the_next_tile_and_no_other():
    """Three tiles of 4 x 4 outputs and 8 cycles each: merges of 8 cycles hide, of 16 leave 8."""
    tiles = np.repeat(table(4, 4, 8, 4, 4), 3)
    tiles["m0"], tiles["issue_cycles"] = [0, 4, 8], 8
    assert costs(make(vector_lanes=2, outlier_dims=0), tiles, 4, 4).vector_cycles.tolist() == [48, 0, 8]
    assert costs(make(vector_lanes=1, outlier_dims=0), tiles, 4, 4).vector_cycles.tolist() == [96, 8, 8 + 16]
    tiles["issue_cycles"][1] = 15
    assert costs(make(vector_lanes=1, outlier_dims=0), tiles, 4, 4).vector_cycles.tolist() == [96, 1, 8 + 16]
    slow = costs(make(vector_lanes=1, fp16_cols=1, outlier_dims=4), tiles, 4, 4)  # its FP16 array takes 16 a tile
    assert slow.outlier_cycles.tolist() == [8, 1, 5]  # the last one is empty 7 cycles later, the int8 array 10
    assert slow.vector_cycles.tolist() == [96, 0, 16]


def test_counts_of_opt_13b():
    """fc1 of OPT-13B, 2048 tokens, 7 outlier columns (facts of the method, 2.2)."""
    M, N, K = 2048, 20480, 5120
    tiles = table(M, N, K, 32, 32)
    found = costs(make(outlier_dims=7), tiles, 32, 32)
    assert tiles["macs"].sum() == 214_748_364_800
    assert found.actions["mac_fp16_acc32"] == 293_601_280
    assert found.actions["scan_fp16"] == 10_485_760
    assert make().actions_per_output() == {"dequantise_fp32": 1}
    assert found.act_buffer_bits[1] == 8 * 2 * M * 7
    assert found.weight_load_bytes.sum() == 2 * N * 7


@pytest.mark.parametrize("usable", [None, 512 * 1024], ids=str)
def test_overhead_falls_with_the_width_of_the_model(usable):
    """First layer of the feed-forward network, 512 tokens; widths of Dettmers et al., Table 5 (5140 as there)."""
    shares = []
    for width in (768, 1024, 1536, 2048, 2560, 4096, 5140, 12288):
        tiles = table(512, 4 * width, width, 32, 32, usable=usable)
        found = costs(make(), tiles, 32, 32)
        overhead = int((found.outlier_cycles + found.vector_cycles).sum())
        shares.append(overhead / (overhead + int(tiles["issue_cycles"].sum())))
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == len(shares)


def test_shapes_alone_draw_the_stated_columns():
    tiles = table(8, 8, 300, 4, 4, usable=2048)
    assert (tiles["k0"] > 0).any()
    one, again, other = (costs(make(), tiles, 4, 4, seed=s) for s in (0, 0, 1))
    assert one.actions == again.actions
    assert one.actions["mac_fp16_acc32"] == other.actions["mac_fp16_acc32"] == 8 * 8 * 6
    assert one.weight_load_bytes.tolist() == again.weight_load_bytes.tolist() != other.weight_load_bytes.tolist()
    assert costs(make(), table(8, 8, 4, 4, 4), 4, 4).actions["mac_fp16_acc32"] == 8 * 8 * 4
    assert costs(make(outlier_dims=0), tiles, 4, 4).actions["mac_fp16_acc32"] == 0
    assert make().assumed_distribution == (
        "6 columns of A (all, if it has fewer) are outlier columns, drawn without preference"
    )


def test_a_job_without_fold_timing_is_no_silent_guess():
    tiles = table(4, 4, 16, 4, 4)
    with pytest.raises(AssertionError, match="without the timing of its array's folds"):
        make().tile_costs(Job(4, 4, 16, 4, 4, tiles, None, None, 0))


# What it says of itself


def test_bills():
    dp = make(fp16_cols=4, vector_lanes=16)
    assert dp.area_bill(32, 24) == {
        "pe_int8x8_acc32": 768,
        "pe_fp16_acc32": 128,
        "dequantiser_fp32": 16,
        "scan_lane_fp16": 16,
        "quantiser_int8": 16,
    }
    assert dp.actions_per_mac() == {"mac_int8x8_acc32": 1}
    assert dp.register_bits("act") + dp.register_bits("weight") == 16
    assert make(threshold=2.0, outlier_weights="int8").area_bill(8, 8) == make().area_bill(8, 8)


def test_activations_are_halves_in_dram():
    dp = make()
    assert (dp.width("act").row_bits(10), dp.width("act").dram_row_bits(10)) == (80, 160)
    assert (dp.width("weight").row_bits(10), dp.width("weight").dram_row_bits(10)) == (80, 80)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "Input should be greater than 0, found 0.0"),
        ({"threshold": float("nan")}, "Input should be greater than 0, found nan"),
        ({"outlier_weights": "fp32"}, "Input should be 'fp16' or 'int8', found 'fp32'"),
        ({"fp16_cols": 0}, "Input should be greater than or equal to 1, found 0"),
        ({"vector_lanes": 0.5}, "Input should be a valid integer, found 0.5"),
        ({"outlier_dims": -1}, "Input should be greater than or equal to 0, found -1"),
        ({"treshold": 6.0}, "unknown option of datapath 'mixed_int8_fp16'; did you mean 'threshold'?"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, message):
    with pytest.raises(OptionError) as error:
        datapath.create("mixed_int8_fp16", options)
    assert str(error.value) == message
