"""The tensors that `olivine quantize` encodes: of a safetensors file or of a trace, read a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import OlivineError, TraceError, UnknownNameError
from simulator.formats import ROW_BLOCK, Granularity
from simulator.study.workloads import resolve_workload
from simulator.tracing.manifest import Operand
from simulator.tracing.stored import REAL_DTYPES, StoredTensor, stored_tensors
from simulator.tracing.writer import Codes

__all__ = ["BLOCK_VALUES", "Block", "NamedTensor", "named_tensors", "skipped_tensors"]

_T = TypeVar("_T")

BLOCK_VALUES = 1 << 20
"""Values of a block, unless ``ROW_BLOCK`` rows are more: all the temporaries of one take some 50 MB."""


@dataclass(frozen=True)
class Block:
    """Rows of one GEMM's operand, in order: ``values`` is (rows, K), float32."""

    gemm: int
    values: NDArray[np.float32]


@dataclass(frozen=True)
class NamedTensor:
    """A tensor to encode: ``count`` operands of ``rows`` rows of K values, which lie one after another in ``stored``.

    ``codes``: what its integers stand for, if they are codes.

    Raises: TraceError if it holds no values.
    """

    name: str
    stored: StoredTensor
    count: int
    granularity: Granularity
    codes: Codes | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise TraceError(f"{self.stored.path}: tensor '{self.name}' of shape {list(self.stored.shape)} is empty")

    @property
    def rows(self) -> int:
        """Rows of one operand."""
        return self.stored.rows // self.count

    @property
    def shape(self) -> tuple[int, int, int]:
        """(count, rows, K)."""
        return self.count, self.rows, self.stored.K

    @property
    def values(self) -> int:
        """Number of values."""
        return math.prod(self.stored.shape)

    @property
    def nbytes(self) -> int:
        """Size as float32 [byte]."""
        return 4 * self.values

    def blocks(self) -> Iterator[Block]:
        """The whole tensor, a block at a time; all but the last of a GEMM have a multiple of ``ROW_BLOCK`` rows."""
        step = max(ROW_BLOCK, BLOCK_VALUES // self.stored.K // ROW_BLOCK * ROW_BLOCK)
        for gemm in range(self.count):
            start, end = gemm * self.rows, (gemm + 1) * self.rows
            for first in range(start, end, step):
                yield Block(gemm, self._read(first, min(first + step, end)))

    def whole(self) -> NDArray[np.float32]:
        """All values at once, (count, rows, K)."""
        return self._read(0, self.stored.rows).reshape(self.shape)

    def _read(self, first: int, last: int) -> NDArray[np.float32]:
        """Rows [first, last) of all, as values."""
        stored = self.stored.read(first, last)
        if self.codes is None:
            return stored
        scale = self.codes.scale
        rows = None if scale is None else np.broadcast_to(scale, (*self.stored.shape[:-1], 1)).reshape(-1, 1)
        return Codes(None if rows is None else rows[first:last], self.codes.zero).real(stored)


def named_tensors(source: str, pattern: str | None = None) -> list[NamedTensor]:
    """Tensors of a safetensors file (rows share nothing: one scale each), or both operands of every op of a trace.

    A trace's weights get a scale per row (output channel), its activations one per tensor, as in the OliVe quantiser.
    Tensors of a file that hold no real numbers (``skipped_tensors``) are left out while others are there.
    Raises: OlivineError if the source cannot be read, none is left, or none matches ``pattern`` (shell wildcards).
    """
    if not source.endswith(".safetensors"):
        return list(_matching(_of_trace(source), pattern, source).values())
    chosen = _matching(stored_tensors(Path(source)), pattern, source)
    usable = {name: tensor for name, tensor in chosen.items() if not _why_skipped(tensor)}
    return [NamedTensor(name, tensor, 1, "row") for name, tensor in (usable or chosen).items()]


def skipped_tensors(source: str, pattern: str | None = None) -> dict[str, str]:
    """Tensors of a safetensors file that ``named_tensors`` leaves out, each with the reason: no values, or none that
    are real numbers (positions, masks).
    """
    if not source.endswith(".safetensors"):
        return {}
    reasons = {n: _why_skipped(t) for n, t in _matching(stored_tensors(Path(source)), pattern, source).items()}
    return {name: reason for name, reason in reasons.items() if reason} if not all(reasons.values()) else {}


def _why_skipped(tensor: StoredTensor) -> str:
    return "empty" if 0 in tensor.shape else "" if tensor.dtype in REAL_DTYPES else tensor.dtype


def _matching(found: dict[str, _T], pattern: str | None, source: str) -> dict[str, _T]:
    chosen = {name: tensor for name, tensor in found.items() if pattern is None or fnmatchcase(name, pattern)}
    if not chosen and pattern is not None:
        raise UnknownNameError("tensor", pattern, list(found))
    if not chosen:
        raise TraceError(f"{source}: no tensor in it")
    return chosen


def _of_trace(source: str) -> dict[str, NamedTensor]:
    trace = resolve_workload(source).trace
    if trace is None:
        raise OlivineError(f"{source}: a workload of shapes has no tensors; name a trace or a .safetensors file")
    shards = {shard.file: stored_tensors(trace.folder / shard.file) for shard in trace.manifest.shards}
    found = {}
    for record in trace.manifest.ops:
        for side, operand, granularity in (("a", record.a, "tensor"), ("w", record.w, "row")):
            stored = shards[operand.shard][operand.tensor]
            count = math.prod(stored.shape[:-2])
            name = f"{record.name}.{side}"
            codes = _codes(operand, shards[operand.shard])
            found[name] = NamedTensor(name, stored, count, granularity, codes)  # type: ignore[arg-type]
    return found


def _codes(operand: Operand, tensors: Mapping[str, StoredTensor]) -> Codes | None:
    """What an operand's integers stand for, where they do not stand for themselves."""
    if not operand.has_codes:
        return None
    scale = np.array(tensors[operand.scale].mapped()) if operand.scale else None
    return Codes(scale, operand.zero or 0)
