"""The wheel is whole: installed elsewhere, without the checkout, it lists and runs what it ships."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("designs", "workloads", "traces", "studies", "drams", "costs", "datapaths", "formats")

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling, the build backend, is absent"),
    pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is absent"),
]


def pip(*args: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ".")
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs Python with the wheel's package before all others, in a folder that holds nothing of the checkout."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def python(*args: object) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *map(str, args)],
            capture_output=True,
            text=True,
            cwd=empty,
            env=environment,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    found = python("-c", "import simulator; print(simulator.__file__)").strip()
    assert Path(found).is_relative_to(site)
    return python, site, empty


def test_wheel_holds_what_is_shipped_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = [Path(name).relative_to("simulator/_shipped") for name in names if name.startswith("simulator/_shipped/")]
    assert {path.parts[0] for path in shipped} == {"configs", "workloads", "traces"}
    assert all((ROOT / path).read_bytes() for path in shipped)
    assert sum(path.suffix == ".safetensors" for path in shipped) >= 3
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"simulator"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".nbi", ".nbc", ".pyc", ".sqlite"))]


def test_lists_are_those_of_the_checkout(installed):
    """Asked of two new processes: in this one, other test files may have registered datapaths of their own."""
    python, _, _ = installed
    code = (
        "import json\nfrom simulator.study.describe import list_names\n"
        f"print(json.dumps({{kind: list_names(kind) for kind in {KINDS!r}}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(python("-c", code)) == json.loads(done.stdout)


def test_command_is_installed(installed):
    python, site, _ = installed
    version = python(site / "bin" / "olivine", "--version")
    assert version == python("-m", "simulator.cli", "--version")
    assert version.startswith("olivine ")


def test_gemm(installed):
    python, _, _ = installed
    data = json.loads(python("-m", "simulator.cli", "gemm", "int8_systolic", "-m", 16, "-n", 16, "-k", 16, "--json"))
    assert data["macs"] == 16**3


def test_vectors(installed):
    """The testbench's template is in the package."""
    python, _, empty = installed
    python("-m", "simulator.cli", "vectors", "olive_systolic", "--out", "vectors", "-m", 3, "-n", 3, "-k", 3)
    assert "module olivine_tb;" in (empty / "vectors" / "testbench.sv").read_text(encoding="utf-8")
    shutil.rmtree(empty / "vectors")


def test_demo_runs_by_its_path_in_the_checkout(installed):
    """The README's command, where there is no such file."""
    python, _, empty = installed
    assert not (empty / "configs").exists()
    out = python("-m", "simulator.cli", "run", "configs/studies/demo.yaml", "--out", "x")
    assert "4 points run, 0 found in the store" in out
    rows = (empty / "x" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [
        "fp16_systolic",
        "int8_systolic",
        "int4_systolic",
        "olive_systolic",
    ]
    assert (empty / "x" / "index.html").is_file()
    assert {p.name for p in empty.iterdir()} == {"x"}
