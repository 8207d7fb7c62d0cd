"""A datapath by somebody else: installed, listed, run, held to the contract, and refused in one line when it is wrong.

Also what ``olivine verify`` says when one bit of one result is wrong, in such a datapath and in a shipped one.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from simulator import cli
from simulator.datapath.ovp import Ovp
from simulator.resources import shipped_dir
from simulator.study.workloads import resolve_workload
from simulator.tracing import open_trace

ROOT = Path(__file__).resolve().parents[1]
TRACE = "minilm-l6-sample"

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "int6-offset-datapath"
version = "1.0"

[project.entry-points."olivine.datapaths"]
int6_offset = "int6_offset"

[tool.hatch.build.targets.wheel]
only-include = ["int6_offset.py"]
"""

DATAPATH = '''\
"""Six-bit offset binary, four values in three bytes; activations of large magnitude cost a cycle each."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numba import njit

from simulator.datapath import Accumulation, Datapath, TileCosts, register
from simulator.formats import Format

OFFSET = 32


@dataclass(frozen=True)
class Int6Offset(Format):
    name: ClassVar[str] = "int6_offset"
    bits: ClassVar[int] = 6
    values_per_group: ClassVar[int] = 4
    max_normal: ClassVar[float] = 31

    def encode(self, x, scale):
        x = np.asarray(x, np.float32)
        q = np.clip(np.rint(x / np.asarray(scale, np.float32)), -31, 31).astype(np.int64) + OFFSET
        missing = -x.shape[-1] % 4
        q = np.concatenate([q, np.full((*x.shape[:-1], missing), OFFSET)], axis=-1)
        q = q.reshape(*x.shape[:-1], -1, 4)
        word = q[..., 0] << 18 | q[..., 1] << 12 | q[..., 2] << 6 | q[..., 3]
        packed = np.stack([word >> 16, word >> 8 & 0xFF, word & 0xFF], axis=-1)
        return packed.astype(np.uint8).reshape(*x.shape[:-1], -1)

    def decode(self, codes, length):
        word = codes.reshape(*codes.shape[:-1], -1, 3).astype(np.int32)
        word = word[..., 0] << 16 | word[..., 1] << 8 | word[..., 2]
        values = np.stack([(word >> shift & 63) - OFFSET for shift in (18, 12, 6, 0)], axis=-1)
        return values.reshape(*codes.shape[:-1], -1)[..., :length]


@njit
def _mac(state, act, weight):
    state[0] += act * weight


@register("int6_offset")
@dataclass(frozen=True)
class Int6OffsetMac(Datapath):
    slow_from: int = 24

    mac = staticmethod(_mac)

    @property
    def act_format(self):
        return Int6Offset()

    @property
    def weight_format(self):
        return Int6Offset()

    @property
    def accumulation(self):
        return Accumulation("int", 32)

    def actions_per_mac(self):
        return {"mac_int6_acc32": 1}

    def actions_per_operand(self, operand):
        return {"decode_int6_offset": 1}

    def area_bill(self, rows, cols):
        return {"pe_int6_acc32": rows * cols, "decoder_int6_offset": rows + cols}

    def edge_words(self, encoded, operand):
        bits = np.unpackbits(encoded.codes, axis=-1).reshape(len(encoded.codes), -1, 6)
        return (bits @ (1 << np.arange(5, -1, -1)))[:, : encoded.length] - OFFSET

    def matmul(self, act, weight):
        a, w = (self.edge_words(x, o).astype(np.float64) for x, o in ((act, "act"), (weight, "weight")))
        out = (a @ w.T).astype(np.int64)
        return out

    assumed_distribution = "Large activations: 0.2 % of all, drawn independently."

    def tile_costs(self, job):
        return replace(TileCosts.none(job.tiles), outlier_cycles=self._slow(job))

    def _slow(self, job):
        tiles = job.tiles
        if job.act is None:
            return np.random.default_rng(job.seed).binomial(tiles["m"] * tiles["k"], 0.002).astype(np.int64)
        slow = np.abs(self.edge_words(job.act, "act")) >= self.slow_from
        blocks = (slow[t["m0"] : t["m0"] + t["m"], t["k0"] : t["k0"] + t["k"]] for t in tiles)
        return np.array([np.count_nonzero(block) for block in blocks], np.int64)
'''

COST = """\
extends: open
name: int6_costs
actions:
  mac_int6_acc32: {component: mac, energy_pj: 1.7, source: "assumed: between int4 and int8"}
  decode_int6_offset: {component: decoder, energy_pj: 0.01, source: "assumed: one inverter"}
parts:
  pe_int6_acc32: {component: pe, area_um2: 640, leakage_nw: 12000, source: "assumed: between int4 and int8"}
  decoder_int6_offset: {component: decoder, area_um2: 10, leakage_nw: 100, source: "assumed: one inverter"}
"""

