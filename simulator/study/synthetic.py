"""A synthetic trace: the shapes of a workload with tensors drawn from stated statistics."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from simulator.errors import TraceError
from simulator.study.drawn import MOST_VALUES, Drawn, drawn_from
from simulator.study.workloads import Workload, resolve_workload
from simulator.tracing import Trace, TraceWriter, open_trace
from simulator.tracing.choose import select_ops
from simulator.tracing.extract import Progress, olivine_version, portable
from simulator.tracing.manifest import Created, InputRecord, ModelRecord, SyntheticRecord
from simulator.tracing.writer import DEFAULT_SHARD_BYTES, rounded
from simulator.workload import Op, Pass

__all__ = ["PREFIX", "make_synthetic"]

PREFIX = "synthetic:"


def make_synthetic(
    source: str,
    out: Path,
    *,
    activations: str | None = None,
    weights: str | None = None,
    seed: int = 0,
    layers: str | None = None,
    rows: int | None = None,
    dtype: str = "float16",
    force: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    progress: Progress | None = None,
) -> Trace:
    """Draw both operands of every op of a workload of shapes and store them, labelled as synthetic.

    The same op gets the same tensors whatever else is drawn; an op of many GEMMs is split where its tensors would be
    too large to draw at once.

    Args:
        source: a workload, with or without ``synthetic:`` before it.
        activations, weights: statistics in the notation of ``simulator.tracing.synthetic``; the second operand of a
            product of two activations is drawn as an activation. Default: ``RECIPES`` of that workload's name.
        layers, rows, dtype: as for ``simulator.tracing.extract.extract``.
    Raises: TraceError for statistics that are not understood or not known for this workload; OutputError.
    """
    if source == PREFIX:
        raise TraceError(f"{source} names no workload; as in synthetic:bert_base")
    workload = resolve_workload(source.removeprefix(PREFIX))
    if workload.trace is not None:
        raise TraceError(f"{source}: has tensors already; synthetic ones are drawn for a workload of shapes")
    if workload.drawn is not None:
        raise TraceError(f"{source}: states its own statistics; a study draws its tensors as it runs")
    drawn = drawn_from(workload.name, activations, weights, seed)
    kept = set(select_ops(layers, [op.name for op in workload.ops]))
    command = _command(source, out, activations, weights, {"--seed": seed, "--layers": layers, "--rows": rows}, dtype)
    writer = TraceWriter(
        out,
        model=_model(workload),
        input=InputRecord(note="synthetic: no model was run"),
        created=Created(command=command, olivine_version=olivine_version()),
        synthetic=SyntheticRecord(
            activations=str(drawn.activations), weights=str(drawn.weights), source=drawn.source, seed=seed
        ),
        shard_bytes=shard_bytes,
        force=force,
    )
    ops = [(op, part) for op in workload.ops if op.name in kept for part in _parts(op)]
    with writer:
        for done, (op, part) in enumerate(ops):
            _write(writer, part, drawn, rows, dtype)
            for work in _passes(workload, op, part):
                writer.add_pass(work)
            if progress is not None:
                progress(part.name, done + 1, len(ops))
    return open_trace(out)


def _model(workload: Workload) -> ModelRecord:
    return ModelRecord(
        name=f"synthetic {workload.name}",
        source=f"synthetic: drawn for the shapes of workload {workload.name}, captured from no model",
        licence="none needed",
        sha256=workload.fingerprint,
    )


def _parts(op: Op) -> Iterator[Op]:
    """The op, or as many equal parts of it as keep each tensor small."""
    largest = max(op.M, op.N) * op.K
    if largest > MOST_VALUES:
        raise TraceError(f"op '{op.name}': an operand of {largest:,} values is too large to draw")
    number = next(n for n in range(1, op.count + 1) if op.count % n == 0 and op.count // n * largest <= MOST_VALUES)
    if number == 1:
        yield op
        return
    width = len(str(number - 1))
    for i in range(number):
        yield replace(op, name=f"{op.name}.{i:0{width}d}", count=op.count // number)


def _passes(workload: Workload, op: Op, part: Op) -> Iterator[Pass]:
    """The passes around an op, for one of its parts."""
    suffix, share = part.name.removeprefix(op.name), op.count // part.count
    for step in workload.steps:
        if isinstance(step, Pass) and step.gemm == op.name:
            count = step.count // share if step.count % share == 0 else step.count
            if step.count % share and suffix.strip(".0"):
                continue  # one pass for all parts stays with the first of them
            yield replace(step, name=f"{step.name}{suffix}", gemm=part.name, count=count)


def _write(writer: TraceWriter, op: Op, drawn: Drawn, rows: int | None, dtype: str) -> None:
    names = (f"{op.name}.a", f"{op.name}.w")
    for side, (name, values) in enumerate(zip(names, drawn.tensors(op), strict=True)):
        keep = rows if side == 0 and op.kind != "bmm" else None
        writer.add_tensor(name, rounded(name, values, dtype), keep=keep)
    writer.add_op(op, a=names[0], w=names[1])


def _command(
    source: str, out: Path, activations: str | None, weights: str | None, options: dict[str, object], dtype: str
) -> str:
    words = ["olivine", "trace", PREFIX + portable(source.removeprefix(PREFIX)), "--out", portable(out)]
    given = {"--activations": activations, "--weights": weights, **options, "--dtype": dtype}
    for option, value in given.items():
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)
