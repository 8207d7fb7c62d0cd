"""The README and docs/ tell the truth: commands, studies and code run, YAML is right, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator

from simulator.cli import app, main
from simulator.resources import shipped_names
from simulator.study.assumptions import ASSUMPTIONS
from simulator.study.schema import document_schema, known_definitions
from tests.doc_blocks import BLOCKS, PAGES, ROOT, after, commands_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_RUN = 11
"""Blocks that say why they are not run. One more needs a reason as good as theirs, and this number."""
SHELL = [block for block in BLOCKS if block.language in ("sh", "bash", "console")]
FOLDERS = ("benchmarks", "configs", "docs", "traces", "workloads")


def _what(command: str) -> str:
    """A command without where it writes: what is run once needs no second run."""
    return re.sub(r" --out \S+", "", command)


COMMANDS: dict[str, tuple[str, str | None]] = {}
for _block in SHELL:
    for _command in (
        () if _block.excuse or _block.page == "tutorial.md" else commands_of(_block)
    ):  # see test_tutorial.py
        _shown = after(_block) if len(commands_of(_block)) == 1 else None
        if _command.startswith("olivine ") and _what(_command) not in map(_what, COMMANDS):
            COMMANDS[_command] = (_block.place, _shown.text if _shown else None)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like the repository, for runs to write to."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_there_are_commands():
    assert len(COMMANDS) >= 24
    assert len([block for block in BLOCKS if block.language == "yaml"]) >= 16


def test_what_is_not_run_says_why():
    excused = [block for block in BLOCKS if block.excuse]
    assert len(excused) == NOT_RUN, "\n".join(f"{block.place}: {block.excuse}" for block in excused)
    for block in excused:
        assert len(block.excuse) > 20, block.place
        for test in re.findall(r"(test_\w+\.py)", block.excuse):
            assert (ROOT / "tests" / test).exists(), f"{block.place}: {test}"


def test_every_block_is_of_a_known_kind():
    readers = {"json": json.loads, "toml": tomllib.loads}
    for block in BLOCKS:
        assert block.language in ("sh", "python", "yaml", "text", *readers), block.place
        readers.get(block.language, str)(block.text)
        assert block.language != "text" or not re.search("^(olivine|pip|make) ", block.text, re.MULTILINE), block.place


def test_other_commands_are_known():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in SHELL:
        for command in commands_of(block):
            if command.startswith("make "):
                assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), f"{block.place}: {command}"
            else:
                assert command.startswith("olivine ") or block.excuse, f"{block.place}: {command}"
    assert re.search(r"^demo:.*\n\t\$\(BIN\)/olivine run configs/studies/demo.yaml$", makefile, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("COLUMNS", "80")
    arguments = shlex.split(command)[1:]
    if arguments[0] == "report" and not Path(arguments[1]).exists():
        assert main(["run", "demo", "--out", arguments[1]]) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    place, shown = COMMANDS[command]
    assert printed
    assert shown is None or shown.split() == printed.split(), f"{place} shows something else"


# Commands in running text: the verb, its options and the names that are shipped

INLINE = sorted({span for page in PAGES for span in re.findall(r"`(olivine [^`]+)`", page.read_text(encoding="utf-8"))})
EXCUSED = {
    command for block in SHELL if block.excuse for command in commands_of(block) if command.startswith("olivine ")
}
SHIPPED = {"run": "configs/studies", "sensitivity": "configs/studies", "gemm": "configs/designs"}


@pytest.mark.parametrize("command", [*INLINE, *sorted(EXCUSED)])
def test_command_in_text_exists(command):
    arguments = shlex.split(command)[1:]
    if arguments[0] == "--plugin":
        arguments = arguments[2:]
    verbs = typer.main.get_command(app).commands
    assert arguments[0] in verbs, command
    known = {name for option in verbs[arguments[0]].params for name in (*option.opts, *option.secondary_opts)}
    for argument in arguments[1:]:
        assert not argument.startswith("-") or argument in known, f"{command}: {argument}"
    name = arguments[1] if len(arguments) > 1 else ""
    if arguments[0] in SHIPPED and re.fullmatch(r"[a-z0-9_]+", name):
        assert name in shipped_names(SHIPPED[arguments[0]]), command


# YAML

RECORDS = ("Study", "SystolicDesign-part", "TensorCoreDesign-part", "WorkloadSpec-part", "CostLibrary-part")
YAML = [block for block in BLOCKS if block.language == "yaml"]


@cache
def validators():
    """Of whole documents, of some keys of one, and of lists of kernels."""
    known = known_definitions()
    known.whole("Kernel")
    whole = [document_schema(kind) for kind in ("study", "design", "workload", "cost")]
    keys = {name: schema for one in whole for name, schema in one["$defs"].items()} | known.all
    some = [
        {"$defs": keys, "type": "object", "properties": keys[name]["properties"], "additionalProperties": False}
        for name in RECORDS
    ]
    kernels = {"$defs": keys, "type": "array", "items": {"$ref": "#/$defs/Kernel"}}
    return [Draft202012Validator(schema) for schema in (*whole, *some, kernels)]


@pytest.mark.parametrize("block", YAML, ids=[block.place for block in YAML])
def test_yaml_is_right(block):
    data = yaml.safe_load(block.text)
    wrong = [list(validator.iter_errors(data)) for validator in validators()]
    assert not all(wrong), f"{block.place}: {min(wrong, key=len)[0].message}"


def test_a_study_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    study, workload = [block.text for block in YAML if block.page == "README.md"]
    (tmp_path / "block.yaml").write_text(workload, encoding="utf-8")
    block = tmp_path / "study.yaml"
    block.write_text("name: block\ndesigns: [int8_systolic]\nworkloads: [./block.yaml]\n", encoding="utf-8")
    assert main(["run", str(block), "--out", str(tmp_path / "block")]) == 0
    path = tmp_path / "bandwidth.yaml"
    path.write_text(study, encoding="utf-8")
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2 * 2


# Python

PYTHON = [b for b in BLOCKS if b.language == "python" and not b.excuse and b.page != "tutorial.md"]


@pytest.mark.parametrize("block", PYTHON, ids=[block.place for block in PYTHON])
def test_python_runs(block, tmp_path):
    _run_python(block.text, tmp_path, expect="True" if "checked.exact" in block.text else "")


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_runs(path, tmp_path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        assert (cell["outputs"], cell["execution_count"]) == ([], None), "notebooks are kept without output"
    _run_python("\n\n".join("".join(cell["source"]) for cell in cells), tmp_path)


def _run_python(text, folder, expect=""):
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert expect in done.stdout


# What the pages say


@pytest.mark.parametrize("sample", ["sample-demo", "sample-encodings"])
def test_tables_are_the_sample_reports(sample):
    summary = (ROOT / "reports" / sample / "tables" / "summary.md").read_text(encoding="utf-8").strip()
    assert summary in README


def test_assumptions_are_listed():
    flat = " ".join(README.split())
    for assumption in ASSUMPTIONS:
        assert assumption in flat


GENERATED = ("reference/", "assumptions.md")
"""Pages that exist on the site alone; test_site.py follows links to them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith(GENERATED) or (page.parent / target).exists(), target


def test_figures_of_the_sample_are_small_enough_to_check_in():
    for sample in (ROOT / "reports").glob("sample-*"):
        files = [p for p in sample.rglob("*") if p.is_file()]
        assert files
        assert sum(p.stat().st_size for p in files) < 4_000_000
