"""Kernels worth trying for a GEMM: block and warp tiles, stages, parts of K; and how many blocks of each fit an SM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
    """All kernels that an SM can hold and that make sense for a GEMM. Raises: MappingError if there is none."""
    whole = _resident_kernels(machine, bits, how)
    if not len(whole.m):
        raise MappingError(
            "no block of tiling.tiles, k_bytes and stages has warps that its instructions, registers and shared memory "
            "allow; try smaller tiles or fewer stages",
            ("tiling",),
        )
    found = _streamed(op, machine, whole, how)
    free = how.split_k == "auto"
    splits = _SPLITS if free else (1,) if how.split_k == "off" else (int(how.split_k),)
    found += [_split(op, machine, whole, parts, free) for parts in splits if how.stream_k != "on"]
    joined = Kernels(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    if not len(joined.m):
        field = "stream_k" if how.stream_k == "on" else "split_k"
        raise MappingError(
            "no kernel has so many parts of K, or a step for each SM; leave it to auto", ("tiling", field)
        )
    return joined


def _streamed(op: Op, machine: Machine, x: Kernels, how: Tilings) -> list[Kernels]:
    """Stream-K variants, if they are wanted, of kernels that have a step for each SM."""
    if how.stream_k == "off":
        return []
    steps = ceil_div(op.M, x.m) * ceil_div(op.N, x.n) * ceil_div(op.K, x.k)
    fitting = x.chosen(steps >= machine.sms)
    return [fitting._replace(stream=np.ones_like(fitting.m))]


def _split(op: Op, machine: Machine, x: Kernels, parts: int, free: bool) -> Kernels:
    """Those kernels whose steps make so many parts of K, none of them empty; where that is ``free``, none whose blocks
    fill all SMs without (CUTLASS, efficient_gemm.md: split-K is for grids that do not), and none whose partial sums L2
    does not hold.
    """
    if parts == 1:
        return x
    steps = ceil_div(op.K, x.k)
    makes = ceil_div(steps, ceil_div(steps, np.minimum(parts, steps))) == parts
    if free:
        tiles = ceil_div(op.M, x.m) * ceil_div(op.N, x.n) * op.count
        makes &= (tiles < machine.sms) & (op.M * op.N * 4 * parts <= machine.l2_bytes)
    fitting = x.chosen(makes)
    return fitting._replace(splits=np.full_like(fitting.m, parts))


@lru_cache(maxsize=256)
def _resident_kernels(machine: Machine, bits: OperandBits, how: Tilings) -> Kernels:
    """Kernels of whole instructions that an SM can hold; of those that differ in nothing but stages, and of which an SM
    holds equally many blocks, the one of most stages.
    """
    tiles = [(how.m or m, how.n or n) for m, n in how.tiles]
    ks = [how.k] if how.k else [b * 8 // how.bits for b in how.k_bytes]
    axes = product(dict.fromkeys(tiles), dict.fromkeys(ks), _WARPS, sorted(how.stages, reverse=True))
    found = Kernels(*np.array([(*t, k, *w, s, 1, 0, 1) for t, k, w, s in axes], np.int64).T)
    found = found.chosen(_whole_instructions(machine, bits, found))
    found = found._replace(resident=_resident(machine, bits, found, how.async_copy))
    found = found.chosen(found.resident > 0)
    alike = np.stack([found.m, found.n, found.k, found.warps_m, found.warps_n, found.resident])
    _, first = np.unique(alike, axis=1, return_index=True)
    return Kernels(*(column[np.sort(first)] for column in found))


def _whole_instructions(machine: Machine, bits: OperandBits, x: Kernels) -> NDArray[np.bool_]:
    """Warp tiles of whole instructions, K in whole instructions and packed units, and no more warps than a block may
    have. An instruction of a group of warps may be narrower than its widest (``wgmma``: any multiple of 8).
    """
    m, n, k = machine.mma
    n = 8 if machine.mma_warps > 1 else n
    warps = x.warps_m * x.warps_n * machine.mma_warps
    fits = (x.m % (m * x.warps_m) == 0) & (x.n % (n * x.warps_n) == 0) & (x.k % k == 0)
    return np.asarray(fits & (x.k % bits.k_align == 0) & (warps <= machine.block_warps))


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
