"""Other tools' files written as YAML, to be read and edited: designs, workloads, and a study of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from simulator.config import WorkloadSpec, find_file, validate
from simulator.config.design import SystolicDesign
from simulator.config.foreign import FOREIGN, Foreign, Reader
from simulator.config.scalesim_config import read_scalesim_config
from simulator.config.write_yaml import to_yaml
from simulator.errors import OlivineError, OutputError, did_you_mean
from simulator.report.atomic import write_bytes
from simulator.workload.load import READERS
from simulator.workload.models import written_out
from simulator.workload.scalesim import read_topology
from simulator.workload.scalesim_rows import COLUMNS

__all__ = ["ImportedFile", "import_files", "write_imported"]


@dataclass(frozen=True)
class ImportedFile:
    """One file as YAML.

    Attributes:
        kind: ``design``, ``workload`` or ``study``.
        name: of the record, and of its file.
        notes: what had no counterpart.
    """

    kind: str
    name: str
    text: str
    notes: tuple[str, ...] = ()


def import_files(
    sources: Sequence[str], dims: Mapping[str, int] | None = None, kind: str | None = None
) -> list[ImportedFile]:
    """Reads other tools' files; a design and a workload among them make a study too.

    Args:
        dims: values of dimensions that a file leaves open by name.
        kind: of a SCALE-Sim topology whose header does not say: ``conv`` or ``gemm``.
    Raises: OlivineError, one line with file, line and field.
    """
    if kind is not None and kind not in COLUMNS:
        raise OlivineError(f"--kind: found '{kind}'; allowed: {', '.join(COLUMNS)}{did_you_mean(kind, COLUMNS)}")
    files = [_imported(find_file(source), dims or {}, kind) for source in sources]
    for i, file in enumerate(files):
        if any((file.kind, file.name) == (other.kind, other.name) for other in files[:i]):
            raise OlivineError(f"{sources[i]}: a second {file.kind} named '{file.name}'; import one at a time")
    return [*files, *_study(files)]


def write_imported(files: Sequence[ImportedFile], out: Path, force: bool) -> list[Path]:
    """Writes each as ``OUT/NAME.yaml``, or ``NAME.KIND.yaml`` if a design and a workload have one name.

    Raises: OutputError if one exists and ``force`` is not given, or the folder cannot be written.
    """
    names = [_file_name(file, files) for file in files]
    for name in names:
        if (out / name).exists() and not force:
            raise OutputError(f"{out / name}: already exists; choose another --out, or replace it with --force")
    return [write_bytes(out / name, file.text.encode()) for name, file in zip(names, files, strict=True)]


def _imported(path: Path, dims: Mapping[str, int], kind: str | None) -> ImportedFile:
    suffix = path.suffix.lower()
    readers: dict[str, Reader] = {".cfg": read_scalesim_config, **READERS, ".csv": partial(read_topology, kind=kind)}
    if suffix not in readers:
        allowed = ", ".join(f"{ending} ({tool})" for ending, (_, tool) in FOREIGN.items() if ending in readers)
        raise OlivineError(f"{path}: nothing reads files that end like this; allowed: {allowed}")
    used = dims if FOREIGN[suffix][0] == "workload" else {}
    foreign = readers[suffix](path, used)
    described = FOREIGN[suffix][0]
    if described == "design":
        validate(foreign.source, SystolicDesign)
    else:
        spec = validate(foreign.source, WorkloadSpec)
        spec._source = foreign.source
        written_out(spec)  # fields that only their model's family can judge
    return ImportedFile(described, str(foreign.source.data["name"]), _text(foreign, path, suffix), foreign.notes)


def _text(foreign: Foreign, path: Path, suffix: str) -> str:
    head = [f"Made by olivine import from {path.name}, {FOREIGN[suffix][1]}.", *foreign.notes]
    return to_yaml(foreign.source.data, foreign.origins, "\n".join(" ".join(line.split()) for line in head))


def _study(files: Sequence[ImportedFile]) -> list[ImportedFile]:
    """All designs on all workloads, if there are both."""
    by_kind = {kind: [f for f in files if f.kind == kind] for kind in ("design", "workload")}
    if not all(by_kind.values()):
        return []
    data = {
        "name": "study",
        "designs": [f"./{_file_name(f, files)}" for f in by_kind["design"]],
        "workloads": [f"./{_file_name(f, files)}" for f in by_kind["workload"]],
    }
    return [ImportedFile("study", "study", to_yaml(data))]


def _file_name(file: ImportedFile, files: Sequence[ImportedFile]) -> str:
    shared = sum(other.name == file.name for other in files) > 1
    return f"{file.name}.{file.kind}.yaml" if shared else f"{file.name}.yaml"
