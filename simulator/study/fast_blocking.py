"""The compiled search (``blocking_search``) from Python: what it is asked, and where it does not apply."""

from __future__ import annotations

import numpy as np

from simulator.engine import IdealDram
from simulator.mapping import ORDERS, ArrayShape, Blocking, BufferLimits, OperandBits, Pinned
from simulator.mapping.blocking import LOOPS, axes_of
from simulator.mapping.blocks import case_of
from simulator.study.blocking_bounds import Channel
from simulator.study.blocking_search import Room, new_work, search
from simulator.workload import Op

__all__ = ["channel_of", "fast_blocking", "is_searched", "orders_of", "room_of"]


def is_searched(op: Op, array: ArrayShape, pinned: Pinned) -> bool:
    """Whether the compiled search applies: not to output-stationary loops of which the user fixes the order or a part
    of K.
    """
    in_parts = pinned.order is not None or (pinned.k is not None and pinned.k < op.K)
    return array.dataflow != "os" or not in_parts


def fast_blocking(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    limits: BufferLimits | None,
    depths: tuple[int, int, int],
    dram: IdealDram,
    pinned: Pinned,
    tolerance: float,
) -> Blocking | None:
    """What ``mapping.best_blocking`` finds for scratchpads that make nothing wait.

    None where it has to be asked itself: no limits (one tile), nothing that fits (folds in chunks of K, or an error),
    output-stationary loops of which the user fixes the order or a part of K. Raises: MappingError as that.
    """
    if limits is None or not is_searched(op, array, pinned):
        return None
    orders = np.array([order in orders_of(array, pinned) for order in ORDERS])
    found = search(
        case_of(op, array, bits),
        room_of(bits, limits),
        channel_of(dram, depths),
        axes_of(op, array, bits, pinned),
        orders,
        LOOPS,
        pinned.order is None,
        depths[2] != 1,
        tolerance,
        (0, 0, 0),
        new_work(),
        np.zeros(3, np.int64),
    )
    return Blocking(found.m, found.n, found.k, ORDERS[found.order]) if found.m else None


def orders_of(array: ArrayShape, pinned: Pinned) -> tuple[str, ...]:
    """Orders of loops that are searched."""
    if pinned.order is not None:
        return (pinned.order,)
    return ("mnk", "nmk") if array.dataflow == "os" else ORDERS


def room_of(bits: OperandBits, limits: BufferLimits) -> Room:
    """See ``Room``."""
    act, weight = bits.act, bits.weight
    widths = act.values, act.bits, weight.values, weight.bits, bits.sums
    return Room(limits.act_bits, limits.weight_bits, limits.out_bits, *widths)


def channel_of(dram: IdealDram, depths: tuple[int, int, int]) -> Channel:
    """See ``Channel``. Without memory limits there is one tile, for which one place is enough."""
    rates = dram.bytes_per_cycle, dram.read_bytes_per_cycle
    return Channel(*rates, dram.burst_bytes, dram.latency_cycles, min(depths[:2]) or 1, depths[2] or 1)
