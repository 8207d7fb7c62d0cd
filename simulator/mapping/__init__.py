"""A GEMM on an array becomes a tile table."""

from simulator.mapping.array_shape import DATAFLOWS, ArrayShape, mapping_util
from simulator.mapping.blocking import ORDERS, Blocking, BufferLimits, OperandBits, Pinned, candidates
from simulator.mapping.closed_forms import FOLD_OVERLAPS, FoldOverlap, held_fold, held_total, os_fold, os_total
from simulator.mapping.lower import best_blocking, lower, nest_of, table_of
from simulator.mapping.partition import (
    DIMENSIONS,
    Dimension,
    Part,
    can_reduce,
    count_reduction,
    reduction_tables,
    split,
)

__all__ = [
    "DATAFLOWS",
    "DIMENSIONS",
    "FOLD_OVERLAPS",
    "ORDERS",
    "ArrayShape",
    "Blocking",
    "BufferLimits",
    "Dimension",
    "FoldOverlap",
    "OperandBits",
    "Part",
    "Pinned",
    "best_blocking",
    "can_reduce",
    "candidates",
    "count_reduction",
    "held_fold",
    "held_total",
    "lower",
    "mapping_util",
    "nest_of",
    "os_fold",
    "os_total",
    "reduction_tables",
    "split",
    "table_of",
]
