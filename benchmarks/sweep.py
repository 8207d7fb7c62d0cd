"""Design points per second and core, stage by stage, and what the general path takes for the same, in one run.

    python benchmarks/sweep.py [POINTS]      of study design_space: BERT-base shapes, systolic arrays, ideal DRAM

CPU time of this process, so that other work on the machine does not count. The general path searches blockings as
``mapping.best_blocking`` does, and runs GEMMs and passes as tables of tiles; its results are compared with the others.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Line
from simulator.engine import nest_cycles, run_pipeline
from simulator.mapping import best_blocking, table_of
from simulator.mapping.accesses import pad_accesses
from simulator.mapping.counting import count
from simulator.study.evaluate import evaluate
from simulator.study.fast_blocking import fast_blocking
from simulator.study.measured import measured
from simulator.study.passes import simulate_pass, time_pass
from simulator.study.planning import GemmPlan
from simulator.study.point import Point
from simulator.study.points import Points, open_points
from simulator.study.setup import StudySetup, read_study
from simulator.study.store import Store, Stored
from simulator.workload import Op

GENERAL = 4
"""Points that the general path is given."""
GOAL = 2000
"""Stored points a second and core."""
CHUNK = 1000
"""Points that a run evaluates at once: half a second of work."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and what came out."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def shapes(point: Point) -> list[Op]:
    """The distinct GEMMs of a point."""
    return list({(op.M, op.N, op.K): Op("any", op.M, op.N, op.K) for op in point.workload.ops}.values())


def search_of(point: Point, *, fast: bool) -> list[Any]:
    """Blockings of all distinct GEMMs."""
    hw: Any = point.hardware
    dram = hw.search_dram
    how = {"cycles": lambda nest: nest_cycles(nest, dram), "bytes_per_cycle": dram.bytes_per_cycle}
    shared = hw.array, hw.bits, hw.limits, hw.depths
    if fast:
        return [fast_blocking(op, *shared, dram, hw.pinned, hw.tolerance) for op in shapes(point)]
    return [best_blocking(op, *shared, **how, memories=hw.memories) for op in shapes(point)]


def gemms_of(point: Point, blockings: Sequence[Any], *, fast: bool) -> list[Any]:
    """Makespan and MACs of all distinct GEMMs."""
    hw: Any = point.hardware
    found = []
    for op, blocking in zip(shapes(point), blockings, strict=True):
        plan = GemmPlan(op, hw.array, hw.bits, hw.depths, hw.memories, blocking)
        if fast:
            timing, counts = measured(plan, hw.dram, hw.datapath, accesses=False)
        else:
            table = table_of(op, hw.array, hw.bits, blocking, hw.depths, hw.memories)
            timing = run_pipeline(table, hw.dram)
            pads, burst = pad_accesses(op, table, hw.array, hw.bits, hw.memories), hw.memories.burst_bytes
            counts = count(op, table, hw.array, hw.bits, hw.datapath, timing.total_cycles, pads, burst)
        found.append((timing.by_cause(), counts.level("dram").read_bits))
    return found


def passes_of(point: Point, *, fast: bool) -> list[Any]:
    """Cycles of all passes."""
    steps = point.workload.steps
    places = [i for i, step in enumerate(steps) if not isinstance(step, Op)]
    if fast:
        return [simulate_pass(point.hardware, steps, i).timing.total_cycles for i in places]
    return [time_pass(point.hardware, steps, i, "pipeline")[1].total_cycles * steps[i].count for i in places]


def opened(points: Points, some: Sequence[int], how: str) -> list[Point]:
    """Keys and hardware, neither found in what was made before."""
    points.recent.clear()
    with points.remembering():
        keyed, _ = timed(lambda: [points.key(i) for i in some])
        built, made = timed(lambda: [points.point(i) for i in some])
    show(f"key, {how}", len(some), keyed)
    show(f"build hardware, {how}", len(some), built)
    return made


def stages(points: Points, some: Sequence[int], successive: Sequence[int]) -> None:
    """Each stage alone."""
    opened(points, successive, "in order")
    made = opened(points, some, "drawn")
    with points.remembering():
        whole = [p for p in made if None not in search_of(p, fast=True)]
        compare("search of blockings", whole, lambda p, fast: search_of(p, fast=fast))
        tilings = {id(p): search_of(p, fast=True) for p in whole}
        compare("GEMMs run and counted", whole, lambda p, fast: gemms_of(p, tilings[id(p)], fast=fast))
        compare("passes", whole, lambda p, fast: passes_of(p, fast=fast))


def compare(name: str, made: Sequence[Point], work: Callable[[Point, bool], Any]) -> None:
    """Points per second of a stage, and how many times as fast as the general path on a few of them."""
    few = made[:GENERAL]
    seconds, _ = timed(lambda: [work(p, True) for p in made])
    slow, expected = timed(lambda: [work(p, False) for p in few])
    again, found = timed(lambda: [work(p, True) for p in few])
    assert found == expected, f"{name}: not what the general path finds"
    show(name, len(made), seconds, slow / again)


def show(name: str, points: int, seconds: float, ratio: float | None = None) -> None:
    """One line."""
    beside = f"   {ratio:6.0f} x the general path" if ratio else ""
    print(f"{name:26s} {points / seconds:9.0f} points/s  {seconds / points * 1e3:8.3f} ms{beside}")


def main() -> None:
    """See above."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    study, source, overrides = read_study("design_space", {})
    setup = StudySetup(study, source, overrides, keep_layers=False)
    points = open_points(setup)
    every = list(points.indices())
    drawn = random.Random(0).sample(every, 2 * number)
    warm, some = drawn[:number], drawn[number:]
    evaluate(setup, warm)
    stages(points, warm[: number // 2], every[len(every) // 2 :][:number])
    points.recent.clear()
    seconds, results = timed(lambda: evaluate(setup, some))
    show("evaluate", len(some), seconds)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        found = {r.key: Stored(r.row, r.layers) for r in results}
        store.save({})
        stored, _ = timed(lambda: store.put_many(found))
        show("store", len(some), stored)
        show("evaluated and stored", len(some), seconds + stored)


def lines(rounds: int) -> list[Line]:
    """The whole study in the order of its points, and for each dataflow, evaluated and stored as a run does it."""
    gc.set_threshold(100_000, *gc.get_threshold()[1:])  # as the command sets it
    found = []
    for name, flows in {
        "whole study": ["os", "ws", "is"],
        "os alone": ["os"],
        "ws alone": ["ws"],
        "is alone": ["is"],
    }.items():
        rates = [_stored_per_s(flows) for _ in range(rounds)]
        found.append(Line(f"design_space, {name}", "stored points/s", median(rates), f"{GOAL:,}", GOAL, goal=1.0))
    return found


def _stored_per_s(flows: list[str]) -> float:
    """Points per second of CPU in this process, kernels loaded."""
    record, source, overrides = read_study("design_space", {"study.sweep.array.dataflow": flows})
    points = open_points(StudySetup(record, source, overrides, keep_layers=False))
    every = list(points.indices())
    evaluate(points.setup, every[:: len(every) // 20])
    points.recent.clear()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        for begin in range(0, len(every), CHUNK):
            results = evaluate(points.setup, every[begin : begin + CHUNK])
            assert not any(result.failure for result in results), "every point of the study runs"
            store.put_many({result.key: Stored(result.row, result.layers) for result in results})
    return len(every) / (time.process_time() - start)


PARTS = {"sweep": lines}


if __name__ == "__main__":
    main()
