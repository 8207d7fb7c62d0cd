"""The on-disk trace: a folder with ``manifest.json`` and safetensors shards, opened without loading a tensor."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from simulator.errors import TraceError, UnknownNameError
from simulator.tracing.manifest import DTYPES, MANIFEST_NAME, Manifest, Operand, OpRecord, Shard, parse_manifest
from simulator.tracing.messages import one_line
from simulator.tracing.writer import TraceWriter, file_sha256
from simulator.workload import Op, Pass

__all__ = ["Trace", "TraceWriter", "open_trace"]

Side = Literal["a", "w"]
SIDES: tuple[Side, Side] = ("a", "w")


@dataclass(frozen=True, slots=True)
class Trace:
    """An opened trace. Only the manifest is in memory; ``load`` reads one op's tensors.

    ``fingerprint`` is the sha256 of the manifest's bytes; the manifest pins every shard by its own sha256.
    """

    folder: Path
    manifest: Manifest
    fingerprint: str
    ops: tuple[Op, ...]

    @property
    def name(self) -> str:
        """The trace's name."""
        return self.manifest.name

    @property
    def steps(self) -> tuple[Op | Pass, ...]:
        """All ops with the passes before and after them."""
        steps: list[Op | Pass] = []
        for op in self.ops:
            around = [record.step for record in self.manifest.passes if record.gemm == op.name]
            before = [step for step in around if step.makes_operand]
            steps += [*before, op, *(step for step in around if not step.makes_operand)]
        return tuple(steps)

    def record(self, op_name: str) -> OpRecord:
        """The manifest's record of one op. Raises: UnknownNameError."""
        for record in self.manifest.ops:
            if record.name == op_name:
                return record
        raise UnknownNameError("op", op_name, [op.name for op in self.ops])

    def load(self, op_name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both operands of one op.

        Returns: a of shape (count, M, K) and w of shape (count, N, K), float32; the GEMM is ``a @ w^T``.
        Raises: UnknownNameError; TraceError naming op, tensor and first position of a NaN or an infinity.
        """
        record = self.record(op_name)
        return self._load_side(record, "a"), self._load_side(record, "w")

    def verify_checksums(self) -> None:
        """Read every shard once and compare its sha256 with the manifest. Raises: TraceError."""
        for shard in self.manifest.shards:
            path = self.folder / shard.file
            try:
                found = file_sha256(path)
            except OSError as exc:
                raise TraceError(f"{path}: cannot read the shard: {one_line(exc)}") from None
            if found != shard.sha256:
                raise TraceError(f"{path}: sha256 is {found}, the manifest says {shard.sha256}")

    def _load_side(self, record: OpRecord, side: Side) -> NDArray[np.float32]:
        operand = record.operand(side)
        path = self.folder / operand.shard
        try:
            with safe_open(path, framework="numpy") as shard:
                stored = shard.get_tensor(operand.tensor)
        except (OSError, SafetensorError) as exc:
            raise TraceError(f"{path}: tensor '{operand.tensor}': cannot read it: {one_line(exc)}") from None
        _check_header(path, record, side, stored.shape, DTYPES.get(str(stored.dtype), str(stored.dtype)))
        values = stored.astype(np.float32).reshape(-1, stored.shape[-2], record.K)
        _check_finite(self.folder, record, operand, values)
        return values


def open_trace(path: Path) -> Trace:
    """Open a trace folder: validate the manifest, and every op's shapes against the shards' headers.

    Raises: TraceError, one line with the file and, where there is one, the tensor.
    """
    manifest_path = path / MANIFEST_NAME
    try:
        raw = manifest_path.read_bytes()
    except OSError as exc:
        raise TraceError(f"{manifest_path}: cannot read the manifest: {one_line(exc)}") from None
    manifest = parse_manifest(raw, manifest_path)
    for shard in manifest.shards:
        _check_size(path / shard.file, shard)
    _check_headers(path, manifest)
    ops = tuple(record.op for record in manifest.ops)
    return Trace(folder=path, manifest=manifest, fingerprint=hashlib.sha256(raw).hexdigest(), ops=ops)


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
        header = _read_header(folder / shard.file)
        for record, side in wanted[shard.file]:
            tensor = record.operand(side).tensor
            if tensor not in header:
                raise TraceError(f"{folder / shard.file}: tensor '{tensor}' of op '{record.name}' is missing")
            _check_header(folder / shard.file, record, side, *header[tensor])


def _read_header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and safetensors dtype of every tensor of a shard."""
    try:
        with safe_open(path, framework="numpy") as shard:
            slices: dict[str, Any] = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118
            return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (OSError, SafetensorError) as exc:
        raise TraceError(f"{path}: not a readable safetensors file: {one_line(exc)}") from None


def _check_header(path: Path, record: OpRecord, side: Side, shape: tuple[int, ...], dtype: str) -> None:
    operand, expected = record.operand(side), record.stored_shape(side)
    where = f"{path}: tensor '{operand.tensor}'"
    if tuple(shape) != expected:
        raise TraceError(
            f"{where}: shape is {list(shape)}, but {side} of op '{record.name}' is {operand.layout} = {list(expected)}"
        )
    if dtype != DTYPES[operand.dtype]:
        raise TraceError(f"{where}: dtype is {dtype}, the manifest says {operand.dtype} ({DTYPES[operand.dtype]})")


def _check_finite(folder: Path, record: OpRecord, operand: Operand, values: NDArray[np.float32]) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        position = [int(i) for i in bad[0]]
        raise TraceError(
            f"{folder}: op '{record.name}': tensor '{operand.tensor}' holds {values[tuple(bad[0])]} "
            f"at (count, row, k) = {position}"
        )
