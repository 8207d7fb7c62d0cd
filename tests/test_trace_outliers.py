"""Outlier statistics against formulas one value at a time; drawn tensors against the statistics that they state."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import cli
from simulator.errors import OlivineError
from simulator.resources import shipped_dir
from simulator.study.synthetic import make_synthetic
from simulator.tracing import describe, open_trace
from simulator.tracing.outliers import kept_rows, tensor_stats
from simulator.tracing.synthetic import RECIPES, draw, outlier_magnitude, parse_recipe
from tests.test_trace_store import edit_manifest, message, tensors, write


def naive_stats(x: np.ndarray) -> dict[str, Any]:
    """One value at a time, in Python's floats."""
    values = [float(v) for v in x.reshape(-1)]
    mean = math.fsum(values) / len(values)
    sigma = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    pairs = [0, 0, 0]
    for row in x.reshape(-1, x.shape[-1]):
        for k in range(0, len(row), 2):
            pairs[sum(abs(float(v) - mean) > 3 * sigma for v in row[k : k + 2])] += 1
    fourth = math.fsum((v - mean) ** 4 for v in values) / len(values)
    dims = sum(
        any(abs(float(row[k])) >= 6 for row in gemm)
        for gemm in x.reshape(-1, *x.shape[-2:])
        for k in range(x.shape[-1])
    )
    return {
        "mean": mean,
        "sigma": sigma,
        "absmax": max(map(abs, values)),
        "share_3sigma": (pairs[1] + 2 * pairs[2]) / len(values),
        "kurtosis": fourth / sigma**4 - 3 if sigma else 0.0,
        "pairs": tuple(pairs),
        "feature_dims": dims,
    }


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 23)),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "int8"]),
    seed=st.integers(0, 10_000),
)
def test_statistics_equal_the_formulas(shape: tuple[int, int, int], dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_t(2, shape) * 3 + rng.normal()
    values = np.clip(np.round(x), -128, 127).astype(np.int8) if dtype == "int8" else x.astype(np.dtype(dtype))
    got, want = tensor_stats(values), naive_stats(values)
    for key, value in want.items():
        assert getattr(got, key) == pytest.approx(value, rel=2e-5, abs=1e-5), key


def test_a_constant_tensor_has_no_outliers() -> None:
    stats = tensor_stats(np.full((4, 6), 7.0, np.float32))
    assert (stats.sigma, stats.share_3sigma, stats.kurtosis, stats.pairs, stats.feature_dims) == (
        0,
        0,
        0,
        (12, 0, 0),
        6,
    )


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from simulator.tracing import outliers

    x = np.random.default_rng(0).standard_t(3, (2, 50, 30)).astype(np.float32)
    whole = tensor_stats(x)
    monkeypatch.setattr(outliers, "_BLOCK_VALUES", 64)
    assert tensor_stats(x) == whole


@given(rows=st.integers(1, 300), kept=st.integers(1, 300))
def test_a_sample_of_rows_holds_row_0(rows: int, kept: int) -> None:
    chosen = kept_rows(rows, min(rows, kept))
    assert chosen[0] == 0
    assert len(set(chosen.tolist())) == min(rows, kept)
    assert chosen[-1] < rows
    assert np.diff(chosen, append=rows).max() <= -(-rows // min(rows, kept))


def test_traces_of_version_1_get_what_they_lack_from_their_tensors(tmp_path: Path) -> None:
    new = write(tmp_path / "toy")
    rows = describe(new)

    def older(manifest: dict[str, Any]) -> None:
        manifest["version"] = 1
        for op in manifest["ops"]:
            for side in ("a", "w"):
                for key in ("kurtosis", "pairs", "feature_dims"):
                    del op["stats"][side][key]

    edit_manifest(tmp_path / "toy", older)
    assert describe(open_trace(tmp_path / "toy")) == rows


def test_info_as_table_csv_json_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "toy", tensors())
    out = tmp_path / "out"
    assert cli.main(["trace", str(tmp_path / "toy"), "--info", "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "trace toy: 3 ops, 408 MACs, 416 B as the ops read it"
    assert printed[2] == "q: linear, 144 MACs"
    assert [line for line in printed if line.startswith("wrote")] == [
        f"wrote {out / name}"
        for name in ("outliers.csv", "outliers.json", "figures/outliers.png", "figures/outliers.svg")
    ]
    rows = describe(open_trace(tmp_path / "toy"))
    assert json.loads((out / "outliers.json").read_text()) == {"trace": "toy", "ops": rows}
    with (out / "outliers.csv").open() as file:
        assert [row["a_kurtosis"] for row in csv.DictReader(file)] == [str(row["a_kurtosis"]) for row in rows]
    assert (out / "figures" / "outliers.png").read_bytes().startswith(b"\x89PNG")
    assert "excess kurtosis" in (out / "figures" / "outliers.svg").read_text()


# Drawn tensors have the statistics that they state.

BIG = (1, 512, 3072)  # 1.6 million values


def drawn(text: str, shape: tuple[int, int, int] = BIG, seed: int = 0) -> np.ndarray:
    return draw(parse_recipe(text), shape, np.random.default_rng(seed))


@pytest.mark.parametrize("text", sorted({recipe for pair in RECIPES.values() for recipe in pair[:2]}))
def test_recipes_meet_their_numbers(text: str) -> None:
    recipe = parse_recipe(text)
    x = drawn(text)
    stats = tensor_stats(x)
    pairs = np.array(stats.pairs) / sum(stats.pairs)
    n = recipe.numbers
    if recipe.kind == "P":
        assert pairs[1] == pytest.approx(n[0], rel=0.08)
        assert pairs[2] == pytest.approx(n[1], rel=0.1)
        assert stats.absmax / stats.sigma == pytest.approx(n[2], rel=0.05)
    elif recipe.kind == "K":
        assert stats.kurtosis == pytest.approx(n[0], rel=0.02)
    elif recipe.kind == "C":
        columns = np.flatnonzero((np.abs(x[0]) >= 6).any(axis=0))
        assert len(columns) == n[0] == stats.feature_dims
        values = x[0][:, columns]
        high = values[np.abs(values) > 4.5]
        assert high.mean() == pytest.approx(n[2], rel=0.1)
        assert (np.abs(values) > 4.5).mean() == pytest.approx(n[1], rel=0.1)
        assert high.std() == pytest.approx(n[3], rel=0.15)
    else:
        assert recipe.kind == "M"
        assert (np.abs(x) > 1000 * np.abs(x).mean()).sum() == 4
        assert set(x[0, 0, [2533, 1415]]) == {2380, -1400}


@pytest.mark.parametrize(
    ("kurtosis", "share", "magnitude"),
    [
        (1818.56, 1 / 2048, 184.19),
        (1575.12, 1 / 2048, 121.26),
        (703.23, 1 / 2048, 53.94),
        (361.35, 1 / 2048, 38.60),
        (66.69, 1 / 2048, 21.33),
        (3076, 1 / 4096, 163.39),
        (1778, 1 / 4096, 89.03),
        (1018, 1 / 2048, 70.11),
        (80, 1 / 2048, 22.55),
    ],
)
def test_the_magnitude_that_gives_a_kurtosis(kurtosis: float, share: float, magnitude: float) -> None:
    """Against values that were found by search, and the definition itself."""
    found = outlier_magnitude(kurtosis, share)
    assert found == pytest.approx(magnitude, abs=0.006)
    fourth, second = 3 * (1 - share) + share * found**4, (1 - share) + share * found**2
    assert fourth / second**2 - 3 == pytest.approx(kurtosis)


def test_opts_outlier_columns_have_the_published_shape() -> None:
    """2048 x 4096 of OPT-6.7B: kurtosis about 415, the largest value about 42.7 sigma, 0.110% beyond 3 sigma."""
    stats = tensor_stats(drawn(RECIPES["opt_6_7b"][0], (1, 2048, 4096)))
    assert stats.kurtosis == pytest.approx(415, rel=0.05)
    assert stats.absmax / stats.sigma == pytest.approx(42.7, rel=0.08)
    assert stats.share_3sigma == pytest.approx(0.0011, rel=0.03)


@pytest.mark.parametrize("kind", ["N()", "P(0.01, 0.001)", "C(2, 0.5, -9, 3)", "K(80)", "M()"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (2, 7, 1), (2, 3, 4)])
def test_small_tensors_can_be_drawn(kind: str, shape: tuple[int, int, int]) -> None:
    x = drawn(kind, shape)
    assert x.shape == shape
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert np.array_equal(x, drawn(kind, shape))
    assert x.size == 1 or not np.array_equal(x, drawn(kind, shape, seed=1))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("K", "statistics 'K' are not understood; write them as K(3076) or P(0.0084, 0.0004, 325)"),
        ("X(1)", "unknown statistics 'X'; known: C, K, M, N, P"),
        ("K()", "statistics 'K()': K takes (kurtosis, share)"),
        ("M(1)", "statistics 'M(1)': M takes ()"),
        ("P(0.1)", "statistics 'P(0.1)': P takes (on, oo, largest)"),
        ("K(a)", "statistics 'K(a)': not a number among a"),
        ("K(nan)", "statistics 'K(nan)': K takes (kurtosis, share)"),
        ("K(3076, 0.001)", "statistics 'K(3076, 0.001)' cannot be met: "),
        ("P(0.2, 0.1)", "statistics 'P(0.2, 0.1)' cannot be met: "),
        ("C(1.5, 1, 0, 1)", "statistics 'C(1.5, 1, 0, 1)' cannot be met: "),
    ],
)
def test_statistics_that_make_no_sense(text: str, complaint: str) -> None:
    assert message(OlivineError, lambda: parse_recipe(text)).startswith(complaint)


def small_bert(tmp_path: Path, **options: Any) -> Any:
    return make_synthetic("synthetic:bert_base", tmp_path / "drawn", layers="*.qk", **options)


def test_a_synthetic_trace_says_so_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = small_bert(tmp_path, seed=3)
    record = trace.manifest.synthetic
    assert record is not None
    assert (record.activations, record.weights, record.seed) == ("K(3076, 0)", "P(0.0084, 0.0004, 325)", 3)
    assert (trace.name, trace.manifest.model.name) == ("drawn (synthetic)", "synthetic bert_base")
    assert trace.manifest.created.command == (
        "olivine trace synthetic:bert_base --out drawn --seed 3 --layers '*.qk' --dtype float16"
    )
    assert cli.main(["trace", str(tmp_path / "drawn"), "--info"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("trace drawn (synthetic): 1 op")
    assert "synthetic: activations K(3076, 0), weights P(0.0084, 0.0004, 325), seed 3" in printed


def test_a_study_on_drawn_tensors_says_so(tmp_path: Path) -> None:
    (tmp_path / "probe.yaml").write_text("name: probe\ngemms: [{name: up, M: 16, N: 12, K: 10, count: 2}]\n")
    make_synthetic(str(tmp_path / "probe.yaml"), tmp_path / "drawn", activations="K(80)", weights="N()")
    study = {"name": "s", "designs": ["int8_systolic"], "workloads": [str(tmp_path / "drawn")]}
    table = sim.run_study(study, out=tmp_path / "run")
    assert list(table["workload"]) == ["drawn (synthetic)"]
    assert open_trace(tmp_path / "drawn").manifest.synthetic.source == "activations as asked; weights as asked"
    page = (tmp_path / "run" / "index.html").read_text()
    assert "synthetic: tensors drawn from stated statistics" in page
    assert "tensors of a real model" not in page


def test_the_passes_and_shapes_are_the_workloads(tmp_path: Path) -> None:
    trace = small_bert(tmp_path)
    (op,) = trace.ops
    assert (op.M, op.N, op.K, op.count, op.kind) == (128, 128, 64, 144, "bmm")
    assert [(step.kind, step.count) for step in trace.manifest.passes] == [
        ("quantise", 144), ("quantise", 144), ("dequantise", 144), ("softmax", 144),
    ]  # fmt: skip
    assert trace.stats(op.name, "a").kurtosis == pytest.approx(3076, rel=0.05)


def test_large_ops_are_drawn_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simulator.study import synthetic

    whole = small_bert(tmp_path / "whole")
    monkeypatch.setattr(synthetic, "MOST_VALUES", 128 * 64 * 50)
    parts = small_bert(tmp_path / "parts")
    assert [op.name for op in parts.ops] == ["attention.qk.0", "attention.qk.1", "attention.qk.2"]
    assert sum(op.macs for op in parts.ops) == sum(op.macs for op in whole.ops)
    assert sum(p.rows * p.cols * p.count for p in parts.manifest.passes) == sum(
        p.rows * p.cols * p.count for p in whole.manifest.passes
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["synthetic:mamba_130x"], "unknown workload 'mamba_130x'"),
        (["synthetic:alexnet"], "no statistics are known for workload 'alexnet'; give activations and weights"),
        (["synthetic:bert_base", "--text", "x"], "--text: is for a model; synthetic tensors read nothing"),
        (["synthetic:bert_base", "--seed", "-1"], "--seed: must be at least 0, found -1"),
        (["synthetic:minilm-l6-sample"], "synthetic:minilm-l6-sample: has tensors already"),
        (["synthetic:"], "synthetic: names no workload"),
        (["somewhere", "--weights", "N()"], "--weights: is for synthetic:WORKLOAD; a model has its own"),
    ],
)
def test_unusable_requests(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", *arguments, "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.startswith(f"olivine: {complaint}")
    assert not (tmp_path / "x").exists()


def test_the_shipped_sample_is_not_synthetic() -> None:
    assert open_trace(shipped_dir("traces") / "minilm-l6-sample").name == "minilm-l6-sample"
