"""The tensors that `olivine quantize` encodes: of a safetensors file or of a trace, read a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.errors import OlivineError, TraceError, UnknownNameError
from simulator.formats import ROW_BLOCK, Granularity
from simulator.study.workloads import resolve_workload
from simulator.tracing.stored import StoredTensor, stored_tensors

__all__ = ["BLOCK_VALUES", "Block", "NamedTensor", "named_tensors"]

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

    Raises: TraceError if it holds no values.
    """

    name: str
    stored: StoredTensor
    count: int
    granularity: Granularity

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
                yield Block(gemm, self.stored.read(first, min(first + step, end)))

    def whole(self) -> NDArray[np.float32]:
        """All values at once, (count, rows, K)."""
        return self.stored.read(0, self.stored.rows).reshape(self.shape)


def named_tensors(source: str, pattern: str | None = None) -> list[NamedTensor]:
    """Tensors of a safetensors file (rows share nothing: one scale each), or both operands of every op of a trace.

    A trace's weights get a scale per row (output channel), its activations one per tensor, as in the OliVe quantiser.
    Raises: OlivineError if the source cannot be read, a tensor is empty, or none matches ``pattern`` (shell wildcards).
    """
    found = _of_file(Path(source)) if source.endswith(".safetensors") else _of_trace(source)
    chosen = [tensor for tensor in found if pattern is None or fnmatchcase(tensor.name, pattern)]
    if not chosen and pattern is not None:
        raise UnknownNameError("tensor", pattern, [tensor.name for tensor in found])
    if not chosen:
        raise TraceError(f"{source}: no tensor in it")
    return chosen


def _of_file(path: Path) -> list[NamedTensor]:
    return [NamedTensor(name, stored, 1, "row") for name, stored in stored_tensors(path).items()]


def _of_trace(source: str) -> list[NamedTensor]:
    trace = resolve_workload(source).trace
    if trace is None:
        raise OlivineError(f"{source}: a workload of shapes has no tensors; name a trace or a .safetensors file")
    shards = {shard.file: stored_tensors(trace.folder / shard.file) for shard in trace.manifest.shards}
    found = []
    for record in trace.manifest.ops:
        for side, operand, granularity in (("a", record.a, "tensor"), ("w", record.w, "row")):
            stored = shards[operand.shard][operand.tensor]
            count = math.prod(stored.shape[:-2])
            found.append(NamedTensor(f"{record.name}.{side}", stored, count, granularity))  # type: ignore[arg-type]
    return found
