"""Tiles cover the GEMM exactly once, fit the scratchpads, and move no more than they must."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.datapath import Width
from simulator.errors import MappingError
from simulator.mapping import ArrayShape, Blocking, BufferLimits, OperandBits, blockings, lower, os_total
from simulator.mapping.blocking import traffic_bits
from simulator.mapping.output_stationary import _table
from simulator.workload import Op

SEEDS = range(200)


def random_case(seed):
    """An op, an array, widths and limits under which at least one fold fits."""
    rng = np.random.default_rng(seed)
    (M, N, K), (rows, cols) = rng.integers(1, 40, 3).tolist(), rng.integers(1, 9, 2).tolist()
    act, weight = rng.choice([4, 8, 16], 2).tolist()
    bits = OperandBits(Width.plain(act), Width.plain(weight), 32, 16)
    smallest = (
        min(rows, M) * bits.act.row_bits(bits.k_align),
        min(cols, N) * bits.weight.row_bits(bits.k_align),
        min(rows, M) * min(cols, N) * 32,
    )
    limits = BufferLimits(*(int(s * f) for s, f in zip(smallest, rng.uniform(1, 30, 3), strict=True)))
    overlap = str(rng.choice(["none", "wave", "full", "scalesim"]))
    return Op("op", M, N, K), ArrayShape(rows, cols, overlap), bits, limits


@pytest.mark.parametrize("seed", SEEDS)
def test_tiles_cover_every_mac_exactly_once(seed):
    op, array, bits, limits = random_case(seed)
    covered = np.zeros((op.M, op.N, op.K), int)
    for t in lower(op, array, bits, limits).rows:
        covered[t["m0"] : t["m0"] + t["m"], t["n0"] : t["n0"] + t["n"], t["k0"] : t["k0"] + t["k"]] += 1
        assert t["macs"] == t["m"] * t["n"] * t["k"]
    assert (covered == 1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_tiles_fit_and_their_cycles_sum_to_the_closed_form(seed):
    op, array, bits, limits = random_case(seed)
    table = lower(op, array, bits, limits)
    tiles = table.rows
    assert (tiles["m"] * bits.act.row_bits(tiles["k"]) <= limits.act_bits).all()
    assert (tiles["n"] * bits.weight.row_bits(tiles["k"]) <= limits.weight_bits).all()
    assert (tiles["m"] * tiles["n"] * bits.accumulator <= limits.out_bits).all()
    folds = -(-op.M // array.rows) * -(-op.N // array.cols)
    expected = os_total(folds, op.K, array.rows, array.cols, array.overlap)
    assert tiles["folds"].sum() == folds
    assert tiles["issue_cycles"].sum() + tiles["drain_cycles"][-1] == expected == table.compute_cycles


@pytest.mark.parametrize("seed", SEEDS)
def test_loads_are_what_a_walk_over_the_tiles_says(seed):
    """An operand block is loaded unless the tile before used the same one; results are written once."""
    op, array, bits, limits = random_case(seed)
    before = {"act": None, "weight": None}
    for t in lower(op, array, bits, limits).rows:
        for operand, corner, rows, width in (("act", "m0", "m", bits.act), ("weight", "n0", "n", bits.weight)):
            block = (t[corner], t["k0"])
            needed = (
                0
                if block == before[operand]
                else -(-int(t[rows]) * (-(-int(t["k"]) // width.values) * width.dram_bits) // 8)
            )
            assert t[f"{operand}_load_bytes"] == needed
            before[operand] = block
        finished = t["k0"] + t["k"] == op.K
        assert t["store_bytes"] == (-(-int(t["m"] * t["n"]) * bits.output // 8) if finished else 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_blocking_fits_and_its_traffic_is_what_its_tiles_load(seed):
    op, array, bits, limits = random_case(seed)
    choices = blockings(op, array.rows, array.cols, bits, limits)
    assert len(set(choices)) == len(choices)
    for b in choices:
        tiles = _table(op, array, bits, b, (2, 2, 2)).rows
        assert b.m * bits.act.row_bits(b.k) <= limits.act_bits
        assert b.n * bits.weight.row_bits(b.k) <= limits.weight_bits
        assert b.m * b.n * bits.accumulator <= limits.out_bits
        loaded = 8 * int(tiles["act_load_bytes"].sum() + tiles["weight_load_bytes"].sum())
        if b.k == op.K and (bits.k_align == 1 or op.K % 2 == 0):
            assert traffic_bits(op, b, bits) <= loaded < traffic_bits(op, b, bits) + 8 * 2 * len(tiles)  # whole bytes


@pytest.mark.parametrize("seed", SEEDS)
def test_least_cycles_win_then_least_traffic(seed):
    op, array, bits, limits = random_case(seed)

    def cycles(table):
        return int(table.rows["store_bytes"].max()) // 64

    tables = [_table(op, array, bits, b, (2, 2, 2)) for b in blockings(op, array.rows, array.cols, bits, limits)]
    best = min(
        tables, key=lambda t: (cycles(t), int(t.rows["act_load_bytes"].sum() + t.rows["weight_load_bytes"].sum()))
    )
    chosen = lower(op, array, bits, limits, (2, 2, 2), cycles)
    assert cycles(chosen) == cycles(best)
    by_traffic = lower(op, array, bits, limits, (2, 2, 2))
    loads = [int(t.rows["act_load_bytes"].sum() + t.rows["weight_load_bytes"].sum()) for t in [*tables, by_traffic]]
    assert loads[-1] <= min(loads) + 2 * max(len(t) for t in tables)  # whole bytes per transfer


def test_least_traffic_is_found_among_all_block_sizes():
    """Exhaustive: no cut into whole folds, in either order, reads less than the first blocking does."""
    op, bits, limits = (
        Op("op", 45, 60, 20),
        OperandBits(Width.plain(8), Width.plain(8), 32, 16),
        BufferLimits(3000, 4000, 9000),
    )
    least = min(
        traffic_bits(op, Blocking(m, n, op.K, order), bits)
        for m in {min(45, f * 4) for f in range(1, 13)}
        for n in {min(60, f * 8) for f in range(1, 9)}
        for order in ("mn", "nm")
        if m * 20 * 8 <= 3000 and n * 20 * 8 <= 4000 and m * n * 32 <= 9000
    )
    assert traffic_bits(op, blockings(op, 4, 8, bits, limits)[0], bits) == least


def test_no_limits_is_one_tile_of_all_folds():
    op = Op("op", 100, 70, 33)
    table_bits = OperandBits(Width.plain(4), Width.plain(4), 32, 16)
    table = lower(op, ArrayShape(8, 4, "full"), table_bits, None)
    assert len(table) == 1
    assert blockings(op, 8, 4, table_bits, None) == [Blocking(100, 70, 33, "mn")]


@pytest.mark.parametrize(
    ("limits", "field", "message"),
    [
        ((15, 999, 9999), "act_buffer", "0.00183105 KiB {} 2 x 2 activations (0.00195312 KiB)"),
        ((999, 23, 9999), "weight_buffer", "0.00280762 KiB {} 2 x 3 weights (0.00292969 KiB)"),
        ((999, 999, 191), "out_buffer", "0.0233154 KiB {} 2 x 3 partial sums (0.0234375 KiB)"),
    ],
)
def test_a_scratchpad_one_bit_too_small_is_named(limits, field, message):
    op, bits = Op("op", 9, 9, 9), OperandBits(Width.plain(4), Width.plain(4), 32, 16)
    with pytest.raises(MappingError) as error:
        blockings(op, 2, 3, bits, BufferLimits(*limits))
    assert error.value.field == ("memory", field, "capacity_kib")
    found = message.format("usable for one tile cannot hold")
    assert str(error.value) == f"{found}; enlarge it, shrink the array, or set double_buffer: false"
    enough = {"act_buffer": (16, 999, 9999), "weight_buffer": (999, 24, 9999), "out_buffer": (999, 999, 192)}[field]
    blockings(op, 2, 3, bits, BufferLimits(*enough))
