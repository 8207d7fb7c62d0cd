"""The GEMMs of an op whose costs depend on values, all of them at once: what ``simulate._costs`` finds one by one.

On one core with an ideal channel a GEMM differs from the others of its op in what its tiles load and wait for, and in
nothing else. So what its shape decides is counted once, the rest in one call over all GEMMs; and what values add to
these tiles is kept, as points that differ in clock, bandwidth or prices have the same tiles. Equal one by one
(tests/test_each.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config.study import Fidelity
from simulator.counts import Counts, Traffic
from simulator.datapath import TileCosts
from simulator.engine import Beyond, IdealDram, Timing, run_each
from simulator.mapping.accesses import PadAccesses
from simulator.mapping.counting import count
from simulator.mapping.tile_sums import added_sums
from simulator.study.cores import CorePlan
from simulator.study.hardware import Hardware
from simulator.study.judged import Judged
from simulator.study.plans import Plan
from simulator.study.systolic import SystolicHardware
from simulator.tiles import TileTable

__all__ = ["OpCosts", "can_run_each", "costs_of_each", "timed_each"]

CostsOf = Callable[[int], TileCosts | None]


@dataclass(frozen=True)
class OpCosts:
    """What values add to the tiles of all GEMMs of an op.

    Attributes:
        beyond: in the array and at the channel; act_load_bytes, weight_load_bytes: of it, by operand, (GEMMs, tiles).
        act_buffer_bits, weight_buffer_bits: (GEMMs, 2), read and written.
        actions: over all GEMMs; all of them whole numbers.
    """

    beyond: Beyond
    act_load_bytes: NDArray[np.int64]
    weight_load_bytes: NDArray[np.int64]
    act_buffer_bits: NDArray[np.int64]
    weight_buffer_bits: NDArray[np.int64]
    actions: dict[str, float]


def can_run_each(hardware: Hardware, plan: Plan, fidelity: Fidelity) -> bool:
    """Whether this is where it applies: one core, an ideal channel, no global buffer, the default engine."""
    if not isinstance(hardware, SystolicHardware) or not isinstance(plan, CorePlan):
        return False
    alone = len(plan.gemms) == 1 and not plan.reduction and hardware.global_buffer is None
    return alone and fidelity == "pipeline" and isinstance(hardware.dram, IdealDram)


def costs_of_each(hardware: SystolicHardware, plan: CorePlan, known: Judged, costs_of: CostsOf) -> OpCosts | None:
    """``costs_of`` each GEMM of the op, together; None where they are not whole numbers, or there are none."""
    return known.op_memory.get(_costs_key(hardware, plan), lambda: _together(costs_of, len(known.operands)))


def _costs_key(hardware: SystolicHardware, plan: CorePlan) -> tuple[Any, ...]:
    """All that ``TileCosts`` depend on besides the values."""
    gemm = plan.gemms[0]
    rate = hardware.search_dram.bytes_per_cycle if hardware.datapath.costs_know_bandwidth else None
    memories = gemm.memories if gemm.memories.bank_conflicts else None
    return "costs", hardware.datapath, gemm.array, gemm.bits, gemm.blocking, memories, rate


def _together(costs_of: CostsOf, gemms: int) -> OpCosts | None:
    each = [costs for costs in map(costs_of, range(gemms)) if costs is not None]
    actions = _added(costs.actions for costs in each)
    if len(each) < gemms or not _are_whole(actions.values()):
        return None
    act, weight = (np.stack([getattr(costs, f"{x}_load_bytes") for costs in each]) for x in ("act", "weight"))
    outlier, vector = (np.stack([getattr(costs, f"{x}_cycles") for costs in each]) for x in ("outlier", "vector"))
    bits = (np.array([getattr(costs, f"{x}_buffer_bits") for costs in each], np.int64) for x in ("act", "weight"))
    return OpCosts(Beyond(act + weight, outlier, vector), act, weight, *bits, actions)


def _added(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    actions: dict[str, float] = {}
    for part in parts:
        for action, n in part.items():
            actions[action] = actions.get(action, 0) + n
    return actions


def _are_whole(numbers: Iterable[float]) -> bool:
    """Whether sums of so many do not depend on their order."""
    return all(float(n).is_integer() for n in numbers)


def timed_each(
    hardware: SystolicHardware, plan: CorePlan, costs: OpCosts, *, accesses: bool
) -> tuple[Timing, Counts] | None:
    """Cycles and counts of all GEMMs of the op; None where what its shape decides is no whole numbers.

    Args:
        accesses: whether accesses of scratchpads are counted; without, they are 0, and all else is the same.
    Raises: ConservationError.
    """
    base = _by_shape(hardware, plan, accesses=accesses)
    if base is None:
        return None
    assert isinstance(hardware.dram, IdealDram), "whoever asks has looked"
    gemms = len(costs.act_load_bytes)
    timing = run_each(plan.tables[0], hardware.dram, costs.beyond).launched(hardware.launch_cycles * gemms)
    counts = _counted(base.times(gemms), hardware, plan, costs, accesses=accesses)
    return timing, replace(counts, cycles=timing.total_cycles, compute_cycles=timing.compute_cycles)


def _by_shape(hardware: SystolicHardware, plan: CorePlan, *, accesses: bool) -> Counts | None:
    """Counts of one GEMM before what values add, found once for each shape."""
    key = "without values", plan.op.M, plan.op.N, plan.op.K, accesses
    if key not in hardware.known:
        hardware.known[key] = _count_shape(hardware, plan, accesses=accesses)
    found: Counts | None = hardware.known[key]
    return found


def _count_shape(hardware: SystolicHardware, plan: CorePlan, *, accesses: bool) -> Counts | None:
    gemm, memories = plan.gemms[0], hardware.memories
    pads = gemm.accesses if accesses else PadAccesses.uncounted(memories)
    counts = count(
        plan.parts[0].op,
        plan.tables[0],
        hardware.array,
        hardware.bits,
        hardware.datapath,
        0,
        pads,
        memories.burst_bytes,
    )
    moved = [*counts.traffic.values(), *counts.otherwise.values()]
    whole = _are_whole(n for t in moved for n in (t.read_bits, t.write_bits)) and _are_whole(counts.actions.values())
    return counts if whole else None


def _counted(counts: Counts, hardware: SystolicHardware, plan: CorePlan, costs: OpCosts, *, accesses: bool) -> Counts:
    """All GEMMs of a shape and what their values add."""
    memories, table = hardware.memories, plan.tables[0]
    more = _added_loads(table, costs, hardware)
    traffic = dict(counts.traffic)
    for level, moved in more.items():
        traffic[level] = traffic[level] + moved
    for side, bits, pad in (
        ("act", costs.act_buffer_bits, memories.act),
        ("weight", costs.weight_buffer_bits, memories.weight),
    ):
        read, written = bits.sum(axis=0).tolist()
        words = (-(-bits // pad.word_bits)).sum(axis=0).tolist() if accesses else (0, 0)
        traffic[f"{side}_buffer", side] = traffic[f"{side}_buffer", side] + Traffic(read, written, *words)
    return replace(counts, traffic=traffic, actions=_added([counts.actions, costs.actions]))


def _added_loads(table: TileTable, costs: OpCosts, hardware: SystolicHardware) -> dict[tuple[str, str], Traffic]:
    """What more comes from DRAM, and what of it makes tiles load an operand that did not."""
    loads = costs.act_load_bytes, costs.weight_load_bytes
    sums = added_sums(table, *loads, hardware.bits, hardware.memories.burst_bytes)
    return {
        ("dram", "act"): Traffic(read_bits=sums.act_bytes * 8, reads=sums.act_bursts),
        ("dram", "weight"): Traffic(read_bits=sums.weight_bytes * 8, reads=sums.weight_bursts),
        ("act_buffer", "act"): Traffic(write_bits=sums.act_written),
        ("weight_buffer", "weight"): Traffic(write_bits=sums.weight_written),
    }
