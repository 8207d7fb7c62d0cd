"""A GEMM on an array becomes a tile table."""

from simulator.mapping.blocking import Blocking, BufferLimits, OperandBits, blockings
from simulator.mapping.closed_forms import FOLD_OVERLAPS, FoldOverlap, os_fold, os_total
from simulator.mapping.output_stationary import ArrayShape, lower, mapping_util

__all__ = [
    "FOLD_OVERLAPS",
    "ArrayShape",
    "Blocking",
    "BufferLimits",
    "FoldOverlap",
    "OperandBits",
    "blockings",
    "lower",
    "mapping_util",
    "os_fold",
    "os_total",
]
