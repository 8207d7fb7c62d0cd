"""The price list that a design names, taken to its technology node."""

from __future__ import annotations

from pathlib import Path

from simulator.config import Design, load_cost, load_scaling, load_sram_at, named_at
from simulator.config.cost import CostLibrary
from simulator.config.design import SystolicDesign
from simulator.cost.gpu import gpu_at
from simulator.cost.scaling import factors, scale_library
from simulator.errors import CostError

__all__ = ["gpu_library_of", "library_of"]


def library_of(design: SystolicDesign) -> tuple[CostLibrary, str]:
    """A systolic design's price list, and how it was scaled. Raises: ConfigError or CostError."""
    library, near = _named(design, design.cost)
    if library.gpu is not None:
        raise CostError(
            f"cost library '{library.name}' is for array.kind: tensor_core; 'open' has prices of all designs"
        )
    if design.node_nm is None or design.node_nm == library.node_nm:
        return library, ""
    sram = load_sram_at(design.cost, design.node_nm, near=near)
    pads = f"made for {design.node_nm:g} nm" if sram else "scaled likewise"
    by = factors(load_scaling(), library.node_nm, design.node_nm)
    how = f"logic {by} with DeepScaleTool, scratchpads {pads}, DRAM as it is"
    return scale_library(library, by, sram), how


def gpu_library_of(design: Design, cost: str) -> tuple[CostLibrary, str]:
    """The price list of a design of tensor cores, at its node, else at that of the card whose power the list has.

    Raises: ConfigError or CostError.
    """
    library, _ = _named(design, cost)
    if library.gpu is None:
        raise CostError(f"cost library '{library.name}' has no prices of GPUs (its key 'gpu'); 'gpu_turing' has")
    node_nm = design.node_nm or library.gpu.power.node_nm
    gpu = gpu_at(library.gpu, load_scaling(), node_nm)
    by = factors(load_scaling(), library.node_nm, node_nm)
    how = f"logic {by} with DeepScaleTool, levels of memory and static power likewise from their nodes, DRAM as it is"
    return scale_library(library, by, None).model_copy(update={"gpu": gpu}), how


def _named(design: Design, cost: str) -> tuple[CostLibrary, Path]:
    label, _ = design._source.origin(("cost",)) if design._source else ("", None)
    near = Path(label).parent
    with named_at(design.where("cost")):
        return load_cost(cost, near=near), near
