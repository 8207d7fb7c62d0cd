"""``biscaled``: all products of all codes at all shifts, the index, side loads against counting, wrong options."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from simulator import datapath
from simulator.datapath import Job, OptionError
from simulator.errors import AccumulatorOverflowError, DatapathError
from simulator.formats import Encoded
from simulator.tiles import TILE_DTYPE
from tests import naive_scaled
from tests.datapaths import encoded_pair, fold, heavy_tailed, on_the_arrays, reference, same_bits, seeds

pytestmark = pytest.mark.kernels

EVERY = [[(integer, wide)] for wide in (False, True) for integer in range(-32, 32)]
SHIFTS = range(9)


def biscaled(**options):
    return datapath.create("biscaled", options)


def operand(rows, shift):
    """Rows of (integer, wide) at one shift, or a shift per row, stored."""
    codes, blocks, masks = naive_scaled.packed(rows)
    shifts = np.atleast_1d(np.array(shift, np.uint8))
    scale = np.ones((), np.float32) if np.ndim(shift) == 0 else np.ones((len(rows), 1), np.float32)
    return Encoded(codes, scale, len(rows[0]), {"shift": shifts, "wide_block": blocks, "wide_mask": masks})


@pytest.mark.parametrize("act_shift", SHIFTS)
def test_all_products_of_all_codes_at_all_shifts(act_shift):
    """64 codes, fine or wide, on both sides: shifted by 0, by either shift or by both."""
    dp, act = biscaled(), operand(EVERY, act_shift)
    for shift in SHIFTS:
        pair = act, operand(EVERY, shift)
        expected = np.array(naive_scaled.matmul((EVERY, act_shift), (EVERY, shift)))
        same_bits(dp.matmul(*pair), expected)
        if shift == act_shift:
            same_bits(fold(dp.lanes(*pair, 4, 4)[0]), expected)
            same_bits(reference(dp, pair), expected)


def random_rows(rng, rows, K, share):
    return [[(int(rng.integers(-31, 32)), bool(rng.random() < share)) for _ in range(K)] for _ in range(rows)]


@seeds(20)
def test_rows_with_shifts_of_their_own_and_any_index(seed):
    """Blocks that are full, empty, ragged or one value long; a shift per row on either side."""
    rng = np.random.default_rng(seed)
    K, share = int(rng.integers(1, 40)), (0.0, 0.02, 0.5, 1.0)[seed % 4]
    sides = [(random_rows(rng, rows, K, share), rng.integers(0, 9, rows).tolist()) for rows in (3, 5)]
    pair = tuple(operand(*side) for side in sides)
    values = [
        [[naive_scaled.value(*v, shift) for v in row] for row, shift in zip(*side, strict=True)] for side in sides
    ]
    expected = np.array([[sum(a * w for a, w in zip(x, y, strict=True)) for y in values[1]] for x in values[0]])
    dp = biscaled()
    same_bits(dp.matmul(*pair), expected)
    same_bits(on_the_arrays(dp, pair, 2, 3, "full"), expected)


def test_encoded_operands_hold_wide_values():
    dp, rng = biscaled(), np.random.default_rng(6)
    pair = encoded_pair(dp, heavy_tailed(rng, (5, 65)), heavy_tailed(rng, (6, 65)), "mse")
    assert all(dp.act_format.census(x)["wide"] > 5 for x in pair)
    same_bits(dp.matmul(*pair), reference(dp, pair))


def test_a_shift_that_pes_do_not_have_is_refused():
    pair = operand([[(1, True)]], 9), operand([[(1, False)]], 8)
    for act, weight in (pair, pair[::-1]):
        with pytest.raises(DatapathError) as error:
            biscaled().matmul(act, weight)
        assert str(error.value) == "biscaled: PEs shift by at most 8, this operand needs 9"


def test_the_longest_reduction_that_fits():
    dp, largest = biscaled(), (31 << 8) ** 2
    assert 34 * largest < 2**31 < 35 * largest
    most, more = (operand([[(31, True)] * n], 8) for n in (34, 35))
    assert dp.matmul(most, most).tolist() == [[34 * largest]]
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(more, more)
    assert str(error.value) == "biscaled: a partial sum of output (0, 0) leaves the 32-bit accumulator"
    assert biscaled(acc_bits=48).matmul(more, more).tolist() == [[35 * largest]]


# Bits and bytes


def test_six_bits_and_a_bit_per_block():
    width = biscaled().width("act")
    assert (width.values, width.bits, width.dram_bits) == (64, 64 * 6 + 8, 64 * 6 + 8)
    assert biscaled().area_bill(32, 80) == {"pe_bs6_acc32": 2560, "decoder_biscaled": 112}  # SPARK, Table VII


def tile_table(M, N, K, m, n, k):
    """All tiles of a GEMM, n outermost, K innermost; an operand's block is loaded unless the tile before had it."""
    corners = [(m0, n0, k0) for n0 in range(0, N, n) for m0 in range(0, M, m) for k0 in range(0, K, k)]
    tiles = np.zeros(len(corners), TILE_DTYPE)
    before = None
    for tile, (m0, n0, k0) in zip(tiles, corners, strict=True):
        tile["m0"], tile["n0"], tile["k0"] = m0, n0, k0
        tile["m"], tile["n"], tile["k"] = min(m, M - m0), min(n, N - n0), min(k, K - k0)
        tile["act_load_bytes"] = before is None or before[::2] != (m0, k0)
        tile["weight_load_bytes"] = before is None or before[1:] != (n0, k0)
        before = m0, n0, k0
    return tiles


