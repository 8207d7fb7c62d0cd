"""PE datapaths, one file each, self-registering: drop a file in here and it is installed."""

from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.registry import ENTRY_POINT_GROUP, OptionError, create, get, load_file, names, register

__all__ = [
    "ENTRY_POINT_GROUP",
    "Accumulation",
    "Datapath",
    "Operand",
    "OptionError",
    "create",
    "get",
    "load_file",
    "names",
    "register",
]
