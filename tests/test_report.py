"""The report room: what is drawn equals the records, and what is written is whole, safe and the same every time."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from simulator.errors import OlivineError, OutputError
from simulator.report import comparison, formatting, plotted, summary, tables, terminal
from simulator.report.counts_table import counts_table
from simulator.report.figures import per_op_figure, write_figures
from simulator.report.page import flat_items, write_page
from simulator.report.run_folder import read_run, write_report
from simulator.report.tradeoff import tradeoff_points
from simulator.report.zipped import with_zipped

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
            "fill_drain_cycles": compute // 9,
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
        "fill_drain_cycles": int(sums["fill_drain_cycles"]),
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
    "sweep": {"workloads": (("bert_base", True), ("gpt2_xl", False)), "sweep": (16, 32, 64), "n_ops": 3},
    "no sqnr": {"workloads": (("bert_base", False),)},
    "hundred ops": {"n_ops": 100},
    "many ops": {"n_ops": 104, "designs": {name: DESIGNS[name] for name in ("fp16_systolic", "olive_systolic")}},
    "hostile": {
        "designs": dict(zip([HOSTILE, "a$b^{_&|\"'", "日本 [red]x", "\\frac{1}{0}"], DESIGNS.values(), strict=True)),
        "workloads": (("<img src=x onerror=alert(2)>", True), ("../../up", True)),
        "baseline": HOSTILE,
        "n_ops": 3,
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


SLOW = {"hundred ops", "wide", "long sweep"}
EVERY_VARIANT = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in VARIANTS]


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """Variant name -> (run folder, records), each written once."""
    written = {}

    def get(name):
        if name not in written:
            records = study(**VARIANTS[name])
            folder = tmp_path_factory.mktemp("run")
            write_report(folder, *records)
            written[name] = folder, records
        return written[name]

    return get


# ------------------------------------------------------------------------------------------------ the plotted numbers


def test_geomean():
    assert plotted.geomean([1.0, 4.0, 16.0]) == pytest.approx(4.0)
    assert plotted.geomean([2.0, math.nan, 8.0]) == pytest.approx(4.0)
    assert math.isnan(plotted.geomean([]))


def test_speedups_and_their_means_are_the_records():
    results, _, _ = study(**VARIANTS["sweep"])
    table = plotted.speedups(results).set_index(["point", "workload", "design"])["speedup"]
    for _, row in results.iterrows():
        assert table[f"rows={row['axis:array.rows']}", row["workload"], row["design"]] == row["speedup"]
    by_hand = results[(results["design"] == "olive_systolic") & (results["axis:array.rows"] == 32)]["speedup"].to_list()
    assert table["rows=32", plotted.GEOMEAN, "olive_systolic"] == pytest.approx(math.sqrt(by_hand[0] * by_hand[1]))
    np.testing.assert_allclose(table.xs("fp16_systolic", level="design"), 1.0)


def test_one_workload_has_no_mean():
    results, _, _ = study()
    assert plotted.GEOMEAN not in set(plotted.speedups(results)["workload"])
    assert plotted.GEOMEAN not in set(plotted.energy_stacks(results, "fp16_systolic")["workload"])


@pytest.mark.parametrize("baseline", ["fp16_systolic", None])
@pytest.mark.parametrize("variant", ["trace", "sweep"])
def test_energy_stacks_sum_to_their_totals(variant, baseline):
    results, _, _ = study(**VARIANTS[variant])
    table = plotted.energy_stacks(results, baseline)
    np.testing.assert_allclose(table[list(plotted.ENERGY_PARTS)].sum(axis=1), table["total"], rtol=1e-12)
    if baseline:
        np.testing.assert_allclose(table[table["design"] == baseline]["total"], 1.0)
        drawn = table[table["workload"] != plotted.GEOMEAN]["total"]
        np.testing.assert_allclose(drawn, results["energy_ratio"], rtol=1e-12)


def test_cycle_shares_sum_to_one():
    results, layers, _ = study(**VARIANTS["sweep"])
    table = plotted.cycle_shares(results)
    np.testing.assert_allclose(table[plotted.cycle_parts(table)].sum(axis=1), 1.0, rtol=1e-12)
    assert plotted.cycle_parts(table)[:2] == ["streaming_cycles", "fill_drain_cycles"]
    assert plotted.cycle_parts(layers) == plotted.cycle_parts(results)


def test_a_cause_that_one_kind_of_array_does_not_have_is_drawn_as_nothing():
    results, layers, _ = study()
    systolic = results["design"] == results["design"].iloc[0]
    table = plotted.cycle_shares(results.assign(stall_l2_cycles=results["total_cycles"].where(~systolic)))
    assert table["stall_l2_cycles"].tolist() == [0.0 if first else 1.0 for first in systolic]
    figure = comparison.cycles_figure(results.assign(stall_l2_cycles=float("nan")), layers, None)
    assert figure is not None


def test_records_without_fill_and_drain_are_drawn_as_they_are():
    results, layers, _ = study(**VARIANTS["sweep"])
    old = results.drop(columns="fill_drain_cycles")
    assert plotted.cycle_parts(plotted.cycle_shares(old))[0] == "compute_cycles"
    assert (
        plotted.cycle_parts(plotted.layer_times(layers.drop(columns="fill_drain_cycles"), old))[0] == "compute_cycles"
    )


def test_a_new_stall_cause_is_drawn_unasked():
    results, _, _ = study()
    assert "stall_noc_cycles" in plotted.cycle_parts(results.assign(stall_noc_cycles=1))


def test_area_parts_sum_to_the_total_and_small_ones_merge():
    results, _, _ = study(**VARIANTS["sweep"])
    table = plotted.area_parts(results, keep=2)
    assert list(table.columns[3:]) == ["pe_array", "weight_buffer", "other"]
    np.testing.assert_allclose(table.iloc[:, 3:].sum(axis=1), table["total"], rtol=1e-12)
    assert len(table) == 4 * 3  # per design and sweep point, whatever the workload


def test_areas_that_do_not_change_are_drawn_once():
    results, _, _ = study(workloads=(("a", True), ("b", True)))
    assert plotted.area_parts(results)["design"].tolist() == list(DESIGNS)


def test_tradeoff_points_leave_out_what_has_no_sqnr_and_lift_infinity():
    results, _, _ = study(workloads=(("a", True), ("b", False)))
    results.loc[0, "sqnr_db"] = math.inf
    table = tradeoff_points(results)
    assert set(table["workload"]) == {"a"}
    assert table["drawn_db"].tolist() == pytest.approx([40.1, 34.1, 8.7, 23.9])
    assert table["pareto"].tolist()[0]


def test_layer_times_add_up_to_cycles_over_clock():
    results, layers, _ = study()
    times = plotted.layer_times(layers, results)
    total = times.set_index("design")[plotted.cycle_parts(times)].sum(axis=1).groupby("design").sum()
    for _, row in results.iterrows():
        assert total[row["design"]] == pytest.approx(row["total_cycles"] / (row["clock_mhz"] * 1e6))


def test_of_many_ops_the_longest_stay_in_order():
    results, layers, _ = study(n_ops=240)
    ops = plotted.uniques(plotted.layer_times(layers, results, limit=30)["op"])
    slowest = layers.groupby("op")["total_cycles"].max().nlargest(30).index
    assert ops == [op for op in plotted.uniques(layers["op"]) if op in set(slowest)]


def test_axis_names_stay_distinct():
    assert plotted.axis_names(["axis:array.rows", "axis:array.cols"]) == {
        "axis:array.rows": "rows",
        "axis:array.cols": "cols",
    }
    same = ["axis:memory.weight_buffer.capacity_kib", "axis:memory.act_buffer.capacity_kib"]
    assert list(plotted.axis_names(same).values()) == ["weight_buffer.capacity_kib", "act_buffer.capacity_kib"]
    assert plotted.axis_names(["axis:a.bits", "axis:b.a.bits"]) == {
        "axis:a.bits": "a.bits",
        "axis:b.a.bits": "b.a.bits",
    }
    zipped = "axis:memory.act_buffer.capacity_kib, memory.weight_buffer.capacity_kib"
    assert plotted.axis_names([zipped])[zipped] == "act / weight_buffer.capacity_kib"
    assert plotted.axis_names(["axis:array.rows, array.cols"]) == {"axis:array.rows, array.cols": "rows / cols"}


def test_fields_that_a_study_changes_together_are_one_axis_of_figures():
    manifest = {"study_resolved": {"sweep": {"array.rows, array.cols": [[8, 16], [16, 8]], "clock_mhz": [1, 2]}}}
    rows = {"design": "a", "axis:array.rows": [8, 16], "axis:array.cols": [16, 8], "axis:clock_mhz": [1, 2]}
    table = with_zipped(pd.DataFrame(rows), manifest)
    assert list(table.columns) == ["design", "axis:array.rows, array.cols", "axis:clock_mhz"]
    assert table["axis:array.rows, array.cols"].tolist() == ["8 / 16", "16 / 8"]
    asked = manifest | {"figures": {"heatmaps": [{"x": "array.rows", "y": "clock_mhz", "value": "edp_js"}]}}
    assert with_zipped(pd.DataFrame(rows), asked).equals(pd.DataFrame(rows))


def test_exactness_counts_what_was_checked():
    results, _, _ = study(workloads=(("a", True), ("b", False)))
    assert plotted.exactness(results) == (4, 4, 8)
    results.loc[0, "exact"] = False
    assert plotted.exactness(results) == (3, 4, 8)


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1,234"),
        (999.6, "1,000"),
        (12.345, "12.3"),
        (2.9449, "2.94"),
        (0.02746, "0.0275"),
        (1e-7, "1.00e-07"),
        (-2.5, "-2.50"),
        (math.nan, "–"),
        (None, "–"),
        (pd.NA, "–"),
        (math.inf, "∞"),
    ],
)
def test_number(value, text):
    assert formatting.number(value) == text


def test_choose_unit():
    assert formatting.choose_unit([2e-6, 3e-6, 1.0], formatting.TIME_S).name == "µs"
    assert formatting.choose_unit([math.nan, None], formatting.ENERGY_PJ).name == "pJ"


def test_names_are_cut_in_the_middle_wrapped_and_shortened():
    assert formatting.elide("encoder.layer.0.attention.self.query", 20) == "encoder…n.self.query"
    assert formatting.wrapped("adaptivfloat_systolic", 14) == "adaptivfloat_\nsystolic"
    assert formatting.common_start(["a.b.0.q", "a.b.1.q"]) == "a.b."
    assert formatting.common_start(["a.b", "c.d"]) == formatting.common_start(["a.b"]) == ""
    assert formatting.common_start(["a.b", "a.b.c"]) == "a."


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (np.False_, False), ("True", True), ("", None), (None, None), (pd.NA, None)]
)
def test_verdict(value, expected):
    assert formatting.verdict(value) is expected


# ------------------------------------------------------------------------------------------------------------- tables


def test_summary_table():
    table = summary.summary_table(study()[0])
    assert list(table.columns) == [
        "Design",
        "Workload",
        "Latency (µs)",
        "Speedup",
        "Energy (µJ)",
        "Energy ratio",
        "DRAM (MB)",
        "Area (mm²)",
        "Compute util. (%)",
        "SQNR (dB)",
        "Exact",
    ]
    first = table.iloc[0]
    assert (first["Speedup"], first["SQNR (dB)"], first["Exact"]) == ("1.00×", "62.4", "yes")


def test_summary_says_no_loudly_and_leaves_out_what_is_unknown():
    results, _, _ = study(**VARIANTS["no sqnr"])
    results["exact"] = [False, True, None, None]
    table = summary.summary_table(results)
    assert table["Exact"].tolist() == ["NO", "yes", "–", "–"]
    assert "SQNR (dB)" not in table
    assert "Speedup" not in summary.summary_table(study(**VARIANTS["alone"])[0])


def test_markdown_and_latex_escape_everything():
    frame = pd.DataFrame({"Design": ["a|b_c\n*d*", "x_1 50% & $y^2$ ~ {z} \\q #"], "Speedup": ["2.00×", "–"]})
    assert tables.markdown_table(frame).splitlines() == [
        "| Design | Speedup |",
        "| :--- | ---: |",
        r"| a\|b_c \*d\* | 2.00× |",
        r"| x_1 50% \& \$y^2\$ \~ {z} \\q # | – |",
    ]
    assert tables.latex_table(frame).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Design & Speedup \\",
        r"\midrule",
        r"a\textbar{}b\_c {*}d{*} & 2.00$\times$ \\",
        r"x\_1 50\% \& \$y\textasciicircum{}2\$ \textasciitilde{} \{z\} \textbackslash{}q \# & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("variant", ["trace", "hostile"])
def test_terminal_table_fits_and_takes_names_literally(variant):
    from rich.console import Console

    console = Console(width=100, force_terminal=False, file=io.StringIO())
    console.print(terminal.terminal_table(study(**VARIANTS[variant])[0]))
    text = console.file.getvalue()
    assert "…" not in text
    assert ("[red]x" in text) == (variant == "hostile")


# ---------------------------------------------------------------------------------------------------------- the folder


@pytest.mark.parametrize("variant", EVERY_VARIANT)
def test_a_report_is_whole(variant, reports):
    folder, (results, layers, _) = reports(variant)
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    for stem in ("energy", "cycles", "area"):
        assert {f"figures/{stem}.png", f"figures/{stem}.svg"} <= names
    assert ("figures/speedup.svg" in names) == (variant != "alone")
    assert ("figures/sqnr_energy.svg" in names) == (variant not in ("alone", "no sqnr"))
    assert sum(name.startswith("figures/layers_") for name in names) == 2 * layers["workload"].nunique()
    assert {"index.html", "manifest.json", "results.csv", "results.parquet", "layers.parquet"} <= names
    assert {"tables/summary.md", "tables/summary.tex"} <= names
    assert not [name for name in names if name.endswith(".tmp")]
    assert (folder / "tables/summary.md").read_text(encoding="utf-8").count("\n") == len(results) + 2


def without_scripts(page):
    """The page without the library and the data, whose hash and escapes have tests of their own."""
    return re.sub(r"(<script[^>]*>).*?(</script>)", r"\1\2", page, flags=re.DOTALL)


@pytest.mark.parametrize("variant", EVERY_VARIANT)
def test_the_page_fetches_nothing(variant, reports):
    page = without_scripts((reports(variant)[0] / "index.html").read_text(encoding="utf-8"))
    tags = re.findall(r"<[a-zA-Z][^<>]*>", page)
    links = [link for tag in tags for link in re.findall(r'\s(?:src|href|xlink:href|action|data)="([^"]*)"', tag)]
    assert links
    assert not [link for link in links if re.match(r"(?:[a-z]+:)?//", link) or link.startswith("data:")]
    assert not [tag for tag in tags if re.match(r"<(?:img|link|iframe|object|embed|base|use[^>]*//)", tag)]
    assert all(re.fullmatch(r"#[\w-]+", target) for target in re.findall(r"url\(([^)]*)\)", page))
    assert "@import" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("variant", EVERY_VARIANT)
def test_ids_are_unique_and_every_reference_has_its_id(variant, reports):
    page = without_scripts((reports(variant)[0] / "index.html").read_text(encoding="utf-8"))
    tags = " ".join(re.findall(r"<[a-zA-Z][^<>]*>", page))
    ids = re.findall(r'\sid="([^"]*)"', tags)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", tags)) | set(re.findall(r'\shref="#([^"]*)"', tags)) <= set(ids)


def test_hostile_names_are_only_ever_text(reports):
    folder, _ = reports("hostile")
    page = without_scripts((folder / "index.html").read_text(encoding="utf-8"))
    assert page.count("<script") == page.count("</script>") == 1
    assert page.count("</style>") == 1
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;/style&gt;&lt;script src=//evil.example/x.js&gt;" in page
    assert all(p.parent == folder / "figures" for p in folder.rglob("layers_*.svg"))
    assert not list(folder.parent.glob("up*"))


def test_the_policy_allows_this_script_and_no_other(reports):
    import base64
    import hashlib

    page = (reports("trace")[0] / "index.html").read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    assert "DataTable" in script
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in page


@pytest.mark.parametrize("variant", ["trace", "hostile"])
def test_the_page_shows_what_it_was_given(variant, reports):
    from html.parser import HTMLParser

    class Text(HTMLParser):
        found = ""

        def handle_data(self, data):
            self.found += data

    folder, (results, _, manifest) = reports(variant)
    reader = Text()
    reader.feed((folder / "index.html").read_text(encoding="utf-8"))
    wanted = [*results["design"], *results["workload"], *manifest["assumptions"], manifest["description"]]
    wanted += ["Horowitz, ISSCC 2014", "memory.dram.model", "olivine run demo", "ab" * 32, "cd" * 32, "9f" * 32]
    assert [text for text in wanted if text not in reader.found] == []


def test_figures_follow_the_theme_of_the_page(reports):
    folder, _ = reports("trace")
    page = (folder / "index.html").read_text(encoding="utf-8")
    body = page[page.index("<main>") :]
    assert "fill: var(--ink, #1b1f24)" in body
    assert not re.search(r'style="[^"]*: #(?:1b1f24|ffffff|59626e|dfe3e8)', body)


def test_a_wrong_value_is_the_headline(tmp_path):
    results, layers, manifest = study(n_ops=2)
    results.loc[2, "exact"] = False
    page = write_report(tmp_path, results, layers, manifest).read_text(encoding="utf-8")
    assert re.search(
        r'class="card bad">\s*<dt>Every value equals the exact reference</dt>\s*<dd class="value">NO<', page
    )
    assert "1 result differ" in page


def test_headlines_are_the_best_of_the_records(reports):
    folder, (results, _, _) = reports("trace")
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert f'<dd class="value">{results["speedup"].max():.2f}×</dd>' in page
    assert f'<dd class="value">{results["energy_ratio"].min():.2f}×</dd>' in page


def test_the_same_records_give_the_same_bytes(reports, tmp_path):
    folder, records = reports("trace")
    import matplotlib

    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "path"}):  # the user's own settings
        write_report(tmp_path, *records)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name


def test_figures_of_another_run_do_not_stay(reports, tmp_path):
    folder, records = reports("trace")
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("layers_of_another_model.svg", "my_own.svg"):
        (figures / name).write_text("old")
    write_report(tmp_path, *records)
    expected = {path.name for path in (folder / "figures").iterdir()} | {"my_own.svg"}
    assert {path.name for path in figures.iterdir()} == expected


def test_figure_files_say_what_they_are(tmp_path):
    results, layers, manifest = study(n_ops=2)
    figures = write_figures(results, layers, manifest, tmp_path)
    assert [f.name for f in figures] == [
        "speedup",
        "energy",
        "sqnr_energy",
        "cycles",
        "area",
        "layers_minilm_l6_sample",
    ]
    for figure in figures:
        assert figure.png.read_bytes().startswith(b"\x89PNG")
        assert figure.svg.read_text(encoding="utf-8").startswith("<?xml")
        assert figure.title
        assert figure.caption.endswith(".")


def test_captions_say_what_was_left_out(reports):
    page = (reports("many ops")[0] / "index.html").read_text(encoding="utf-8")
    assert "The 100 longest of 104 ops are shown; all are in layers.parquet." in page


@pytest.mark.slow
def test_captions_say_which_combinations_were_left_out(reports):
    page = (reports("long sweep")[0] / "index.html").read_text(encoding="utf-8")
    assert "24 of 40 combinations of workload and sweep point are drawn; all are in results.csv." in page


# ------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("variant", ["trace", "sweep", "no sqnr", "hostile", "alone"])
def test_csv_holds_every_bit(variant, reports):
    folder, (results, _, _) = reports(variant)
    back = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    assert list(back.columns) == list(results.columns)
    for name in results.columns:
        kind = str if name == "exact" or results[name].dtype in (object, "str") else type(results[name].tolist()[0])
        stored = [kind(text) if text else None for text in back[name]]
        known = [None if formatting.is_missing(v) else v for v in results[name]]
        assert stored == ([v if v is None else str(v) for v in known] if name == "exact" else known), name


@pytest.mark.parametrize("variant", ["trace", "sweep", "no sqnr", "hostile"])
def test_read_run_gives_back_the_records_and_the_same_report(variant, reports, tmp_path):
    folder, (results, layers, manifest) = reports(variant)
    back = read_run(folder)
    for ours, theirs in zip((results, layers), back[:2], strict=True):
        assert_frame_equal(
            ours.drop(columns="exact"), theirs.drop(columns="exact"), check_exact=True, check_dtype=False
        )
        assert [formatting.verdict(v) for v in ours["exact"]] == [formatting.verdict(v) for v in theirs["exact"]]
    assert back[2]["designs"] == manifest["designs"]
    assert back[2]["prices"][1]["leakage_nw"] is None  # JSON has no NaN
    page = write_report(tmp_path, *back)
    assert page.read_bytes() == (folder / "index.html").read_bytes()


def test_a_swept_field_may_hold_anything(tmp_path):
    results, layers, manifest = study(n_ops=1, sweep=(16, 32))
    for frame in (results, layers):
        frame["axis:array.dataflow"] = ["ws" if rows == 16 else 7 for rows in frame["axis:array.rows"]]
        frame["axis:array.shape"] = [[8, 8] if rows == 16 else None for rows in frame["axis:array.rows"]]
    write_report(tmp_path, results, layers, manifest)
    back = read_run(tmp_path)[0]
    assert back["axis:array.dataflow"].tolist()[:2] == ["ws", "7"]
    assert back["axis:array.shape"].tolist()[0] == "[8, 8]"


def test_a_missing_folder_or_file_is_one_line(tmp_path):
    with pytest.raises(OlivineError, match=r"no such run folder; `olivine run STUDY\.yaml` writes one$"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(OlivineError, match=r"results\.parquet: missing; run the study again with --fresh$"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("results.parquet", b"PAR1 not"), ("layers.parquet", b""), ("manifest.json", b"{"), ("manifest.json", b"[]")],
)
def test_a_damaged_file_is_one_line(name, content, reports, tmp_path):
    folder, _ = reports("trace")
    for known in ("results.parquet", "layers.parquet", "manifest.json"):
        (tmp_path / known).write_bytes(content if known == name else (folder / known).read_bytes())
    with pytest.raises(
        OlivineError, match=rf"{re.escape(name)}: damaged \([^\n]*\); run the study again with --fresh$"
    ):
        read_run(tmp_path)


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"^[^\n]*results\.csv: cannot be written: [^\n]*; choose another --out$"):
        write_report(tmp_path / "file", *study(n_ops=1))


def test_nothing_half_written_stays_when_the_disk_fails(tmp_path, monkeypatch):
    from simulator.report import atomic

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "replace", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        atomic.write_bytes(tmp_path / "results.csv", b"a")
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_strict_json(reports):
    text = (reports("trace")[0] / "manifest.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=pytest.fail)


def test_a_thin_manifest_still_makes_a_page(tmp_path):
    results, layers, _ = study(n_ops=1)
    assert "<title>study · Olivine</title>" in write_report(tmp_path, results, layers, {}).read_text(encoding="utf-8")


def test_nested_settings_become_dotted_paths():
    nested = {"a": {"b": [1, 2], "c": True, "d": None}, "e": [{"f": 1.5}], "g": {}}
    assert list(flat_items(nested)) == [
        ("a.b", "1, 2"),
        ("a.c", "true"),
        ("a.d", "none"),
        ("e[0].f", "1.5"),
        ("g", "none"),
    ]


def test_importing_the_room_is_cheap():
    code = "import sys, simulator.report; print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_counts_are_summed_over_ops_and_one_way_traffic_has_no_other_way():
    results, layers, _ = study(n_ops=2)
    assert counts_table(layers).results == [], "records without counts have no table"
    counted = layers.assign(
        count_dram_act_reads=3,
        count_dram_act_read_bytes=1500,
        count_out_buffer_out_reads=1000,
        count_out_buffer_out_writes=0,
        count_out_buffer_out_read_bytes=2000,
        count_out_buffer_out_write_bytes=0,
    )
    found = counts_table(counted)
    assert found.heads == ["Reads", "Writes", "Read (kB)", "Written (kB)"]
    assert [name for name, _ in found.results] == [f"{design} · minilm-l6-sample" for design in results["design"]]
    assert found.results[0][1] == [
        ["DRAM, activations", "6", "", "3.00", ""],
        ["results scratchpad", "2,000", "0", "4.00", "0"],
    ]


def test_counts_past_the_limit_are_said_to_be_left_out(tmp_path):
    results, layers, manifest = study(n_ops=1, sweep=tuple(range(1, 30)))
    layers = layers.assign(count_dram_act_reads=1, count_dram_act_read_bytes=64)
    found = counts_table(layers)
    assert (len(found.results), found.known) == (100, 29 * 4)
    page = write_page(tmp_path, results, layers, manifest, []).read_text(encoding="utf-8")
    assert "The first 100 of 116 results are shown." in page


def test_the_columns_of_the_per_op_figure_share_a_scale_that_holds_every_bar():
    results, layers, _ = study()
    slowest = layers["design"].iloc[-1]
    layers.loc[layers["design"] == slowest, ["total_cycles", "compute_cycles"]] *= 50
    figure = per_op_figure(results, layers, None)
    for axes in figure.axes:
        longest = max(patch.get_x() + patch.get_width() for patch in axes.patches)
        assert longest <= axes.get_xlim()[1]
        assert axes.get_xlim() == figure.axes[0].get_xlim()
