"""How a kernel cuts K, tile by tile: which parts of a sum are added up by themselves, and then to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from simulator.mapping.tensor_core.table import GpuPlan

__all__ = ["Slices", "slices"]


class Slices(NamedTuple):
    """Outputs, half-open ranges of M and N, and where along K their slices begin and end, from 0 to K."""

    rows: tuple[int, int]
    cols: tuple[int, int]
    cuts: tuple[int, ...]


def slices(plan: GpuPlan) -> list[Slices]:
    """All outputs of the plan's GEMM: one rectangle, or, for stream-K, one for each tile."""
    op, kernel, grid = plan.op, plan.kernel, plan.grid
    if kernel.stream:
        return list(_streamed(plan))
    steps = -(-op.K // kernel.k)
    inner = range(grid.steps, steps, grid.steps) if kernel.splits > 1 else ()
    return [Slices((0, op.M), (0, op.N), (0, *(step * kernel.k for step in inner), op.K))]


def _streamed(plan: GpuPlan) -> Iterator[Slices]:
    """Steps of all tiles, one tile after another along M, are dealt out evenly: a share may end within a tile."""
    op, kernel, grid = plan.op, plan.kernel, plan.grid
    steps = -(-op.K // kernel.k)
    for tile in range(grid.rows * grid.cols):
        m, n = tile % grid.rows * kernel.m, tile // grid.rows * kernel.n
        first = tile * steps
        within = range(-(-(first + 1) // grid.steps) * grid.steps, first + steps, grid.steps)
        cuts = (0, *((step - first) * kernel.k for step in within), op.K)
        yield Slices((m, min(m + kernel.m, op.M)), (n, min(n + kernel.n, op.N)), cuts)
