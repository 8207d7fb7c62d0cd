"""The on-disk trace: a folder with ``manifest.json`` and safetensors shards, opened without loading a tensor."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError, UnknownNameError
from simulator.tracing.files import plain_file, read_at_most
from simulator.tracing.manifest import (
    DTYPES,
    MANIFEST_BYTES,
    MANIFEST_NAME,
    Manifest,
    OperandStats,
    OpRecord,
    Shard,
    parse_manifest,
)
from simulator.tracing.messages import one_line
from simulator.tracing.outliers import kept_rows, tensor_stats
from simulator.tracing.stored import StoredTensor, stored_tensors
from simulator.tracing.streamed import row_blocks
from simulator.tracing.widen import as_float32
from simulator.tracing.writer import TraceWriter, file_sha256
from simulator.workload import Op, Pass

__all__ = ["SIDES", "Side", "Trace", "TraceWriter", "open_trace"]

Side = Literal["a", "w"]
SIDES: tuple[Side, Side] = ("a", "w")


@dataclass(frozen=True, slots=True)
class Trace:
    """An opened trace. Only the manifest is in memory; ``load`` reads one op's tensors.

    ``fingerprint`` is the sha256 of the manifest's bytes; the manifest pins every shard by its own sha256. ``places``
    are those of the ops by name.
    """

    folder: Path
    manifest: Manifest
    fingerprint: str
    ops: tuple[Op, ...]
    places: Mapping[str, int] = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The trace's name, and a word if its tensors were drawn."""
        return f"{self.manifest.name} (synthetic)" if self.manifest.synthetic else self.manifest.name

    @property
    def steps(self) -> tuple[Op | Pass, ...]:
        """All ops with the passes before and after them."""
        around: dict[str, list[Pass]] = defaultdict(list)
        for record in self.manifest.passes:
            around[record.gemm].append(record.step)
        steps: list[Op | Pass] = []
        for op in self.ops:
            passes = around[op.name]
            steps += [step for step in passes if step.makes_operand]
            steps += [op, *(step for step in passes if not step.makes_operand)]
        return tuple(steps)

    def record(self, op_name: str) -> OpRecord:
        """The manifest's record of one op. Raises: UnknownNameError."""
        if op_name not in self.places:
            raise UnknownNameError("op", op_name, [op.name for op in self.ops])
        return self.manifest.ops[self.places[op_name]]

    def stamp(self, op_name: str) -> tuple[Hashable, ...]:
        """Differs when the files of an op's operands are others than they were or have been written to; of a file that
        cannot be looked at it says nothing, as ``load`` will.
        """
        record = self.record(op_name)
        shards = {record.a.shard: None, record.w.shard: None}
        return self.fingerprint, *(_stamp(f"{self.folder}/{shard}") for shard in shards)

    def load(self, op_name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both operands of one op; the last kept row before it stands for one that was not kept.

        Returns: a of shape (count, M, K) and w of shape (count, N, K), float32; the GEMM is ``a @ w^T``.
        Raises: UnknownNameError; TraceError naming op, tensor and first position of a NaN or an infinity.
        """
        return self.load_side(op_name, "a"), self.load_side(op_name, "w")

    def load_side(self, op_name: str, side: Side) -> NDArray[np.float32]:
        """One operand, (count, rows, K), as ``load``. Raises: as there."""
        record = self.record(op_name)
        stored = self._mapped(record, side)
        values, finite = as_float32(stored)
        values = values.reshape(-1, stored.shape[-2], record.K)
        if record.operand(side).has_codes:
            values = self._decoded(record, side, values)
            finite = bool(np.isfinite(values).all())
        if not finite:
            raise self._not_finite(record, side, values)
        if record.operand(side).rows_kept is None:
            return values
        rows = np.arange(record.M if side == "a" else record.N)
        return values[:, np.searchsorted(self.kept_rows(record.name, side), rows, "right") - 1]

    def blocks(self, op_name: str, side: Side) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """``load_side`` a block of rows at a time: which GEMM, the first row, and values (R, K), gone when the next is
        asked for. Codes, and operands whose rows were not all kept, come a GEMM at a time. Raises: as ``load``.
        """
        record = self.record(op_name)
        if record.operand(side).has_codes or record.operand(side).rows_kept is not None:
            yield from ((gemm, 0, values) for gemm, values in enumerate(self.load_side(op_name, side)))
            return
        for gemm, first, values, finite in row_blocks(self._tensor(record, side), record.stored_shape(side)[-2]):
            if not finite:
                raise self._not_finite(record, side, values[None], gemm, first)
            yield gemm, first, values

    def stored(self, op_name: str, side: Side) -> NDArray[Any]:
        """One operand as it is stored, memory-mapped: read where it is touched, of its own type, not checked."""
        return self._mapped(self.record(op_name), side)

    def kept_rows(self, op_name: str, side: Side = "a") -> NDArray[np.int64]:
        """Which rows of each GEMM's operand are stored."""
        record = self.record(op_name)
        rows = record.M if side == "a" else record.N
        return kept_rows(rows, record.operand(side).rows_kept or rows)

    def stats(self, op_name: str, side: Side) -> OperandStats:
        """Statistics of one operand; those that version 1 lacks are gathered from its tensor, block by block."""
        record = self.record(op_name)
        known = record.stats.a if side == "a" else record.stats.w
        if known.kurtosis is not None:
            return known
        return OperandStats(**asdict(tensor_stats(self._mapped(record, side))))  # codes are since 2, too

    def verify_checksums(self) -> None:
        """Read every shard once and compare its sha256 with the manifest. Raises: TraceError."""
        for shard in self.manifest.shards:
            path = plain_file(self.folder, shard.file)
            try:
                found = file_sha256(path)
            except OSError as exc:
                raise TraceError(f"{path}: cannot read the shard: {one_line(exc)}") from None
            if found != shard.sha256:
                raise TraceError(f"{path}: sha256 is {found}, the manifest says {shard.sha256}")

    def _mapped(self, record: OpRecord, side: Side, scale: bool = False) -> NDArray[Any]:
        """One operand as it is stored, or its scales."""
        return self._tensor(record, side, scale).mapped()

    def _tensor(self, record: OpRecord, side: Side, scale: bool = False) -> StoredTensor:
        """Where one operand, or its scales, are stored."""
        operand = record.operand(side)
        name = operand.scale if scale and operand.scale else operand.tensor
        path = self.folder / operand.shard
        try:
            tensors = stored_tensors(plain_file(self.folder, operand.shard))
        except TraceError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise TraceError(f"{path}: tensor '{name}': cannot read it: {reason}") from None
        _check_headers_of(path, record, side, tensors)
        return tensors[name]

    def _decoded(self, record: OpRecord, side: Side, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """What codes (count, rows, K) stand for."""
        values = codes - np.float32(record.operand(side).zero or 0)
        if record.operand(side).scale is None:
            return values
        scale = self._mapped(record, side, scale=True)
        return np.asarray(values * (scale if scale.ndim == 3 else scale[None]))

    def _not_finite(
        self, record: OpRecord, side: Side, values: NDArray[np.float32], gemm: int = 0, first: int = 0
    ) -> TraceError:
        """What to say of the first such value of stored rows (count, R, K), which begin with that GEMM and row."""
        at = np.argwhere(~np.isfinite(values))[0]
        position = [int(at[0]) + gemm, int(self.kept_rows(record.name, side)[first + at[1]]), int(at[2])]
        return TraceError(
            f"{self.folder}: op '{record.name}': tensor '{record.operand(side).tensor}' holds {values[tuple(at)]} "
            f"at (count, row, k) = {position}"
        )


def open_trace(path: Path) -> Trace:
    """Open a trace folder: validate the manifest, and every op's shapes against the shards' headers.

    Raises: TraceError, one line with the file and, where there is one, the tensor.
    """
    manifest_path = path / MANIFEST_NAME
    try:
        raw = read_at_most(plain_file(path, MANIFEST_NAME), MANIFEST_BYTES)
    except OSError as exc:
        raise TraceError(f"{manifest_path}: cannot read the manifest: {one_line(exc)}") from None
    manifest = parse_manifest(raw, manifest_path)
    for shard in manifest.shards:
        _check_size(plain_file(path, shard.file), shard)
    _check_headers(path, manifest)
    ops = tuple(record.op for record in manifest.ops)
    places = {op.name: place for place, op in enumerate(ops)}
    return Trace(path, manifest, hashlib.sha256(raw).hexdigest(), ops, places)


def _stamp(path: str) -> tuple[int, ...] | None:
    """Which file it is, when it was last changed and how long it is."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _check_size(path: Path, shard: Shard) -> None:
    try:
        size = path.stat().st_size
    except OSError as exc:
        raise TraceError(f"{path}: cannot read the shard: {one_line(exc)}") from None
    if size != shard.bytes:
        raise TraceError(f"{path}: the file has {size} bytes, the manifest says {shard.bytes}; copy it again")


def _check_headers(folder: Path, manifest: Manifest) -> None:
    """Every operand's shape and dtype against its shard's header, each header read once."""
    wanted: dict[str, list[tuple[OpRecord, Side]]] = defaultdict(list)
    for record in manifest.ops:
        for side in SIDES:
            wanted[record.operand(side).shard].append((record, side))
    for shard in manifest.shards:
        tensors = stored_tensors(folder / shard.file)
        for record, side in wanted[shard.file]:
            _check_headers_of(folder / shard.file, record, side, tensors)


def _check_headers_of(path: Path, record: OpRecord, side: Side, tensors: dict[str, StoredTensor]) -> None:
    """One operand, and its scales."""
    operand = record.operand(side)
    for name in (operand.tensor, *([operand.scale] if operand.scale else [])):
        if name not in tensors:
            raise TraceError(f"{path}: tensor '{name}' of op '{record.name}' is missing")
    _check_header(path, record, side, tensors[operand.tensor])
    if operand.scale:
        found, allowed = tensors[operand.scale], record.scale_shapes(side)
        if found.dtype != "F32" or found.shape not in allowed:
            shapes = " or ".join(str(list(shape)) for shape in allowed)
            raise TraceError(
                f"{path}: tensor '{operand.scale}' is {found.dtype} {list(found.shape)}, but scales of {side} of op "
                f"'{record.name}' are F32 {shapes}"
            )


def _check_header(path: Path, record: OpRecord, side: Side, found: StoredTensor) -> None:
    operand, expected = record.operand(side), record.stored_shape(side)
    where = f"{path}: tensor '{operand.tensor}'"
    if found.shape != expected:
        raise TraceError(
            f"{where}: shape is {list(found.shape)}, but {side} of op '{record.name}' is {operand.layout} = "
            f"{list(expected)}"
        )
    if found.dtype != DTYPES[operand.dtype]:
        raise TraceError(
            f"{where}: dtype is {found.dtype}, the manifest says {operand.dtype} ({DTYPES[operand.dtype]})"
        )
