"""From a name, a path or a mapping to a checked record: designs, cost libraries, DRAM parts, studies and workloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from simulator.config.cost import CostLibrary, ScalingTable, SramTable
from simulator.config.cost_bases import beneath, require_same_conventions
from simulator.config.design import Design, SystolicDesign
from simulator.config.dram import DramPart
from simulator.config.kernels import KernelList
from simulator.config.load import Source, apply_overrides, from_mapping, merge, read_yaml, validate
from simulator.config.record import Record
from simulator.config.sram_table import has_node, with_macros
from simulator.config.study import Study
from simulator.config.tensor_core import TensorCoreDesign
from simulator.config.workload import WorkloadSpec
from simulator.errors import ConfigError, NoSuchFileError, UnknownNameError, did_you_mean
from simulator.resources import shipped_dir, shipped_names

__all__ = [
    "Reference",
    "find_file",
    "is_path",
    "kind_of",
    "load_cost",
    "load_design",
    "load_dram",
    "load_kernels",
    "load_scaling",
    "load_sram_at",
    "load_study",
    "load_workload",
    "named_at",
    "price_lists",
]

Reference = str | Path | Mapping[str, Any] | Source
"""A shipped name, a path to a YAML file, or the mapping itself, which may know where it was written."""

_R = TypeVar("_R", bound=Record)
_FOLDERS = {
    "design": "configs/designs",
    "cost": "configs/cost",
    "DRAM": "configs/dram",
    "kernel list": "configs/kernels",
    "study": "configs/studies",
    "workload": "workloads",
}
_KINDS: dict[str, type[Design]] = {"systolic": SystolicDesign, "tensor_core": TensorCoreDesign}
"""``array.kind`` -> the record of such a design."""
_NO_LISTS = ("logic_", "dram_", "scaling_")
"""Beginnings of the names of cost files that hold one kind of price, to be extended by a whole library, or factors."""


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
        set: dotted path -> value, as in ``{"array.rows": 64}``. Another ``datapath.name`` drops the options of the
            datapath that it replaces; ``memory.dram.model`` to or from ``banked`` those of the DRAM.
        near: folder in which relative paths are also looked for.
        overlays: further overrides, each with what to call it in a complaint; later ones win.
    Raises: ConfigError, one line with file, line and field.
    """
    source = _read(ref, "design", near)
    for label, changes in [("set", set or {}), *overlays]:
        source = _for_datapath(source, changes.get("datapath.name"))
        source = apply_overrides(_for_dram(source, changes.get("memory.dram.model")), changes, label=label)
    design = validate(source, _KINDS[_kind_written(source)])
    design._source = source
    return design


def _kind_written(source: Source) -> str:
    """The kind of array that a document is about; what is none is a complaint that validation makes."""
    array = source.data.get("array")
    kind = array.get("kind", "systolic") if isinstance(array, dict) else "systolic"
    return kind if isinstance(kind, str) and kind in _KINDS else "systolic"


def kind_of(design: Design) -> str:
    """``array.kind`` of a design."""
    return next(kind for kind, model in _KINDS.items() if isinstance(design, model))


def load_cost(ref: Reference, *, near: Path | None = None) -> CostLibrary:
    """A cost library by shipped name, path or mapping. Raises: ConfigError."""
    return validate(with_macros(_read(ref, "cost", near)), CostLibrary)


def load_sram_at(ref: Reference, node_nm: float, *, near: Path | None = None) -> SramTable | None:
    """Macros of another node from the table that a cost library names; None if it names none, or none of that node.

    Raises: ConfigError.
    """
    source = _read(ref, "cost", near)
    return validate(with_macros(source, node_nm).part(("sram",)), SramTable) if has_node(source, node_nm) else None


def load_scaling() -> ScalingTable:
    """The published factors between technology nodes."""
    return validate(read_yaml(shipped_dir(_FOLDERS["cost"]) / "scaling_deepscale.yaml"), ScalingTable)


def load_dram(ref: Reference, set: Mapping[str, Any] | None = None, *, near: Path | None = None) -> DramPart:
    """A DRAM part by shipped name, path or mapping, with overrides by dotted path. Raises: ConfigError."""
    return validate(apply_overrides(_read(ref, "DRAM", near), set or {}, label="set"), DramPart)


def load_kernels(ref: Reference, *, near: Path | None = None) -> KernelList:
    """A kernel list by shipped name, path or mapping. Raises: ConfigError."""
    return validate(_read(ref, "kernel list", near), KernelList)


def load_study(ref: Reference) -> tuple[Study, Source]:
    """A study and where its fields were written. Raises: ConfigError."""
    source = _read(ref, "study", None)
    return validate(source, Study), source


