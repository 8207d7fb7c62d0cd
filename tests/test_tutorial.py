"""The tutorial: its files are what it shows, every command runs and, in ``make slow``, prints what it says."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.cli import main
from tests.doc_blocks import BLOCKS, ROOT, after, commands_of

EXAMPLES = ROOT / "docs" / "examples"
TUTORIAL = [block for block in BLOCKS if block.page == "tutorial.md"]
COMMANDS = [block for block in TUTORIAL if block.language == "sh"]
SMALL = "name: small\ngemms: [{name: fc, M: 12, N: 10, K: 33}, {name: qk, M: 12, N: 12, K: 16, kind: bmm}]\n"
RUN = "import sys; from simulator.cli import main; sys.exit(max([main(list(a)) for a in {}]))"


def test_the_file_has_sixty_lines():
    assert len((EXAMPLES / "tail4.py").read_text(encoding="utf-8").splitlines()) <= 60


def test_the_files_are_what_the_page_shows():
    texts = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.iterdir()) if path.suffix in (".py", ".yaml")]
    assert len(texts) == 4
    shown = [block.text for block in TUTORIAL if block.language in ("python", "yaml")]
    assert sorted(shown) == sorted(texts)


def run_in_one_process(arguments, cwd):
    """Several commands, as the plug-in's kernels need compiling only once then."""
    return subprocess.run(
        [sys.executable, "-c", RUN.format(repr(arguments))],
        capture_output=True, text=True, cwd=cwd, check=False, env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def small_copy(tmp_path_factory):
    """The examples with a trace of two small products in place of the real one."""
    folder = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(EXAMPLES, folder / "docs" / "examples")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    drawn = ["trace", f"synthetic:{folder / 'small.yaml'}", "--activations", "N()", "--weights", "N()"]
    assert main([*drawn, "--out", str(folder / "small")]) == 0
    for path in (folder / "docs" / "examples").glob("*.yaml"):
        path.write_text(
            path.read_text(encoding="utf-8").replace("minilm-l6-sample", str(folder / "small")), encoding="utf-8"
        )
    return folder


def test_every_command_runs_on_a_small_trace(small_copy):
    inline = (
        "--plugin docs/examples/tail4.py gemm docs/examples/tail4_systolic.yaml -m 64 -n 64 -k 64 --fidelity pe_array"
    )
    assert f"`olivine {inline}`" in (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    arguments = [shlex.split(command)[1:] for block in COMMANDS for command in commands_of(block)]
    assert [a[2] for a in arguments] == ["verify", "run", "run"]
    arguments[0] += ["--trace", str(small_copy / "small")]
    done = run_in_one_process([*arguments, shlex.split(inline)], small_copy)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok ") == 4
    assert (small_copy / "reports" / "tail4" / "index.html").exists()
    assert (small_copy / "reports" / "tail4_sweep" / "results.csv").exists()


@pytest.mark.slow
def test_verify_finds_one_wrong_entry_of_a_table(small_copy, tmp_path):
    text = (small_copy / "docs" / "examples" / "tail4.py").read_text(encoding="utf-8")
    wrong = tmp_path / "tail4.py"
    wrong.write_text(text.replace("33, 49, 50", "33, 49, 51"), encoding="utf-8")
    design = str(small_copy / "docs" / "examples" / "tail4_systolic.yaml")
    done = run_in_one_process(
        [["--plugin", str(wrong), "verify", design, "--trace", str(small_copy / "small")]], tmp_path
    )
    assert done.returncode == 1
    assert "FAILED" in done.stdout


@pytest.mark.slow
def test_the_page_shows_what_is_printed(tmp_path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for block in COMMANDS:
        done = run_in_one_process([shlex.split(command)[1:] for command in commands_of(block)], tmp_path)
        assert done.returncode == 0, done.stderr
        shown = after(block)
        if shown:
            assert shown.text.split() == done.stdout.split()
    sweep = (Path(tmp_path) / "reports" / "tail4_sweep" / "tables" / "summary.md").read_text(encoding="utf-8")
    for sqnr in ("9.8", "8.3", "4.6"):
        assert f"| {sqnr} |" in sweep
