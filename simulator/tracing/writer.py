"""Writing a trace folder: built beside its place, moved there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from simulator.errors import OutputError, TraceError
from simulator.tracing.manifest import (
    DTYPES,
    FORMAT,
    MANIFEST_NAME,
    VERSION,
    Created,
    InputRecord,
    Manifest,
    ModelRecord,
    Operand,
    OperandStats,
    OpRecord,
    OpStats,
    PassRecord,
    Shard,
    SyntheticRecord,
)
from simulator.tracing.messages import one_line
from simulator.tracing.outliers import kept_rows, tensor_stats
from simulator.workload import Op, Pass

__all__ = ["DEFAULT_SHARD_BYTES", "Codes", "TraceWriter", "file_sha256", "rounded"]

DEFAULT_SHARD_BYTES = 512_000_000
_SCALE = "#scale"
"""Behind a tensor's name: of its scales."""
_SHARD_GLOB = "tensors-*.safetensors"
_LAYOUTS = {("a", 2): "[M,K]", ("a", 3): "[count,M,K]", ("w", 2): "[N,K]", ("w", 3): "[count,N,K]"}


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """What the integers of a tensor stand for: ``(code - zero) * scale``.

    ``scale``: None for 1; float32 of the tensor's shape with K, and perhaps all other axes, of length 1.
    """

    scale: NDArray[np.float32] | None = None
    zero: int = 0

    def real(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Codes as float32 values."""
        shifted = values.astype(np.float32) - np.float32(self.zero)
        return shifted if self.scale is None else np.asarray(shifted * self.scale)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is known of a tensor that was added; ``shape`` counts all its rows, ``rows_kept`` those that are stored."""

    shard: str
    shape: tuple[int, ...]
    rows_kept: int | None
    dtype: str
    stats: OperandStats
    codes: Codes | None


class TraceWriter:
    """Builds a trace; use it as a context manager.

    Leaving the block normally publishes the folder; leaving it by any exception, Ctrl-C included, leaves nothing.
    Tensors go to shards in the order they are added; a shard is closed before it would exceed ``shard_bytes``, and a
    tensor is never split. With ``force`` an existing trace is replaced and the files in its folder that are not its
    own (a PROVENANCE.md, notes) are kept; a folder that is no trace is never replaced.

    ``input`` may be replaced until the block ends.

    Args:
        folder: the trace folder to make; its last part is the trace's name.
        model, input, created, synthetic: the manifest's records of the same names.
        shard_bytes: most tensor data per shard [byte], a single larger tensor excepted.
        force: replace an existing trace.
    Raises: OutputError if the folder exists or cannot be written; TraceError if the tensors make no trace.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: ModelRecord,
        input: InputRecord,
        created: Created,
        synthetic: SyntheticRecord | None = None,
        shard_bytes: int = DEFAULT_SHARD_BYTES,
        force: bool = False,
    ) -> None:
        self.folder = folder
        self._model, self.input, self._created, self._synthetic = model, input, created, synthetic
        self._shard_bytes, self._force = shard_bytes, force
        self._temp = _sibling(folder, "new")
        self._pending: dict[str, NDArray[Any]] = {}
        self._shards: list[Shard] = []
        self._stored: dict[str, _Stored] = {}
        self._names: set[str] = set()
        self._ops: list[OpRecord] = []
        self._op_names: set[str] = set()
        self._passes: list[PassRecord] = []

    def __enter__(self) -> TraceWriter:
        _check_destination(self.folder, self._force)
        try:
            self._temp.mkdir(parents=True)
        except OSError as exc:
            raise _cannot_write(self.folder, exc) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
                self._write_manifest()
                _publish(self._temp, self.folder)
        except (OSError, SafetensorError) as error:
            raise _cannot_write(self.folder, error) from None
        finally:
            shutil.rmtree(self._temp, ignore_errors=True)

    def add_tensor(self, name: str, values: NDArray[Any], keep: int | None = None, codes: Codes | None = None) -> None:
        """Store a tensor of one of ``DTYPES``, K on its last axis: (rows, K) or (count, rows, K).

        Args:
            codes: what int8 values stand for, if not for themselves; a tensor of which rows are kept has one scale.
            keep: most rows to store (``outliers.kept_rows``); statistics are those of all rows.
        Raises: TraceError if the name is taken, or a value is not finite; OutputError if a shard cannot be written.
        """
        if name in self._names:
            raise TraceError(f"{self.folder}: tensor '{name}' is added twice; share it by name instead")
        if values.dtype.name not in DTYPES:
            raise TraceError(
                f"{self.folder}: tensor '{name}': dtype is {values.dtype.name}, allowed: {', '.join(DTYPES)}"
            )
        if values.ndim not in (2, 3) or not values.size:
            raise TraceError(f"{self.folder}: tensor '{name}': shape is {list(values.shape)}, need (count,) rows and K")
        if not np.isfinite(values).all():
            at = [int(i) for i in np.argwhere(~np.isfinite(values))[0]]
            raise TraceError(f"{self.folder}: tensor '{name}' holds {values[tuple(at)]} at {at}")
        stats = OperandStats(**asdict(tensor_stats(codes.real(values) if codes else values)))
        shape, kept = values.shape, keep if keep is not None and keep < values.shape[-2] else None
        if kept is not None:
            values = values[..., kept_rows(shape[-2], kept), :]
        if self._pending and self._pending_bytes() + values.nbytes > self._shard_bytes:
            self._flush_or_complain()
        self._stored[name] = _Stored(self._next_shard(), shape, kept, values.dtype.name, stats, codes)
        self._pending[name] = np.ascontiguousarray(values)
        if codes and codes.scale is not None:
            self._pending[name + _SCALE] = np.ascontiguousarray(codes.scale)
            self._names.add(name + _SCALE)
        self._names.add(name)

    def add_op(self, op: Op, *, a: str, w: str) -> None:
        """Add an op whose operands are the tensors ``a`` (count, M, K) and ``w`` (count, N, K), already added.

        Raises: TraceError if a tensor is unknown or its shape is not the op's.
        """
        if op.name in self._op_names:
            raise TraceError(f"{self.folder}: op '{op.name}' is added twice")
        record = OpRecord(
            name=op.name,
            kind=cast(Literal["linear", "bmm", "conv"], op.kind),
            M=op.M,
            N=op.N,
            K=op.K,
            count=op.count,
            a=self._operand(op, "a", a),
            w=self._operand(op, "w", w),
            stats=OpStats(a=self._stored[a].stats, w=self._stored[w].stats),
        )
        self._ops.append(record)
        self._op_names.add(op.name)

    def add_pass(self, work: Pass) -> None:
        """Add a pass around an op that is already there. Raises: TraceError if there is none of that name."""
        if work.gemm not in self._op_names:
            raise TraceError(f"{self.folder}: pass '{work.name}': op '{work.gemm}' was not added")
        self._passes.append(PassRecord.model_validate(asdict(work)))

    def _operand(self, op: Op, side: Literal["a", "w"], tensor: str) -> Operand:
        if tensor not in self._stored:
            raise TraceError(f"{self.folder}: op '{op.name}': {side} is tensor '{tensor}', which was not added")
        stored = self._stored[tensor]
        shape = (op.count, op.M if side == "a" else op.N, op.K)
        if stored.shape != shape and (op.count, *stored.shape) != (1, *shape[1:]):
            raise TraceError(
                f"{self.folder}: op '{op.name}': tensor '{tensor}' has shape {list(stored.shape)}, "
                f"{side} needs {list(shape)}"
            )
        layout = _LAYOUTS[side, len(stored.shape)]
        return Operand.model_validate(
            {
                "tensor": tensor,
                "shard": stored.shard,
                "dtype": stored.dtype,
                "layout": layout,
                "rows_kept": stored.rows_kept,
                "scale": tensor + _SCALE if stored.codes and stored.codes.scale is not None else None,
                "zero": (stored.codes.zero or None) if stored.codes else None,
            }
        )

    def _next_shard(self) -> str:
        return f"tensors-{len(self._shards):03d}.safetensors"

    def _pending_bytes(self) -> int:
        return sum(values.nbytes for values in self._pending.values())

    def _flush_or_complain(self) -> None:
        try:
            self._flush()
        except (OSError, SafetensorError) as exc:
            raise _cannot_write(self.folder, exc) from None

    def _flush(self) -> None:
        """Write the pending tensors as one shard."""
        if not self._pending:
            return
        path = self._temp / self._next_shard()
        save_file(self._pending, path)
        path.chmod(self._temp.stat().st_mode & 0o666)  # safetensors makes it 0600; follow the umask as the folder did
        self._shards.append(Shard(file=path.name, bytes=path.stat().st_size, sha256=file_sha256(path)))
        self._pending = {}

    def _write_manifest(self) -> None:
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            name=self.folder.name,
            model=self._model,
            synthetic=self._synthetic,
            input=self.input,
            created=self._created,
            shards=tuple(self._shards),
            ops=tuple(self._ops),
            passes=tuple(self._passes),
        )
        data = manifest.model_dump(mode="json", exclude_none=True)
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        (self._temp / MANIFEST_NAME).write_text(text, encoding="utf-8")


def rounded(name: str, values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """To ``dtype``, nearest even. Raises: TraceError if a value is not finite or too large for it."""
    largest = np.abs(values).max()
    if not largest <= float(ml_dtypes.finfo(dtype).max):  # also true of NaN
        raise TraceError(f"tensor '{name}' holds {largest}, which {dtype} cannot; check the model, or use float32")
    return np.asarray(values, dtype=np.dtype(dtype))


def file_sha256(*paths: Path) -> str:
    """Hexadecimal sha256 of a file, or of several one after another, read in pieces."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _sibling(folder: Path, role: str) -> Path:
    return folder.parent / f".{folder.name}.{secrets.token_hex(4)}.{role}"


def _cannot_write(folder: Path, exc: Exception) -> OutputError:
    return OutputError(f"{folder}: cannot write the trace: {one_line(exc)}")


def _check_destination(folder: Path, force: bool) -> None:
    if folder.name in ("", ".."):
        raise OutputError(f"{folder}: not a folder name for a trace; give a new folder such as traces/NAME")
    if not (folder.exists() or folder.is_symlink()):
        return
    if not force:
        raise OutputError(
            f"{folder}: already exists; choose another name, or force (--force) replacing the trace in it"
        )
    if not _is_trace(folder):
        raise OutputError(f"{folder}: exists and is not a trace, so it is not replaced; choose another name")


def _is_trace(folder: Path) -> bool:
    """A real folder (no link) whose manifest says so."""
    try:
        data = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    return not folder.is_symlink() and isinstance(data, dict) and data.get("format") == FORMAT


def _publish(temp: Path, folder: Path) -> None:
    """Move the finished folder into place; an old trace there steps aside and comes back if anything fails."""
    if not folder.exists():
        os.replace(temp, folder)
        return
    _copy_foreign_files(folder, temp)
    old = _sibling(folder, "old")
    os.replace(folder, old)
    try:
        os.replace(temp, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _copy_foreign_files(old: Path, new: Path) -> None:
    for item in old.iterdir():
        if item.name == MANIFEST_NAME or item.match(_SHARD_GLOB):
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.copytree(item, new / item.name, symlinks=True)
        else:
            shutil.copy2(item, new / item.name, follow_symlinks=False)
