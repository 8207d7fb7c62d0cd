"""The README tells the truth: its table is the sample report's, its commands, study and code run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.cli import main
from simulator.study.assumptions import ASSUMPTIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [
    line.split("  #")[0].strip()
    for block in blocks("sh")
    for line in block.splitlines()
    if line.startswith("olivine ") and "SOURCE" not in line
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


def test_there_are_commands():
    assert len(COMMANDS) >= 9


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command, reports, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(command.replace("reports/", f"{reports}/"))[1:]
    if arguments[0] == "report" and not Path(arguments[1]).exists():
        assert main(["run", "demo", "--out", arguments[1]]) == 0
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_python_runs(tmp_path):
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", block], capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "True" in done.stdout, "the register-accurate result is exact"


def test_study_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    study, workload = blocks("yaml")
    (tmp_path / "block.yaml").write_text(workload, encoding="utf-8")
    block = tmp_path / "study.yaml"
    block.write_text("name: block\ndesigns: [int8_systolic]\nworkloads: [./block.yaml]\n", encoding="utf-8")
    assert main(["run", str(block), "--out", str(tmp_path / "block")]) == 0
    path = tmp_path / "bandwidth.yaml"
    path.write_text(study, encoding="utf-8")
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2 * 2


@pytest.mark.parametrize("sample", ["sample-demo", "sample-encodings"])
def test_tables_are_the_sample_reports(sample):
    summary = (ROOT / "reports" / sample / "tables" / "summary.md").read_text(encoding="utf-8").strip()
    assert summary in README


def test_assumptions_are_listed():
    flat = " ".join(README.split())
    for assumption in ASSUMPTIONS:
        assert assumption in flat


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_figures_of_the_sample_are_small_enough_to_check_in():
    for sample in (ROOT / "reports").glob("sample-*"):
        files = [p for p in sample.rglob("*") if p.is_file()]
        assert files
        assert sum(p.stat().st_size for p in files) < 4_000_000
