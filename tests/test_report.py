"""The report room: what is drawn equals the records, and what is written is whole, safe and the same every time."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from simulator.errors import OlivineError, OutputError
from simulator.report import formatting, plotted, tables
from simulator.report.figures import write_figures
from simulator.report.page import flat_items
from simulator.report.run_folder import read_run, write_report
from simulator.report.tradeoff import tradeoff_points

DESIGNS = {  # name: (PE cycles per MAC, bits per value, SQNR in dB, share of outlier stalls)
    "fp16_systolic": (4.0, 16, 62.4, 0.0),
    "int8_systolic": (2.0, 8, 34.1, 0.0),
    "int4_systolic": (1.0, 4, 8.7, 0.0),
    "olive_systolic": (1.04, 4, 23.9, 0.06),
}
COSTS = ("static", "dram", "buffer", "core")
HOSTILE = "<script>alert(1)</script>"
OPS = ("query", "key", "value", "scores", "context", "out", "ffn_up", "ffn_down")


# ------------------------------------------------------------------------------------------------- a synthetic study


def layer_rows(design, spec, workload, n_ops, trace, axis, rng):
    slow, bits, sqnr, outliers = spec
    rows = axis[1] if axis else 64
    for i in range(n_ops):
        m, n, k = 128, 384 * (4 if i % 8 == 6 else 1), 384 * (4 if i % 8 == 7 else 1)
        compute = int(m * n * k * slow / (rows * 64) * rng.uniform(1.0, 1.15))
        reads, outlier = int(compute * 0.11 * bits / 8 * rng.uniform(0.3, 1.5)), int(compute * outliers)
        writes = int(compute * 0.02 * rng.uniform(0, 1))
        energy = {"static": compute * 40.0, "dram": m * n * bits * 11.0, "buffer": m * k * bits * 26.0}
        energy["core"] = m * n * k * bits * 0.021
        yield {
            "design": design,
            "workload": workload,
            **({axis[0]: axis[1]} if axis else {}),
            "op": f"encoder.layer.{i // 8}.attention.self.{OPS[i % 8]}" if trace else f"block{i // 8}.{OPS[i % 8]}",
            "kind": "linear" if i % 8 not in (3, 4) else "attention",
            "M": m,
            "N": n,
            "K": k,
            "count": 1,
            "tiles": math.ceil(m / rows) * math.ceil(n / 64),
            "total_cycles": compute + reads + writes + outlier,
            "compute_cycles": compute,
            "stall_dram_read_cycles": reads,
            "stall_dram_write_cycles": writes,
            "stall_outlier_cycles": outlier,
            "macs": m * n * k,
            "dram_read_bytes": (m * k + k * n) * bits // 8,
            "dram_write_bytes": m * n * 2,
            "mapping_util": 1.0,
            "compute_util": compute / (compute + reads + writes + outlier) * rng.uniform(0.85, 0.99),
            "energy_total_pj": sum(energy.values()),
            **{f"energy_{part}_pj": energy[part] for part in COSTS},
            "sqnr_db": sqnr + rng.normal(0, 1.5) if trace else math.nan,
            "exact": True if trace else None,
        }


def result_row(layers, design, spec, workload, trace, axis, clock):
    sums = layers.sum(numeric_only=True)
    rows = axis[1] if axis else 64
    area = {
        "pe_array": rows * 64 * spec[1] ** 1.4 * 7.0,
        "act_buffer": 6.2e5,
        "weight_buffer": 9.1e5,
        "decoders": 4.1e3,
    }
    latency = sums["total_cycles"] / (clock * 1e6)
    return {
        "design": design,
        "workload": workload,
        "array_kind": "systolic",
        "datapath": design.split("_")[0],
        "dataflow": "ws",
        "total_cycles": int(sums["total_cycles"]),
        "compute_cycles": int(sums["compute_cycles"]),
        "latency_s": latency,
        "macs": int(sums["macs"]),
        "mapping_util": 1.0,
        "compute_util": layers["compute_util"].mean(),
        "dram_read_bytes": int(sums["dram_read_bytes"]),
        "dram_write_bytes": int(sums["dram_write_bytes"]),
        **{f"energy_{part}_pj": sums[f"energy_{part}_pj"] for part in ("total", *COSTS)},
        "area_total_um2": sum(area.values()),
        "edp_js": sums["energy_total_pj"] * 1e-12 * latency,
        "sqnr_db": spec[2] if trace else math.nan,
        "exact": True if trace else None,
        "fidelity": "pipeline",
        "seed": 0,
        "clock_mhz": clock,
        "peak_tops": rows * 64 * 2 * clock * 1e-6 / spec[0],
        "rows": rows,
        "cols": 64,
        **{
            f"stall_{cause}_cycles": int(sums[f"stall_{cause}_cycles"])
            for cause in ("dram_read", "dram_write", "outlier")
        },
        "energy_part_mac_pj": sums["energy_core_pj"] * 0.8,
        "energy_part_leakage_pj": sums["energy_static_pj"],
        **{f"area_part_{name}_um2": value for name, value in area.items()},
        "act_bits_per_value": float(spec[1]),
        "weight_bits_per_value": float(spec[1]),
        **({axis[0]: axis[1]} if axis else {}),
    }


def study(
    *,
    designs=None,
    workloads=(("minilm-l6-sample", True),),
    n_ops=16,
    sweep=(),
    baseline="fp16_systolic",
    description="Every design on two encoder layers of a sentence encoder.",
    clock=500.0,
):
    """Results, layers and manifest of a made-up study that looks like a real one."""
    rng = np.random.default_rng(7)
    designs = designs or DESIGNS
    axes = [("axis:array.rows", value) for value in sweep] or [None]
    layers, results = [], []
    for design, spec in designs.items():
        for workload, trace in workloads:
            for axis in axes:
                rows = pd.DataFrame(layer_rows(design, spec, workload, n_ops, trace, axis, rng))
                layers.append(rows)
                results.append(result_row(rows, design, spec, workload, trace, axis, clock))
    frame = pd.DataFrame(results)
    frame["speedup"] = 1 / plotted.over_baseline(frame, "latency_s", baseline)
    frame["energy_ratio"] = plotted.over_baseline(frame, "energy_total_pj", baseline)
    return frame, pd.concat(layers, ignore_index=True), manifest_of(designs, workloads, baseline, description)


def manifest_of(designs, workloads, baseline, description):
    resolved = {"array": {"kind": "systolic", "rows": 64, "cols": 64}, "memory": {"dram": {"model": "ideal"}}}
    return {
        "study": "demo",
        "description": description,
        "command": "olivine run demo",
        "created_utc": "2026-01-05T10:11:12Z",
        "olivine_version": "0.1.0",
        "code_sha256": "9f" * 32,
        "seed": 0,
        "fidelity": "pipeline",
        "baseline": baseline,
        "designs": [
            {"name": name, "sha256": "ab" * 32, "resolved": resolved, "cost_library": "cmos_22nm"} for name in designs
        ],
        "workloads": [
            {
                "name": name,
                "kind": "trace" if trace else "shapes",
                "sha256": "cd" * 32,
                "provenance": {"model": name, "tokens": 128, "license": "Apache-2.0"},
            }
            for name, trace in workloads
        ],
        "timings": {"simulate_s": 1.25, "report_s": 0.5},
        "versions": {"python": "3.11.9", "numpy": "2.4.6"},
        "prices": [
            {
                "action": "mult_int4x4",
                "energy_pj": 0.0523,
                "area_um2": 91.25,
                "leakage_nw": 12.0,
                "source": "Horowitz, ISSCC 2014, Figure 1.1.9",
                "library": "cmos_22nm",
            },
            {
                "action": "dram_read_bit",
                "energy_pj": 15.0,
                "area_um2": None,
                "leakage_nw": math.nan,
                "source": "assumed",
                "library": "dram",
            },
        ],
        "assumptions": ["Softmax and layer norm take no cycles on the array.", "DRAM refresh is not modelled."],
    }


VARIANTS = {
    "trace": {},
    "sweep": {"workloads": (("bert_base", True), ("gpt2_xl", False)), "sweep": (16, 32, 64)},
    "no sqnr": {"workloads": (("bert_base", False),)},
    "hundred ops": {"n_ops": 100},
    "many ops": {"n_ops": 240},
    "hostile": {
        "designs": dict(zip([HOSTILE, "a$b^{_&|\"'", "日本 [red]x", "\\frac{1}{0}"], DESIGNS.values(), strict=True)),
        "workloads": (("<img src=x onerror=alert(2)>", True), ("../../up", True)),
        "baseline": HOSTILE,
        "description": "</style><script src=//evil.example/x.js></script>",
    },
    "alone": {"designs": {"olive_systolic": DESIGNS["olive_systolic"]}, "baseline": None},
    "wide": {
        "designs": {f"design_number_{i:02d}": (4 / (1 + i / 4), 4 + i, 5.0 + 3 * i, 0.01 * i) for i in range(11)},
        "workloads": tuple((f"workload_{i}", i % 2 == 0) for i in range(6)),
        "baseline": "design_number_00",
        "n_ops": 3,
    },
    "long sweep": {"workloads": (("bert_base", True), ("gpt2_xl", True)), "sweep": tuple(range(4, 84, 4)), "n_ops": 3},
}
