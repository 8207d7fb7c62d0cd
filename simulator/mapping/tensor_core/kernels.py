"""Kernels worth trying for a GEMM: block and warp tiles, stages, parts of K; and how many blocks of each fit an SM."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import MappingError
from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.machine import Machine, ceil_div
from simulator.workload import Op

__all__ = ["Kernel", "Kernels", "Tilings", "kernels"]

Ints = NDArray[np.int64]
_WARPS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (4, 1), (2, 4), (4, 2))
"""Warps (or groups that issue together) along M and N of a block, as in CUTLASS."""
_SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_FRAGMENTS = 2
"""Fragments of both operands that a warp holds: one is multiplied while the next one is on its way (as in CUTLASS)."""


class Tilings(NamedTuple):
    """What is tried of the shapes of kernels, and what is pinned (None: it is not).

    ``k_bytes``: of the wider operand per row and stage, of ``bits`` each.
    """

    tiles: tuple[tuple[int, int], ...]
    k_bytes: tuple[int, ...]
    stages: tuple[int, ...]
    bits: int
    async_copy: bool = True
    persistent: bool = False
    m: int | None = None
    n: int | None = None
    k: int | None = None
    split_k: int | Literal["auto", "off"] = "auto"
    stream_k: Literal["auto", "off", "on"] = "off"


@dataclass(frozen=True)
class Kernel:
    """Blocks of ``m x n`` outputs that take K in steps of ``k``.

    Attributes:
        warps_m, warps_n: warps (or groups that issue together) along M and N of a block.
        stages: steps whose operands are in shared memory at a time.
        splits: parts of K, each of blocks of its own.
        stream: all SMs take equally many steps, across the borders of tiles (stream-K).
        resident: blocks that an SM holds at a time.
    """

    m: int
    n: int
    k: int
    warps_m: int
    warps_n: int
    stages: int
    splits: int
    stream: bool
    resident: int


class Kernels(NamedTuple):
    """As ``Kernel``, an entry each."""

    m: Ints
    n: Ints
    k: Ints
    warps_m: Ints
    warps_n: Ints
    stages: Ints
    splits: Ints
    stream: Ints
    resident: Ints

    def at(self, i: int) -> Kernel:
        """One of them."""
        m, n, k, warps_m, warps_n, stages, splits, stream, resident = (int(column[i]) for column in self)
        return Kernel(m, n, k, warps_m, warps_n, stages, splits, bool(stream), resident)

    def chosen(self, which: NDArray[np.bool_]) -> Kernels:
        """Those of them."""
        return Kernels(*(getattr(self, name)[which] for name in self._fields))


def kernels(op: Op, machine: Machine, bits: OperandBits, how: Tilings) -> Kernels:
    """All kernels that an SM can hold. Raises: MappingError if there is none."""
    tiles = [(how.m or m, how.n or n) for m, n in how.tiles]
    ks = [how.k] if how.k else [b * 8 // how.bits for b in how.k_bytes]
    splits = _SPLITS if how.split_k == "auto" else (1,) if how.split_k == "off" else (how.split_k,)
    streams = {"off": (0,), "on": (1,), "auto": (0, 1)}[how.stream_k]
    axes = product(dict.fromkeys(tiles), dict.fromkeys(ks), _WARPS, how.stages, splits, streams)
    table = np.array([(*t, k, *w, s, p, x, 1) for t, k, w, s, p, x in axes], np.int64)
    found = Kernels(*table.T)
    found = found.chosen(_sensible(op, machine, bits, found, how.split_k == "auto"))
    if len(found.m):
        found = found._replace(resident=_resident(machine, bits, found, how.async_copy))
        found = found.chosen(found.resident > 0)
    if not len(found.m):
        raise MappingError(
            "no block of tiling.tiles, k_bytes and stages has warps that its instructions, registers and shared memory "
            "allow; try smaller tiles or fewer stages",
            ("tiling",),
        )
    return found


def _sensible(op: Op, machine: Machine, bits: OperandBits, x: Kernels, free: bool) -> NDArray[np.bool_]:
    """Warp tiles of whole instructions, K in whole units, no empty parts of K, and, where that is ``free``, none at all
    if blocks fill all SMs without (CUTLASS, efficient_gemm.md: split-K is for grids that do not)."""
    m, n, k = machine.mma
    if machine.mma_warps > 1:
        whole = (x.m % (m * x.warps_m) == 0) & (x.n % (8 * x.warps_n) == 0)
    else:
        whole = (x.m % (m * x.warps_m) == 0) & (x.n % (n * x.warps_n) == 0)
    steps = ceil_div(op.K, x.k)
    split = ceil_div(steps, ceil_div(steps, np.minimum(x.splits, steps))) == x.splits
    tiles = ceil_div(op.M, x.m) * ceil_div(op.N, x.n)
    split &= (x.splits == 1) | (tiles < machine.sms) | (not free)
    streams = (x.stream == 0) | ((x.splits == 1) & (tiles * steps >= machine.sms))
    warps = x.warps_m * x.warps_n * machine.mma_warps
    return np.asarray(
        whole & (x.k % k == 0) & (x.k % bits.k_align == 0) & split & streams & (warps <= machine.block_warps)
    )


def _resident(machine: Machine, bits: OperandBits, x: Kernels, async_copy: bool) -> Ints:
    """Blocks that an SM holds: registers, shared memory, warps and blocks each allow so many; 0: not even one."""
    warps = x.warps_m * x.warps_n * machine.mma_warps
    threads = 32 * warps
    stage_bytes = ceil_div(x.m * bits.act.row_bits(x.k) + x.n * bits.weight.row_bits(x.k), 8)
    sums = ceil_div(x.m * x.n * bits.accumulator, 32 * threads)
    fragments = _fragment_registers(machine, bits, x)
    copied = 0 if async_copy else ceil_div(stage_bytes, 4 * threads)
    needed = ceil_div(sums + fragments + copied + machine.setup_registers, 8) * 8  # given out eight at a time
    shared = np.maximum(x.stages * stage_bytes, 0)
    blocks = np.minimum.reduce(
        [
            machine.registers // (needed * threads),
            machine.shared_bytes // (shared + machine.reserved_bytes),
            machine.max_warps // warps,
            np.full_like(warps, machine.max_blocks),
        ]
    )
    fits = (needed <= machine.thread_registers + 1) & (shared + machine.reserved_bytes <= machine.block_bytes)
    return np.where(fits, blocks, 0)


def _fragment_registers(machine: Machine, bits: OperandBits, x: Kernels) -> Ints:
    """Registers of a thread for fragments of both operands; none where instructions read shared memory themselves."""
    if machine.mma_warps > 1:
        return np.zeros_like(x.m)
    k = machine.mma[2]
    width = bits.act.row_bits(k) * (x.m // x.warps_m) + bits.weight.row_bits(k) * (x.n // x.warps_n)
    return np.asarray(_FRAGMENTS * ceil_div(width, 32 * 32))
