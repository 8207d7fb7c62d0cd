"""How large a block of the GEMM the scratchpads hold, and in which order blocks run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import gcd, lcm
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.datapath import Width
from simulator.errors import MappingError
from simulator.kernels import kernel
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.loop_orders import block_sizes, innermost, is_canonical, traffic_bits
from simulator.workload import Op

__all__ = [
    "LOOPS",
    "MOST_TILES",
    "ORDERS",
    "STREAM_GRANULE",
    "Blocking",
    "BufferLimits",
    "Candidates",
    "OperandBits",
    "Pinned",
    "axes_of",
    "candidates",
]

Order = Literal["mnk", "mkn", "nmk", "nkm", "kmn", "knm"]
ORDERS: tuple[Order, ...] = ("mnk", "mkn", "nmk", "nkm", "kmn", "knm")
"""Loops over blocks, outermost first."""
LOOPS = tuple(tuple("mnk".index(dim) for dim in order) for order in ORDERS)
"""The same as kernels know them: 0, 1, 2 for m, n, k."""
STREAM_GRANULE = 16
"""Blocks along a streamed M or N are multiples of this many, so that few are tried."""
MOST_TILES = 1 << 18
"""Blockings of more tiles are not tried where there are others."""


@dataclass(frozen=True)
class OperandBits:
    """Widths of the operands, of a result in the out scratchpad and of one written to DRAM [bits].

    ``unfinished``: of all sums of an output that leaves the array before its K is done, where they are more than one.
    """

    act: Width
    weight: Width
    accumulator: int
    output: int
    unfinished: int | None = None

    @property
    def sums(self) -> int:
        """Bits of an output that is not finished."""
        return self.accumulator if self.unfinished is None else self.unfinished

    @property
    def k_align(self) -> int:
        """Neighbours along K that a tile may not split."""
        return lcm(self.act.values, self.weight.values)


@dataclass(frozen=True)
class BufferLimits:
    """Bits of each scratchpad that one tile may use (half of it when double buffered)."""

    act_bits: int
    weight_bits: int
    out_bits: int


@dataclass(frozen=True)
class Blocking:
    """Tile of ``m x n`` outputs and ``k`` reduction steps, and the order of the loops over them."""

    m: int
    n: int
    k: int
    order: Order = "mnk"

    def counts(self, op: Op) -> tuple[int, int, int]:
        """Blocks along M, N and K."""
        return -(-op.M // self.m), -(-op.N // self.n), -(-op.K // self.k)


class Pinned(NamedTuple):
    """What the user fixes of the blocking; None leaves it to the search."""

    m: int | None = None
    n: int | None = None
    k: int | None = None
    order: Order | None = None


@dataclass(frozen=True)
class Candidates:
    """Blockings worth trying, as arrays of one entry each.

    Attributes:
        sizes: (m, n, k); order: index into ``ORDERS``; counts: blocks along (m, n, k).
        read_bits, write_bits: DRAM traffic, spilled sums included; tiles.
    """

    sizes: NDArray[np.int64]
    order: NDArray[np.int64]
    counts: NDArray[np.int64]
    read_bits: NDArray[Any]
    write_bits: NDArray[Any]
    tiles: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiles", self.counts.prod(axis=1))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Blocking:
        m, n, k = (int(size) for size in self.sizes[i])
        return Blocking(m, n, k, ORDERS[self.order[i]])


def candidates(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    pinned: Pinned | None = None,
    spills: bool = True,
) -> Candidates:
    """All blockings into whole folds that fit, whatever the capacity: a larger scratchpad only adds to them.

    Each dimension is cut into blocks of each size that some number of blocks needs. Output-stationary blocks hold all
    of K; where no fold does, a block is one fold, whose sums stay in the PEs while K streams through in chunks. No
    limits: one tile. What is pinned is taken as it is, if it fits. Without ``spills`` no output block is left before
    its K is done: sums that come back need a place of their own in the out scratchpad while others are in it.

    Raises: MappingError naming the scratchpad that cannot hold the smallest tile, or the pinned one.
    """
    pinned = pinned or Pinned()
    axes = axes_of(op, array, bits, pinned)
    if limits is None:
        return _with_traffic(op, bits, np.array([[op.M, op.N, op.K]]), ["mnk"])
    sizes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    fits = _fits(sizes, bits, limits)
    orders: Iterable[Order] = ORDERS
    if array.dataflow == "os":
        orders = ("mnk", "nmk")
        if pinned.k is not None and pinned.k < op.K:
            orders = ("mnk",)
        elif not fits.any():
            sizes, fits, orders = _one_fold_in_chunks(op, array, bits, limits), np.array([True]), ("mnk",)
    if not fits.any():
        raise _too_large(op, sizes[np.argmin(sizes.prod(axis=1))], bits, limits)
    if pinned.order is not None:
        if array.dataflow == "os" and orders == ("mnk",) and pinned.order[-1] != "k":
            message = (
                "output-stationary sums stay in the PEs: where a tile holds part of K, the loop over k is innermost"
            )
            raise MappingError(f"{message}, as in mnk or nmk", ("tiling", "order"))
        orders = (pinned.order,)
    found = _with_traffic(op, bits, sizes[fits], orders)
    if spills:
        return found
    stay = found.write_bits <= op.M * op.N * bits.output
    if not stay.any():
        raise MappingError("a single-buffered out scratchpad cannot take sums back; pin another order or no k")
    return Candidates(
        found.sizes[stay], found.order[stay], found.counts[stay], found.read_bits[stay], found.write_bits[stay]
    )


def _require_whole_folds(op: Op, array: ArrayShape, bits: OperandBits, pinned: Pinned) -> None:
    """Refuse pinned sizes that cut folds or packed units, or leave output-stationary sums nowhere to stay.

    Raises: MappingError naming the size.
    """
    in_part = array.dataflow == "os" and pinned.k is not None and pinned.k < op.K
    granules = dict(zip("mnk", _granules(op, array, bits), strict=True))
    granules |= {"os": {"k": bits.k_align}, "ws": {"m": 1}, "is": {"n": 1}}[array.dataflow]
    for dim, pin, length in zip("mnk", pinned[:3], (op.M, op.N, op.K), strict=True):
        granule = granules[dim]
        if pin is not None and pin < length and pin % granule:
            near = max(granule, pin // granule * granule)
            raise MappingError(
                f"{pin} cuts a fold or a packed unit; use a multiple of {granule}, such as {near}", ("tiling", dim)
            )
        if in_part and dim != "k" and pin is not None and min(pin, length) > granule:
            raise MappingError(
                f"output-stationary sums stay in the PEs: a tile of part of K is one fold, at most {granule}",
                ("tiling", dim),
            )


def axes_of(op: Op, array: ArrayShape, bits: OperandBits, pinned: Pinned) -> tuple[NDArray[np.int64], ...]:
    """Block sizes to try along m, n and k, ascending. Raises: MappingError as ``_require_whole_folds``."""
    _require_whole_folds(op, array, bits, pinned)
    granules = _granules(op, array, bits)
    fixed = [pinned.m, pinned.n, pinned.k]
    if array.dataflow == "os" and pinned.k is not None and pinned.k < op.K:  # one fold
        fixed[:2] = min(array.rows, op.M), min(array.cols, op.N)
    return tuple(
        np.array([min(pin, length)]) if pin else block_sizes(length, granule)
        for pin, length, granule in zip(fixed, (op.M, op.N, op.K), granules, strict=True)
    )


def _granules(op: Op, array: ArrayShape, bits: OperandBits) -> tuple[int, int, int]:
    """What blocks along M, N and K are multiples of: whole folds."""
    if array.dataflow == "os":
        return array.rows, array.cols, op.K
    down = lcm(bits.k_align, array.rows // gcd(array.rows, array.cycles_per_step))
    if array.dataflow == "ws":
        return STREAM_GRANULE, array.cols, down
    return array.cols, STREAM_GRANULE, down


def _fits(sizes: NDArray[np.int64], bits: OperandBits, limits: BufferLimits) -> NDArray[np.bool_]:
    m, n, k = sizes.T
    act, weight = m * bits.act.row_bits(k), n * bits.weight.row_bits(k)
    return np.asarray(
        (act <= limits.act_bits) & (weight <= limits.weight_bits) & (m * n * bits.sums <= limits.out_bits)
    )


def _one_fold_in_chunks(op: Op, array: ArrayShape, bits: OperandBits, limits: BufferLimits) -> NDArray[np.int64]:
    """One output-stationary fold per tile and the longest chunk of K that both operand scratchpads hold."""
    m, n = min(array.rows, op.M), min(array.cols, op.N)
    smallest = np.array([m, n, bits.k_align])
    if not _fits(smallest[None], bits, limits).all():
        raise _too_large(op, smallest, bits, limits)
    longest = min(bits.act.longest(limits.act_bits // m), bits.weight.longest(limits.weight_bits // n), op.K)
    return np.array([[m, n, max(bits.k_align, longest // bits.k_align * bits.k_align)]])


def _too_large(op: Op, size: NDArray[np.int64], bits: OperandBits, limits: BufferLimits) -> MappingError:
    """The complaint about the first scratchpad that does not hold a tile."""
    m, n, k = (int(s) for s in size)
    needs = {
        "act_buffer": (m * bits.act.row_bits(k), limits.act_bits, f"{m} x {k} activations"),
        "weight_buffer": (n * bits.weight.row_bits(k), limits.weight_bits, f"{k} x {n} weights"),
        "out_buffer": (m * n * bits.sums, limits.out_bits, f"{m} x {n} partial sums"),
    }
    buffer, (needed, usable, what) = next(item for item in needs.items() if item[1][0] > item[1][1])
    return MappingError(
        f"{usable / 8192:g} KiB usable for one tile cannot hold {what} ({needed / 8192:g} KiB); "
        f"enlarge it, shrink the array, or set double_buffer: false",
        field=("memory", buffer, "capacity_kib"),
    )


def _with_traffic(op: Op, bits: OperandBits, sizes: NDArray[np.int64], orders: Iterable[Order]) -> Candidates:
    """Every size in every order that makes a difference, with its traffic."""
    counts = -(-np.array([op.M, op.N, op.K]) // sizes)
    few = counts.prod(axis=1) <= MOST_TILES
    if few.any():
        sizes, counts = sizes[few], counts[few]
    parts = []
    for order in orders:
        chosen = np.ones(len(counts), np.bool_)
        if len(list(orders)) > 1:
            _are_canonical(counts, LOOPS[ORDERS.index(order)], chosen)
        parts.append((sizes[chosen], counts[chosen], np.full(chosen.sum(), ORDERS.index(order))))
    all_sizes, all_counts, all_orders = (np.concatenate(column) for column in zip(*parts, strict=True))
    read, write = np.empty(len(all_orders)), np.empty(len(all_orders))
    act, weight = (op.M * bits.act.dram_row_bits(op.K), op.N * bits.weight.dram_row_bits(op.K))
    widths = act, weight, op.M * op.N, bits.output, bits.sums
    _each_traffic(*widths, all_counts, all_orders, LOOPS, read, write)
    return Candidates(all_sizes, all_orders, all_counts, read, write)


@kernel
def _are_canonical(counts, order, found):
    for i in range(len(counts)):
        found[i] = is_canonical((counts[i, 0], counts[i, 1], counts[i, 2]), order)


@kernel
def _each_traffic(act, weight, outputs, output, sums, counts, orders, order_of, read, write):
    for i in range(len(counts)):
        along = (counts[i, 0], counts[i, 1], counts[i, 2])
        last = innermost(along, order_of[orders[i]])
        read[i], write[i] = traffic_bits(act, weight, outputs, output, sums, along, last)
