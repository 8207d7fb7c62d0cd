"""The price list that a design names, taken to its technology node."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from simulator.config import Design, load_cost, load_scaling, load_sram_at, named_at
from simulator.config.cost import CostLibrary
from simulator.config.design import SystolicDesign
from simulator.config.once import once
from simulator.config.tensor_core import TensorCoreDesign
from simulator.cost.gpu import calibrated, gpu_at
from simulator.cost.scaling import factors, parts_at, scale_library
from simulator.errors import CostError

__all__ = ["gpu_library_of", "library_of", "prices_sha256"]


def library_of(design: SystolicDesign) -> tuple[CostLibrary, str]:
    """A systolic design's price list, and how it was scaled. Raises: ConfigError or CostError."""
    with named_at(lambda: design.where("cost")):
        return _library_at(design.cost, _near(design), design.node_nm)


@once
def _library_at(cost: str, near: Path, node_nm: float | None) -> tuple[CostLibrary, str]:
    library = load_cost(cost, near=near)
    if library.gpu is not None:
        raise CostError(
            f"cost library '{library.name}' is for array.kind: tensor_core; 'open' has prices of all designs"
        )
    table, node_nm = load_scaling(), node_nm or library.node_nm
    if node_nm == library.node_nm:
        return parts_at(library, table, node_nm), ""
    sram = load_sram_at(cost, node_nm, near=near)
    pads = f"made for {node_nm:g} nm" if sram else "scaled likewise"
    by = factors(table, library.node_nm, node_nm)
    how = f"logic {by} with DeepScaleTool, scratchpads {pads}, DRAM as it is"
    return parts_at(scale_library(library, by, sram), table, node_nm), how


def gpu_library_of(design: Design, cost: str) -> tuple[CostLibrary, str]:
    """The price list of a design of tensor cores, at its node, else at that of the card whose power the list has.

    Raises: ConfigError or CostError.
    """
    with named_at(lambda: design.where("cost")):
        return _gpu_library_at(cost, _near(design), design.node_nm)


@once
def _gpu_library_at(cost: str, near: Path, node_nm: float | None) -> tuple[CostLibrary, str]:
    library = load_cost(cost, near=near)
    if library.gpu is None:
        raise CostError(f"cost library '{library.name}' has no prices of GPUs (its key 'gpu'); 'gpu_turing' has")
    table, node_nm = load_scaling(), node_nm or library.gpu.power.node_nm
    gpu = gpu_at(library.gpu, table, node_nm)
    by = factors(table, library.node_nm, node_nm)
    how = f"logic {by} with DeepScaleTool, levels of memory and static power likewise from their nodes, DRAM as it is"
    library = parts_at(scale_library(calibrated(library), by, None), table, node_nm)
    return library.model_copy(update={"gpu": gpu}), how


def prices_sha256(design: Design) -> str:
    """Hash of all prices that a design may be charged. Raises: ConfigError or CostError."""
    assert isinstance(design, SystolicDesign | TensorCoreDesign), "a design has one of the kinds of array"
    of = _library_at if isinstance(design, SystolicDesign) else _gpu_library_at
    with named_at(lambda: design.where("cost")):
        return _sha256_of(of, design.cost, _near(design), design.node_nm)


@once
def _sha256_of(of: Callable[..., tuple[CostLibrary, str]], cost: str, near: Path, node_nm: float | None) -> str:
    library, _ = of(cost, near, node_nm)
    return hashlib.sha256(library.model_dump_json().encode()).hexdigest()


def _near(design: Design) -> Path:
    """The folder of the file that names the price list."""
    label, _ = design._source.origin(("cost",)) if design._source else ("", None)
    return _folder_of(label)


@lru_cache
def _folder_of(label: str) -> Path:
    return Path(label).parent
