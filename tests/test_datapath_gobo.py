"""``gobo``: sums per index, the outliers' sum, and what its outliers cost, against plain loops and tight examples."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import simulator as sim
from simulator import datapath
from simulator.datapath import Job, OptionError, Width
from simulator.datapath.coordinator import coordinator_cycles
from simulator.datapath.weight_outliers import WeightOutliers
from simulator.formats import Encoded
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, lower
from simulator.reference import dictionary as by_index
from simulator.workload import Op
from tests import naive, naive_gobo
from tests.datapaths import encoded_pair, heavy_tailed, reference, same_bits, seeds

pytestmark = [pytest.mark.kernels, pytest.mark.filterwarnings("ignore:overflow encountered in")]

BITS = (3, 4)
every_width = pytest.mark.parametrize("bits", BITS)


def gobo(bits=3, **options):
    return datapath.create("gobo", {"index_bits": bits, **options})


def halves(values):
    """An FP16 operand (M, K) of values that are halves."""
    codes = np.asarray(values, np.float16).astype("<f2").view(np.uint8)
    return Encoded(codes, np.ones((), np.float32), codes.shape[1] // 2)


def weights(index, dictionary, listed, bits=3):
    """A weight operand of these indices (N, K); ``listed`` is {(n, k): value}."""
    index = np.asarray(index)
    N, K = index.shape
    packed = np.zeros((N, -(-K * bits // 8)), np.uint8)
    for n in range(N):
        for k in range(K):
            for b in range(bits):
                j = k * bits + b
                packed[n, j // 8] |= int(index[n, k] >> b & 1) << j % 8
    places = sorted(listed)
    extras = {
        "dictionary": np.asarray(dictionary, np.float32),
        "outlier_position": np.array([n * K + k for n, k in places], np.uint32),
        "outlier_value": np.array([listed[p] for p in places], np.float32),
    }
    return Encoded(packed, np.ones((), np.float32), K, extras)


def table(M, N, K, rows, cols, usable=None, bits=3):
    """A real tile table of the mapper; ``usable`` bits of each scratchpad cut it into tiles."""
    limits = None if usable is None else BufferLimits(usable, usable, usable)
    operands = OperandBits(Width.plain(16), Width.plain(bits), 32, 16)
    return lower(Op("any", M, N, K), ArrayShape(rows, cols, "full", 1, 9), operands, limits, (2, 2, 2)).rows


def job(tiles, rows, cols, weight=None, seed=0):
    M, N, K = (int((tiles[f"{x}0"] + tiles[x]).max()) for x in "mnk")
    return Job(M, N, K, rows, cols, tiles, None, weight, seed)


# Values


@every_width
@seeds(12)
def test_matmul_is_the_plain_loop(bits, seed):
    rng = np.random.default_rng(seed)
    M, N, K = (1, 1, 1) if seed == 0 else rng.integers(1, 30, 3).tolist()
    act, index = halves(heavy_tailed(rng, (M, K))), rng.integers(0, 2**bits, (N, K))
    share = (0.0, 0.05, 0.5, 1.0)[seed % 4]
    places = np.argwhere(rng.random((N, K)) < share).tolist()
    listed = {(n, k): np.float32(rng.standard_normal() * 40) for n, k in places}
    dictionary = np.sort(rng.standard_normal(2**bits)).astype(np.float32)
    weight = weights(index, dictionary, listed, bits)
    values = act.codes.view("<f2").astype(np.float32)
    expected = naive_gobo.matmul(values, weight.codes.tolist(), bits, dictionary, listed)
    dp = gobo(bits)
    same_bits(dp.matmul(act, weight), expected)
    same_bits(reference(dp, (act, weight)), expected)


@every_width
def test_the_reference_takes_lines_in_any_portions(bits, monkeypatch):
    rng = np.random.default_rng(3)
    M, N, K = 5, 23, 40
    act, index = halves(heavy_tailed(rng, (M, K))), rng.integers(0, 2**bits, (N, K))
    listed = {(n, k): np.float32(rng.standard_normal() * 40) for n, k in np.argwhere(rng.random((N, K)) < 0.1).tolist()}
    dictionary = np.sort(rng.standard_normal(2**bits)).astype(np.float32)
    weight = weights(index, dictionary, listed, bits)
    whole = reference(gobo(bits), (act, weight))
    for lines in (1, 7, 22, 23):
        monkeypatch.setattr(by_index, "_LINES", lines)
        same_bits(reference(gobo(bits), (act, weight)), whole)


@every_width
def test_every_half_times_every_entry(bits):
    """K = 1: the one sum that is not zero is the activation itself, and its product is rounded once.

    With 16 entries every eighth half: the kernel also runs as plain Python.
    """
    finite = [p for p in range(0, 65536, {3: 1, 4: 8}[bits]) if p & 0x7C00 != 0x7C00]
    act = halves(np.array(finite, "<u2").view("<f2")[:, None])
    values = np.array([naive.decode_fp16(p) for p in finite], np.float32)
    dictionary = np.random.default_rng(0).standard_normal(2**bits).astype(np.float32)
    weight = weights(np.arange(2**bits)[:, None], dictionary, {}, bits)
    same_bits(gobo(bits).matmul(act, weight), np.float32(0) + values[:, None] * dictionary)


def test_activations_are_added_before_anything_is_multiplied():
    """2048 + 1 + 1 at one entry of 0.5 is 1025; the order of K decides where 2^24 swallows ones."""
    entries = [0.5, *[0.0] * 7]
    assert gobo().matmul(halves([[2048, 1, 1]]), weights([[0, 0, 0]], entries, {})).tolist() == [[1025]]
    ones, large = [1.0] * 2, [32768.0] * 512  # the large ones sum to 2^24
    entries[0] = 1.0
    for row, expected in (([*large, *ones], 2.0**24), ([*ones, *large], 2.0**24 + 2)):
        assert gobo().matmul(halves([row]), weights([[0] * 514], entries, {})).tolist() == [[expected]]


def test_entries_are_summed_in_order_and_the_outliers_last():
    """2^24 at entry 0; ones at entry 1 or among the outliers: two small terms meet first only among outliers."""
    entries = [2.0**24, 1.0, *[0.0] * 6]
    act = halves([[1, 1, 1]])
    assert gobo().matmul(act, weights([[0, 1, 1]], entries, {})).tolist() == [[2.0**24 + 2]]  # 1 + 1 in one register
    assert gobo().matmul(act, weights([[0, 1, 1]], entries, {(0, 1): 1.0})).tolist() == [[2.0**24]]  # + 1, + 1 apart
    assert gobo().matmul(act, weights([[0, 1, 1]], entries, {(0, 1): 1.0, (0, 2): 1.0})).tolist() == [[2.0**24 + 2]]


def test_the_index_of_an_outlier_adds_nothing():
    entries = np.arange(1, 9)
    act = halves([[3, 5]])
    assert gobo().matmul(act, weights([[7, 7]], entries, {})).tolist() == [[64]]
    assert gobo().matmul(act, weights([[7, 7]], entries, {(0, 1): -0.25})).tolist() == [[3 * 8 - 1.25]]


def test_an_outlier_keeps_its_float32_value_and_its_product_is_rounded():
    value = np.float32(0.1)
    (found,) = gobo().matmul(halves([[3]]), weights([[0]], [0.0] * 8, {(0, 0): value}))[0].tolist()
    assert found == float(np.float32(3) * value)
    assert found != 3 * float(value)


# Costs of outliers


def planted(kind, N, K, rng):
    """Sets of (n, k)."""
    everything = [(n, k) for n in range(N) for k in range(K)]
    return {
        "none": set(),
        "one": {(N // 2, K // 2)},
        "edges": {(0, 0), (N - 1, 0), (0, K - 1), (N - 1, K - 1)},
        "adjacent": {(n, k) for n, k in everything if k in (K // 2, K // 2 - 1)},
        "one column": {(N - 1, k) for k in range(K)},
        "all": set(everything),
        "some": {p for p in everything if rng.random() < 0.1},
        "few": {p for p in everything if rng.random() < 0.01},
    }[kind]


KINDS = ("none", "one", "edges", "adjacent", "one column", "all", "some", "few")
SHAPES = [(1, 1, 1, None), (9, 13, 40, None), (40, 8, 8, 2048), (8, 8, 64, 2048), (10, 21, 33, 2048), (5, 9, 300, 4608)]
UNITS = [(16, 1, 1), (2, 3, 1), (4, 2, 4), (1, 1, 1)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("rows", "cols"), [(4, 4), (2, 8), (3, 5)])
def test_costs_of_whole_tiles_are_the_cycle_loops(kind, shape, rows, cols):
    M, N, K, usable = shape
    rng = np.random.default_rng(len(kind) + N)
    outliers = planted(kind, N, K, rng)
    tiles = table(M, N, K, rows, cols, usable)
    weight = weights(np.zeros((N, K), int), [0.0] * 8, dict.fromkeys(outliers, 1.0))
    D, S, W = UNITS[(M + len(kind)) % len(UNITS)]
    dp = gobo(fifo_depth=D, service_cycles=S, push_width=W)
    costs = dp.tile_costs(job(tiles, rows, cols, weight))
    plain = [dict(zip(tiles.dtype.names, t.tolist(), strict=True)) for t in tiles]
    assert costs.outlier_cycles.tolist() == [naive_gobo.waiting(t, rows, cols, outliers, D, S, W) for t in plain]
    listed = [naive_gobo.in_tile(t, outliers) for t in plain]
    loads = [found if t["weight_load_bytes"] else 0 for t, found in zip(plain, listed, strict=True)]
    assert costs.weight_load_bytes.tolist() == [8 * n for n in loads]
    read = sum(-(-t["m"] // rows) * n for t, n in zip(plain, listed, strict=True))
    assert costs.weight_buffer_bits == (64 * read, 64 * sum(loads))
    assert costs.actions == {"outlier_mac_fp32": M * len(outliers), "fifo_entry_move": 2 * read}
    assert read == -(-M // rows) * len(outliers)
    assert not costs.vector_cycles.any()
    assert not costs.act_load_bytes.any()
    assert costs.act_buffer_bits == (0, 0)


def test_the_shapes_above_have_tiles_in_chunks_of_k_and_tiles_that_reload():
    tables = [table(M, N, K, 4, 4, usable) for M, N, K, usable in SHAPES]
    assert any((t["k0"] > 0).any() for t in tables)
    assert any(len(t) > 1 and (t["weight_load_bytes"] == 0).any() for t in tables)
    assert any(len(t) > 1 and (t["k0"] == 0).all() for t in tables)


def waits(outliers, M=4, N=4, K=8, rows=4, cols=4, **options):
    weight = weights(np.zeros((N, K), int), [0.0] * 8, dict.fromkeys(outliers, 1.0))
    (found,) = gobo(**options).tile_costs(job(table(M, N, K, rows, cols), rows, cols, weight)).outlier_cycles
    return found


def test_a_fold_is_done_when_its_last_outlier_is_served():
    """Queued in the last of 8 steps, served in the cycle after it; one step earlier nothing waits."""
    assert waits({(0, 7)}) == 1
    assert waits({(0, 6)}) == 0
    assert waits({(0, 7)}, service_cycles=3) == 3
    assert waits({(0, 5)}, service_cycles=3) == 1
    assert waits({(0, 4)}, service_cycles=3) == 0


def test_folds_are_barriers():
    """The outlier of the last step is served before the next fold begins, although that one has none."""
    assert waits({(0, 7)}, N=8) == 1
    assert waits({(0, 7), (4, 7)}, N=8) == 2
    assert waits({(0, 7)}, M=12) == 3  # each row block meets it


def test_a_step_belongs_to_all_columns_of_the_array_even_in_a_ragged_fold():
    """Two columns used of four: neighbours along K are in different steps, neighbours in a row are in one."""
    assert waits({(0, 0), (0, 1)}, N=2) == 0
    assert waits({(0, 0), (1, 0)}, N=2) == 1
    assert waits({(0, 0), (1, 0)}, N=2, push_width=2) == 0


def test_chunks_of_k_are_barriers_too():
    """The last step of a chunk is the last before the array stops for the queue."""
    tiles = np.repeat(table(4, 4, 8, 4, 4), 2)
    tiles["k"], tiles["k0"] = 4, [0, 4]
    weight = weights(np.zeros((4, 8), int), [0.0] * 8, {(0, 3): 1.0, (0, 6): 1.0})
    assert gobo().tile_costs(job(tiles, 4, 4, weight)).outlier_cycles.tolist() == [1, 0]


# Outliers that are drawn


def test_shapes_alone_draw_the_stated_share():
    dp = gobo(outlier_share=0.01)
    tiles = table(64, 512, 1024, 16, 16)
    costs = dp.tile_costs(job(tiles, 16, 16))
    drawn = int(costs.weight_load_bytes.sum()) // 8
    assert abs(drawn - 0.01 * 512 * 1024) < 5 * (0.01 * 512 * 1024) ** 0.5
    assert dp.tile_costs(job(tiles, 16, 16)).actions == costs.actions
    assert dp.tile_costs(job(tiles, 16, 16, seed=1)).actions != costs.actions
    assert dp.assumed_distribution == "each weight is an outlier with probability 0.01, independently"


@pytest.mark.parametrize(("share", "listed"), [(0, 0), (1, 24 * 96)])
def test_no_weights_or_all_of_them_can_be_drawn(share, listed):
    tiles = table(8, 24, 96, 8, 16)
    found = gobo(outlier_share=float(share)).tile_costs(job(tiles, 8, 16))
    everything = {(n, k) for n in range(24) for k in range(96)} if share else {}
    known = weights(np.zeros((24, 96), int), [0.0] * 8, dict.fromkeys(everything, 1.0))
    expected = gobo().tile_costs(job(tiles, 8, 16, known))
    assert int(found.weight_load_bytes.sum()) == 8 * listed
    np.testing.assert_array_equal(found.outlier_cycles, expected.outlier_cycles)
    assert found.actions == expected.actions


def test_a_column_block_has_the_same_outliers_in_whatever_tile_it_is():
    dp = gobo(outlier_share=0.02)
    whole, cut = table(32, 64, 128, 8, 8), table(32, 64, 128, 8, 8, 16384)
    assert len(cut) > 1 == len(whole)
    assert (cut["k0"] == 0).all()
    sums = [dp.tile_costs(job(tiles, 8, 8)) for tiles in (whole, cut)]
    assert sums[0].outlier_cycles.sum() == sums[1].outlier_cycles.sum() > 0
    assert sums[0].actions == sums[1].actions


def test_drawn_outliers_are_as_many_in_chunks_of_k_and_across_what_is_drawn_at_a_time(monkeypatch):
    """Rows in slabs of 5 columns' worth of weights, folds of 8 columns: each weight is drawn once."""
    monkeypatch.setattr("simulator.datapath.weight_outliers._SLAB", 5 * 128)
    outliers = WeightOutliers(None, 64, 128, 8, 0.2, 7)
    everywhere = lanes(outliers, 0, 128)
    assert len(everywhere) == sum(len(lanes(outliers, k0, 32)) for k0 in range(0, 128, 32))
    lone = WeightOutliers(outliers._in_rows(0, 64), 64, 128, 8, 0.0, 0)
    assert lanes(lone, 3, 99) == lanes(outliers, 3, 99)