DESIGN = """\
name: int6_probe
clock_mhz: 500
array: {rows: 24, cols: 16}
datapath: {name: int6_offset, slow_from: 20}
quantisation: {activations: {calibration: absmax}, weights: {calibration: absmax}}
memory:
  act_buffer: {capacity_kib: 256}
  weight_buffer: {capacity_kib: 128}
  out_buffer: {capacity_kib: 128}
cost: ./int6_costs.yaml
"""

STUDY = f"""\
name: third_party
designs: [./int6_probe.yaml, int4_systolic]
workloads: [{TRACE}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The plug-in's sources, a design, a price list and a study, and ``site`` with the plug-in installed by pip."""
    for needed in ("pip", "hatchling"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is needed to install a plug-in; it comes with olivine[dev]")
    folder = tmp_path_factory.mktemp("third_party")
    files = {
        "plugin/pyproject.toml": PYPROJECT,
        "plugin/int6_offset.py": DATAPATH,
        "int6_costs.yaml": COST,
        "int6_probe.yaml": DESIGN,
        "study.yaml": STUDY,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", "site", "./plugin"]
    subprocess.run(command, cwd=folder, check=True, env=environment())
    return folder


def environment(site=None):
    """This process's environment with ``site`` first on the path and nothing of an outer pytest run."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != "PYTHONPATH"}
    return kept | ({"PYTHONPATH": str(site)} if site else {})


def python(*arguments, cwd, site=None):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(site), capture_output=True, text=True, timeout=300)


def olivine(*arguments, cwd, site=None):
    return python("-m", "simulator.cli", *arguments, cwd=cwd, site=site)


def listed(done):
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split()[0] for line in done.stdout.splitlines()]


def require_one_line(done, message):
    """Exit code 2, nothing on stdout, that one line on stderr."""
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"olivine: {message}\n")


def altered_site(folder, name, change):
    """A copy of the installed plug-in whose module went through ``change``."""
    site = folder / name
    shutil.copytree(folder / "site", site, ignore=shutil.ignore_patterns("__pycache__"))
    module = site / "int6_offset.py"
    module.write_text(change(module.read_text()))
    return site


# Installed


def test_an_installed_datapath_is_listed(folder):
    shipped = listed(olivine("list", "datapaths", cwd=folder))
    assert "int6_offset" not in shipped
    assert listed(olivine("list", "datapaths", cwd=folder, site=folder / "site")) == sorted([*shipped, "int6_offset"])


def test_an_installed_datapath_runs_in_a_study_on_the_shipped_trace(folder):
    done = olivine("run", "study.yaml", "--out", "run", cwd=folder, site=folder / "site")
    assert (done.returncode, done.stderr) == (0, "")
    results = pd.read_csv(folder / "run" / "results.csv").set_index("design")
    assert results.index.tolist() == ["int6_probe", "int4_systolic"]
    ours, int4 = results.loc["int6_probe"], results.loc["int4_systolic"]
    assert (ours["datapath"], bool(ours["exact"])) == ("int6_offset", True)
    assert ours["stall_outlier_cycles"] > 0 == int4["stall_outlier_cycles"]
    stalls = [ours[column] for column in results.columns if re.fullmatch(r"stall_.*_cycles", column)]
    assert ours["compute_cycles"] + sum(stalls) == ours["total_cycles"]
    assert 6 <= ours["act_bits_per_value"] < 6.1
    assert ours["sqnr_db"] > int4["sqnr_db"]
    assert (folder / "run" / "index.html").is_file()


def test_an_installed_datapath_is_held_to_the_contract(folder):
    """The contract's own tests pick it up: as many of them as each shipped datapath without variants gets."""
    tests = ["-m", "pytest", "-p", "no:cacheprovider", ROOT / "tests" / "test_datapath_contract.py"]
    done = python(*tests, "-k", "int6_offset", cwd=ROOT, site=folder / "site")
    assert done.returncode == 0, done.stdout
    passed = int(re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)[1])
    assert passed > 100
    assert not re.search(r"skipped|xfailed|xpassed", done.stdout)


def test_the_contract_tests_find_a_wrong_installed_datapath(folder):
    def forgets_a_carry(text):
        return text.replace("        return out\n", "        return out & ~np.int64(1 << 12)\n")

    site = altered_site(folder, "site_forgetful", forgets_a_carry)
    tests = ["-m", "pytest", "-p", "no:cacheprovider", ROOT / "tests" / "test_datapath_contract.py"]
    done = python(*tests, "-k", "int6_offset and matmul_is_the_reference", cwd=ROOT, site=site)
    assert done.returncode == 1
    assert re.search(r"^FAILED .*test_matmul_is_the_reference_on_adversarial_tensors\[", done.stdout, re.MULTILINE)


# An explicit file


def gemm(folder, *options, site=None):
    done = olivine(*options, "gemm", "int6_probe.yaml", "-m", 40, "-n", 30, "-k", 50, "--json", cwd=folder, site=site)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_explicit_file_works_as_an_installed_one(folder):
    plugin = ["--plugin", "plugin/int6_offset.py"]
    assert "int6_offset" in listed(olivine(*plugin, "list", "datapaths", cwd=folder))
    assert gemm(folder, *plugin) == gemm(folder, site=folder / "site")


def test_without_the_plugin_its_design_is_refused(folder):
    done = olivine("gemm", "int6_probe.yaml", "-m", 1, "-n", 1, "-k", 1, cwd=folder)
    assert done.returncode == 2
    assert re.fullmatch(
        r"olivine: int6_probe\.yaml:4: datapath\.name: unknown datapath 'int6_offset'; known: .*\n", done.stderr
    )


def test_a_datapath_without_prices_is_refused_by_name(folder):
    design = folder / "unpriced.yaml"
    design.write_text(DESIGN.replace("./int6_costs.yaml", "open"))
    done = olivine("gemm", design.name, "-m", 1, "-n", 1, "-k", 1, cwd=folder, site=folder / "site")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"olivine: unpriced\.yaml:10: cost: part 'pe_int6_acc32' has no price in cost library 'open'.*\n", done.stderr
    )


