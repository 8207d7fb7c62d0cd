"""When things happen: a ladder of engines over one tile table."""

from simulator.engine.bound import run_bound, run_bound_cores
from simulator.engine.dram import NO_MEMORY_LIMIT, IdealDram
from simulator.engine.each import EachTiles, SharedTiles, run_each, shared_tiles, tiles_of_each
from simulator.engine.global_buffer import GlobalBuffer
from simulator.engine.memory import Dram
from simulator.engine.nest import nest_cycles, run_nest
from simulator.engine.pipeline import run_pipeline, run_pipeline_cores
from simulator.engine.timing import EVENT_FIELDS, OWN_CAUSES, STALL_CAUSES, Timing, shown

__all__ = [
    "EVENT_FIELDS",
    "NO_MEMORY_LIMIT",
    "OWN_CAUSES",
    "STALL_CAUSES",
    "Dram",
    "EachTiles",
    "GlobalBuffer",
    "IdealDram",
    "SharedTiles",
    "Timing",
    "nest_cycles",
    "run_bound",
    "run_bound_cores",
    "run_each",
    "run_nest",
    "run_pipeline",
    "run_pipeline_cores",
    "shared_tiles",
    "shown",
    "tiles_of_each",
]
