"""What a design runs: a trace with tensors, or shapes alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from simulator.config import Source, find_file, is_path
from simulator.config.catalogue import Reference
from simulator.config.load import label_of
from simulator.config.overlays import Overlay
from simulator.config.study import Steps, Values
from simulator.config.workload import RUN_FIELDS, WorkloadSpec
from simulator.errors import ConfigError, OlivineError, UnknownNameError, WorkloadError
from simulator.formats.streamed import Block, Streamed, Whole
from simulator.resources import shipped_dir, shipped_names
from simulator.study.drawn import Drawn, drawn_from
from simulator.workload import Op, Pass, listed, load_workload, steps_of

if TYPE_CHECKING:
    from simulator.tracing import Trace
    from simulator.tracing.store import Side

__all__ = ["TensorSource", "Tensors", "Workload", "known_workloads", "resolve_workload"]

Tensors = tuple[NDArray[np.float32], NDArray[np.float32]]
Overlays = Iterable[Overlay]


@dataclass(frozen=True)
class TensorSource:
    """Both operands of an op, (count, M, K) and (count, N, K), where they can be had again.

    Attributes:
        key: equal as long as they are the same values.
        load: reads or draws them. Raises: TraceError.
        counted: if no results are asked for: both operands, for what costs look at of them.
    """

    key: Hashable
    load: Callable[[], Tensors]
    counted: Callable[[], tuple[Streamed, Streamed]] | None = None


@dataclass(frozen=True)
class _OfTrace:
    """One operand of an op of a trace, as ``Streamed``."""

    trace: Trace
    op: Op
    side: Side

    @property
    def shape(self) -> tuple[int, int, int]:
        """(count, rows, K)."""
        return self.op.count, self.op.M if self.side == "a" else self.op.N, self.op.K

    def blocks(self) -> Iterator[Block]:
        """See ``Trace.blocks``."""
        return self.trace.blocks(self.op.name, self.side)

    def whole(self) -> NDArray[np.float32]:
        """See ``Trace.load_side``."""
        return self.trace.load_side(self.op.name, self.side)


@dataclass(frozen=True)
class _OfDraw:
    """One operand of an op that is drawn, as ``Streamed``."""

    drawn: Drawn
    op: Op
    side: Literal[0, 1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(count, rows, K)."""
        return self.op.count, self.op.N if self.side else self.op.M, self.op.K

    def blocks(self) -> Iterator[Block]:
        """A GEMM at a time; all of them are drawn together."""
        return Whole(self.whole()).blocks()

    def whole(self) -> NDArray[np.float32]:
        """See ``Drawn.side``."""
        return self.drawn.side(self.op, self.side)


