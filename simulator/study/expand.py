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

__all__ = ["Point", "expand"]

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


def expand(study: Study, source: Source, overrides: Mapping[str, Any]) -> list[Point]:
    """All points of a study: every design built, every workload opened, every op and pass mapped, nothing run.

    Args:
        overrides: ``--set`` of the command line; wins over the study's ``set``, loses to its axes.
    Raises: ConfigError and its like, one line with file, line and field.
    """
    near = Path(source.label).parent
    workloads = [
        _placed(source, ("workloads", i), lambda ref: resolve_workload(ref, near).only(study.steps))
        for i in range(len(study.workloads))
    ]
    families = [_family(study, source, overrides, near, i) for i in range(len(study.designs))]
    names = [family[0].hardware.design.name for family in families]
    _require_distinct(source, "workloads", [w.name for w in workloads])
    _require_distinct(source, "designs", names)
    _require_baseline(study, source, names)
    _require_claims(study, source, [family[0].hardware.design for family in families], [w.name for w in workloads])
    _require_series(study, source, names, [w.name for w in workloads])
    _require_measured(study, source, workloads)
    if study.normalise != "none":
        families = _sized(study, source, families, names)
    points = [
        Point(member.hardware.on(workload.name), workload, member.axes, member.size)
        for family in families
        for workload in workloads
        for member in family
    ]
    for point in points:
        for index in range(len(point.workload.steps)):
            plan_step(point.hardware, point.workload.steps, index)
    _require_layers_to_match(points)
    return points


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


@dataclass(frozen=True)
class _Member:
    """One design at one combination of the sweep axes; ``make`` builds it with further overlays."""

    make: Callable[..., Hardware]
    hardware: Hardware
    axes: dict[str, Any]
    size: str = ""


def _family(study: Study, source: Source, overrides: Mapping[str, Any], near: Path, index: int) -> list[_Member]:
    """One design at every combination of the sweep axes."""

    def member(axes: dict[str, Any]) -> _Member:
        overlays = [(source.where(("set",)), study.set), ("--set", overrides), (source.where(("sweep",)), axes)]

        def make(*more: tuple[str, Mapping[str, Any]]) -> Hardware:
            return _placed(
                source, ("designs", index), lambda ref: build(load_design(ref, near=near, overlays=[*overlays, *more]))
            )

        return _Member(make, make(), axes)

    return [member(axes) for axes in _combinations(study, source)]


def _sized(study: Study, source: Source, families: list[list[_Member]], names: Sequence[str]) -> list[list[_Member]]:
    """Every design with an array as large as the baseline's at the same axes. Raises: ConfigError."""
    references = families[names.index(study.baseline)] if study.baseline else families[0]
    keeps_its_own = references if study.sizing.budget_mm2 is None else []
    return [
        [
            member
            if any(member is kept for kept in keeps_its_own)
            else _resized(study, source, member, reference.hardware)
            for member, reference in zip(family, references, strict=True)
        ]
        for family in families
    ]


def _resized(study: Study, source: Source, member: _Member, reference: Hardware) -> _Member:
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