# One bit wrong


def complaints(stderr, design):
    """Check -> (op, position, GEMM, datapath, found, expected) of each line of ``olivine verify``."""
    pattern = re.compile(
        rf"olivine: {design}: (?P<check>[^:]*): (?P<op>.*): output \((?P<m>\d+), (?P<n>\d+)\)"
        r"(?: of GEMM (?P<gemm>\d+))?: datapath '(?P<datapath>\w+)' gave (?P<found>-?\d+), "
        r"the exact reference is (?P<expected>-?\d+)"
    )
    lines = [pattern.fullmatch(line) for line in stderr.splitlines()]
    assert all(lines), stderr
    return {line["check"]: line for line in lines}


def test_verify_names_layer_position_and_values_of_a_wrong_bit(folder):
    broken = folder / "broken.py"
    flipped = DATAPATH.replace("        return out\n", "        out[-1, -1] ^= 4\n        return out\n")
    assert flipped != DATAPATH
    broken.write_text(flipped)
    done = olivine("--plugin", broken.name, "verify", "int6_probe.yaml", cwd=folder)
    assert done.returncode == 1
    found = complaints(done.stderr, "int6_probe")
    assert list(found) == [f"values on {TRACE}", "values on adversarial tensors"]
    first = resolve_workload(TRACE).ops[0]
    complaint = found[f"values on {TRACE}"]
    assert complaint["op"] == first.name
    assert (int(complaint["m"]), int(complaint["n"])) == (first.M - 1, first.N - 1)
    for complaint in found.values():
        assert complaint["datapath"] == "int6_offset"
        assert int(complaint["found"]) == int(complaint["expected"]) ^ 4
    verdicts = [re.search(r"(ok|FAILED)  ", line)[1] for line in done.stdout.splitlines()]
    assert verdicts == ["FAILED", "FAILED", "ok", "ok"]


def test_verify_finds_one_wrong_bit_in_one_gemm_of_a_shipped_datapath(monkeypatch, capfd):
    """The tenth GEMM of the trace, and nothing else."""
    right, calls, flipped = Ovp.matmul, [], {}

    def wrong(self, act, weight):
        out = right(self, act, weight)
        calls.append(out.shape)
        if len(calls) == 10:
            flipped["value"] = int(out[3, 7])
            out[3, 7] ^= 1 << 5
        return out

    monkeypatch.setattr(Ovp, "matmul", wrong)
    assert cli.main(["verify", "olive_systolic"]) == 1
    printed = capfd.readouterr()
    gemms = [(op.name, index) for op in open_trace(shipped_dir("traces") / TRACE).ops for index in range(op.count)]
    op, index = gemms[9]
    found = complaints(printed.err, "olive_systolic")
    assert list(found) == [f"values on {TRACE}"]
    complaint = found[f"values on {TRACE}"]
    assert (complaint["op"], int(complaint["gemm"] or 0)) == (op, index)
    assert (complaint["m"], complaint["n"], complaint["datapath"]) == ("3", "7", "ovp")
    assert int(complaint["expected"]) == flipped["value"]
    assert int(complaint["found"]) == flipped["value"] ^ 32
    assert printed.out.count("FAILED") == 1


# Plug-ins that are refused


