"""From a name, a path or a mapping to a checked record: designs, cost libraries, DRAM parts, studies and workloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from simulator.config.cost import CostLibrary, ScalingTable, SramTable
from simulator.config.cost_bases import beneath, require_same_conventions
from simulator.config.design import Design, SystolicDesign
from simulator.config.dram import DramPart
from simulator.config.foreign import FOREIGN, Reader, read_document, with_dims
from simulator.config.kernels import KernelList
from simulator.config.load import Source, apply_overrides, from_mapping, merge, read_yaml, validate
from simulator.config.model_json import read_model_json
from simulator.config.once import once
from simulator.config.overlays import Overlay, for_datapath, for_dram, lay
from simulator.config.record import Record
from simulator.config.scalesim_config import read_scalesim_config
from simulator.config.sram_table import has_node, with_macros
from simulator.config.study import Study
from simulator.config.tensor_core import TensorCoreDesign
from simulator.config.workload import WorkloadSpec
from simulator.errors import ConfigError, NoSuchFileError, UnknownNameError, did_you_mean
from simulator.resources import shipped_dir, shipped_names

__all__ = [
    "Reference",
    "design_of",
    "find_file",
    "is_path",
    "kind_of",
    "kind_written",
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
    "read_design",
    "read_study_source",
]

Reference = str | Path | Mapping[str, Any] | Source
"""A shipped name, a path to a file, or the mapping itself, which may know where it was written."""

_R = TypeVar("_R", bound=Record)
_FOLDERS = {
    "design": "configs/designs",
    "cost": "configs/cost",
    "DRAM": "configs/dram",
    "kernel list": "configs/kernels",
    "study": "configs/studies",
    "workload": "workloads",
}
_READERS: dict[str, Reader] = {".cfg": read_scalesim_config}
"""Ending of a file's name -> what reads other tools' designs."""

_KINDS: dict[str, type[Design]] = {"systolic": SystolicDesign, "tensor_core": TensorCoreDesign}
"""``array.kind`` -> the record of such a design."""
_NO_LISTS = ("logic_", "dram_", "scaling_")
"""Beginnings of the names of cost files that hold one kind of price, to be extended by a whole library, or factors."""


def load_design(
    ref: Reference,
    set: Mapping[str, Any] | None = None,
    *,
    near: Path | None = None,
    overlays: Iterable[Overlay] = (),
) -> Design:
    """A design by shipped name, path or mapping, with overrides by dotted path.

    Args:
        ref: a path may also be a SCALE-Sim configuration (``.cfg``); ``extends: NAME`` lays it over another design.
        set: dotted path -> value, as in ``{"array.rows": 64}``; see ``overlays.lay``.
        near: folder in which relative paths are also looked for.
        overlays: further overrides, each with what to call it in a complaint; later ones win.
    Raises: ConfigError, one line with file, line and field.
    """
    return design_of(lay(read_design(ref, near=near), [("set", set or {}), *overlays]))


def read_design(ref: Reference, *, near: Path | None = None) -> Source:
    """The document of a design, what it extends merged in; see ``load_design``. Raises: ConfigError."""
    return _read(ref, "design", near)


def design_of(source: Source) -> Design:
    """The checked design of a document. Raises: ConfigError."""
    design = validate(source, _KINDS[kind_written(source)])
    design._source = source
    return design


def kind_written(source: Source) -> str:
    """The kind of array that a document is about; what is none is a complaint that validation makes."""
    array = source.data.get("array")
    kind = array.get("kind", "systolic") if isinstance(array, dict) else "systolic"
    return kind if isinstance(kind, str) and kind in _KINDS else "systolic"


def kind_of(design: Design) -> str:
    """``array.kind`` of a design."""
    return next(kind for kind, model in _KINDS.items() if isinstance(design, model))


@once
def load_cost(ref: Reference, *, near: Path | None = None) -> CostLibrary:
    """A cost library by shipped name, path or mapping. Raises: ConfigError."""
    return validate(with_macros(_read(ref, "cost", near)), CostLibrary)


@once
def load_sram_at(ref: Reference, node_nm: float, *, near: Path | None = None) -> SramTable | None:
    """Macros of another node from the table that a cost library names; None if it names none, or none of that node.

    Raises: ConfigError.
    """
    source = _read(ref, "cost", near)
    return validate(with_macros(source, node_nm).part(("sram",)), SramTable) if has_node(source, node_nm) else None


@once
def load_scaling() -> ScalingTable:
    """The published factors between technology nodes."""
    return validate(read_yaml(shipped_dir(_FOLDERS["cost"]) / "scaling_deepscale.yaml"), ScalingTable)


@once
def load_dram(ref: Reference, set: Mapping[str, Any] | None = None, *, near: Path | None = None) -> DramPart:
    """A DRAM part by shipped name, path or mapping, with overrides by dotted path. Raises: ConfigError."""
    return validate(apply_overrides(_read(ref, "DRAM", near), set or {}, label="set"), DramPart)


@once
def load_kernels(ref: Reference, *, near: Path | None = None) -> KernelList:
    """A kernel list by shipped name, path or mapping. Raises: ConfigError."""
    return validate(_read(ref, "kernel list", near), KernelList)


def load_study(ref: Reference) -> tuple[Study, Source]:
    """A study and where its fields were written. Raises: ConfigError."""
    source = read_study_source(ref)
    return validate(source, Study), source


def read_study_source(ref: Reference) -> Source:
    """The document of a study. Raises: ConfigError."""
    return _read(ref, "study", None)


def load_workload(
    ref: Reference,
    *,
    near: Path | None = None,
    overlays: Iterable[Overlay] = (),
    readers: Mapping[str, Reader] | None = None,
) -> WorkloadSpec:
    """A workload of shapes by shipped name, path or mapping; a model it names is read.

    Args:
        overlays: overrides by dotted path, each with what to call it in a complaint; later ones win.
        readers: ending of a file's name -> what reads other tools' workloads; ``workload.load_workload`` knows some.
    Raises: ConfigError, or what a reader raises.
    """
    source = _read(ref, "workload", near, readers=readers)
    for label, changes in overlays:
        source = apply_overrides(source, changes, label=label)
    source = _with_model(source, near)
    spec = validate(source, WorkloadSpec)
    spec._source = source
    return spec


def price_lists() -> list[str]:
    """Names of the shipped cost libraries that are whole, without those made to be extended."""
    return [name for name in shipped_names(_FOLDERS["cost"]) if not name.startswith(_NO_LISTS)]


def is_path(ref: str) -> bool:
    """Whether a reference is meant as a path and not as a shipped name."""
    return "/" in ref or ref.lower().endswith((".yaml", ".yml", *FOREIGN))


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
def named_at(where: str | Callable[[], str]) -> Iterator[None]:
    """A name or a file that does not exist becomes a complaint about the field that names it, at ``where``."""
    try:
        yield
    except (UnknownNameError, NoSuchFileError) as error:
        raise ConfigError(f"{where if isinstance(where, str) else where()}: {error}") from None


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _read(
    ref: Reference,
    kind: str,
    near: Path | None,
    chain: tuple[str, ...] = (),
    readers: Mapping[str, Reader] | None = None,
) -> Source:
    """The document of a reference with all it extends merged in."""
    readers = _READERS if kind == "design" else readers or {}
    source, identity, folder = _document(ref, kind, near, readers)
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
        source, readers = with_dims(source, readers) if kind == "workload" else (source, readers)
        parents = [_read(base, kind, folder, (*chain, identity), readers) for base in bases]
    if kind == "cost":
        require_same_conventions(source, parents)
    merged = reduce(merge, parents)
    data = {key: value for key, value in source.data.items() if key != "extends"}
    datapath = data.get("datapath")
    merged = for_datapath(merged, datapath.get("name") if isinstance(datapath, dict) else None)
    memory = data.get("memory")
    dram = memory.get("dram") if isinstance(memory, dict) else None
    merged = for_dram(merged, dram.get("model") if isinstance(dram, dict) else None)
    if kind == "cost":
        merged = beneath(data, merged)
    return merge(merged, Source(data, source.lines, source.label, source.labels))


def _with_model(source: Source, near: Path | None) -> Source:
    """The document of a workload with the configuration that its ``model`` names read in, beside the file that names it
    or from the current folder.
    """
    ref = source.data.get("model")
    if not isinstance(ref, str):
        return source
    beside = Path(source.origin(("model",))[0]).parent
    with named_at(source.where(("model",))):
        path = find_file(ref, near if near and (near / ref).exists() else beside)
        data = source.data | {"model": read_model_json(path)}
    labels = {k: v for k, v in source.labels.items() if k[:1] != ("model",)} | {("model",): str(path)}
    lines = {k: v for k, v in source.lines.items() if k[:1] != ("model",)}
    return Source(data, lines, source.label, labels)


def _document(
    ref: Reference, kind: str, near: Path | None, readers: Mapping[str, Reader]
) -> tuple[Source, str, Path | None]:
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
    return read_document(path, kind, readers), str(path.resolve()), path.parent