@dataclass(frozen=True)
class Workload:
    """Ordered ops and passes, and the trace that holds the ops' tensors if there is one.

    Attributes:
        steps: ops (matrix products) and passes (of the vector unit) in the order in which they run.
        fingerprint: sha256 that changes with any shape or tensor.
        provenance: where it comes from, for the report.
        tokens: new tokens of all sequences that one run takes; None where that is not known.
        assumed: what its shapes take for granted, a sentence each.
        drawn: how tensors are drawn for its shapes, if it states their statistics.
        counted: whether of its tensors only what costs look at is asked for, and no results.
    """

    name: str
    steps: tuple[Op | Pass, ...]
    fingerprint: str
    trace: Trace | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    assumed: tuple[str, ...] = ()
    drawn: Drawn | None = None
    counted: bool = False

    @property
    def ops(self) -> tuple[Op, ...]:
        """The matrix products alone."""
        return tuple(step for step in self.steps if isinstance(step, Op))

    def tensors(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Operands of a step, a trace's or drawn ones; None for a pass, and where only shapes are known."""
        step = self.steps[index]
        if not isinstance(step, Op):
            return None
        if self.drawn is not None:
            return self.drawn.tensors(step)
        return self.trace.load(step.name) if self.trace else None

    def source(self, index: int) -> TensorSource | None:
        """Where ``tensors`` of a step come from, unread; None as there."""
        step = self.steps[index]
        if not isinstance(step, Op) or not self.has_tensors:
            return None
        stamp = self.trace.stamp(step.name) if self.trace else self.drawn
        load = lambda: cast(Tensors, self.tensors(index))  # noqa: E731
        if not self.counted:
            return TensorSource((stamp, step), load)
        return TensorSource((stamp, step, "counted"), load, lambda: self._streamed(step))

    def _streamed(self, op: Op) -> tuple[Streamed, Streamed]:
        if self.drawn is not None:
            return _OfDraw(self.drawn, op, 0), _OfDraw(self.drawn, op, 1)
        assert self.trace is not None, "its ops have tensors"
        return _OfTrace(self.trace, op, "a"), _OfTrace(self.trace, op, "w")

    @property
    def has_tensors(self) -> bool:
        """Whether its ops have values, real or drawn."""
        return self.trace is not None or self.drawn is not None

    def only(self, steps: Steps) -> Workload:
        """The workload with those of its steps alone that a study runs. Raises: WorkloadError if none is left."""
        if steps == "all":
            return self
        kept = tuple(op for op in self.ops if steps == "products" or op.kind != "bmm")
        if not kept:
            raise WorkloadError(f"{self.name}: has no product with weights; say steps: products")
        changed = hashlib.sha256(f"{self.fingerprint} {steps}".encode()).hexdigest()
        return replace(self, steps=kept, fingerprint=changed)

    def with_values(self, values: Values) -> Workload:
        """The workload with its tensors, if it has any, used as a study says."""
        if values == "checked" or not self.has_tensors:
            return self
        changed = hashlib.sha256(f"{self.fingerprint} values {values}".encode()).hexdigest()
        return replace(self, counted=True, fingerprint=changed)

    @property
    def kind(self) -> str:
        """``trace``, ``synthetic`` (whose tensors are drawn) or ``shapes``."""
        if self.drawn is not None:
            return "synthetic"
        if self.trace is None:
            return "shapes"
        return "synthetic" if self.trace.manifest.synthetic else "trace"


def resolve_workload(ref: Reference, near: Path | None = None, overlays: Overlays = ()) -> Workload:
    """A workload by shipped name, path to YAML, folder of a trace, or inline mapping.

    Args:
        overlays: values by dotted path, each mapping with what to call it in a complaint; later ones win.
    Raises: ConfigError, TraceError or UnknownNameError, one line.
    """
    if isinstance(ref, Mapping | Source):
        return _from_spec(load_workload(ref, near=near, overlays=overlays))
    text = str(ref)
    if text in shipped_names("traces"):
        return _from_trace(shipped_dir("traces") / text, overlays)
    if text not in shipped_names("workloads"):
        found = find_file(text, near)
        if found.is_dir():
            return _from_trace(found, overlays)
        if not is_path(text):
            raise UnknownNameError("workload", text, known_workloads())
    return _from_spec(load_workload(ref, near=near, overlays=overlays))


def known_workloads() -> list[str]:
    """Shipped names: shapes and traces."""
    return sorted(shipped_names("workloads") + shipped_names("traces"))


def _from_trace(folder: Path, overlays: Overlays) -> Workload:
    for label, changes in overlays:
        for path in changes:
            where = f"{label_of(label, path)}: workload.{path}"
            raise WorkloadError(f"{where}: a trace has the shapes it was taken with; remove one of them")
    from simulator.tracing import open_trace

    trace = open_trace(folder)
    manifest = trace.manifest.model_dump(mode="json", include={"model", "input", "created", "synthetic"})
    manifest = {key: value for key, value in manifest.items() if value is not None}
    manifest["input"].pop("token_ids", None)
    manifest["input"].pop("tokens", None)
    return Workload(trace.name, trace.steps, trace.fingerprint, trace, manifest)


def _from_spec(spec: WorkloadSpec) -> Workload:
    words = {"description", "source"}
    content = spec.model_dump(exclude=words if spec.statistics else words | {"statistics"})
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    provenance: dict[str, Any] = {"source": spec.source or spec.description} if spec.source or spec.description else {}
    model = listed(spec) if spec.model else None
    if model:
        run = spec.model_dump(include=set(RUN_FIELDS), exclude_none=True)
        provenance |= {"run": run, "model": _without_tables(spec.model)}
    tokens = model.run.rows if model and (spec.tokens or spec.context) else None
    assumed = tuple(model.assumed) if model else ()
    drawn = _drawn(spec)
    if drawn:
        said = {"activations": str(drawn.activations), "weights": str(drawn.weights)}
        provenance |= {"synthetic": said | {"source": drawn.source, "seed": drawn.seed}}
    name = f"{spec.name} (synthetic)" if drawn else spec.name
    return Workload(name, steps_of(spec), fingerprint, None, provenance, tokens, assumed, drawn)


def _drawn(spec: WorkloadSpec) -> Drawn | None:
    """Raises: ConfigError for statistics that are not understood, or not known for a workload of that name."""
    how = spec.statistics
    if how is None:
        return None
    try:
        return drawn_from(spec.name, how.activations, how.weights, how.seed)
    except OlivineError as error:
        raise ConfigError(f"{spec.where('statistics')}: {error}") from None


def _without_tables(config: Any) -> dict[str, Any]:
    """A model's configuration without its names of labels and the like."""
    return {key: value for key, value in dict(config).items() if not isinstance(value, dict)}
