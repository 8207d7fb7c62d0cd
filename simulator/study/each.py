"""The GEMMs of an op whose costs depend on values, all of them at once: what ``simulate._costs`` finds one by one.

On one core with an ideal channel a GEMM differs from the others of its op in what its tiles load and wait for, and in
nothing else. So what its shape decides is counted once, the rest in one call over all GEMMs; and what values add to
these tiles is kept, as points that differ in clock, bandwidth or prices have the same tiles. Equal one by one
(tests/test_each.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config.study import Fidelity
from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath, Job, TileCosts
from simulator.engine import EachTiles, IdealDram, SharedTiles, Timing, run_each, shared_tiles, tiles_of_each
from simulator.mapping.accesses import PadAccesses
from simulator.mapping.counting import count
from simulator.mapping.scratchpads import Pad
from simulator.mapping.tile_sums import added_sums
from simulator.study.cores import CorePlan
from simulator.study.hardware import Hardware
from simulator.study.judged import MEMORY, Judged, same
from simulator.study.plans import Plan
from simulator.study.systolic import SystolicHardware
from simulator.tiles import TileTable

__all__ = ["OpCosts", "can_run_each", "costs_of_each", "fixed_of", "job_of", "timed_each"]


_COUNTS_BYTES = 16 << 10
"""Counts of an op, roughly."""


@dataclass(frozen=True)
class OpCosts:
    """The GEMMs of an op with what values add to their tiles.

    Attributes:
        tiles: of all of them; counts: of all of them, cycles left out.
    """

    tiles: EachTiles
    counts: Counts

    @property
    def held_bytes(self) -> int:
        """About what it takes."""
        return self.tiles.load_bytes.nbytes + self.tiles.array_cycles.nbytes + _COUNTS_BYTES


def can_run_each(hardware: Hardware, plan: Plan, fidelity: Fidelity) -> bool:
    """Whether this is where it applies: one core, an ideal channel, no global buffer, the default engine."""
    if not isinstance(hardware, SystolicHardware) or not isinstance(plan, CorePlan):
        return False
    alone = len(plan.gemms) == 1 and not plan.reduction and hardware.global_buffer is None
    return alone and fidelity == "pipeline" and isinstance(hardware.dram, IdealDram)


def costs_of_each(hardware: SystolicHardware, plan: CorePlan, known: Judged, *, accesses: bool) -> OpCosts | None:
    """All GEMMs of the op, each with its own operands. None where values add nothing, or not in whole
    numbers: sums would depend on their order.

    Args:
        accesses: whether accesses of scratchpads are counted; without, they are 0, and all else is the same.
    """
    op, key = plan.op, ("costs", fixed_of(hardware), plan.gemms[0].blocking, accesses)

    def make() -> OpCosts | None:
        shape = MEMORY.get((key, op.M, op.N, op.K), lambda: _shape(hardware, plan, accesses=accesses))
        return _together(hardware, shape, known, job_of(hardware, plan, 0))

    return known.op_memory.get(key, make)


def fixed_of(hardware: SystolicHardware) -> Hashable:
    """Equal where all is equal that ``costs_of_each`` depends on besides the op, its values and its blocking."""
    if "costs" not in hardware.known:
        hardware.known["costs"] = same(_fixed(hardware))
    found: Hashable = hardware.known["costs"]
    return found


def _fixed(hardware: SystolicHardware) -> tuple[Any, ...]:
    """All that tiles, their costs and counts depend on besides the values and how a GEMM is cut."""
    rate = hardware.search_dram.bytes_per_cycle if hardware.datapath.costs_know_bandwidth else None
    return hardware.datapath, hardware.array, hardware.bits, hardware.memories, hardware.depths, rate


def job_of(hardware: Hardware, plan: CorePlan, seed: int) -> Job:
    """One of the op's GEMMs as its datapath sees it, without operands."""
    op, array, rate = plan.op, plan.hardware.array, hardware.search_dram.bytes_per_cycle
    sizes = op.M, op.N, op.K, array.rows, array.cols
    how = array.fold_beside, array.dataflow, rate, plan.starts
    return Job(*sizes, plan.loading(), None, None, seed, *how)


