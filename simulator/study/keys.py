"""What a result depends on, as one hash: the address under which it is stored and found again.

The resolved design and the files that it names (price list, DRAM part, list of kernels), the workload, fidelity, seed
and code. Axes are not part of it: they are what made the design, and a sweep with one more axis finds what it had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from simulator.config import Design
from simulator.config.design import BankedDramSpec, SystolicDesign
from simulator.config.once import once
from simulator.config.yaml_nodes import Steps
from simulator.datapath.registry import files, package_files, source_file
from simulator.study.drams import dram_part
from simulator.study.libraries import prices_sha256
from simulator.study.programs import kernel_list
from simulator.study.workloads import Workload

__all__ = [
    *("FILE_FIELDS", "NO_NUMBERS", "code_of", "code_sha256", "content_key", "content_of", "datapath_sha256"),
    *("files_content", "numbers_sha256", "run_content"),
]

SCHEMA_VERSION = 2
"""Of rows: a result of another version is not found."""
_NOT_MODEL = ("report", "cli.py", "__pycache__", "_shipped")
"""What may change without changing a run."""
NO_NUMBERS = (
    *("study/store", "study/executors", "study/sampling", "study/again.py", "study/assumptions.py", "study/folders.py"),
    *("study/front_layers.py", "study/importing.py", "study/manifest.py", "study/reuse.py", "study/rounds.py"),
    *("study/run.py", "study/schema.py", "study/schema_paths.py", "study/timeline.py", "study/unfinished.py"),
    *("config/json_schema.py", "config/write_yaml.py"),
)
"""What decides which points are run, where, and what is kept and shown of them, and not what a point gives: no module
from which numbers come imports any of it (tests/test_points.py).
"""

FILE_FIELDS: tuple[Steps, ...] = (
    *(("cost",), ("node_nm",), ("memory", "dram")),
    *(("datapath",), ("layers",), ("kernels",)),
)
"""Fields of a design that decide which files and datapaths it depends on."""

Content = Mapping[str, Any]
_json = json.JSONEncoder(sort_keys=True).encode


@cache
def code_sha256() -> str:
    """Hash of every source file that a run depends on."""
    return _files_sha256(())


@cache
def numbers_sha256() -> str:
    """Hash of every source file that what a point gives may depend on."""
    return _files_sha256(NO_NUMBERS)


def _files_sha256(left_out: tuple[str, ...]) -> str:
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        parts = relative.as_posix()
        if relative.parts[0] not in _NOT_MODEL and not any(f"{parts}/".startswith(f"{name}/") for name in left_out):
            digest.update(str(relative).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@once
def datapath_sha256(path: Path) -> str:
    """Hash of the file of a datapath and, if it is in a package, of every source file of that package's folder."""
    digest = hashlib.sha256()
    for file in package_files(path):
        digest.update(str(file.relative_to(path.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def content_key(content: Content) -> str:
    """The address of what depends on ``content`` and nothing else."""
    return hashlib.sha256(_json(content).encode()).hexdigest()


def files_content(design: Design) -> dict[str, Any]:
    """What is in the files that a design's results depend on, beside its fields. Raises: ConfigError or CostError."""
    return {"prices": prices_sha256(design), **_named_files(design), **code_of(design)}


def content_of(design: Design, workload: Workload, fidelity: str, seed: int) -> dict[str, Any]:
    """What a point simulates, beside the fields of its design and its prices."""
    return _named_files(design) | run_content(workload, fidelity, seed)


def run_content(workload: Workload, fidelity: str, seed: int) -> dict[str, Any]:
    """What is run, and how."""
    return {"workload": workload.fingerprint, "fidelity": fidelity, "seed": seed}


def _named_files(design: Design) -> dict[str, Any]:
    """What the files hold that a design names: a DRAM part, a list of kernels."""
    kernels = kernel_list(design)
    dram = design.memory.dram if isinstance(design, SystolicDesign) else None
    part = dram_part(design, dram) if isinstance(dram, BankedDramSpec) else None
    return {
        "dram": part.model_dump(mode="json") if part else None,
        "kernels": kernels.model_dump(mode="json") if kernels else None,
    }


def code_of(design: Design) -> dict[str, Any]:
    """The program that simulates a design."""
    kernels, names = kernel_list(design), {design.datapath.name}
    if kernels:
        listed = {kernel.product.datapath for kernel in kernels.kernels if kernel.product}
        names |= listed & set(files())  # whoever runs the list says what is wrong with others
    code = {name: datapath_sha256(source_file(name)) for name in sorted(names)}
    return {"schema": SCHEMA_VERSION, "code": numbers_sha256(), "datapath_code": code}
