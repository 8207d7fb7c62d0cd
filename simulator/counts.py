"""What a run did, counted: the only thing that prices are multiplied with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Any

from simulator.elementwise import everywhere
from simulator.errors import ConservationError

__all__ = ["Counts", "Traffic", "summed_counts"]


@dataclass(frozen=True)
class Traffic:
    """Bits read from and written to one level, and in how many accesses: bursts, words or registers."""

    read_bits: float = 0
    write_bits: float = 0
    reads: int = 0
    writes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.read_bits + other.read_bits,
            self.write_bits + other.write_bits,
            self.reads + other.reads,
            self.writes + other.writes,
        )

    def times(self, count: int) -> Traffic:
        """The traffic of ``count`` equal runs."""
        return Traffic(self.read_bits * count, self.write_bits * count, self.reads * count, self.writes * count)


_NOTHING = Traffic()


@dataclass(frozen=True)
class Counts:
    """Work of one op (all its GEMMs) or of a whole workload.

    Attributes:
        macs: useful multiply-accumulates.
        cycles: makespan, for which static power is drawn.
        actions: priced action -> how often.
        traffic: (level, operand) -> traffic; levels ``dram``, ``global_buffer`` if there is one, ``act_buffer``,
            ``weight_buffer``, ``out_buffer``, ``edge`` of the array (written: what enters it, read: what leaves it) and
            its ``registers`` (written: hops), of a GPU ``dram``, ``l2``, ``shared_memory`` and ``registers``; operands
            ``act``, ``weight``, ``out``.
        compute_cycles: those of ``cycles`` in which the array is not stalled.
        otherwise: (level, convention) -> bits by which that way of counting its traffic differs from ``traffic``, which
            may be negative; conventions ``per_mac`` of the operands, and ``per_mac/accumulator``, ``per_mac/output``
            and ``per_edge/output`` of sums (see ``config.cost.Conventions``).
        dram_activates: rows opened off chip; None where the model of DRAM knows no rows.
        active_sm_cycles: cycles in which a multiprocessor had a thread block, over all of them; 0 on a systolic array.
    """

    macs: int
    cycles: int
    actions: dict[str, float] = field(default_factory=dict)
    traffic: dict[tuple[str, str], Traffic] = field(default_factory=dict)
    compute_cycles: int = 0
    otherwise: dict[tuple[str, str], Traffic] = field(default_factory=dict)
    dram_activates: int | None = None
    active_sm_cycles: float = 0

    def level(self, name: str) -> Traffic:
        """Traffic of one memory level, all operands."""
        return self._levels.get(name, _NOTHING)

    @cached_property
    def _levels(self) -> dict[str, Traffic]:
        """Traffic of all levels; asked for again and again where counts are kept."""
        levels: dict[str, Traffic] = {}
        for (level, _), moved in self.traffic.items():
            levels[level] = levels[level] + moved if level in levels else moved
        return levels

    def records(self) -> list[dict[str, Any]]:
        """Plain data: a record per level and operand with ``reads`` and ``writes`` (accesses) and their bytes. MACs
        come last: each reads a pair of operands and writes a sum.
        """
        rows = [
            {
                "level": level,
                "operand": operand,
                "reads": moved.reads,
                "writes": moved.writes,
                "read_bytes": ceil(moved.read_bits / 8),
                "write_bytes": ceil(moved.write_bits / 8),
            }
            for (level, operand), moved in self.traffic.items()
        ]
        mac = {"level": "pe", "operand": "mac", "reads": self.macs, "writes": self.macs}
        return [*rows, mac | {"read_bytes": 0, "write_bytes": 0}]

    def times(self, count: int) -> Counts:
        """The work of ``count`` equal runs, one after another."""
        return Counts(
            self.macs * count,
            self.cycles * count,
            {action: n * count for action, n in self.actions.items()},
            {key: traffic.times(count) for key, traffic in self.traffic.items()},
            self.compute_cycles * count,
            {key: more.times(count) for key, more in self.otherwise.items()},
            None if self.dram_activates is None else self.dram_activates * count,
            self.active_sm_cycles * count,
        )

    def __add__(self, other: Counts) -> Counts:
        ours, theirs = self.dram_activates, other.dram_activates
        actions = dict(self.actions)
        for action, n in other.actions.items():
            actions[action] = actions.get(action, 0) + n
        return Counts(
            self.macs + other.macs,
            self.cycles + other.cycles,
            actions,
            _sum(self.traffic, other.traffic),
            self.compute_cycles + other.compute_cycles,
            _sum(self.otherwise, other.otherwise),
            None if ours is None or theirs is None else ours + theirs,
            self.active_sm_cycles + other.active_sm_cycles,
        )

    def require_compulsory(self, act_bits: int, weight_bits: int, out_bits: int) -> None:
        """Conservation of bytes: every operand is read at least once and every result written in full.

        Raises: ConservationError naming the operand.
        """
        for operand, needed in (("act", act_bits), ("weight", weight_bits)):
            held = self.traffic.get(("global_buffer", operand), Traffic())
            moved = self.traffic[("dram", operand)].read_bits + held.read_bits
            if not everywhere(moved >= needed):
                raise ConservationError(f"{operand}: {moved} bits read from DRAM, but the operand has {needed}")
        written = self.traffic[("dram", "out")].write_bits
        if not everywhere(written >= out_bits):
            raise ConservationError(f"out: {written} bits written to DRAM, but the results have {out_bits}")


def summed_counts(parts: Iterable[Counts]) -> Counts:
    """The sum of all, in their order: as ``+`` would make it one by one."""
    macs = cycles = compute = 0
    active, activates = 0.0, 0
    rows_known = True
    actions: dict[str, float] = {}
    traffic: dict[tuple[str, str], list[Any]] = {}
    otherwise: dict[tuple[str, str], list[Any]] = {}
    for part in parts:
        macs, cycles, compute = macs + part.macs, cycles + part.cycles, compute + part.compute_cycles
        active = active + part.active_sm_cycles
        rows_known = rows_known and part.dram_activates is not None
        activates = activates + (0 if part.dram_activates is None else part.dram_activates)
        for action, n in part.actions.items():
            actions[action] = actions.get(action, 0) + n
        for sums, moved in ((traffic, part.traffic), (otherwise, part.otherwise)):
            for key, t in moved.items():
                known = sums.get(key)
                if known is None:
                    sums[key] = [t.read_bits, t.write_bits, t.reads, t.writes]
                else:
                    more = (t.read_bits, t.write_bits, t.reads, t.writes)
                    sums[key] = [a + b for a, b in zip(known, more, strict=True)]
    whole = ({key: Traffic(*t) for key, t in sums.items()} for sums in (traffic, otherwise))
    moved, otherwise_moved = whole
    return Counts(macs, cycles, actions, moved, compute, otherwise_moved, activates if rows_known else None, active)


def _sum(one: dict[tuple[str, str], Traffic], other: dict[tuple[str, str], Traffic]) -> dict[tuple[str, str], Traffic]:
    return {key: one.get(key, Traffic()) + other.get(key, Traffic()) for key in {**one, **other}}