@dataclass(frozen=True)
class _Shape:
    """One GEMM before what values add.

    Attributes:
        table: its tiles; pads: the scratchpads of both operands, None where accesses are not counted.
    """

    table: TileTable
    tiles: SharedTiles
    counts: Counts
    pads: tuple[Pad, Pad] | None

    @property
    def held_bytes(self) -> int:
        """About what it takes."""
        return self.table.rows.nbytes + self.tiles.rows.nbytes + _COUNTS_BYTES


def _shape(hardware: SystolicHardware, plan: CorePlan, *, accesses: bool) -> _Shape:
    gemm, memories = plan.gemms[0], hardware.memories
    pads = gemm.accesses if accesses else PadAccesses.uncounted(memories)
    shared = hardware.array, hardware.bits, hardware.datapath
    counts = count(plan.parts[0].op, gemm.table, *shared, 0, pads, memories.burst_bytes)
    return _Shape(gemm.table, shared_tiles(gemm.table), counts, (memories.act, memories.weight) if accesses else None)


def _together(hardware: SystolicHardware, shape: _Shape, known: Judged, job: Job) -> OpCosts | None:
    each = _costs(hardware.datapath, known, job)
    if each is None or not _are_whole([shape.counts], each):
        return None
    act, weight = (np.stack([getattr(costs, f"{side}_load_bytes") for costs in each]) for side in ("act", "weight"))
    own = {name: np.stack([getattr(costs, name) for costs in each]) for name in ("outlier_cycles", "vector_cycles")}
    counts = shape.counts.times(len(each))
    traffic = dict(counts.traffic)
    for key, moved in [*_loads(hardware, shape.table, act, weight), *_kept(shape, each)]:
        traffic[key] = traffic[key] + moved
    actions = _added([counts.actions, *(costs.actions for costs in each)])
    return OpCosts(tiles_of_each(shape.tiles, act + weight, own), replace(counts, traffic=traffic, actions=actions))


def _costs(datapath: Datapath, known: Judged, job: Job) -> list[TileCosts] | None:
    """What values add to each GEMM; None if nothing. What looks alike to them costs alike."""
    found: dict[bytes, TileCosts | None] = {}
    for gemm, ((act, weight), look) in enumerate(zip(known.operands, known.looks, strict=True)):
        if look not in found:
            own = replace(job, act=act, weight=weight, memory=known.memory(gemm))
            found[look] = datapath.tile_costs(own)
    each = [costs for look in known.looks if (costs := found[look]) is not None]
    return each if len(each) == len(known.operands) else None


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
    hardware: SystolicHardware, table: TileTable, act: NDArray[np.int64], weight: NDArray[np.int64]
) -> Iterator[tuple[tuple[str, str], Traffic]]:
    """What more comes from DRAM, and blocks that are loaded for that alone."""
    sums = added_sums(table, act, weight, hardware.bits, hardware.memories.burst_bytes)
    yield ("dram", "act"), Traffic(read_bits=sums.act_bytes * 8, reads=sums.act_bursts)
    yield ("dram", "weight"), Traffic(read_bits=sums.weight_bytes * 8, reads=sums.weight_bursts)
    yield ("act_buffer", "act"), Traffic(write_bits=sums.act_written)
    yield ("weight_buffer", "weight"), Traffic(write_bits=sums.weight_written)


def _kept(shape: _Shape, each: Sequence[TileCosts]) -> Iterator[tuple[tuple[str, str], Traffic]]:
    """What more is read from and written to the scratchpads, each GEMM's packed in words."""
    for place, side in enumerate(("act", "weight")):
        bits = [getattr(costs, f"{side}_buffer_bits") for costs in each]
        read, written = (sum(way) for way in zip(*bits, strict=True))
        words = (0, 0)
        if shape.pads:
            word_bits = shape.pads[place].word_bits
            words = sum(-(-n // word_bits) for n, _ in bits), sum(-(-n // word_bits) for _, n in bits)
        yield (f"{side}_buffer", side), Traffic(read, written, *words)


def timed_each(hardware: SystolicHardware, costs: OpCosts) -> tuple[Timing, Counts]:
    """Cycles and counts of all GEMMs of the op. Raises: ConservationError."""
    assert isinstance(hardware.dram, IdealDram), "whoever asks has looked"
    timing = run_each(costs.tiles, hardware.dram).launched(hardware.launch_cycles * len(costs.tiles))
    return timing, replace(costs.counts, cycles=timing.total_cycles, compute_cycles=timing.compute_cycles)
