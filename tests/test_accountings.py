"""Studies beside a study: one table of the same designs at the sizes and prices of each."""

from __future__ import annotations

import json
import math
import re

import pytest
import yaml

import simulator as sim
from simulator import cli
from simulator.errors import ConfigError
from simulator.report.accountings import accountings

WORKLOADS = [{"name": n, "gemms": [{"name": "qk", "M": m, "N": 96, "K": 64}]} for n, m in (("a", 64), ("b", 200))]
BASE = {"designs": ["int8_systolic", "int4_systolic"], "workloads": WORKLOADS, "baseline": "int8_systolic"}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("simulator.report.figures.write_figures", lambda *_: [])


def written(tmp_path, **changes):
    """A study and, beside it, one whose arrays are of equal area."""
    other = BASE | {"name": "sized", "normalise": "iso_area"} | changes.pop("other", {})
    (tmp_path / "sized.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    beside = {"over": "int4_systolic", "text": "as they are", "studies": [{"study": "sized.yaml", "text": "sized"}]}
    study = BASE | {"name": "own", "beside": beside | changes.pop("beside", {})} | changes
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return tmp_path / "own.yaml", tmp_path / "sized.yaml"


def test_the_table_holds_what_either_study_says_by_itself(tmp_path):
    own, sized = written(tmp_path)
    results = sim.run_study(own, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    table = accountings(manifest["beside"])
    alone = {"as they are": results, "sized": sim.run_study(sized, tmp_path / "alone")}
    assert list(zip(table["design"], table["accounting"], strict=True)) == [
        (design, accounting) for design in BASE["designs"] for accounting in alone
    ]
    for _, row in table.iterrows():
        rows = alone[row["accounting"]].set_index(["design", "workload"])
        mine, over = rows.loc[row["design"]], rows.loc["int4_systolic"]
        assert (row["rows"], row["cols"]) == (mine["rows"].iloc[0], mine["cols"].iloc[0])
        assert row["macs_per_cycle"] == row["rows"] * row["cols"]
        for ratio, column in (("time_ratio", "latency_s"), ("energy_ratio", "energy_total_pj")):
            logs = [math.log(mine.loc[w, column] / over.loc[w, column]) for w in ("a", "b")]
            assert row[ratio] == pytest.approx(math.exp(sum(logs) / 2), rel=1e-12)
        core = [r["area_part_pe_um2"].iloc[0] / r["rows"].iloc[0] / r["cols"].iloc[0] for r in (mine, over)]
        assert row["area_ratio"] == pytest.approx(core[0] / core[1], rel=1e-12)
    assert len(results) == 4  # the other study is in the table alone


def test_page_and_tables_have_it_and_lose_it_again(tmp_path, capsys):
    own, _ = written(tmp_path)
    out = tmp_path / "run"
    assert cli.main(["run", str(own), "--out", str(out)]) == 0
    assert "6 points run, 2 found in the store" in capsys.readouterr().out
    page = (out / "index.html").read_text(encoding="utf-8")
    assert 'id="accountings"' in page
    assert "as they are" in page
    assert (out / "tables" / "accountings.md").read_text(encoding="utf-8").count("| sized |") == 2
    assert cli.main(["run", str(own), "--out", str(out)]) == 0
    assert "0 points run, 8 found in the store" in capsys.readouterr().out
    assert cli.main(["report", str(out)]) == 0
    assert (out / "index.html").read_text(encoding="utf-8").count('id="accountings"') == 1
    sim.run_study(BASE | {"name": "own"}, out)
    assert not (out / "tables" / "accountings.md").exists()
    assert 'id="accountings"' not in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"beside": {"over": "int4"}},
            "beside.over: 'own' has no design 'int4'; designs: int8_systolic, int4_systolic",
        ),
        (
            {"other": {"designs": ["int8_systolic"]}},
            "beside.studies[0].study: 'sized' has no design 'int4_systolic'; did you mean 'int8_systolic'?",
        ),
        (
            {"other": {"sweep": {"clock_mhz": [250.0, 500.0]}}},
            "beside.studies[0].study: 'sized' has sweep axes; a study beside another has none",
        ),
        ({"sweep": {"clock_mhz": [250.0]}}, "beside: compares whole studies; take out the sweep axes"),
        (
            {"beside": {"studies": [{"study": "sized.yaml", "text": "as they are"}]}},
            "beside.studies[0].text: another study has the same text; say what differs",
        ),
    ],
)
def test_what_cannot_stand_beside_is_one_line(tmp_path, changes, message):
    own, _ = written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        sim.run_study(own, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_study_that_is_not_there_is_one_line(tmp_path):
    own, _ = written(tmp_path, beside={"studies": [{"study": "no_such", "text": "x"}]})
    with pytest.raises(ConfigError, match=r"own\.yaml:\d+: beside\.studies\[0\]\.study: .*no_such"):
        sim.run_study(own, tmp_path / "run")
