"""The study of measured A100 times: within 8 % on average, and what is measured is shown and checked."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

import simulator as sim
from simulator.config import load_study
from simulator.errors import ConfigError
from simulator.report.measured import measured_rows, measured_table

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "a100_matmul_calibration.csv"
PROBE = {
    "name": "probe",
    "designs": ["a100"],
    "workloads": [{"name": "one", "gemms": [{"name": "qk", "M": 64, "N": 64, "K": 64}]}],
    "measured": {"source": "nobody", "times": [{"workload": "one", "op": "qk", "time_us": 20.0}]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    sim.run_study("a100_validation", out=folder)
    return folder, pd.read_parquet(folder / "layers.parquet")


def test_ours_is_within_eight_percent_of_measured_times(run):
    errors = measured_rows(run[1])["error"].abs()
    assert len(errors) == 5
    assert errors.mean() < 0.08
    assert errors.max() < 0.12


def test_errors_are_those_of_the_table_and_the_page(run):
    folder, layers = run
    table = measured_table(layers)
    assert table["Op"].tolist()[-1] == "mean absolute error"
    assert float(table["Error (%)"].tolist()[-1]) == pytest.approx(
        100 * measured_rows(layers)["error"].abs().mean(), abs=0.05
    )
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Beside measurements" in page
    assert "LLMCompass" in page
    assert (folder / "figures" / "measured.png").stat().st_size > 5000
    assert (folder / "tables" / "measured.md").exists()


def test_the_measured_times_are_those_of_the_source():
    if not SHARED.exists():
        pytest.skip("the team's copy of the measured times is not here")
    lines = [line for line in SHARED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    expected = {
        f"{row['M']} x {row['N']} x {row['K']}": 1e3 * float(row["latency_ms"]) for row in csv.DictReader(lines)
    }
    study, _ = load_study("a100_validation")
    assert {time.op: time.time_us for time in study.measured.times} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": "kq"}, "measured.times[0].op: 'kq' is no op of the study; ops: qk"),
        ({"workload": "two"}, "measured.times[0].workload: 'two' is no workload of the study"),
        ({"time_us": 0.0}, "measured.times[0].time_us: must be greater than 0"),
    ],
)
def test_times_of_nothing_are_refused(change, message, tmp_path):
    wrong = PROBE | {"measured": {"source": "nobody", "times": [PROBE["measured"]["times"][0] | change]}}
    with pytest.raises(ConfigError) as error:
        sim.run_study(wrong, out=tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()
