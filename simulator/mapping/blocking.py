"""How large a block of the GEMM the scratchpads hold, and in which order blocks run: least DRAM traffic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from simulator.errors import MappingError
from simulator.workload import Op

__all__ = ["Blocking", "BufferLimits", "OperandBits", "choose_blocking"]

Order = Literal["mn", "nm"]


@dataclass(frozen=True)
class OperandBits:
    """Widths per value [bits], and the neighbours along K that a tile may not split."""

    act: int
    weight: int
    accumulator: int
    output: int
    k_align: int


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


def choose_blocking(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits | None) -> Blocking:
    """The blocking of least cost: DRAM traffic plus the first load and the last store, which nothing hides.

    Blocks are whole folds and hold all of K if one fold of it fits; otherwise a block is one fold, whose sums stay in
    the PEs while K streams through in chunks. Ties go to fewer tiles. No limits: one tile.

    Raises: MappingError naming the scratchpad that cannot hold the smallest tile.
    """
    if limits is None:
        return Blocking(op.M, op.N, op.K, "mn")
    _require_one_fold(op, rows, cols, bits, limits)
    candidates = list(_full_k(op, rows, cols, bits, limits))
    if candidates:
        return min(candidates, key=lambda b: (_cost_bits(op, b, bits), _tiles(op, b), b.order))
    return _one_fold_in_chunks(op, rows, cols, bits, limits)


def _require_one_fold(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits) -> None:
    """The smallest tile: one fold of outputs, one aligned step of K."""
    m, n = min(rows, op.M), min(cols, op.N)
    needs = {
        "act_buffer": (m * bits.k_align * bits.act, limits.act_bits, f"{m} x {bits.k_align} activations"),
        "weight_buffer": (n * bits.k_align * bits.weight, limits.weight_bits, f"{bits.k_align} x {n} weights"),
        "out_buffer": (m * n * bits.accumulator, limits.out_bits, f"{m} x {n} partial sums"),
    }
    for buffer, (needed, usable, what) in needs.items():
        if needed > usable:
            raise MappingError(
                f"{usable / 8192:g} KiB usable for one tile cannot hold {what} ({needed / 8192:g} KiB); "
                f"enlarge it, shrink the array, or set double_buffer: false",
                field=("memory", buffer, "capacity_kib"),
            )


def _full_k(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits) -> Iterator[Blocking]:
    """All blockings of whole folds that hold all of K, in both loop orders."""
    for m in _block_sizes(op.M, rows):
        if m * op.K * bits.act > limits.act_bits:
            continue
        for n in _block_sizes(op.N, cols):
            if n * op.K * bits.weight <= limits.weight_bits and m * n * bits.accumulator <= limits.out_bits:
                yield Blocking(m, n, op.K, "mn")
                yield Blocking(m, n, op.K, "nm")


def _block_sizes(length: int, side: int) -> list[int]:
    """Distinct block lengths, in whole folds, that cut ``length`` into 1, 2, 3 ... blocks as evenly as folds allow."""
    folds = -(-length // side)
    return sorted({min(length, -(-folds // blocks) * side) for blocks in range(1, folds + 1)})


def _cost_bits(op: Op, b: Blocking, bits: OperandBits) -> int:
    act, weight = op.M * op.K * bits.act, op.N * op.K * bits.weight
    m_blocks, n_blocks = -(-op.M // b.m), -(-op.N // b.n)
    if b.order == "mn":
        weight *= m_blocks if n_blocks > 1 else 1
    else:
        act *= n_blocks if m_blocks > 1 else 1
    first_load = b.k * (b.m * bits.act + b.n * bits.weight)
    return act + weight + first_load + b.m * b.n * bits.output


def _tiles(op: Op, b: Blocking) -> int:
    return -(-op.M // b.m) * -(-op.N // b.n)


def _one_fold_in_chunks(op: Op, rows: int, cols: int, bits: OperandBits, limits: BufferLimits) -> Blocking:
    """One fold per tile and the longest chunk of K that both operand scratchpads hold."""
    m, n = min(rows, op.M), min(cols, op.N)
    longest = min(limits.act_bits // (m * bits.act), limits.weight_bits // (n * bits.weight), op.K)
    return Blocking(m, n, max(bits.k_align, longest // bits.k_align * bits.k_align), "mn")
