"""PE datapaths, one file each, self-registering: drop a file in here and it is installed."""

from simulator.datapath import gobo
from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Gate, Lane, Operand
from simulator.datapath.blame import blamed
from simulator.datapath.job import Job, KernelJob, TileCosts
from simulator.datapath.registry import (
    ENTRY_POINT_GROUP,
    OptionError,
    create,
    described_options,
    get,
    load_file,
    names,
    options,
    register,
)
from simulator.datapath.width import Width

__all__ = [
    "ENTRY_POINT_GROUP",
    "Accumulation",
    "Datapath",
    "Gate",
    "Job",
    "KernelJob",
    "Lane",
    "Operand",
    "OptionError",
    "TileCosts",
    "Width",
    "blamed",
    "create",
    "described_options",
    "exact_product",
    "get",
    "gobo",
    "load_file",
    "names",
    "options",
    "register",
    "require_fit",
]
