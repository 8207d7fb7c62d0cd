"""Who adds partial sums where K is cut over cores, and at what price."""

from __future__ import annotations

from simulator.config import Design
from simulator.datapath import Datapath

__all__ = ["add_actions", "no_cut_along_k", "reduction_lanes", "reduction_parts"]


def no_cut_along_k(datapath: Datapath) -> str:
    """Why partial sums of parts of K cannot be added afterwards, or nothing."""
    if datapath.accumulation.kind != "int":
        return f"'{datapath.name}' rounds its sums, in order of K"
    return f"what '{datapath.name}' takes depends on the data" if datapath.assumed_distribution else ""


def reduction_lanes(design: Design) -> int:
    """Partial sums that a core adds per cycle."""
    return design.cores.reduction_lanes


def add_actions(datapath: Datapath) -> dict[str, float]:
    """Priced actions of adding two partial sums; assumed: as a MAC of this array, which adds at that width."""
    return datapath.actions_per_mac()


def reduction_parts(design: Design, datapath: Datapath) -> dict[str, int]:
    """Priced parts of one core's adders, where it may need them; assumed: a lane is as large as a PE."""
    if design.cores.count == 1 or design.cores.partition not in ("auto", "K") or no_cut_along_k(datapath):
        return {}
    return {part: n * reduction_lanes(design) for part, n in datapath.area_bill(1, 1).items()}
