"""The GEMMs of an op whose costs depend on values, all of them at once: what ``simulate._costs`` finds one by one.

On one core with an ideal channel a GEMM differs from the others of its op in what its tiles load and wait for, and in
nothing else. So what its shape decides is counted once, the rest in one call over all GEMMs; and what values add to
these tiles is kept, as points that differ in clock, bandwidth or prices have the same tiles. Equal one by one
(tests/test_each.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config.study import Fidelity
from simulator.counts import Counts, Traffic
from simulator.datapath import TileCosts
from simulator.engine import EachTiles, IdealDram, Timing, run_each, tiles_of_each
from simulator.mapping.counting import count
from simulator.mapping.tile_sums import added_sums
from simulator.study.cores import CorePlan
from simulator.study.hardware import Hardware
from simulator.study.judged import Judged
from simulator.study.plans import Plan
from simulator.study.systolic import SystolicHardware

__all__ = ["OpCosts", "can_run_each", "costs_of_each", "timed_each"]

CostsOf = Callable[[int], TileCosts | None]


@dataclass(frozen=True)
class OpCosts:
    """The GEMMs of an op with what values add to their tiles.

    Attributes:
        tiles: of all of them; counts: of all of them, cycles left out.
    """

    tiles: EachTiles
    counts: Counts


def can_run_each(hardware: Hardware, plan: Plan, fidelity: Fidelity) -> bool:
    """Whether this is where it applies: one core, an ideal channel, no global buffer, the default engine."""
    if not isinstance(hardware, SystolicHardware) or not isinstance(plan, CorePlan):
        return False
    alone = len(plan.gemms) == 1 and not plan.reduction and hardware.global_buffer is None
    return alone and fidelity == "pipeline" and isinstance(hardware.dram, IdealDram)


def costs_of_each(hardware: SystolicHardware, plan: CorePlan, known: Judged, costs_of: CostsOf) -> OpCosts | None:
    """All GEMMs of the op, whose costs are ``costs_of`` each. None where there are none, or not in whole numbers: sums
    would depend on their order.
    """
    gemms = len(known.operands)
    return known.op_memory.get(_key(hardware, plan), lambda: _together(hardware, plan, costs_of, gemms))


def _key(hardware: SystolicHardware, plan: CorePlan) -> tuple[Any, ...]:
    """All that tiles, their costs and counts depend on besides the values."""
    gemm = plan.gemms[0]
    rate = hardware.search_dram.bytes_per_cycle if hardware.datapath.costs_know_bandwidth else None
    return "costs", hardware.datapath, gemm.array, gemm.bits, gemm.blocking, gemm.memories, rate


def _together(hardware: SystolicHardware, plan: CorePlan, costs_of: CostsOf, gemms: int) -> OpCosts | None:
    each = [costs for costs in map(costs_of, range(gemms)) if costs is not None]
    one = _count_shape(hardware, plan)
    if len(each) < gemms or not _are_whole([one], each):
        return None
    act, weight = (np.stack([getattr(costs, f"{side}_load_bytes") for costs in each]) for side in ("act", "weight"))
    own = {name: np.stack([getattr(costs, name) for costs in each]) for name in ("outlier_cycles", "vector_cycles")}
    counts = one.times(gemms)
    traffic = dict(counts.traffic)
    for key, moved in [*_loads(hardware, plan, act, weight), *_kept(hardware, each)]:
        traffic[key] = traffic[key] + moved
    actions = _added([counts.actions, *(costs.actions for costs in each)])
    tiles = tiles_of_each(plan.gemms[0].table, act + weight, own)
    return OpCosts(tiles, replace(counts, traffic=traffic, actions=actions))


def _count_shape(hardware: SystolicHardware, plan: CorePlan) -> Counts:
    """One GEMM before what values add."""
    gemm, memories = plan.gemms[0], hardware.memories
    shared = hardware.array, hardware.bits, hardware.datapath
    return count(plan.parts[0].op, gemm.table, *shared, 0, gemm.accesses, memories.burst_bytes)


def _are_whole(counts: Iterable[Counts], costs: Iterable[TileCosts]) -> bool:
    numbers: list[float] = []
    for one in counts:
        moved = [*one.traffic.values(), *one.otherwise.values()]
        numbers += [*(t.read_bits for t in moved), *(t.write_bits for t in moved), *one.actions.values()]
    for more in costs:
        numbers += [*more.actions.values(), *more.act_buffer_bits, *more.weight_buffer_bits]
    return all(float(n).is_integer() for n in numbers)


def _added(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    actions: dict[str, float] = {}
    for part in parts:
        for action, n in part.items():
            actions[action] = actions.get(action, 0) + n
    return actions


def _loads(
    hardware: SystolicHardware, plan: CorePlan, act: NDArray[np.int64], weight: NDArray[np.int64]
) -> Iterator[tuple[tuple[str, str], Traffic]]:
    """What more comes from DRAM, and blocks that are loaded for that alone."""
    sums = added_sums(plan.gemms[0].table, act, weight, hardware.bits, hardware.memories.burst_bytes)
    yield ("dram", "act"), Traffic(read_bits=sums.act_bytes * 8, reads=sums.act_bursts)
    yield ("dram", "weight"), Traffic(read_bits=sums.weight_bytes * 8, reads=sums.weight_bursts)
    yield ("act_buffer", "act"), Traffic(write_bits=sums.act_written)
    yield ("weight_buffer", "weight"), Traffic(write_bits=sums.weight_written)


def _kept(hardware: SystolicHardware, each: Sequence[TileCosts]) -> Iterator[tuple[tuple[str, str], Traffic]]:
    """What more is read from and written to the scratchpads, each GEMM's packed in words."""
    for side, pad in (("act", hardware.memories.act), ("weight", hardware.memories.weight)):
        for costs in each:
            bits = getattr(costs, f"{side}_buffer_bits")
            yield (f"{side}_buffer", side), Traffic(*bits, *(-(-n // pad.word_bits) for n in bits))


def timed_each(hardware: SystolicHardware, plan: CorePlan, costs: OpCosts) -> tuple[Timing, Counts]:
    """Cycles and counts of all GEMMs of the op. Raises: ConservationError."""
    assert isinstance(hardware.dram, IdealDram), "whoever asks has looked"
    timing = run_each(costs.tiles, plan.gemms[0].table, hardware.dram)
    timing = timing.launched(hardware.launch_cycles * len(costs.tiles))
    return timing, replace(costs.counts, cycles=timing.total_cycles, compute_cycles=timing.compute_cycles)
