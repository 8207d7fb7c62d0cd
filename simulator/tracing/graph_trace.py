"""A model file that is a graph of tensors (ONNX, TensorFlow Lite) to a trace folder, a few tensors at a time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError, did_you_mean
from simulator.tracing.choose import select_ops
from simulator.tracing.extract import Progress, command_line, olivine_version
from simulator.tracing.graph_inputs import Asked
from simulator.tracing.manifest import DTYPES, Created, InputRecord, ModelRecord
from simulator.tracing.onnx_run import OnnxRun
from simulator.tracing.operands import GraphProduct, Stored
from simulator.tracing.store import Trace, open_trace
from simulator.tracing.tflite_run import TfliteRun
from simulator.tracing.writer import DEFAULT_SHARD_BYTES, TraceWriter, file_sha256, rounded

__all__ = ["GRAPHS", "is_graph", "trace_graph"]

ROUND_BYTES = 256 << 20
"""Tensors that are in memory at once, unless a single product needs more."""


class GraphRun(Protocol):
    """A model that gives the values of its tensors."""

    products: list[GraphProduct]
    notes: Sequence[str]
    record: InputRecord
    files: list[Path]

    def values(self, rounds: Sequence[Sequence[str]]) -> Iterator[dict[str, NDArray[Any]]]:
        """Values of the tensors of each round."""
        ...

    def size_bytes(self, name: str) -> int:
        """Of a tensor."""
        ...


GRAPHS: dict[str, tuple[str, Any]] = {".onnx": ("ONNX model", OnnxRun), ".tflite": ("TensorFlow Lite model", TfliteRun)}
"""Ending of a file's name -> what it is, and what opens it."""


def is_graph(source: str) -> bool:
    """Whether a source is such a file, by its name."""
    return Path(source).suffix.lower() in GRAPHS


def trace_graph(
    path: Path,
    out: Path,
    asked: Asked,
    *,
    layers: str | None = None,
    rows: int | None = None,
    dtype: str = "float16",
    force: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Progress | None = None,
) -> Trace:
    """Run a model file and store the operands of its matrix products.

    Operands are what the model's own runtime has; 8-bit integers are stored as they are, with scale and zero, floats
    rounded to ``dtype``. Passes are not recorded.

    Args:
        asked: what to run it on.
        layers, rows, dtype, force, shard_bytes, progress: as in ``extract``.
    Raises: TraceError or WorkloadError, one line; OutputError if ``out`` cannot be written.
    """
    known = [name for name in DTYPES if "float" in name]
    if dtype not in known:
        raise TraceError(f"dtype '{dtype}' cannot be stored; known: {', '.join(known)}{did_you_mean(dtype, known)}")
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    kind, opened = GRAPHS[path.suffix.lower()]
    run: GraphRun = opened(path, asked)
    if not run.products:
        raise TraceError("; ".join([f"{path}: no matrix product in it is read", *run.notes]))
    wanted = set(select_ops(layers, [product.op.name for product in run.products]))
    chosen = [product for product in run.products if product.op.name in wanted]
    options: dict[str, Any] = {"layers": layers, "rows": rows}
    writer = TraceWriter(
        out,
        model=ModelRecord(
            name=path.stem, source=f"{kind} {path.name}", licence="unknown", sha256=file_sha256(*run.files)
        ),
        input=_noted(run),
        created=Created(
            command=command_line(str(path), out, _options(asked) | options, dtype, shard_bytes),
            olivine_version=olivine_version(),
        ),
        shard_bytes=shard_bytes,
        force=force,
    )
    with writer:
        store = _Store(writer, dtype, rows)
        for done, (product, values) in enumerate(_computed(run, chosen), start=1):
            store.add(product, *product.operands(values))
            if progress is not None:
                progress(product.op.name, done, len(chosen))
    return open_trace(out)


def _options(asked: Asked) -> dict[str, Any]:
    """Options of the command line that makes the trace again."""
    files = [f"{name}={file.name}" if name else file.name for name, file in asked.files.items()]
    dims = [f"{name}={size}" for name, size in asked.dims.items()]
    pixels = asked.pixels if asked.image is not None and asked.pixels != "imagenet" else None
    return {"input": files, "text": asked.text, "image": asked.image, "pixels": pixels, "tokens": asked.tokens,
            "dim": dims, "seed": asked.seed or None}  # fmt: skip


def _noted(run: GraphRun) -> InputRecord:
    note = "; ".join([*([run.record.note] if run.record.note else []), *run.notes])
    return run.record.model_copy(update={"note": note or None})


def _computed(
    run: GraphRun, products: Sequence[GraphProduct]
) -> Iterator[tuple[GraphProduct, dict[str, NDArray[Any]]]]:
    """Each product with the tensors that it reads."""
    rounds = list(_rounds(run, products))
    names = [list(dict.fromkeys(name for product in each for name in product.reads)) for each in rounds]
    for each, values in zip(rounds, run.values(names), strict=True):
        for product in each:
            yield product, values


def _rounds(run: GraphRun, products: Sequence[GraphProduct]) -> Iterator[list[GraphProduct]]:
    """Products whose tensors fit into ``ROUND_BYTES``, in order."""
    now: list[GraphProduct] = []
    held: dict[str, int] = {}
    for product in products:
        more = {name: run.size_bytes(name) for name in product.reads if name not in held}
        if now and sum(held.values()) + sum(more.values()) > ROUND_BYTES:
            yield now
            now, held = [], {}
            more = {name: run.size_bytes(name) for name in product.reads}
        now.append(product)
        held |= more
    if now:
        yield now


class _Store:
    """Writes operands; equal ones of one tensor are stored once."""

    def __init__(self, writer: TraceWriter, dtype: str, rows: int | None) -> None:
        self._writer, self._dtype, self._rows = writer, dtype, rows
        self._names: dict[tuple[str, bytes], str] = {}
        self._used: Counter[str] = Counter()

    def add(self, product: GraphProduct, a: Stored, w: Stored) -> None:
        """One op with both operands."""
        op = product.op
        rows = None if op.kind == "bmm" else self._rows
        self._writer.add_op(op, a=self._tensor(product.act, a, rows), w=self._tensor(product.weight, w, None))

    def _tensor(self, name: str, operand: Stored, keep: int | None) -> str:
        values = operand.values
        digest = hashlib.sha256(
            f"{values.shape} {values.dtype}".encode() + np.ascontiguousarray(values).tobytes()
        ).digest()
        key = (name, digest)
        if key not in self._names:
            self._used[name] += 1
            self._names[key] = f"{name}#{self._used[name]}" if self._used[name] > 1 else name
            stored = values if values.dtype.name == "int8" else rounded(name, values, self._dtype)
            one_scale = operand.codes is None or operand.codes.scale is None or operand.codes.scale.size == 1
            self._writer.add_tensor(self._names[key], stored, keep=keep if one_scale else None, codes=operand.codes)
        return self._names[key]
