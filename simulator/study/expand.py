"""A study becomes points: designs x workloads x sweep axes, in the order in which they are written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from simulator.config import Design, Source, Study, load_design, named_at
from simulator.config.catalogue import Reference
from simulator.config.tensor_core import TensorCoreDesign
from simulator.errors import ConfigError, CostError, did_you_mean
from simulator.study.building import build, require_systolic
from simulator.study.hardware import Hardware
from simulator.study.passes import plan_step
from simulator.study.sizing import describe, sized
from simulator.study.workloads import Workload, resolve_workload

__all__ = ["WORKLOAD_PREFIX", "Layout", "Member", "Point", "expand", "lay_out", "require_runnable"]

WORKLOAD_PREFIX = "workload."
"""Beginning of the path of a workload's field in ``set``, ``--set`` and ``sweep``; all others are a design's."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Point:
    """One row of the results: a design, as the sweep axes set it, on a workload.

    ``size``: how its array was sized, as one sentence; empty if it was not.
    """

    hardware: Hardware
    workload: Workload
    axes: dict[str, Any]
    size: str = ""

    @property
    def label(self) -> str:
        """What progress and messages call this point."""
        axes = ", ".join(f"{path}={value}" for path, value in self.axes.items())
        return f"{self.hardware.design.name} on {self.workload.name}" + (f" ({axes})" if axes else "")


@dataclass(frozen=True)
class Member:
    """One design at one combination of the sweep axes; ``make`` builds it with further overlays, which win."""

    make: Callable[..., Hardware]
    hardware: Hardware
    axes: dict[str, Any]
    size: str = ""


@dataclass(frozen=True)
class Layout:
    """Every design of a study built and every workload opened; arrays have the sizes that the designs say.

    Attributes:
        combinations: of the sweep axes.
        runs: per workload, what it is at each combination.
        families: per design, a member for each combination of those axes that are a design's.
    """

    study: Study
    source: Source
    combinations: list[dict[str, Any]]
    runs: list[list[Workload]]
    families: list[list[Member]]

    @property
    def names(self) -> list[str]:
        """The designs, as written."""
        return [family[0].hardware.design.name for family in self.families]

    def sized(self) -> Layout:
        """Arrays as ``normalise`` has them. Raises: ConfigError."""
        if self.study.normalise == "none":
            return self
        return replace(self, families=_sized(self.study, self.source, self.families, self.names))

    def points(self) -> list[Point]:
        """In the order of the results."""
        return [
            Point(member.hardware.on(workload.name), workload, axes, member.size)
            for family in self.families
            for workloads in self.runs
            for axes, workload in zip(self.combinations, workloads, strict=True)
            for member in family
            if member.axes == _split_axes(axes)[0]
        ]


def expand(study: Study, source: Source, overrides: Mapping[str, Any]) -> list[Point]:
    """All points of a study: every design built, every workload opened, every op and pass mapped, nothing run.

    Args:
        overrides: ``--set`` of the command line; wins over the study's ``set``, loses to its axes.
    Raises: ConfigError and its like, one line with file, line and field.
    """
    points = lay_out(study, source, overrides).sized().points()
    for point in points:
        require_runnable(point)
    _require_layers_to_match(points)
    return points


def lay_out(study: Study, source: Source, overrides: Mapping[str, Any]) -> Layout:
    """What ``expand`` makes points of. Raises: as ``expand``."""
    combinations = list(_combinations(study, source))
    asked = _Asked(study, source, overrides, combinations)
    runs = [_runs(asked, i) for i in range(len(study.workloads))]
    families = [_family(asked, i) for i in range(len(study.designs))]
    layout = Layout(study, source, combinations, runs, families)
    _require_distinct(source, "workloads", [workloads[0].name for workloads in runs])
    _require_distinct(source, "designs", layout.names)
    _require_baseline(study, source, layout.names)
    workloads = [at_each[0] for at_each in runs]
    names = [workload.name for workload in workloads]
    _require_claims(study, source, [family[0].hardware.design for family in families], names)
    _require_series(study, source, layout.names, names)
    _require_measured(study, source, workloads)
    return layout