@seeds(40)
def test_masks_of_each_tile_are_counted(seed):
    rng = np.random.default_rng(seed)
    M, N, K = rng.integers(1, 30, 3).tolist()
    rows, cols = rng.integers(1, 5, 2).tolist()
    m, n, k = rows * int(rng.integers(1, 4)), cols * int(rng.integers(1, 4)), 8 * int(rng.integers(1, 5))
    acts, weights = (random_rows(rng, lines, K, 0.05) for lines in (M, N))
    tiles = tile_table(M, N, K, m, n, k)
    job = Job(M, N, K, rows, cols, tiles, operand(acts, 3), operand(weights, 3), 0)
    costs = biscaled().tile_costs(job)
    expected = {"act": [], "weight": []}
    read = {"act": 0, "weight": 0}
    for tile in tiles:
        for name, lines, line, passes in (
            ("act", acts, "m", -(-int(tile["n"]) // cols)),
            ("weight", weights, "n", -(-int(tile["m"]) // rows)),
        ):
            first, k0 = int(tile[f"{line}0"]), int(tile["k0"])
            found = naive_scaled.masks_in(lines, range(first, first + int(tile[line])), range(k0, k0 + int(tile["k"])))
            expected[name].append(found if tile[f"{name}_load_bytes"] else 0)
            read[name] += found * passes
    assert costs.act_load_bytes.tolist() == expected["act"]
    assert costs.weight_load_bytes.tolist() == expected["weight"]
    assert costs.act_buffer_bits == (8 * read["act"], 8 * sum(expected["act"]))
    assert costs.weight_buffer_bits == (8 * read["weight"], 8 * sum(expected["weight"]))
    assert not costs.outlier_cycles.any()
    assert not costs.vector_cycles.any()


def test_drawn_masks_have_the_stated_share_and_do_not_depend_on_the_tiling():
    dp, M, N, K = biscaled(wide_share=0.02), 512, 256, 1028
    job = Job(M, N, K, 32, 32, tile_table(M, N, K, M, N, K), None, None, 7)
    found = int(dp.tile_costs(job).act_load_bytes[0])
    expected = M * (128 * (1 - 0.98**8) + (1 - 0.98**4))
    assert abs(found - expected) < 6 * (M * 129 * 0.15 * 0.85) ** 0.5
    again = dp.tile_costs(job)
    assert int(again.act_load_bytes[0]) == found
    assert int(dp.tile_costs(replace(job, seed=8)).act_load_bytes[0]) != found
    halves = dp.tile_costs(replace(job, tiles=tile_table(M, N, K, M, 128, K)))
    assert halves.act_load_bytes.tolist() == [found, 0]  # the same activations, loaded once
    for share, masks in ((0.0, 0), (1.0, M * 129)):
        costs = biscaled(wide_share=share).tile_costs(job)
        assert costs.act_load_bytes.tolist() == [masks]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acc_bits": 40}, "Input should be 32 or 48, found 40"),
        ({"wide_share": 1.5}, "Input should be less than or equal to 1, found 1.5"),
        ({"wide_shares": 0.5}, "unknown option of datapath 'biscaled'; did you mean 'wide_share'?"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(OptionError) as error:
        biscaled(**options)
    assert str(error.value) == message


def test_every_pair_of_wide_bits_at_once():
    """The four shifts of one PE, in one row: 1, 2^5, 2^5, 2^10."""
    ones = [(1, a) for a, _ in product((False, True), repeat=2)], [(1, w) for _, w in product((False, True), repeat=2)]
    assert biscaled().matmul(operand([ones[0]], 5), operand([ones[1]], 5)).tolist() == [[1 + 32 + 32 + 1024]]
