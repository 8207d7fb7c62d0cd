"""How cost grows with tiles and with layers, over four decades: what one costs, against the least at a smaller size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median

import simulator as sim
from benchmarks.measure import Line, per_call
from simulator.engine import run_pipeline
from simulator.mapping import Blocking, table_of
from simulator.study.building import build
from simulator.study.planning import _best_plan
from simulator.study.simulate import simulate_op
from simulator.workload import Op

SIDE, DEPTH = 56, 256
"""Tiles are ``SIDE x SIDE x DEPTH``, a fold of the array each; a hundred of them stand side by side."""

DECADES = range(5)

LINEAR = 0.8
"""At each of the upper sizes one tile or layer costs at most a quarter more than at any smaller size but the smallest:
a table that no cache holds is written to memory once and read twice. A fixed cost cannot hide growth: it makes the
small sizes dear, and the cheapest counts."""


def design() -> sim.Design:
    """``int8_systolic`` with tiles of one fold."""
    return sim.load_design("int8_systolic", set={"tiling.m": SIDE, "tiling.n": SIDE, "tiling.order": "mnk"})


def growth(rounds: int) -> list[Line]:
    """Tiles of one GEMM, timed one by one in a table, and as ``simulate_gemm`` does; layers of a workload, no two of
    one shape, new to the process.
    """
    pinned = design()
    hardware = build(pinned)

    def table(tiles: int) -> None:
        op = Op("gemm", SIDE * tiles // 100, SIDE * 100, DEPTH)
        blocking = Blocking(SIDE, SIDE, DEPTH, "mnk")
        run_pipeline(table_of(op, hardware.array, hardware.bits, blocking, hardware.depths), hardware.dram)

    def gemm(tiles: int) -> None:
        _best_plan.cache_clear()
        sim.simulate_gemm(pinned, SIDE * tiles // 100, SIDE * 100, DEPTH)

    def layers(count: int) -> None:
        _best_plan.cache_clear()
        fresh = replace(hardware)
        for i in range(count):
            n, m = divmod((i * 7919 + 5050) % 10_000, 100)  # as large on average, however many; the first one, too
            simulate_op(fresh, Op(f"layer.{i}", SIDE * (1 + m), SIDE * (1 + n), DEPTH))

    lines = series("tiles, one by one", "tiles", table, [100 * 10**d for d in DECADES], rounds)
    lines += series("tiles, simulate_gemm", "tiles", gemm, [100 * 10**d for d in DECADES], rounds)
    return lines + series("layers", "layers", layers, [10**d for d in DECADES], rounds)


def series(what: str, unit: str, work: Callable[[int], object], sizes: list[int], rounds: int) -> list[Line]:
    """CPU seconds at each size; the yardstick is linear growth from the smaller size at which one costs least, the
    smallest of all apart.
    """
    took = [_cost(lambda n=n: work(n), rounds if n < sizes[-1] else 1) for n in sizes]
    each = [cost / n for cost, n in zip(took, sizes, strict=True)]
    least = [each[0], each[1], *(min(each[1:i]) for i in range(2, len(sizes)))]
    return [
        Line(
            f"{what}: {n} {unit}", "CPU s", took[i], "linear growth", least[i] * n,
            lower=True, size=n, goal=LINEAR if i > 1 else None,
        )
        for i, n in enumerate(sizes)
    ]  # fmt: skip


def _cost(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of one call after another that is not counted."""
    work()
    return median(per_call(work) for _ in range(rounds))


PARTS = {"growth": growth}
