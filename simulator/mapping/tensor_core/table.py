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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.kernels import Kernel
from simulator.mapping.tensor_core.machine import Machine, ceil_div
from simulator.mapping.tensor_core.steps import Grid, StepCycles, epilogue_cycles, grid, reduction_cycles, step_cycles
from simulator.mapping.tensor_core.traffic import DramBytes, dram_bytes, l2_bytes
from simulator.tiles import TILE_DTYPE, LoopNest, TileTable
from simulator.workload import Op

__all__ = ["GpuPlan"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class GpuPlan:
    """One GEMM as one kernel runs it, and what follows from that."""

    op: Op
    machine: Machine
    bits: OperandBits
    kernel: Kernel
    persistent: bool = False
    limited: bool = True

    @cached_property
    def grid(self) -> Grid:
        """Blocks and rounds, as plain integers."""
        found = grid(self.op, self.machine, self.kernel)
        return Grid(**{name: int(value) for name, value in vars(found).items()})

    @cached_property
    def step(self) -> StepCycles:
        """Cycles of a step of a set that fills all SMs, by resource."""
        return step_cycles(self.machine, self.bits, self.kernel, self.grid, last=self.grid.sets == 1)

    @cached_property
    def last_step(self) -> StepCycles:
        """The same of the last set."""
        return step_cycles(self.machine, self.bits, self.kernel, self.grid, last=True)

    @cached_property
    def dram(self) -> DramBytes:
        """Bytes from DRAM."""
        return dram_bytes(self.op, self.machine, self.bits, self.kernel, self.grid)

    @cached_property
    def l2(self) -> tuple[int, int]:
        """Bytes of activations and weights that blocks ask L2 for."""
        act, weight = l2_bytes(self.op, self.bits, self.kernel, self.grid)
        return int(act), int(weight)

    def epilogue(self, last: bool) -> int:
        """Cycles from a set's last step until its results are in L2."""
        return int(epilogue_cycles(self.machine, self.bits, self.kernel, self.grid, last))

    @property
    def reduction(self) -> int:
        """Cycles of adding partial sums once all blocks are done."""
        return int(reduction_cycles(self.op, self.machine, self.bits, self.kernel))

    def beginning(self, step: StepCycles) -> int:
        """Cycles from asking L2 for a set's first operands until its first instruction, if L2 has them."""
        return self.machine.l2_latency + int(step.l2) + self.machine.shared_latency

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
        each = (g.sets - 1) * int(self.step.tensor) + int(self.last_step.tensor)
        return self.beginning(self.step) + g.steps * each + self.epilogue(last=True)

    def _rows(self, at_set: Ints, at_step: Ints) -> NDArray[Any]:
        """A row for each of these sets and steps."""
        g, x = self.grid, self.kernel
        rows = np.zeros((len(at_set), len(at_step)), TILE_DTYPE)
        s, k = at_set[:, None], at_step[None, :]
        last_set, last_step = s == g.sets - 1, k == g.steps - 1
        self._add_places(rows, s, k)
        rows["folds"] = np.where(last_set, g.last, self.machine.sms * g.together)
        self._add_cycles(rows, s, k)
        ends = np.where(last_set, self.epilogue(last=True), self.epilogue(last=False))
        rows["drain_cycles"] = np.where(last_step, ends, 0)
        rows["vector_cycles"] = np.where(last_set & last_step, self.reduction, 0)
        rows["opens_output"], rows["frees_output"] = k == 0, last_step
        self._add_bytes(rows, at_set, at_step)
        macs = self._by_set(self.op.M * self.op.N * self.op.K, at_set)
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

    def _add_cycles(self, rows: NDArray[Any], s: Ints, k: Ints) -> None:
        """Cycles of the tensor cores, and of what is slower than they are, one on top of the other."""
        for step, mine in ((self.step, s < self.grid.sets - 1), (self.last_step, s == self.grid.sets - 1)):
            on_chip = max(step.tensor, step.shared)
            fed = max(on_chip, step.l2)
            parts = {
                "fill_cycles": self.beginning(step),
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
        g, d = self.grid, self.dram
        steps = at_step[None, :]
        for side, total, first in (("act", d.act, d.first_act), ("weight", d.weight, d.first_weight)):
            loads = self._first_apart(int(total), int(first), at_set)
            rows[f"{side}_load_bytes"] = _spread(loads[:, None], g.steps, steps)
        if d.full:
            left = self._by_set(self.op.M * self.op.N * self.bits.output // 8, at_set - 1)
            pushed = np.where(at_set[:, None] > 0, ceil_div(left[:, None], g.steps), 0)
            rows["evicted_bytes"] = np.minimum(pushed, rows["act_load_bytes"] + rows["weight_load_bytes"])

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
