"""What of a GEMM the global buffer holds: which operands, who brings each block, and what then moves.

Chosen for each GEMM before it runs, as a compiler would. A block is what a tile loads of an operand; cores that cut an
operand alike share its blocks (as in DRAM, ``engine.addresses``). An operand is resident whole or not at all: all its
different blocks are held at once, as wide as in DRAM.

- Of none, activations, weights and both, of what fits the capacity, that is resident which saves most bytes of DRAM;
  of equal ones that which takes least room, then the first of them.
- Cores take turns, tile by tile: the first tile of each in order of cores, then the second. The first in this order
  that loads a block of a resident operand brings it from DRAM, and it is written into the buffer on its way; every
  later load of the block, by whatever core, is a read of the buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Traffic
from simulator.errors import ConservationError
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["Residency", "make_resident"]

Side = Literal["act", "weight"]
_BLOCKS: dict[Side, tuple[str, ...]] = {"act": ("m0", "m", "k0", "k"), "weight": ("n0", "n", "k0", "k")}
_CHOICES: tuple[tuple[Side, ...], ...] = ((), ("act",), ("weight",), ("act", "weight"))


@dataclass(frozen=True)
class Residency:
    """A GEMM whose resident operands go through the global buffer.

    Attributes:
        operands: which are resident.
        tables: the tiles of each core, their loads split between DRAM and the buffer.
        traffic: of each core, (``global_buffer``, operand) -> what it reads of the buffer and what it brings into it.
    """

    operands: tuple[Side, ...]
    tables: tuple[TileTable, ...]
    traffic: tuple[dict[tuple[str, str], Traffic], ...]


@dataclass(frozen=True)
class _Blocks:
    """What all tiles load of one operand [bytes], and for each tile the one that brings its block."""

    loads: NDArray[np.int64]
    bringer: NDArray[np.int64]

    @property
    def brings(self) -> NDArray[np.bool_]:
        return (self.loads > 0) & (self.bringer == np.arange(len(self.loads)))

    @property
    def size(self) -> int:
        """Bytes of all different blocks."""
        return int(self.loads[self.brings].sum())

    @property
    def saved(self) -> int:
        """Bytes that need not come from DRAM if the operand is resident."""
        return int(self.loads.sum()) - self.size


def make_resident(op: Op, tables: Sequence[TileTable], capacity_bytes: int, word_bits: int) -> Residency:
    """Choose what is resident of one of the op's GEMMs and split its loads.

    Args:
        tables: the tiles of each core, placed in the whole GEMM, all of whose loads are from DRAM.
    Raises: ConservationError if blocks of a resident operand are not all of it.
    """
    rows = np.concatenate([table.rows for table in tables])
    turns = np.lexsort(_turns(tables))
    blocks = {side: _blocks(rows, turns, side) for side in _BLOCKS}
    operands = _choose(blocks, capacity_bytes)
    for side in operands:
        _require_whole(op, rows, blocks[side], side)
        rows[f"{side}_load_bytes"] = np.where(blocks[side].brings, blocks[side].loads, 0)
        rows[f"{side}_global_bytes"] = blocks[side].loads - rows[f"{side}_load_bytes"]
        rows[f"{side}_global_tile"] = blocks[side].bringer
    parts = np.split(rows, np.cumsum([len(table) for table in tables])[:-1])
    return Residency(
        operands,
        tuple(replace(table, rows=part) for table, part in zip(tables, parts, strict=True)),
        tuple(
            {("global_buffer", side): _traffic(part, side, side in operands, word_bits) for side in _BLOCKS}
            for part in parts
        ),
    )


def _turns(tables: Sequence[TileTable]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys of the order in which tiles take turns, the last one first: each tile's core, and its place there."""
    cores = np.concatenate([np.full(len(table), core) for core, table in enumerate(tables)])
    return cores, np.concatenate([np.arange(len(table)) for table in tables])


def _blocks(rows: NDArray[Any], turns: NDArray[np.int64], side: Side) -> _Blocks:
    loads = rows[f"{side}_load_bytes"].copy()
    loading = turns[loads[turns] > 0]
    names = np.stack([rows[column][loading] for column in _BLOCKS[side]], axis=-1)
    _, first, which = np.unique(names, axis=0, return_index=True, return_inverse=True)
    bringer = np.zeros(len(rows), np.int64)
    bringer[loading] = loading[first[which.reshape(-1)]]
    return _Blocks(loads, bringer)


def _choose(blocks: dict[Side, _Blocks], capacity_bytes: int) -> tuple[Side, ...]:
    def size(operands: tuple[Side, ...]) -> int:
        return sum(blocks[side].size for side in operands)

    fitting = [operands for operands in _CHOICES if size(operands) <= capacity_bytes]
    return max(fitting, key=lambda operands: (sum(blocks[side].saved for side in operands), -size(operands)))


def _require_whole(op: Op, rows: NDArray[Any], blocks: _Blocks, side: Side) -> None:
    """Every value of a resident operand is brought, and every load of a block is all of it."""
    brought = rows[blocks.brings]
    lines, values = ("m", op.M * op.K) if side == "act" else ("n", op.N * op.K)
    held = int((brought[lines] * brought["k"]).sum())
    if held < values:
        raise ConservationError(f"{op.name}: the global buffer holds {held} values of {side}, which has {values}")
    if not np.array_equal(blocks.loads, np.where(blocks.loads > 0, blocks.loads[blocks.bringer], 0)):
        raise ConservationError(f"{op.name}: loads of one block of {side} differ")


def _traffic(rows: NDArray[Any], side: Side, resident: bool, word_bits: int) -> Traffic:
    read = rows[f"{side}_global_bytes"]
    written = rows[f"{side}_load_bytes"] * resident
    words = (int((-(-8 * moved // word_bits)).sum()) for moved in (read, written))
    return Traffic(8 * int(read.sum()), 8 * int(written.sum()), *words)
