"""A pass of the vector unit becomes tiles: blocks of whole rows that the scratchpads hold, or parts of a row.

A block is loaded into the act scratchpad (a residual's second matrix too), its parameters per column into the weight
scratchpad, its results go to the out scratchpad and from there to DRAM. Double buffers overlap all three as they do for
a GEMM, so every engine runs the table as it is; the array has nothing to do, and ``vector_cycles`` are all there is.

**Cycles of a block** of m rows and n columns on L lanes: the lanes take L neighbours at a time. Where rows are reduced,
a group of lanes holds part of one row, or as many whole rows as fit. A simple operation takes a cycle per group, a
special function ``special_cycles``. A reduction takes a cycle per group; the tree that joins the lanes is pipelined, so
its ceil(log2(min(n, L))) levels show once per reduction and block. What is done once per row is done for L rows at a
time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.datapath import Width
from simulator.errors import MappingError
from simulator.mapping.blocking import BufferLimits
from simulator.mapping.scratchpads import Memories
from simulator.tiles import TILE_DTYPE, LoopNest, Tiles, TileTable, same_as_before
from simulator.workload import Work

__all__ = [
    "PARAMETER_BITS",
    "VECTOR_ACTIONS",
    "Lanes",
    "VectorJob",
    "count_pass",
    "lower_pass",
    "vector_cycles",
    "whole_table",
]

PARAMETER_BITS = 16
"""Gains, offsets and biases are FP16 in DRAM and in the scratchpads (assumed)."""
VECTOR_ACTIONS = {"add": "vector_add_fp32", "mul": "vector_mul_fp32", "special": "vector_special_fp32"}
"""What a pass does, as actions that are priced in ``configs/cost``."""
_MOST_TRIED, _MOST_TILES = 1 << 12, 1 << 22
"""Block sizes of more tiles are not tried where a larger one fits; tables of more tiles fill any memory."""


@dataclass(frozen=True)
class Lanes:
    """A vector unit: values per cycle, and cycles of a special function."""

    lanes: int
    special_cycles: int


@dataclass(frozen=True)
class VectorJob:
    """One pass ready to be cut: its shape, its operations, and how its values are packed along a row.

    Attributes:
        source, result: widths of a value that is loaded and of one that is written.
    """

    rows: int
    cols: int
    work: Work
    source: Width
    result: Width

    @property
    def divisible(self) -> bool:
        """Whether a row may be cut: nothing in it depends on all of it."""
        return not self.work.reductions or bool(self.work.group)

    def row_bits(self, n: Any) -> Any:
        """Loaded per row of a block of n columns, as the scratchpad holds it [bit]."""
        return self.work.inputs * self.source.row_bits(n) + self.source.row_bits(self.work.row_inputs)

    @property
    def together(self) -> int:
        """Fewest neighbours that may not be parted: packed, reduced or mixed together."""
        return lcm(self.source.values, self.result.values, self.work.group or 1)


def vector_cycles(job: VectorJob, lanes: Lanes, m: int, n: int) -> int:
    """Cycles of a block of m rows and n columns."""
    work, width = job.work, lanes.lanes
    if not work.reductions:
        groups = -(-m * n // width)
    elif n >= width:
        groups = m * -(-n // width)
    else:
        groups = -(-m // (width // n))
    per_group = work.adds + work.muls + work.reductions + work.specials * lanes.special_cycles
    scales = -(-m * work.groups(n) // width)
    per_scale = work.row_adds + work.row_muls + work.row_specials * lanes.special_cycles
    joined = min(work.group or n, n, width)
    return groups * per_group + scales * per_scale + work.reductions * (joined - 1).bit_length()


def lower_pass(
    job: VectorJob,
    lanes: Lanes,
    limits: BufferLimits | None,
    depths: tuple[int, int, int],
    cycles: Callable[[LoopNest], int],
) -> LoopNest:
    """The tiles of one pass, as what their loops repeat: of all block sizes that fit, halved again and again, those of
    least ``cycles``, and of these the largest.

    Raises: MappingError naming the scratchpad that is too small.
    """
    nests = (_nest(job, lanes, m, n, depths) for m, n in _fitting(job, limits))
    return min(nests, key=cycles)


def whole_table(job: VectorJob, lanes: Lanes, nest: LoopNest) -> TileTable:
    """The tiles of one pass in time order, a row for each."""
    m, n = int(nest.rows["m"][0]), int(nest.rows["n"][0])
    rows = _rows(job, lanes, m, n, np.arange(0, job.rows, m), np.arange(0, job.cols, n))
    return TileTable(rows, 0, nest.act_buffer_depth, nest.weight_buffer_depth, nest.out_buffer_depth)


def _fitting(job: VectorJob, limits: BufferLimits | None) -> list[tuple[int, int]]:
    """The block sizes to try: those that fit and make few tiles, or else the largest that fits."""
    fitting: list[tuple[int, int]] = []
    pad = ""
    for m, n in _sizes(job):
        pad = _too_small(job, limits, m, n) if limits else ""
        tiles = -(-job.rows // m) * -(-job.cols // n)
        if fitting and tiles > _MOST_TRIED:
            break
        if not pad and tiles > _MOST_TILES:
            small = ("memory", "act_buffer", "capacity_kib")
            raise MappingError(f"makes {tiles} tiles of a pass; at most {_MOST_TILES} are simulated", small)
        if not pad:
            fitting.append((m, n))
    if not fitting:
        what = "cannot hold" if job.divisible else "cannot hold a whole row, which is reduced:"
        raise MappingError(f"{what} {m} x {n} values", ("memory", pad, "capacity_kib"))
    return fitting


def _sizes(job: VectorJob) -> Iterator[tuple[int, int]]:
    """Blocks of all rows, half of them ... one; then, where a row may be cut, half of a row ... the fewest values that
    stay together. They depend on the shape alone, so that a larger scratchpad only adds to what fits.
    """
    m, n = job.rows, job.cols
    yield m, n
    while m > 1:
        m = -(-m // 2)
        yield m, n
    while job.divisible and n > job.together:
        half = (n + 1) // 2
        n = -(-half // job.together) * job.together
        yield m, n


def _too_small(job: VectorJob, limits: BufferLimits, m: int, n: int) -> str:
    """The scratchpad that does not hold the block, or an empty string."""
    needed = (
        ("act_buffer", m * job.row_bits(n), limits.act_bits),
        ("weight_buffer", job.work.parameters * n * PARAMETER_BITS, limits.weight_bits),
        ("out_buffer", m * job.result.row_bits(n) + job.work.kept * n * PARAMETER_BITS, limits.out_bits),
    )
    return next((pad for pad, bits, most in needed if bits > most), "")


@lru_cache(maxsize=4096)
def _nest(job: VectorJob, lanes: Lanes, m: int, n: int, depths: tuple[int, int, int]) -> LoopNest:
    """The tiles of one block size: a loop over the rows, one over the columns inside."""
    counts = -(-job.rows // m), -(-job.cols // n)
    starts = (np.array([*range(min(c - 1, 2)), c - 1]) * size for c, size in zip(counts, (m, n), strict=True))
    return LoopNest(_rows(job, lanes, m, n, *starts), 0, *depths, (*counts, 1))


def _rows(
    job: VectorJob, lanes: Lanes, m: int, n: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.void]:
    """A row for each of the blocks of one size that begin there."""
    row, col = np.repeat(rows, len(cols)), np.tile(cols, len(rows))
    tiles = np.zeros(len(row), TILE_DTYPE)
    tiles["m0"], tiles["n0"] = row, col
    tiles["m"], tiles["n"] = np.minimum(m, job.rows - row), np.minimum(n, job.cols - col)
    per_row = job.work.inputs * job.source.dram_row_bits(tiles["n"]) + job.source.dram_row_bits(job.work.row_inputs)
    tiles["act_load_bytes"] = -(-tiles["m"] * per_row // 8)
    parameters = -(-tiles["n"] * job.work.parameters * PARAMETER_BITS // 8)
    again = same_as_before(tiles, "n0")
    tiles["weight_load_bytes"] = np.where(again, 0, parameters)
    stored = tiles["m"] * job.result.dram_row_bits(tiles["n"]) + _kept_bits(job, tiles)
    tiles["store_bytes"] = -(-stored // 8)
    tiles["opens_output"] = True  # from its start: results are written from the first group on
    tiles["vector_cycles"] = _each_shape(job, lanes, tiles)
    tiles.flags.writeable = False
    return tiles


def _kept_bits(job: VectorJob, tiles: NDArray[np.void]) -> NDArray[np.int64]:
    """What each tile writes of its columns beside its results: the last of those that share their columns [bit]."""
    last = np.append(~same_as_before(tiles, "n0")[1:], True)
    return np.asarray(np.where(last, tiles["n"] * job.work.kept * PARAMETER_BITS, 0))


def _each_shape(job: VectorJob, lanes: Lanes, tiles: NDArray[np.void]) -> NDArray[np.int64]:
    """Vector cycles of all tiles; at most four shapes differ."""
    first, last = tiles[[0, -1]][["m", "n"]].tolist()
    of_last = [[tiles[dim] == size for size in (last[i], first[i])] for i, dim in enumerate("mn")]
    cycles = np.zeros(len(tiles), np.int64)
    for is_m, m in zip(of_last[0], (last[0], first[0]), strict=True):
        for is_n, n in zip(of_last[1], (last[1], first[1]), strict=True):
            cycles[is_m & is_n] = vector_cycles(job, lanes, m, n)
    return cycles


def count_pass(job: VectorJob, table: Tiles, memories: Memories) -> Counts:
    """Counts of one pass, cycles apart. A tile's transfers take whole bursts of DRAM and whole words of a scratchpad.

    Raises: ConservationError if the tiles lose bytes.
    """
    tiles, work = table.rows, job.work
    values = table.summed(tiles["m"] * tiles["n"])
    assert values == job.rows * job.cols, "tiles must cover the pass exactly once"
    moved = ("act_load_bytes", "weight_load_bytes", "store_bytes")
    loaded, parameters, stored = (table.total(column) * 8 for column in moved)
    kept = _kept_bits(job, tiles)
    row_bits, updated = job.row_bits(tiles["n"]), tiles["m"] * tiles["n"] * work.kept * PARAMETER_BITS
    read_once = table.summed(tiles["m"] * row_bits)
    written_once = job.rows * job.result.row_bits(job.cols) + table.summed(kept)
    used = tiles["m"] * tiles["n"] * work.parameters * PARAMETER_BITS
    act_words, out_words, param_reads, param_writes = (
        table.summed(-(-bits // pad.word_bits))
        for bits, pad in (
            (tiles["m"] * row_bits, memories.act),
            (tiles["m"] * job.result.row_bits(tiles["n"]) + kept, memories.out),
            (used, memories.weight),
            (tiles["weight_load_bytes"] * 8 + updated, memories.weight),
        )
    )
    act_bursts, param_bursts, out_bursts = (table.summed(-(-tiles[c] // memories.burst_bytes)) for c in moved)
    rewrites = work.rewrites + 1
    counts = Counts(
        0,
        0,
        actions_of(job),
        {
            ("dram", "act"): Traffic(read_bits=loaded, reads=act_bursts),
            ("dram", "weight"): Traffic(read_bits=parameters, reads=param_bursts),
            ("dram", "out"): Traffic(write_bits=stored, writes=out_bursts),
            ("act_buffer", "act"): Traffic(work.reads * read_once, read_once, work.reads * act_words, act_words),
            ("weight_buffer", "weight"): Traffic(
                table.summed(used), parameters + table.summed(updated), param_reads, param_writes
            ),
            ("out_buffer", "out"): Traffic(
                rewrites * written_once, rewrites * written_once, rewrites * out_words, rewrites * out_words
            ),
        },
    )
    least = job.rows * (work.inputs * job.source.dram_row_bits(job.cols) + job.source.dram_row_bits(work.row_inputs))
    written = job.rows * job.result.dram_row_bits(job.cols) + work.kept * job.cols * PARAMETER_BITS
    counts.require_compulsory(least, work.parameters * job.cols * PARAMETER_BITS, written)
    return counts


def actions_of(job: VectorJob) -> dict[str, float]:
    """Operations of one pass, as priced actions."""
    work, values = job.work, job.rows * job.cols
    scales = job.rows * work.groups(job.cols)
    done: dict[str, float] = defaultdict(float)
    done["add"] = values * work.adds + work.reductions * (values - scales) + scales * work.row_adds
    done["mul"] = values * work.muls + scales * work.row_muls
    done["special"] = values * work.specials + scales * work.row_specials
    return {VECTOR_ACTIONS[name]: n for name, n in done.items() if n}
