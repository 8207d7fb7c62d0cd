"""From a name, a path or a mapping to a checked record: designs, cost libraries, studies and workloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from simulator.config.cost import CostLibrary
from simulator.config.design import Design
from simulator.config.load import Source, apply_overrides, from_mapping, merge, read_yaml, validate
from simulator.config.record import Record
from simulator.config.study import Study
from simulator.config.workload import WorkloadSpec
from simulator.errors import ConfigError, UnknownNameError
from simulator.resources import shipped_dir, shipped_names

__all__ = ["Reference", "find_file", "is_path", "load_cost", "load_design", "load_study", "load_workload"]

Reference = str | Path | Mapping[str, Any] | Source
"""A shipped name, a path to a YAML file, or the mapping itself, which may know where it was written."""

_R = TypeVar("_R", bound=Record)
_FOLDERS = {"design": "configs/designs", "cost": "configs/cost", "study": "configs/studies", "workload": "workloads"}


def load_design(
    ref: Reference,
    set: Mapping[str, Any] | None = None,
    *,
    near: Path | None = None,
    overlays: Iterable[tuple[str, Mapping[str, Any]]] = (),
) -> Design:
    """A design by shipped name, path or mapping, with overrides by dotted path.

    Args:
        ref: ``extends: NAME`` in it lays it over another design.
        set: dotted path -> value, as in ``{"array.rows": 64}``.
        near: folder in which relative paths are also looked for.
        overlays: further overrides, each with what to call it in a complaint; later ones win.
    Raises: ConfigError, one line with file, line and field.
    """
    source = _read(ref, "design", near)
    for label, changes in [("set", set or {}), *overlays]:
        source = apply_overrides(source, changes, label=label)
    design = validate(source, Design)
    design._source = source
    return design


def load_cost(ref: Reference, *, near: Path | None = None) -> CostLibrary:
    """A cost library by shipped name, path or mapping. Raises: ConfigError."""
    return validate(_read(ref, "cost", near), CostLibrary)


def load_study(ref: Reference) -> tuple[Study, Source]:
    """A study and where its fields were written. Raises: ConfigError."""
    source = _read(ref, "study", None)
    return validate(source, Study), source


def load_workload(ref: Reference, *, near: Path | None = None) -> WorkloadSpec:
    """A workload of shapes by shipped name, path or mapping. Raises: ConfigError."""
    return validate(_read(ref, "workload", near), WorkloadSpec)


def is_path(ref: str) -> bool:
    """Whether a reference is meant as a path and not as a shipped name."""
    return "/" in ref or ref.endswith((".yaml", ".yml"))


def find_file(ref: str, near: Path | None = None) -> Path:
    """The path as given, else beside the file that names it, else among what is shipped; the first that exists."""
    given = Path(ref).expanduser()
    shipped = shipped_dir("configs").parent / given
    for candidate in [given, *([near / given] if near else []), shipped]:
        if not given.is_absolute() and candidate.exists():
            return candidate
    return given


def _read(ref: Reference, kind: str, near: Path | None, chain: tuple[str, ...] = ()) -> Source:
    """The document of a reference with all it extends merged in."""
    source, label, folder = _document(ref, kind, near)
    if label in chain:
        raise ConfigError(f"{source.where(('extends',))}: extends itself: {' -> '.join([*chain, label])}")
    if kind == "study" or "extends" not in source.data:
        return source
    bases = source.data["extends"]
    bases = bases if isinstance(bases, list) else [bases]
    if not bases or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f"{source.where(('extends',))}: expected the name or path of a {kind}, or a list of them")
    merged = _read(bases[0], kind, folder, (*chain, label))
    for base in bases[1:]:
        merged = merge(merged, _read(base, kind, folder, (*chain, label)))
    data = {key: value for key, value in source.data.items() if key != "extends"}
    return merge(merged, Source(data, source.lines, source.label, source.labels))


def _document(ref: Reference, kind: str, near: Path | None) -> tuple[Source, str, Path | None]:
    """One document, what to call it, and the folder it lies in."""
    if isinstance(ref, Source):
        return ref, f"<{ref.data.get('name', kind)}>", near
    if isinstance(ref, Mapping):
        return from_mapping(ref, label=f"<{kind}>"), f"<{ref.get('name', kind)}>", near
    if isinstance(ref, Path) or is_path(ref):
        path = find_file(str(ref), near)
    else:
        known = shipped_names(_FOLDERS[kind])
        if ref not in known:
            listed = [n for n in known if not n.startswith("sram_")]
            raise UnknownNameError(kind if kind != "cost" else "cost library", ref, listed)
        path = shipped_dir(_FOLDERS[kind]) / f"{ref}.yaml"
    return read_yaml(path), str(path), path.parent