def load_workload(ref: Reference, *, near: Path | None = None) -> WorkloadSpec:
    """A workload of shapes by shipped name, path or mapping. Raises: ConfigError."""
    return validate(_read(ref, "workload", near), WorkloadSpec)


def price_lists() -> list[str]:
    """Names of the shipped cost libraries that are whole, without those made to be extended."""
    return [name for name in shipped_names(_FOLDERS["cost"]) if not name.startswith(_NO_LISTS)]


def is_path(ref: str) -> bool:
    """Whether a reference is meant as a path and not as a shipped name."""
    return "/" in ref or ref.endswith((".yaml", ".yml"))


def find_file(ref: str, near: Path | None = None) -> Path:
    """Beside the file that names it, else from the current folder, else among what is shipped; the first that exists.

    If none does: the one whose folder has something of a like name, for the complaint.
    """
    given = Path(ref).expanduser()
    if given.is_absolute():
        return given
    candidates = [*([near / given] if near else []), given, shipped_dir("configs").parent / given]
    existing = (path for path in candidates if path.exists())
    alike = (path for path in candidates if did_you_mean(path.name, _names_in(path.parent)))
    return next(existing, None) or next(alike, candidates[0])


@contextmanager
def named_at(where: str) -> Iterator[None]:
    """A name or a file that does not exist becomes a complaint about the field that names it, at ``where``."""
    try:
        yield
    except (UnknownNameError, NoSuchFileError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _read(ref: Reference, kind: str, near: Path | None, chain: tuple[str, ...] = ()) -> Source:
    """The document of a reference with all it extends merged in."""
    source, identity, folder = _document(ref, kind, near)
    if identity in chain:
        circle = " -> ".join(Path(link).name for link in (*chain, identity))
        raise ConfigError(f"{source.where(('extends',))}: extends itself: {circle}")
    if kind == "study" or "extends" not in source.data:
        return source
    bases = source.data["extends"]
    bases = bases if isinstance(bases, list) else [bases]
    if not bases or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f"{source.where(('extends',))}: expected the name or path of a {kind}, or a list of them")
    with named_at(source.where(("extends",))):
        parents = [_read(base, kind, folder, (*chain, identity)) for base in bases]
    if kind == "cost":
        require_same_conventions(source, parents)
    merged = reduce(merge, parents)
    data = {key: value for key, value in source.data.items() if key != "extends"}
    datapath = data.get("datapath")
    merged = _for_datapath(merged, datapath.get("name") if isinstance(datapath, dict) else None)
    memory = data.get("memory")
    dram = memory.get("dram") if isinstance(memory, dict) else None
    merged = _for_dram(merged, dram.get("model") if isinstance(dram, dict) else None)
    if kind == "cost":
        merged = beneath(data, merged)
    return merge(merged, Source(data, source.lines, source.label, source.labels))


def _for_datapath(source: Source, name: Any) -> Source:
    """``source`` without the options of its datapath if another datapath, ``name``, is about to take its place."""
    found = source.data.get("datapath")
    if name is None or not isinstance(found, dict) or found.get("name") == name:
        return source
    return replace(source, data={**source.data, "datapath": {k: v for k, v in found.items() if k == "name"}})


def _for_dram(source: Source, model: Any) -> Source:
    """``source`` without the fields of its DRAM if one of another kind, ``model``, is about to take its place: banked
    DRAM is a part and its controller, the others a rate and a latency.
    """
    memory = source.data.get("memory")
    found = memory.get("dram") if isinstance(memory, dict) else None
    if model is None or not isinstance(memory, dict) or not isinstance(found, dict):
        return source
    if (model == "banked") == (found.get("model") == "banked"):
        return source
    kept = {k: v for k, v in found.items() if k == "model"}
    return replace(source, data={**source.data, "memory": {**memory, "dram": kept}})


def _document(ref: Reference, kind: str, near: Path | None) -> tuple[Source, str, Path | None]:
    """One document, what tells it from others, and the folder it lies in."""
    if isinstance(ref, Source):
        return ref, f"<{ref.data.get('name', kind)}>", near
    if isinstance(ref, Mapping):
        return from_mapping(ref, label=f"<{kind}>"), f"<{ref.get('name', kind)}>", near
    if isinstance(ref, Path) or is_path(ref):
        path = find_file(str(ref), near)
    else:
        known = shipped_names(_FOLDERS[kind])
        if ref not in known:
            if kind == "cost":
                raise UnknownNameError("cost library", ref, price_lists())
            raise UnknownNameError(kind, ref, known)
        path = shipped_dir(_FOLDERS[kind]) / f"{ref}.yaml"
    return read_yaml(path), str(path.resolve()), path.parent
