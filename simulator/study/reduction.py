"""Whether K may be cut over cores, whose vector units then add the partial sums."""

from __future__ import annotations

from simulator.datapath import Datapath

__all__ = ["no_cut_along_k"]


def no_cut_along_k(datapath: Datapath) -> str:
    """Why partial sums of parts of K cannot be added afterwards, or nothing."""
    if datapath.accumulation.kind != "int":
        return f"'{datapath.name}' rounds its sums, in order of K"
    return f"what '{datapath.name}' takes depends on the data" if datapath.assumed_distribution else ""
