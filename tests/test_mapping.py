"""Tiles of a GEMM: they cover it once, fit the scratchpads, move what they must, and sum to the closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from simulator.datapath import Width
from simulator.errors import MappingError
from simulator.mapping import (
    ORDERS,
    ArrayShape,
    Blocking,
    BufferLimits,
    OperandBits,
    Pinned,
    candidates,
    held_total,
    lower,
    nest_of,
    os_total,
    table_of,
)
from simulator.mapping.loop_orders import block_sizes
from simulator.workload import Op

SEEDS = range(200)


def random_case(seed, dataflow=None):
    """An op, an array, widths and limits under which some tile fits."""
    rng = np.random.default_rng(seed)
    (M, N, K), (rows, cols) = rng.integers(1, 40, 3).tolist(), rng.integers(1, 9, 2).tolist()
    act, weight = rng.choice([4, 8, 16], 2).tolist()
    bits = OperandBits(Width.plain(act), Width.plain(weight), 32, 16)
    dataflow = dataflow or ("os", "ws", "is")[seed % 3]
    steps = int(rng.choice([1, 1, 1, 2]))
    k = bits.k_align if dataflow == "os" else rows * bits.k_align
    m, n = {"os": (rows, cols), "ws": (16, cols), "is": (cols, 16)}[dataflow]
    m, n, k = min(m, M), min(n, N), min(k, -(-K // bits.k_align) * bits.k_align)
    smallest = m * bits.act.row_bits(k), n * bits.weight.row_bits(k), m * n * 32
    limits = BufferLimits(*(int(s * f) for s, f in zip(smallest, rng.uniform(1, 30, 3), strict=True)))
    overlap = str(rng.choice(["none", "wave", "full", "scalesim"]))
    return Op("op", M, N, K), ArrayShape(rows, cols, overlap, steps, dataflow=dataflow), bits, limits


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
    found = tiles["fill_cycles"][0] + tiles["issue_cycles"].sum() + tiles["drain_cycles"][-1]
    assert found == table.compute_cycles == by_hand(op, array, tiles)
    assert (tiles["first_result_cycles"] <= tiles["issue_cycles"]).all()


def by_hand(op, array, tiles):
    """Cycles of the folds of a table, from the contract's forms: all folds of one length together."""
    rows, cols, steps = array.rows, array.cols, array.cycles_per_step
    if array.dataflow == "os":
        folds = -(-op.M // rows) * -(-op.N // cols)
        return os_total(folds, op.K * steps, rows, cols, array.overlap)
    streamed, across = ("m", op.N) if array.dataflow == "ws" else ("n", op.M)
    folds = -(-op.K * steps // rows) * -(-across // cols)
    blocks = sorted(set(zip(tiles[f"{streamed}0"].tolist(), tiles[streamed].tolist(), strict=True)))
    lengths = [length for _, length in blocks]
    together = [held_total(folds, length, rows, cols, array.overlap) for length in lengths]
    once = {"none": 0, "scalesim": -1, "wave": rows + cols, "full": None}[array.overlap]
    if once is not None:
        return sum(together) - (len(lengths) - 1) * once
    return sum(together) - sum(rows + length + rows + cols - 1 - max(length, rows) for length in lengths[:-1])


@pytest.mark.parametrize("seed", range(60))
def test_without_limits_cycles_are_the_contracts(seed):
    op, array, bits, _ = random_case(seed)
    rows, cols, K = array.rows, array.cols, op.K * array.cycles_per_step
    table = lower(op, array, bits, None)
    assert len(table) == 1
    F, T = {
        "os": (-(-op.M // rows) * -(-op.N // cols), K),
        "ws": (-(-K // rows) * -(-op.N // cols), op.M),
        "is": (-(-K // rows) * -(-op.M // cols), op.N),
    }[array.dataflow]
    held = {
        "none": F * (T + 2 * rows + cols - 1),
        "wave": rows + (F - 1) * (T + rows - 1) + T + rows + cols - 1,
        "full": rows + (F - 1) * max(T, rows) + T + rows + cols - 1,
        "scalesim": F * (T + 2 * rows + cols - 2) - 1,
    }
    stays = {
        "none": F * (T + 2 * rows + cols - 2),
        "wave": (F - 1) * (T + rows - 1) + T + 2 * rows + cols - 2,
        "full": (F - 1) * max(T, rows) + T + 2 * rows + cols - 2,
        "scalesim": F * (T + rows + cols - 2) - 1,
    }
    assert table.compute_cycles == (stays if array.dataflow == "os" else held)[array.overlap]


@pytest.mark.parametrize("seed", SEEDS)
def test_loads_are_what_a_walk_over_the_tiles_says(seed):
    """Operand blocks are loaded unless the tile before used the same one; sums that were left come back."""
    op, array, bits, limits = random_case(seed)
    order = ORDERS[seed % 6] if array.dataflow != "os" else None
    tiles = lower(op, array, bits, limits, pinned=Pinned(order=order)).rows
    before = {"act": None, "weight": None}
    began, at = set(), None
    for i, t in enumerate(tiles):
        for operand, corner, rows, width in (("act", "m0", "m", bits.act), ("weight", "n0", "n", bits.weight)):
            block = (t[corner], t["k0"])
            row_bits = -(-int(t["k"]) // width.values) * width.dram_bits
            needed = 0 if block == before[operand] else -(-int(t[rows]) * row_bits // 8)
            assert t[f"{operand}_load_bytes"] == needed
            before[operand] = block
        place, outputs = (t["m0"], t["n0"]), int(t["m"] * t["n"])
        returns = place != at and place in began
        assert t["sum_load_bytes"] == (-(-outputs * bits.accumulator // 8) if returns else 0)
        finished = t["k0"] + t["k"] == op.K
        leaves = i + 1 == len(tiles) or (tiles[i + 1]["m0"], tiles[i + 1]["n0"]) != place
        width = bits.output if finished else bits.accumulator
        assert t["store_bytes"] == (-(-outputs * width // 8) if leaves else 0)
        assert t["opens_output"] == (finished if array.dataflow == "os" else place != at)
        began.add(place)
        at = place


@pytest.mark.parametrize("seed", SEEDS)
def test_every_candidate_fits_and_its_traffic_is_what_its_tiles_move(seed):
    op, array, bits, limits = random_case(seed)
    choices = candidates(op, array, bits, limits)
    assert len({choices[i] for i in range(len(choices))}) == len(choices)
    for i in range(min(len(choices), 60)):
        b = choices[i]
        tiles = table_of(op, array, bits, b).rows
        assert len(tiles) == choices.tiles[i]
        assert b.m * bits.act.row_bits(b.k) <= limits.act_bits
        assert b.n * bits.weight.row_bits(b.k) <= limits.weight_bits
        assert b.m * b.n * bits.accumulator <= limits.out_bits
        read = sum(8 * int(tiles[c].sum()) for c in ("act_load_bytes", "weight_load_bytes", "sum_load_bytes"))
        written = 8 * int(tiles["store_bytes"].sum())
        slack = 8 * 3 * len(tiles)  # whole bytes
        assert choices.read_bits[i] <= read < choices.read_bits[i] + slack
        assert choices.write_bits[i] <= written < choices.write_bits[i] + slack


@pytest.mark.parametrize("length", [1, 5, 16, 37, 100])
@pytest.mark.parametrize("granule", [1, 3, 16, 64])
def test_block_sizes_are_the_smallest_for_each_number_of_blocks(length, granule):
    folds = -(-length // granule)
    expected = {min(length, -(-folds // count) * granule) for count in range(1, folds + 1)}
    assert block_sizes(length, granule).tolist() == sorted(expected)


@pytest.mark.parametrize("seed", range(80))
def test_the_search_finds_the_least_cycles_of_all_candidates(seed):
    """Cycles of a memory of two bytes per cycle, no overlap: never below the bound that the search prunes with."""
    op, array, bits, limits = random_case(seed)

    def cycles(table):
        return table.compute_cycles + int(table.load_bytes.sum() + table.rows["store_bytes"].sum()) // 2

    choices = candidates(op, array, bits, limits)
    least = min(cycles(table_of(op, array, bits, choices[i])) for i in range(len(choices)))

    def of_nest(nest):
        return nest.compute_cycles + nest.summed(nest.load_bytes + nest.rows["store_bytes"]) // 2

    pruned = lower(op, array, bits, limits, cycles=of_nest, bytes_per_cycle=2.0)
    assert cycles(pruned) == least == cycles(lower(op, array, bits, limits, cycles=of_nest))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loop_nest_repeats_the_tiles_of_the_table(seed):
    """Every tile, corners aside, is that of its kind; the last one too, which pays what only the last pays."""
    op, array, bits, limits = random_case(seed)
    choices = candidates(op, array, bits, limits)
    for i in range(0, len(choices), max(1, len(choices) // 20)):
        table, nest = (make(op, array, bits, choices[i], (2, 1, 2)) for make in (table_of, nest_of))
        thirds = [[0 if b == 0 else min(c, 3) - 1 if b == c - 1 else 1 for b in range(c)] for c in nest.counts]
        _, inner, innermost = (min(count, 3) for count in nest.counts)
        kind = [(x * inner + y) * innermost + z for x, y, z in product(*thirds)]
        columns = [name for name in table.rows.dtype.names if name not in ("m0", "n0", "k0")]
        assert len(nest) == len(table)
        assert (nest.rows[kind][columns] == table.rows[columns]).all()
        assert list(nest.times) == [kind.count(k) for k in range(len(nest.rows))]
        assert nest.compute_cycles == table.compute_cycles


@pytest.mark.parametrize("seed", range(60))
def test_a_larger_scratchpad_only_adds_candidates(seed):
    op, array, bits, limits = random_case(seed)
    larger = BufferLimits(limits.act_bits * 2, limits.weight_bits + 999, limits.out_bits * 3)
    few, many = ({c[i] for i in range(len(c))} for c in (candidates(op, array, bits, x) for x in (limits, larger)))
    if array.dataflow == "os" and any(b.k < op.K for b in few):
        pytest.skip("one fold in chunks is what is left when no whole reduction fits")
    assert few <= many


def test_least_traffic_is_found_among_all_block_sizes():
    """Exhaustive: no cut into whole folds, in either order, reads less than the choice without cycles does."""
    op, limits = Op("op", 45, 60, 20), BufferLimits(3000, 4000, 9000)
    array, bits = ArrayShape(4, 8, "full"), OperandBits(Width.plain(8), Width.plain(8), 32, 16)
    least = min(
        int(table_of(op, array, bits, Blocking(m, n, op.K, order)).load_bytes.sum())
        for m in {min(45, f * 4) for f in range(1, 13)}
        for n in {min(60, f * 8) for f in range(1, 9)}
        for order in ("mnk", "nmk")
        if m * 20 * 8 <= 3000 and n * 20 * 8 <= 4000 and m * n * 32 <= 9000
    )
    assert lower(op, array, bits, limits).load_bytes.sum() == least


def test_pinned_sizes_and_order_are_taken():
    op, bits = Op("op", 64, 48, 40), OperandBits(Width.plain(8), Width.plain(8), 32, 16)
    limits, array = BufferLimits(10**6, 10**6, 10**6), ArrayShape(8, 8, "full", dataflow="ws")
    for order, k in product(ORDERS, (8, 40)):
        tiles = lower(op, array, bits, limits, pinned=Pinned(16, 24, k, order)).rows
        assert (tiles["m"].max(), tiles["n"].max(), tiles["k"].max()) == (16, 24, k)
        outermost = tiles[f"{order[0]}0"]
        assert (np.diff(outermost) >= 0).all()
    spills = lower(op, array, bits, limits, pinned=Pinned(16, 24, 8, "kmn")).rows
    assert spills["sum_load_bytes"].sum() == 4 * 64 * 48 * 4
    assert spills["store_bytes"].sum() == 4 * 64 * 48 * 4 + 64 * 48 * 2


def test_a_pinned_part_of_k_makes_output_stationary_tiles_of_one_fold():
    """Their sums stay in the PEs, so no tile may hold more than one fold."""
    op, bits = Op("op", 64, 48, 40), OperandBits(Width.plain(8), Width.plain(8), 32, 16)
    for shape in ((64, 48), (7, 5)):
        small = Op("op", *shape, 40)
        table = lower(small, ArrayShape(8, 8, "full"), bits, BufferLimits(*[10**6] * 3), pinned=Pinned(k=16))
        tiles = table.rows
        assert (tiles["m"].max(), tiles["n"].max(), tiles["k"].max()) == (*(min(8, s) for s in shape), 16)
        assert tiles["issue_cycles"].sum() + tiles["drain_cycles"][-1] == table.compute_cycles
    assert lower(op, ArrayShape(8, 8, "full"), bits, None, pinned=Pinned(k=16)).compute_cycles > 0


def test_output_stationary_tiles_of_part_of_k_take_no_other_outputs_between():
    op, bits = Op("op", 64, 48, 40), OperandBits(Width.plain(8), Width.plain(8), 32, 16)
    array, room = ArrayShape(8, 8, "full"), BufferLimits(*[10**6] * 3)
    tight = BufferLimits(8 * 8 * 16, 8 * 8 * 16, 10**6)
    for limits, k in ((room, 16), (tight, None)):
        for order in ("mnk", "nmk"):
            tiles = lower(op, array, bits, limits, pinned=Pinned(k=k, order=order)).rows
            assert tiles["sum_load_bytes"].sum() == 0
        with pytest.raises(MappingError, match="the loop over k is innermost, as in mnk or nmk") as error:
            candidates(op, array, bits, limits, Pinned(k=k, order="kmn"))
        assert error.value.field == ("tiling", "order")
    assert len(lower(op, array, bits, room, pinned=Pinned(order="kmn"))) > 0, (
        "with all of K in a tile any order will do"
    )


@pytest.mark.parametrize(
    ("dataflow", "pinned", "field", "message"),
    [
        ("os", Pinned(m=10), "m", "10 cuts a fold or a packed unit; use a multiple of 8, such as 8"),
        ("os", Pinned(n=3), "n", "3 cuts a fold or a packed unit; use a multiple of 8, such as 8"),
        ("ws", Pinned(k=20), "k", "20 cuts a fold or a packed unit; use a multiple of 8, such as 16"),
        ("is", Pinned(m=12), "m", "12 cuts a fold or a packed unit; use a multiple of 8, such as 8"),
        (
            "os",
            Pinned(m=16, k=16),
            "m",
            "output-stationary sums stay in the PEs: a tile of part of K is one fold, at most 8",
        ),
    ],
)
def test_pinned_sizes_that_cut_folds_are_refused(dataflow, pinned, field, message):
    op, bits = Op("op", 64, 48, 40), OperandBits(Width.plain(4), Width.plain(4), 32, 16)
    with pytest.raises(MappingError) as error:
        candidates(op, ArrayShape(8, 8, "full", dataflow=dataflow), bits, BufferLimits(*[10**6] * 3), pinned)
    assert str(error.value) == message
    assert error.value.field == ("tiling", field)


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
        candidates(op, ArrayShape(2, 3, "full"), bits, BufferLimits(*limits))
    assert error.value.field == ("memory", field, "capacity_kib")
    what = message.format("usable for one tile cannot hold")
    assert str(error.value) == f"{what}; enlarge it, shrink the array, or set double_buffer: false"
