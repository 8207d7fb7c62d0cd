"""What is wrong with a study whatever its points: names that nothing has, and fields that fit no combination."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from simulator.config import Design, Source, Study
from simulator.config.catalogue import kind_written
from simulator.errors import ConfigError, OlivineError, did_you_mean
from simulator.study.columns import require_drawable
from simulator.study.points import Points
from simulator.study.workloads import Workload

__all__ = ["require_some_fit", "require_sound"]


def require_sound(points: Points) -> None:
    """Every name of a study is of something that it has. Raises: ConfigError and its like, one line."""
    study, source = points.study, points.setup.source
    designs, workloads = points.design_names, points.workload_names
    _require_distinct(source, "workloads", workloads)
    _require_distinct(source, "designs", designs)
    if study.baseline is not None and study.baseline not in designs:
        hint = did_you_mean(study.baseline, designs) or f"; designs: {', '.join(designs)}"
        raise ConfigError(f"{source.where(('baseline',))}: '{study.baseline}' is not among the designs{hint}")
    gpus = [name for name, doc in zip(designs, points.designs, strict=True) if kind_written(doc) == "tensor_core"]
    _require_claims(study, source, designs, gpus, workloads)
    _require_series(study, source, designs, workloads)
    require_drawable(study, source, [path for axis in points.space.axes for path in axis.paths])
    opened = [points.workload(i, points.space.choices(0)) for i in range(len(workloads))]
    _require_measured(study, source, opened)
    for design in _with_layers(points):
        _require_layers_to_match(design, opened)
    if study.search is None and next(points.indices(), None) is None:  # a search looks for points of its own
        raise ConfigError(f"{source.where(('where',))}: no point is left of {points.total}; loosen a condition")


def require_some_fit(points: Points, wrong: Mapping[int, OlivineError], indices: Collection[int]) -> None:
    """A design, a workload or a value of an axis that is wrong at every point is a mistake of the study.

    Args:
        wrong: points whose fields, prices or files are wrong, and how.
        indices: all points of the study.
    Raises: the first complaint about such a design, workload or value.
    """
    if not wrong:
        return
    sound = {part for index in indices if index not in wrong for part in _parts(points, index)}
    for index, error in wrong.items():
        if any(part not in sound for part in _parts(points, index)):
            raise error


def _parts(points: Points, index: int) -> Iterator[tuple[str, int, int]]:
    """The design, the workload and the values of a point."""
    design, workload, combination = points.split(index)
    yield "design", 0, design
    yield "workload", 0, workload
    for axis, place in enumerate(points.space.choices(combination)):
        yield "axis", axis, place


def _with_layers(points: Points) -> Iterator[Design]:
    """Designs whose layers differ; one that is wrong in itself is complained of elsewhere."""
    axis = next((i for i, a in enumerate(points.space.axes) if any(p.startswith("layers") for p in a.paths)), None)
    for place, source in enumerate(points.designs):
        if not source.data.get("layers") and axis is None:
            continue
        values = range(1 if axis is None else len(points.space.axes[axis]))
        for value in values:
            choices = [value if i == axis else 0 for i in range(len(points.space.axes))]
            try:
                yield points.design(place, tuple(choices))
            except ConfigError:
                continue


def _require_layers_to_match(design: Design, workloads: Sequence[Workload]) -> None:
    """A pattern of op names that fits no op of any workload is a slip of the pen. Raises: ConfigError."""
    names = [workload.name for workload in workloads]
    for i, layer in enumerate(design.layers):
        meant = [w for w in workloads if fnmatchcase(w.name, layer.workload)]
        if not meant:
            where = design.where("layers", i, "workload")
            hint = did_you_mean(layer.workload, names) or f"; workloads: {', '.join(names)}"
            raise ConfigError(f"{where}: '{layer.workload}' matches no workload{hint}")
        ops = {op.name: None for w in meant for op in w.ops}
        if not any(fnmatchcase(name, layer.ops) for name in ops):
            hint = did_you_mean(layer.ops, ops) or f"; ops: {', '.join(list(ops)[:3])} ..."
            where = design.where("layers", i, "ops")
            whose = "any workload" if layer.workload == "*" else f"'{layer.workload}'"
            raise ConfigError(f"{where}: '{layer.ops}' matches no op of {whose}{hint}")


def _require_distinct(source: Source, field: str, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(f"{source.where((field, i))}: two {field} are named '{name}'; give one another name")


def _require_claims(
    study: Study, source: Source, designs: Sequence[str], gpus: Sequence[str], workloads: Sequence[str]
) -> None:
    """Published claims are about designs and workloads of the study. Raises: ConfigError."""
    for i, claim in enumerate(study.published.claims if study.published else ()):
        place = ("published", "claims", i)
        _require_named(source, (*place, "design"), claim.design, "designs", designs)
        _require_named(source, (*place, "baseline"), claim.baseline, "designs", designs)
        _require_named(source, (*place, "workload"), claim.workload, "workloads", workloads)
        if claim.metric.startswith("gpu_") and claim.design not in gpus:
            where = source.where((*place, "metric"))
            raise ConfigError(f"{where}: {claim.metric} is of designs with tensor cores; '{claim.design}' has none")


def _require_series(study: Study, source: Source, designs: Sequence[str], workloads: Sequence[str]) -> None:
    """Published lines are about designs and workloads of the study. Raises: ConfigError."""
    for i, series in enumerate(study.published.series if study.published else ()):
        place = ("published", "series", i)
        _require_named(source, (*place, "design"), series.design, "designs", designs)
        _require_named(source, (*place, "baseline"), series.baseline, "designs", designs)
        for at, name in enumerate(series.workloads):
            _require_named(source, (*place, "workloads", at), name, "workloads", workloads)


def _require_named(
    source: Source, path: tuple[str | int, ...], name: str | None, kinds: str, known: Sequence[str]
) -> None:
    if name is not None and name not in known:
        hint = did_you_mean(name, known) or f"; {kinds}: {', '.join(known)}"
        raise ConfigError(f"{source.where(path)}: '{name}' is not among the {kinds}{hint}")


def _require_measured(study: Study, source: Source, workloads: Sequence[Workload]) -> None:
    """Measured times are of ops of the study, one each. Raises: ConfigError."""
    ops: dict[str, list[str]] = {workload.name: [op.name for op in workload.ops] for workload in workloads}
    seen: set[tuple[str, str]] = set()
    for i, time in enumerate(study.measured.times if study.measured else ()):
        known: Any
        for field, name, known in (("workload", time.workload, ops), ("op", time.op, ops.get(time.workload, ()))):
            if name not in known:
                where = source.where(("measured", "times", i, field))
                hint = did_you_mean(name, known) or f"; {field}s: {', '.join(list(known)[:5])}"
                raise ConfigError(f"{where}: '{name}' is no {field} of the study{hint}")
        if (time.workload, time.op) in seen:
            raise ConfigError(f"{source.where(('measured', 'times', i))}: '{time.op}' is measured twice; remove one")
        seen.add((time.workload, time.op))
