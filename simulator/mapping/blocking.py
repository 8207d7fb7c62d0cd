"""How large a block of the GEMM the scratchpads hold, and in which order blocks run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import Literal

from simulator.datapath import Width
from simulator.errors import MappingError
from simulator.workload import Op

__all__ = ["Blocking", "BufferLimits", "OperandBits", "blockings", "traffic_bits"]

Order = Literal["mn", "nm"]


@dataclass(frozen=True)
class OperandBits:
    """Widths of the operands, of a result in the out scratchpad and of one written to DRAM [bits]."""

    act: Width
    weight: Width
    accumulator: int
    output: int

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
    """Tile of ``m x n`` outputs and ``k`` reduction steps; ``mn`` runs all n-blocks of an m-block before the next."""

    m: int
    n: int
    k: int
    order: Order


def blockings(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits | None) -> list[Blocking]:
    """The blockings worth trying, those of least DRAM traffic first; never empty.

    Blocks are whole folds and hold all of K if one fold of it fits: each dimension cut into 1, 2, 4, 8 ... blocks, and
    into as few as fit, in both loop orders. Otherwise a block is one fold, whose sums stay in the PEs while K streams
    through in chunks. No limits: one tile.

    Raises: MappingError naming the scratchpad that cannot hold the smallest tile.
    """
    if limits is None:
        return [Blocking(op.M, op.N, op.K, "mn")]
    _require_one_fold(op, rows, cols, bits, limits)
    whole_k = list(_whole_k(op, rows, cols, bits, limits))
    if not whole_k:
        return [_one_fold_in_chunks(op, rows, cols, bits, limits)]
    return sorted(whole_k, key=lambda b: (traffic_bits(op, b, bits), _tiles(op, b), b.order))


def _require_one_fold(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits) -> None:
    """The smallest tile: one fold of outputs, one aligned step of K."""
    m, n = min(rows, op.M), min(cols, op.N)
    needs = {
        "act_buffer": (m * bits.act.row_bits(bits.k_align), limits.act_bits, f"{m} x {bits.k_align} activations"),
        "weight_buffer": (n * bits.weight.row_bits(bits.k_align), limits.weight_bits, f"{bits.k_align} x {n} weights"),
        "out_buffer": (m * n * bits.accumulator, limits.out_bits, f"{m} x {n} partial sums"),
    }
    for buffer, (needed, usable, what) in needs.items():
        if needed > usable:
            raise MappingError(
                f"{usable / 8192:g} KiB usable for one tile cannot hold {what} ({needed / 8192:g} KiB); "
                f"enlarge it, shrink the array, or set double_buffer: false",
                field=("memory", buffer, "capacity_kib"),
            )


def _whole_k(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits) -> Iterator[Blocking]:
    """Blockings of whole folds that hold all of K, in both loop orders (one, if one dimension is not cut)."""
    most_m, most_n = limits.act_bits // bits.act.row_bits(op.K), limits.weight_bits // bits.weight.row_bits(op.K)
    for m in _block_sizes(op.M, rows, most_m):
        for n in _block_sizes(op.N, cols, min(most_n, limits.out_bits // (m * bits.accumulator))):
            yield Blocking(m, n, op.K, "mn")
            if m < op.M and n < op.N:
                yield Blocking(m, n, op.K, "nm")


def _block_sizes(length: int, side: int, most: int) -> list[int]:
    """Block lengths of at most ``most``, in whole folds: as few blocks as that allows, and 1, 2, 4, 8 ... blocks."""
    if most < min(side, length):
        return []
    folds = -(-length // side)
    fewest = 1 if most >= length else -(-folds // (most // side))
    counts = {fewest, folds} | {1 << i for i in range(folds.bit_length()) if fewest <= 1 << i <= folds}
    return sorted({min(length, -(-folds // count) * side) for count in counts})


def traffic_bits(op: Op, b: Blocking, bits: OperandBits) -> int:
    """Bits read from DRAM by whole-K blocks; an operand block that stays from one tile to the next is read once."""
    act, weight = op.M * bits.act.dram_row_bits(op.K), op.N * bits.weight.dram_row_bits(op.K)
    m_blocks, n_blocks = -(-op.M // b.m), -(-op.N // b.n)
    if b.order == "mn":
        return act + weight * (m_blocks if n_blocks > 1 else 1)
    return weight + act * (n_blocks if m_blocks > 1 else 1)


def _tiles(op: Op, b: Blocking) -> int:
    return -(-op.M // b.m) * -(-op.N // b.n)


def _one_fold_in_chunks(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits) -> Blocking:
    """One fold per tile and the longest chunk of K that both operand scratchpads hold."""
    m, n = min(rows, op.M), min(cols, op.N)
    longest = min(bits.act.longest(limits.act_bits // m), bits.weight.longest(limits.weight_bits // n), op.K)
    return Blocking(m, n, max(bits.k_align, longest // bits.k_align * bits.k_align), "mn")
