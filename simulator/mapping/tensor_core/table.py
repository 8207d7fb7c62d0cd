"""A kernel becomes tiles: a row is one step of one set of blocks, which fill all SMs; the last set may not.

Sets follow each other: a block begins when one before it has ended, so that its first operands are asked for, and wait
for L2, while nothing is multiplied. A *persistent* kernel's blocks ask for them before, and have a second place for
their sums, so that the end of one tile hides behind the next one.

Every quantity of a set is spread evenly over its steps, and of the whole over its sets, by the blocks they have;
remainders come last. What the first set loads from DRAM is kept apart: it finds nothing in L2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.kernels import Kernel, Kernels
from simulator.mapping.tensor_core.machine import Machine, ceil_div
from simulator.mapping.tensor_core.steps import Grid, StepCycles, epilogue_cycles, grid, reduction_cycles, step_cycles
from simulator.mapping.tensor_core.traffic import DramBytes, dram_bytes, l2_bytes
from simulator.tiles import TILE_DTYPE, LoopNest, TileTable
from simulator.workload import Op

__all__ = ["Costs", "GpuPlan", "costs_of"]

Ints = NDArray[np.int64]
_R = TypeVar("_R", Grid, StepCycles, DramBytes)


class Costs(NamedTuple):
    """What a kernel takes, as plain integers, or many of them, as arrays.

    Attributes:
        step, last: cycles of a step of a set that fills all SMs, and of the last set.
        ends: cycles of their ends. reduction: of adding partial sums once all blocks are done.
        dram: bytes from DRAM. l2: bytes of activations and of weights that blocks ask L2 for.
    """

    grid: Grid
    step: StepCycles
    last: StepCycles
    ends: tuple[Any, Any]
    reduction: Any
    dram: DramBytes
    l2: tuple[Any, Any]

    def at(self, i: int) -> Costs:
        """Those of one of many kernels."""

        def one(column: Any) -> Any:
            value = np.asarray(column)  # one of all kernels, or of each
            return (value[i] if value.ndim else value).item()

        def part(record: _R) -> _R:
            return type(record)(**{name: one(column) for name, column in vars(record).items()})

        return Costs(
            part(self.grid),
            part(self.step),
            part(self.last),
            (one(self.ends[0]), one(self.ends[1])),
            one(self.reduction),
            part(self.dram),
            (one(self.l2[0]), one(self.l2[1])),
        )


def costs_of(op: Op, machine: Machine, bits: OperandBits, x: Kernels) -> Costs:
    """Of each kernel."""
    g = grid(op, machine, x)
    return Costs(
        g,
        step_cycles(machine, bits, x, g, last=False),
        step_cycles(machine, bits, x, g, last=True),
        (epilogue_cycles(machine, bits, x, g, last=False), epilogue_cycles(machine, bits, x, g, last=True)),
        reduction_cycles(op, machine, bits, x),
        dram_bytes(op, machine, bits, x, g),
        l2_bytes(op, machine, bits, g),
    )


@dataclass(frozen=True)
class GpuPlan:
    """One GEMM, or a batch of ``op.count`` equal ones, as one kernel runs it.

    Attributes:
        persistent: blocks run one tile after another, see above.
    """

    op: Op
    machine: Machine
    bits: OperandBits
    kernel: Kernel
    costs: Costs
    persistent: bool = False

    @property
    def grid(self) -> Grid:
        """Its blocks."""
        return self.costs.grid

    def beginning(self, step: StepCycles) -> int:
        """Cycles from asking L2 for a set's first operands until its first instruction, if L2 has them."""
        return self.machine.l2_latency + step.l2 + self.machine.shared_latency

    @cached_property
    def nest(self) -> LoopNest:
        """The steps as what sets and steps repeat."""
        g = self.grid
        at = [np.array([*range(min(count - 1, 2)), count - 1]) for count in (g.sets, g.steps)]
        return LoopNest(self._rows(*at), self._compute_cycles, *self._depths, (g.sets, 1, g.steps))

    @cached_property
    def table(self) -> TileTable:
        """The steps, a row for each."""
        g = self.grid
        return TileTable(self._rows(np.arange(g.sets), np.arange(g.steps)), self._compute_cycles, *self._depths)

    @property
    def _depths(self) -> tuple[int, int, int]:
        """Steps whose operands, and sets whose sums, the SMs hold."""
        return self.kernel.stages, self.kernel.stages, 2 if self.persistent else 1

    @property
    def _compute_cycles(self) -> int:
        """Closed form: the first beginning, the tensor cores' own cycles, and the end of the last set."""
        g = self.grid
        each = (g.sets - 1) * self.costs.step.tensor + self.costs.last.tensor
        loads = sum(int(self._loads(side, np.array([0]), np.array([0]))[0, 0]) for side in ("act", "weight"))
        return int(self._fill(self._first, loads) + g.steps * each + self.costs.ends[1])

    @property
    def _first(self) -> StepCycles:
        """A step of the first set."""
        return self.costs.last if self.grid.sets == 1 else self.costs.step

    def _rows(self, at_set: Ints, at_step: Ints) -> NDArray[Any]:
        """A row for each of these sets and steps."""
        g, x = self.grid, self.kernel
        rows = np.zeros((len(at_set), len(at_step)), TILE_DTYPE)
        s, k = at_set[:, None], at_step[None, :]
        last_set, last_step = s == g.sets - 1, k == g.steps - 1
        self._add_places(rows, s, k)
        rows["folds"] = np.where(last_set, g.last, self.machine.sms * g.together)
        self._add_bytes(rows, at_set, at_step)
        self._add_cycles(rows, s, k)
        ends = np.where(last_set, self.costs.ends[1], self.costs.ends[0])
        rows["drain_cycles"] = np.where(last_step, ends, 0)
        rows["vector_cycles"] = np.where(last_set & last_step, self.costs.reduction, 0)
        rows["opens_output"], rows["frees_output"] = k == 0, last_step
        macs = self._by_set(self.op.macs, at_set)
        rows["macs"] = _spread(macs[:, None], g.steps, k)
        rows["k"] = np.minimum(x.k, self.op.K)
        flat = rows.reshape(-1)
        flat.flags.writeable = False
        return flat

    def _add_places(self, rows: NDArray[Any], s: Ints, k: Ints) -> None:
        """Which outputs the first block of a set has, and where along K it is."""
        g, x = self.grid, self.kernel
        tile = s * self.machine.sms * g.together % (g.rows * g.cols)
        rows["m0"], rows["n0"] = tile % g.rows * x.m, tile // g.rows * x.n
        rows["m"] = np.minimum(x.m, self.op.M - rows["m0"])
        rows["n"] = np.minimum(x.n, self.op.N - rows["n0"])
        rows["k0"] = k * x.k

    def _fill(self, step: StepCycles, loaded: Any) -> Any:
        """Cycles from a step's last byte out of DRAM until its first instruction; what L2 passes on meanwhile is no
        more to come.
        """
        meanwhile = np.floor(np.asarray(loaded) / self.machine.dram_rate).astype(np.int64)
        latency = self.machine.l2_latency + self.machine.shared_latency
        return latency + np.maximum(step.l2 - meanwhile, 0)

    def _add_cycles(self, rows: NDArray[Any], s: Ints, k: Ints) -> None:
        """Cycles of the tensor cores, and of what is slower than they are, one on top of the other."""
        loaded = rows["act_load_bytes"] + rows["weight_load_bytes"]
        for step, mine in ((self.costs.step, s < self.grid.sets - 1), (self.costs.last, s == self.grid.sets - 1)):
            on_chip = max(step.tensor, step.shared)
            fed = max(on_chip, step.l2)
            parts = {
                "fill_cycles": self._fill(step, loaded),
                "issue_cycles": step.tensor,
                "stream_cycles": step.tensor,
                "shared_cycles": on_chip - step.tensor,
                "l2_cycles": fed - on_chip,
                "sync_cycles": max(step.latency - fed, 0),
            }
            for column, cycles in parts.items():
                rows[column] += np.where(mine, cycles, 0)
            if not self.persistent:
                rows["sync_cycles"] += np.where(mine & (k == 0) & (s > 0), self.beginning(step), 0)

    def _add_bytes(self, rows: NDArray[Any], at_set: Ints, at_step: Ints) -> None:
        """What comes from DRAM, and which results it pushes out of L2."""
        g = self.grid
        for side in ("act", "weight"):
            rows[f"{side}_load_bytes"] = self._loads(side, at_set, at_step)
        if self.costs.dram.full:
            left = self._by_set(self.op.count * (self.op.M * self.op.N * self.bits.output // 8), at_set - 1)
            pushed = np.where(at_set[:, None] > 0, ceil_div(left[:, None], g.steps), 0)
            rows["evicted_bytes"] = np.minimum(pushed, rows["act_load_bytes"] + rows["weight_load_bytes"])

    def _loads(self, side: str, at_set: Ints, at_step: Ints) -> Ints:
        """Bytes of an operand from DRAM (sets, steps)."""
        d = self.costs.dram
        total, first = (d.act, d.first_act) if side == "act" else (d.weight, d.first_weight)
        loads = self._first_apart(total, first, at_set)
        return np.asarray(_spread(loads[:, None], self.grid.steps, at_step[None, :]), np.int64)

    def _by_set(self, total: int, at_set: Ints) -> Ints:
        """Its part of a total for each set, by the blocks it has: whole numbers, the last one has what is left."""
        g = self.grid
        each = total * self.machine.sms * g.together // g.blocks
        return np.asarray(np.where(at_set == g.sets - 1, total - each * (g.sets - 1), each), np.int64)

    def _first_apart(self, total: int, first: int, at_set: Ints) -> Ints:
        """As ``_by_set``, but the first set has ``first`` of the total (all of it, if it is the only one)."""
        g = self.grid
        if g.sets == 1:
            return np.full(len(at_set), total, np.int64)
        first = min(first, total)
        full = self.machine.sms * g.together
        each = (total - first) * full // (g.blocks - full)
        rest = np.where(at_set == g.sets - 1, total - first - each * (g.sets - 2), each)
        return np.asarray(np.where(at_set == 0, first, rest), np.int64)


def _spread(total: Any, shares: int, at: Ints) -> Any:
    """The share of each place ``at`` of so many: equal ones, the last has what is left."""
    return np.where(at == shares - 1, total - total // shares * (shares - 1), total // shares)