def require_runnable(point: Point) -> None:
    """Map every op and pass of a point. Raises: as ``plan_step``."""
    for index in range(len(point.workload.steps)):
        plan_step(point.hardware, point.workload.steps, index)


def _require_layers_to_match(points: Sequence[Point]) -> None:
    """A pattern of op names that fits no op of any workload is a slip of the pen. Raises: ConfigError."""
    workloads = {point.workload.name: point.workload for point in points}
    for design in (p.hardware.design for p in points):
        for i, layer in enumerate(design.layers):
            meant = [w for name, w in workloads.items() if fnmatchcase(name, layer.workload)]
            if not meant:
                where = design.where("layers", i, "workload")
                hint = did_you_mean(layer.workload, workloads) or f"; workloads: {', '.join(workloads)}"
                raise ConfigError(f"{where}: '{layer.workload}' matches no workload{hint}")
            ops = {op.name: None for w in meant for op in w.ops}
            if not any(fnmatchcase(name, layer.ops) for name in ops):
                hint = did_you_mean(layer.ops, ops) or f"; ops: {', '.join(list(ops)[:3])} ..."
                where = design.where("layers", i, "ops")
                whose = "any workload" if layer.workload == "*" else f"'{layer.workload}'"
                raise ConfigError(f"{where}: '{layer.ops}' matches no op of {whose}{hint}")


