"""OPT-6.7B, a prompt of 2048 tokens: of shapes alone, and with the tensors of a synthetic trace streamed from disk."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, Line, alternately, command, compared, seconds
from simulator.study.evaluate import evaluate
from simulator.study.planning import _best_plan
from simulator.study.setup import StudySetup, read_study
from simulator.study.synthetic import make_synthetic
from simulator.tracing import open_trace
from simulator.tracing.synthetic import RECIPES

DESIGNS = ("int8_systolic", "olive_systolic", "fp16_systolic", "mxfp4_systolic", "bitfusion_systolic", "a100")
"""Whose cycles depend on shapes alone."""

LAYERS = int(os.environ.get("OPT_LAYERS", "1"))
"""Of 32, in the trace that is drawn: half a minute and 0.9 GB each."""

TRACE = os.environ.get("OPT_TRACE")
"""A folder of such a trace that was drawn before, instead."""

STREAMED = ("olive_systolic", "gobo_array", "gobo_dram_systolic", "olaccel_systolic", "llm_int8_systolic")
"""Whose cost depends on no value; on outliers of the weights, twice; of both operands; of the activations."""

WORKER = ROOT / "benchmarks" / "stream_worker.py"


def shapes(rounds: int) -> list[Line]:
    """A design point each: files read, tilings searched anew, all ops and passes of all layers; kernels are loaded."""
    record, source, overrides = read_study({"name": "opt", "designs": [*DESIGNS], "workloads": ["opt_6_7b"]}, {})
    setup = StudySetup(record, source, overrides)
    lines = []
    for index, design in enumerate(DESIGNS):

        def point(index=index) -> None:
            _best_plan.cache_clear()
            (result,) = evaluate(setup, [index])
            assert not result.failure, result.failure

        took = seconds(point, rounds)
        lines.append(Line(f"OPT-6.7B, {design}", "CPU s", took, "the limit", 0.2, lower=True, limit=0.2))
    return lines


def streamed(rounds: int) -> list[Line]:
    """A design point each, ``values: counted``, against reading all files; the page cache is emptied before."""
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        trace = Path(TRACE) if TRACE else _drawn(Path(scratch))
        layers = sum(op.count for op in open_trace(trace).ops if op.name.startswith("fc1"))
        size = sum(path.stat().st_size for path in trace.glob("*.safetensors")) / 1e9
        for how, what in (("load", "loaded and checked"), *((d, f"counted, {d}") for d in STREAMED)):
            ours, plain = alternately(rounds, lambda how=how: _ran(how, trace), lambda: _ran("read", trace))
            took, read = ([x["wall_s"] for x in side] for side in (ours, plain))
            name = f"OPT-6.7B, {layers} of 32 layers, {size:.1f} GB: {what}"
            lines.append(compared(name, "s", took, "plain reading", read, lower=True, goal=0.5))
            most = max(x["peak_mb"] for x in ours)
            lines.append(Line(name, "MB at most", most, "the limit", 2000.0, lower=True, limit=2000.0))
    return lines


def _drawn(folder: Path) -> Path:
    workload = folder / "opt.yaml"
    workload.write_text(f"extends: opt_6_7b\nhead: none\nmodel: {{num_hidden_layers: {LAYERS}}}\n")
    activations, weights, _ = RECIPES["opt_6_7b"]
    make_synthetic(str(workload), folder / "trace", activations=activations, weights=weights)
    return folder / "trace"


def _ran(how: str, trace: Path) -> dict[str, float]:
    usage, said = command([sys.executable, WORKER, how, trace])
    return {"wall_s": json.loads(said.splitlines()[-1])["wall_s"], "peak_mb": usage.peak_mb}


PARTS = {"opt_shapes": shapes, "opt_streamed": streamed}