def lanes(outliers, k0, k):
    """(fold, coordinate) of every outlier at some steps, in the order in which they are met."""
    found, folds = [], 0
    for coordinates, first in outliers.lanes(k0, k):
        each = [coordinates[a:b].tolist() for a, b in pairwise(first)]
        found += [(folds + fold, at) for fold, lane in enumerate(each) for at in lane]
        folds += len(each)
    return found


def test_drawn_outliers_are_cheap_in_a_large_layer():
    """Cost grows with the outliers: 2^30 weights, a thousandth of them outliers."""
    tiles = table(64, 1 << 15, 1 << 15, 64, 64)
    costs = gobo().tile_costs(job(tiles, 64, 64))
    assert abs(int(costs.weight_load_bytes.sum()) // 8 - 2**30 / 1000) < 6000


# What it says of itself


@every_width
def test_a_result_leaves_as_one_word_per_accumulator(bits):
    dp = gobo(bits)
    assert dp.result_words == dp.registers == 2**bits + 1
    shape = ArrayShape(16, 16, "full", 1, dp.result_words)
    assert shape.fold(10).period_cycles == 16 * (2**bits + 1)
    assert shape.fold(1000).period_cycles == 1000


@every_width
def test_bills(bits):
    dp = gobo(bits, fifo_depth=5)
    assert dp.area_bill(64, 24) == {
        f"pe_gobo{bits}": 1536,
        "outlier_pe_fp32": 64,  # MicroScopiQ, ISCA 2025, Table 5: 64 for an array of 64 x 64
        "centroid_unit_fp32": 24,
        "coordinator_lane16": 2,
        "fifo_entry32": 5,
    }
    assert dp.actions_per_mac() == {f"accumulate_gobo{bits}": 1}
    assert dp.register_bits("act") + dp.register_bits("weight") == 17 + bits
    assert dp.actions_per_output() == {"centroid_mac_fp32": 2**bits + 1}


@every_width
def test_rows_of_indices_fill_whole_bytes(bits):
    dp = gobo(bits)
    assert dp.width("weight").row_bits(40) == dp.width("weight").dram_row_bits(40) == 40 * bits
    assert dp.width("act").row_bits(7) == 7 * 16


def test_the_coordinator_is_where_the_contract_says():
    assert sim.datapath.gobo.coordinator_cycles is coordinator_cycles
    found = sim.datapath.gobo.coordinator_cycles([0, 1, 2, 3], 8, P=4, D=2, S=9, W=4)
    assert found == {"steps": 2, "stall_cycles": 10, "lane_cycles": 12, "total_cycles": 37}


def test_options_reach_the_format():
    dp = gobo(4, dictionary="fp16", log_probability=-1.0)
    assert (dp.weight_format.name, dp.weight_format.dictionary, dp.weight_format.log_probability) == (
        "gobo4",
        "fp16",
        -1.0,
    )
    x = heavy_tailed(np.random.default_rng(0), (8, 64))
    few, many = (encoded_pair(replace(dp, log_probability=p), x, x)[1] for p in (-9.0, -1.0))
    assert len(few.extras["outlier_value"]) < len(many.extras["outlier_value"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index_bits": 5}, "Input should be 3 or 4, found 5"),
        ({"dictionary": "fp8"}, "Input should be 'fp32' or 'fp16', found 'fp8'"),
        ({"fifo_depth": 0}, "Input should be greater than or equal to 1, found 0"),
        ({"service_cycles": 1.5}, "Input should be a valid integer, found 1.5"),
        ({"push_width": -1}, "Input should be greater than or equal to 1, found -1"),
        ({"outlier_share": 1.5}, "Input should be less than or equal to 1, found 1.5"),
        ({"fifo_dept": 4}, "unknown option of datapath 'gobo'; did you mean 'fifo_depth'?"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, message):
    with pytest.raises(OptionError) as error:
        datapath.create("gobo", options)
    assert str(error.value) == message
