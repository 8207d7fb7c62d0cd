"""One GEMM as a datapath sees it when its costs depend on values, and what those costs are."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.memory import Remembers
from simulator.formats import Encoded

__all__ = ["Job", "KernelJob", "TileCosts"]


_T = TypeVar("_T")


class _Notes:
    """What was found of some objects, as long as it is them that are asked about: a job may be made of another one."""

    def __init__(self) -> None:
        self._owners: tuple[Any, ...] = ()
        self._found: dict[Hashable, Any] = {}

    def get(self, owners: tuple[Any, ...], key: Hashable, make: Callable[[], _T]) -> _T:
        if len(owners) != len(self._owners) or any(a is not b for a, b in zip(owners, self._owners, strict=True)):
            self._owners, self._found = owners, {}
        if key not in self._found:
            self._found[key] = make()
        return cast(_T, self._found[key])


def _no_timing(steps: int, rows: int, cols: int) -> tuple[int, int]:
    raise AssertionError("this job was made without the timing of its array's folds")


@dataclass(frozen=True)
class Job:
    """One GEMM cut into tiles.

    Attributes:
        M, N, K: its shape.
        rows, cols: logical array (``Datapath.logical_array``). A tile's folds run row blocks outermost.
        tiles: table of ``tiles.TILE_DTYPE``, in time order, core after core; cores: where each one's tiles begin.
        act, weight: operands, or None when only shapes are known.
        seed: of what is drawn then.
        dataflow: ``os``, ``ws`` or ``is``.
        dram_bytes_per_cycle: what DRAM delivers at most; infinite without memory limits.
        fold_beside: of folds of that many steps on an array of ``rows x cols`` PEs of one MAC and one result word each
            that overlaps its folds as the main array does: cycles from one to the next, and from there until the last
            result of the last one has left. For arrays beside the main one.
        memory: keeps what was found of these operands; the job itself does where it is None.
    """

    M: int
    N: int
    K: int
    rows: int
    cols: int
    tiles: NDArray[Any]
    act: Encoded | None
    weight: Encoded | None
    seed: int
    fold_beside: Callable[[int, int, int], tuple[int, int]] = _no_timing
    dataflow: str = "os"
    dram_bytes_per_cycle: float = math.inf
    cores: tuple[int, ...] = (0,)
    memory: Remembers | None = field(default=None, repr=False, compare=False)
    _of_tiles: _Notes = field(default_factory=_Notes, repr=False, compare=False)
    _of_operands: _Notes = field(default_factory=_Notes, repr=False, compare=False)

    def of_tiles(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What follows from the tiles, and from what the key names besides: made once for all jobs made of this one."""
        return self._of_tiles.get((self.tiles,), key, make)

    def of_operands(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What follows from the operands, and from what the key names besides (tiles, the array, a seed ...)."""
        if self.memory is not None:
            return self.memory.get(key, make)
        return self._of_operands.get((self.act, self.weight), key, make)

    def per_core(self) -> Iterator[Job]:
        """What each core runs, as a GEMM of its own that begins at 0 along M and N."""
        for first, end in pairwise([*self.cores, len(self.tiles)]):
            tiles = self.tiles[first:end].copy()
            for line in "mn":
                tiles[f"{line}0"] -= tiles[f"{line}0"].min()
            M, N = (int((tiles[f"{line}0"] + tiles[line]).max()) for line in "mn")
            yield replace(self, M=M, N=N, tiles=tiles, cores=(0,))

    @property
    def reads(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often each tile's activations and weights are read from their scratchpads: streamed once per fold across
        what stays, held once.
        """
        once = np.ones(len(self.tiles), np.int64)
        m_folds, n_folds = (-(-self.tiles[d] // side) for d, side in (("m", self.rows), ("n", self.cols)))
        if self.dataflow == "os":
            return n_folds, m_folds
        return (n_folds, once) if self.dataflow == "ws" else (once, -(-self.tiles["m"] // self.cols))


@dataclass(frozen=True)
class KernelJob:
    """One GEMM as one kernel of tensor cores runs it.

    Attributes:
        tiles: table of ``tiles.TILE_DTYPE``: steps of sets of blocks, and what each loads from DRAM.
        act, weight: operands, or None when only shapes are known; seed: of what is drawn then.
    """

    tiles: NDArray[Any]
    act: Encoded | None
    weight: Encoded | None
    seed: int


@dataclass(frozen=True)
class TileCosts:
    """What values add to a tile table; arrays are int64 of one entry per tile.

    Attributes:
        outlier_cycles: the array waits for outliers, on top of issue cycles.
        vector_cycles: the array waits for passes over operands or results.
        act_load_bytes, weight_load_bytes: more to load from DRAM with a tile (outlier lists, masks).
        act_buffer_bits, weight_buffer_bits: (read, written) more in the operand scratchpads, over the whole GEMM.
        actions: priced actions over the whole GEMM.
    """

    outlier_cycles: NDArray[np.int64]
    vector_cycles: NDArray[np.int64]
    act_load_bytes: NDArray[np.int64]
    weight_load_bytes: NDArray[np.int64]
    act_buffer_bits: tuple[int, int] = (0, 0)
    weight_buffer_bits: tuple[int, int] = (0, 0)
    actions: dict[str, float] = field(default_factory=dict)

    @classmethod
    def none(cls, tiles: NDArray[Any]) -> TileCosts:
        """Costs of nothing, to ``dataclasses.replace`` fields of."""
        zero = np.zeros(len(tiles), np.int64)
        return cls(zero, zero, zero, zero)

    @classmethod
    def joined(cls, parts: Sequence[TileCosts]) -> TileCosts:
        """The costs of several cores, one after another."""
        actions: dict[str, float] = {}
        for part in parts:
            for action, n in part.actions.items():
                actions[action] = actions.get(action, 0) + n
        return cls(
            np.concatenate([part.outlier_cycles for part in parts]),
            np.concatenate([part.vector_cycles for part in parts]),
            np.concatenate([part.act_load_bytes for part in parts]),
            np.concatenate([part.weight_load_bytes for part in parts]),
            _summed([part.act_buffer_bits for part in parts]),
            _summed([part.weight_buffer_bits for part in parts]),
            actions,
        )


def _summed(bits: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(read for read, _ in bits), sum(written for _, written in bits)