def test_two_datapaths_of_one_name_are_an_error(folder):
    files = [(folder / p).resolve() for p in ("plugin/int6_offset.py", "site/int6_offset.py")]
    done = olivine("--plugin", files[0], "list", "datapaths", cwd=folder, site=folder / "site")
    origins = " and ".join(f"{file}:Int6OffsetMac" for file in files)
    require_one_line(done, f"two datapaths are named 'int6_offset': {origins}; rename one")


def test_two_installed_datapaths_of_one_name_are_an_error(folder):
    site = altered_site(folder, "site_twice", lambda text: text)
    (site / "another.py").write_text(DATAPATH)
    metadata = site / "another-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[olivine.datapaths]\nanother = another\n")
    done = olivine("gemm", "int6_probe.yaml", "-m", 1, "-n", 1, "-k", 1, cwd=folder, site=site)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert re.match(r"olivine: two datapaths are named 'int6_offset': .*; rename one$", done.stderr)
    assert {f"{site / file}:Int6OffsetMac" in done.stderr for file in ("another.py", "int6_offset.py")} == {True}


def test_a_shipped_name_cannot_be_taken(folder):
    taker = folder / "taker.py"
    taker.write_text(DATAPATH.replace('register("int6_offset")', 'register("ovp")'))
    done = olivine("--plugin", taker.name, "list", "datapaths", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("olivine: two datapaths are named 'ovp': ")
    assert f"{taker.resolve()}:Int6OffsetMac" in done.stderr


def test_an_installed_plugin_that_raises_is_named(folder):
    site = altered_site(folder, "site_raising", lambda text: text + '\nraise RuntimeError("no licence")\n')
    done = olivine("list", "datapaths", cwd=folder, site=site)
    require_one_line(
        done,
        "datapath plug-in 'int6_offset' of int6-offset-datapath cannot be loaded: RuntimeError('no licence')",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("gemm", "int6_probe.yaml", "-m", "4", "-n", "4", "-k", "8"),
        ("run", "study.yaml"),
        ("run", "study.yaml", "--workers", "2"),
    ],
    ids=["gemm", "run", "workers"],
)
def test_a_plugin_that_fails_at_work_is_named_with_its_line(folder, arguments):
    failing = (folder / "failing.py").resolve()
    failing.write_text(
        DATAPATH.replace("job.seed).binomial", "job.sede).binomial").replace("slow = np.abs", "slow = np.sba")
    )
    wrong = "job.sede" if arguments[0] == "gemm" else "np.sba"
    line = 1 + next(i for i, text in enumerate(failing.read_text().splitlines()) if wrong in text)
    what = "'Job' object has no attribute 'sede'" if wrong == "job.sede" else "module 'numpy' has no attribute 'sba'"
    done = olivine("--plugin", "failing.py", *arguments, cwd=folder)
    blame = (
        f"{failing}:{line}: datapath 'int6_offset' failed in _slow: AttributeError: {what}; "
        "OLIVINE_TRACEBACK=1 shows the whole traceback\n"
    )
    if arguments[0] == "gemm":
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"olivine: {blame}")
    else:
        some = f"1 of 2 points failed, e.g. int6_probe on {Path(TRACE).name}: "
        assert (done.returncode, done.stderr) == (1, f"olivine: {some}{blame}")
        table = pd.read_csv(folder / "reports" / "third_party" / "results.csv")
        assert table["total_cycles"].notna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("raises.py", "raise RuntimeError('no licence')", "raises.py: cannot be loaded: RuntimeError('no licence')"),
        ("empty.py", "", "empty.py: registers no datapath; decorate a class with @register('name')"),
        ("missing.py", None, "missing.py: no such datapath file"),
        ("text.txt", "", "text.txt: a datapath file is a Python file ending in .py"),
        (
            "unfinished.py",
            DATAPATH.replace("def actions_per_mac", "def actions_per_MAC").replace("def matmul", "def product"),
            "datapath 'int6_offset' ({path}:Int6OffsetMac) does not define actions_per_mac, matmul",
        ),
        (
            "without_mac.py",
            DATAPATH.replace("    mac = staticmethod(_mac)\n", ""),
            "datapath 'int6_offset' ({path}:Int6OffsetMac) must be a frozen dataclass with a 'mac' function",
        ),
        (
            "thawed.py",
            DATAPATH.replace("@dataclass(frozen=True)\nclass Int6OffsetMac", "@dataclass\nclass Int6OffsetMac"),
            "datapath 'int6_offset' ({path}:Int6OffsetMac) must be a frozen dataclass with a 'mac' function",
        ),
    ],
    ids=["raises", "empty", "missing", "text", "unfinished", "without mac", "thawed"],
)
def test_files_that_are_no_datapath_are_refused(tmp_path, name, text, message):
    path = (tmp_path / name).resolve()
    if text is not None:
        path.write_text(text)
    require_one_line(olivine("--plugin", name, "list", "datapaths", cwd=tmp_path), message.format(path=path))