def _split_axes(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of values by dotted path those of a design, and those of a workload (``workload.batch``) without that prefix."""
    of_workload = {p.removeprefix(WORKLOAD_PREFIX): v for p, v in changes.items() if p.startswith(WORKLOAD_PREFIX)}
    return {p: v for p, v in changes.items() if not p.startswith(WORKLOAD_PREFIX)}, of_workload


@dataclass(frozen=True)
class _Asked:
    """A study, the overrides of the command line, and all combinations of its sweep axes."""

    study: Study
    source: Source
    overrides: Mapping[str, Any]
    combinations: Sequence[dict[str, Any]]

    @property
    def near(self) -> Path:
        """Folder in which relative paths are looked for."""
        return Path(self.source.label).parent

    def overlays(self, axes: Mapping[str, Any], which: int) -> list[tuple[str, dict[str, Any]]]:
        """What changes in the designs (``which`` 0) or the workloads (1), each with what to call it."""
        set_, sweep = self.source.where(("set",)), self.source.where(("sweep",))
        origins = [(set_, self.study.set), ("--set", self.overrides), (sweep, axes)]
        return [(label, _split_axes(changes)[which]) for label, changes in origins]


def _runs(asked: _Asked, index: int) -> list[Workload]:
    """One workload at every combination of the sweep axes; the same one where only the design differs."""
    known: dict[str, Workload] = {}

    def run(axes: dict[str, Any]) -> Workload:
        key = json.dumps(_split_axes(axes)[1])
        if key not in known:
            overlays, steps = asked.overlays(axes, 1), asked.study.steps
            known[key] = _placed(
                asked.source,
                ("workloads", index),
                lambda ref: resolve_workload(ref, asked.near, overlays).only(steps),
            )
        return known[key]

    return [run(axes) for axes in asked.combinations]


def _family(asked: _Asked, index: int) -> list[Member]:
    """One design at every combination of the sweep axes that are a design's."""

    def member(axes: dict[str, Any]) -> Member:
        overlays = asked.overlays(axes, 0)
        built: dict[str, Hardware] = {}

        def make(*more: tuple[str, Mapping[str, Any]]) -> Hardware:
            key = json.dumps([settings for _, settings in more], sort_keys=True)
            if key not in built:
                laid = [*overlays, *more]
                built[key] = _placed(
                    asked.source,
                    ("designs", index),
                    lambda ref: build(load_design(ref, near=asked.near, overlays=laid)),
                )
            return built[key]

        return Member(make, make(), axes)

    distinct = {json.dumps(own): own for axes in asked.combinations for own in [_split_axes(axes)[0]]}
    return [member(axes) for axes in distinct.values()]


def _sized(study: Study, source: Source, families: list[list[Member]], names: Sequence[str]) -> list[list[Member]]:
    """Every design with an array as large as the baseline's at the same axes. Raises: ConfigError."""
    references = families[names.index(study.baseline)] if study.baseline else families[0]
    budgets = study.sizing.budget_mm2, study.sizing.budget_gb_s
    keeps_its_own = references if budgets == (None, None) else []
    return [
        [
            member
            if any(member is kept for kept in keeps_its_own)
            else _resized(study, source, member, reference.hardware)
            for member, reference in zip(family, references, strict=True)
        ]
        for family in families
    ]


def _resized(study: Study, source: Source, member: Member, reference: Hardware) -> Member:
    where = source.where(("normalise",))
    why = f"normalise: {study.normalise} sizes systolic arrays"
    mine, theirs = require_systolic(member.hardware, why), require_systolic(reference, why)
    try:
        rows, cols = sized(mine, theirs, study.normalise, study.sizing)
    except CostError as error:
        raise ConfigError(f"{where}: {member.hardware.design.name}: {error}") from None
    hardware = member.make((where, {"array.rows": rows, "array.cols": cols}))
    return replace(
        member, hardware=hardware, size=describe(require_systolic(hardware, why), theirs, study.normalise, study.sizing)
    )


def _combinations(study: Study, source: Source) -> Iterator[dict[str, Any]]:
    for path, values in study.sweep.items():
        if not values:
            raise ConfigError(f"{source.where(('sweep', path))}: an axis needs at least one value")
        written = [json.dumps(value, sort_keys=True) for value in values]
        for i, value in enumerate(written):
            if value in written[:i]:
                raise ConfigError(f"{source.where(('sweep', path, i))}: {value} is on this axis twice; remove one")
    for combination in itertools.product(*study.sweep.values()):
        yield dict(zip(study.sweep, combination, strict=True))


def _placed(source: Source, path: tuple[str, int], make: Callable[[Reference], _T]) -> _T:
    """``make`` of the reference at ``path``; a name or file that does not exist is a complaint about that line."""
    ref = source.data[path[0]][path[1]]
    with named_at(source.where(path)):
        return make(source.part(path) if isinstance(ref, dict) else ref)


def _require_distinct(source: Source, field: str, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(f"{source.where((field, i))}: two {field} are named '{name}'; give one another name")


def _require_baseline(study: Study, source: Source, names: Sequence[str]) -> None:
    if study.baseline is not None and study.baseline not in names:
        hint = did_you_mean(study.baseline, names) or f"; designs: {', '.join(names)}"
        raise ConfigError(f"{source.where(('baseline',))}: '{study.baseline}' is not among the designs{hint}")


def _require_claims(study: Study, source: Source, designs: Sequence[Design], workloads: Sequence[str]) -> None:
    """Published claims are about designs and workloads of the study. Raises: ConfigError."""
    names = [design.name for design in designs]
    gpus = [design.name for design in designs if isinstance(design, TensorCoreDesign)]
    for i, claim in enumerate(study.published.claims if study.published else ()):
        place = ("published", "claims", i)
        _require_named(source, (*place, "design"), claim.design, "designs", names)
        _require_named(source, (*place, "baseline"), claim.baseline, "designs", names)
        _require_named(source, (*place, "workload"), claim.workload, "workloads", workloads)
        if claim.metric.startswith("gpu_") and claim.design not in gpus:
            where = source.where(("published", "claims", i, "metric"))
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
    ops = {workload.name: [op.name for op in workload.ops] for workload in workloads}
    seen: set[tuple[str, str]] = set()
    for i, time in enumerate(study.measured.times if study.measured else ()):
        for field, name, known in (("workload", time.workload, ops), ("op", time.op, ops.get(time.workload, ()))):
            if name not in known:
                where = source.where(("measured", "times", i, field))
                hint = did_you_mean(name, known) or f"; {field}s: {', '.join(list(known)[:5])}"
                raise ConfigError(f"{where}: '{name}' is no {field} of the study{hint}")
        if (time.workload, time.op) in seen:
            raise ConfigError(f"{source.where(('measured', 'times', i))}: '{time.op}' is measured twice; remove one")
        seen.add((time.workload, time.op))
