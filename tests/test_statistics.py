"""``statistics`` of a workload: tensors drawn while a study runs; the same as a synthetic trace's, and called so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator as sim
from simulator.errors import OlivineError
from simulator.study.synthetic import make_synthetic
from simulator.study.workloads import resolve_workload
from simulator.tracing.outliers import tensor_stats

GEMMS = [
    {"name": "up", "M": 40, "N": 48, "K": 64},
    {"name": "qk", "M": 16, "N": 16, "K": 32, "count": 3, "kind": "bmm"},
]
HOW = {"activations": "C(2, 0.5, 20, 1)", "weights": "P(0.01, 0.0005, 20)", "seed": 3}
PROBE: dict[str, Any] = {"name": "probe", "gemms": GEMMS, "statistics": HOW}
COLUMNS = ["op", "total_cycles", "energy_total_pj", "sqnr_db", "exact"]


def study(workload: Any, **more: Any) -> dict[str, Any]:
    return {"name": "s", "designs": ["olive_systolic"], "workloads": [workload], **more}


def test_a_study_draws_what_a_synthetic_trace_holds(tmp_path: Path) -> None:
    """Cycles, energy and SQNR of every op, and what the report and the manifest call it."""
    spec = tmp_path / "probe.yaml"
    spec.write_text(json.dumps({"name": "probe", "gemms": GEMMS}))
    make_synthetic(
        str(spec), tmp_path / "t", activations=HOW["activations"], weights=HOW["weights"], seed=3, dtype="float32"
    )
    table = sim.run_study(study(PROBE), out=tmp_path / "run")
    sim.run_study(study(str(tmp_path / "t")), out=tmp_path / "traced")
    ours, theirs = (pd.read_parquet(tmp_path / name / "layers.parquet") for name in ("run", "traced"))
    kept = [c for c in COLUMNS if c in ours.columns]
    assert {"total_cycles", "sqnr_db"} <= set(kept)
    pd.testing.assert_frame_equal(ours[kept], theirs[kept])
    assert table["workload"].tolist() == ["probe (synthetic)"]
    assert table["exact"].all()
    (workload,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["workloads"]
    assert workload["kind"] == "synthetic"
    assert workload["provenance"]["synthetic"] == HOW | {"source": "activations as asked; weights as asked"}
    assert "synthetic: tensors drawn from stated statistics" in (tmp_path / "run" / "index.html").read_text()


def test_seeds_and_statistics_decide() -> None:
    one, same = (resolve_workload(PROBE) for _ in range(2))
    other = resolve_workload(PROBE | {"statistics": HOW | {"seed": 4}})
    plain = resolve_workload({"name": "probe", "gemms": GEMMS})
    assert len({one.fingerprint, other.fingerprint, plain.fingerprint}) == 3
    assert plain.tensors(0) is None
    first, second, third = (w.tensors(0) for w in (one, same, other))
    assert first is not None
    assert second is not None
    assert third is not None
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], third[0])
    assert tensor_stats(first[0]).feature_dims == 2
    drawn = one.tensors(1)
    assert drawn is not None
    assert tensor_stats(drawn[1][0]).feature_dims == 2, "the second operand of two activations is one"


def test_published_ones_by_name_and_for_a_whole_study(tmp_path: Path) -> None:
    known = resolve_workload({"extends": "bert_base", "statistics": {}})
    assert known.name == "bert_base (synthetic)"
    assert known.provenance["synthetic"]["activations"] == "K(3076, 0)"
    asked = study(
        {"name": "probe", "gemms": GEMMS}, set={"workload.statistics": {"activations": "N()", "weights": "N()"}}
    )
    assert sim.run_study(asked, out=tmp_path / "run")["workload"].tolist() == ["probe (synthetic)"]


WRONG = {
    "not understood": (
        {"activations": "K(3076", "weights": "N()"},
        "statistics: statistics 'K(3076' are not understood",
    ),
    "not known": ({}, "statistics: no statistics are known for workload 'probe'; give activations and weights"),
    "misspelt": ({"activation": "N()"}, "statistics.activation: unknown key; did you mean 'activations'?"),
    "no seed": (HOW | {"seed": -1}, "statistics.seed: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str) -> None:
    how, message = WRONG[case]
    with pytest.raises(OlivineError) as caught:
        resolve_workload(PROBE | {"statistics": how})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
