"""Design points per second and core on a real trace: every point asks for verdicts, scales and outliers of tensors."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import simulator as sim
from benchmarks.measure import Line
from simulator.study.building import build
from simulator.study.evaluate import evaluate
from simulator.study.judged import MEMORY
from simulator.study.points import Points, open_points
from simulator.study.setup import StudySetup, read_study
from simulator.study.store import Store

DESIGNS = (
    "gobo_array",
    "olaccel_systolic",
    "llm_int8_systolic",
    "gobo_dram_systolic",
    "biscaled_systolic",
    "olive_systolic",
    "ant_systolic",
)
"""Costs depend on values in the first five; in all of them types, scales and errors do."""
TRACE = "minilm-l6-sample"
GOAL = 100
"""Stored points a second and core."""
SWEEP: dict[str, list[Any]] = {
    "array.rows": [8, 16, 24, 32],
    "array.cols": [8, 16, 24, 32],
    "memory.act_buffer.capacity_kib": [64, 256],
    "memory.weight_buffer.capacity_kib": [32, 128],
    "memory.dram.bandwidth_gb_s": [16.0, 32.0, 64.0, 128.0],
    "clock_mhz": [500, 1000],
}


def study_of(design: str) -> dict[str, Any]:
    """A sweep of 512 points for each dataflow that the design's datapath runs."""
    flows = build(sim.load_design(design)).datapath.dataflows
    return {"name": design, "designs": [design], "workloads": [TRACE], "sweep": SWEEP | {"array.dataflow": [*flows]}}


def opened(study: dict[str, Any], folder: Path) -> Points:
    """Its points, layers not kept."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    checked, source, overrides = read_study(str(path), {})
    return open_points(StudySetup(checked, source, overrides, keep_layers=False))


def stored(points: Points, indices: Sequence[int], folder: Path) -> float:
    """CPU seconds to run and store points. Raises: SystemExit if one fails."""
    start, store = time.process_time(), Store(folder)
    for result in evaluate(points.setup, indices):
        if wrong := result.failure or result.note or result.mismatches:
            raise SystemExit(f"{points.label(result.index)}: {wrong}")
        store.put(result.key, result.row, result.layers)
    return time.process_time() - start


def traced(rounds: int) -> list[Line]:
    """Of each design its first point, for which all tensors are encoded, multiplied and judged; then all others."""
    lines = []
    for design in DESIGNS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            points = opened(study_of(design), folder)
            first, *others = points.indices()
            stored(points, [first], folder / "warm")  # compiles
            MEMORY.clear()
            points.recent.clear()
            alone = stored(points, [first], folder / "alone")
            rest = stored(points, others, folder / "rest")
        rate, whole = len(others) / rest, (1 + len(others)) / (alone + rest)
        lines.append(Line(f"{design}, tensors met", "stored points/s", rate, f"{GOAL}", GOAL, goal=1.0))
        sweep = f"{design}, whole sweep of {1 + len(others):,} points"
        lines.append(Line(sweep, "stored points/s", whole, f"{GOAL}", GOAL, goal=1.0))
        lines.append(Line(f"{design}, first point", "stored points/s", 1 / alone, f"{GOAL}", GOAL))
    return lines


PARTS = {"traced": traced}
