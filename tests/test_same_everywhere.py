"""In this process, in others and on a Dask cluster: the same run folder, byte for byte."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from simulator import cli
from tests.test_cluster import quiet_cluster

pytestmark = pytest.mark.filterwarnings("ignore:.*", "default::pytest.PytestUnraisableExceptionWarning")

STUDY = """name: same
designs: [int8_systolic, mine.yaml]
workloads:
  - work.yaml
sweep:
  array.rows: [4, 8, 16, 40000]
  array.cols: [8, 12]
baseline: int8_systolic
"""
WORK = "{name: work, gemms: [{name: up, M: 20, N: 30, K: 40}, {name: qk, M: 9, N: 9, K: 9, count: 2}]}\n"
PLUGIN = """
from dataclasses import dataclass
from simulator.datapath import register
from simulator.datapath.int_mac import IntMac

@register("my_mac")
@dataclass(frozen=True)
class MyMac(IntMac):
    def matmul(self, *args, **kwargs):
        return super().matmul(*args, **kwargs)
"""
FILES = ("results.csv", "results.parquet", "layers.parquet")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.report.figures.write_figures", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    Path("work.yaml").write_text(WORK)
    Path("mine.yaml").write_text("name: mine\nextends: int8_systolic\ndatapath: {name: my_mac}\n")
    Path("plugin.py").write_text(PLUGIN)
    return tmp_path


@pytest.fixture(scope="module")
def address():
    with quiet_cluster(2) as cluster:
        yield cluster.scheduler_address


def run(out, *options):
    """Run from beside the study, by relative names; a file's bytes by name."""
    assert cli.main(["--plugin", "plugin.py", "run", "study.yaml", "--out", out, *options]) in (0, 1)
    return {name: (Path(out) / name).read_bytes() for name in FILES}


def test_three_executors_leave_the_same_tables(folder, address, capsys):
    inline = run("inline", "--workers", "1")
    assert run("local", "--workers", "2") == inline
    assert run("dask", "--scheduler", address) == inline
    assert inline["results.csv"].count(b"\n") == 17
    assert b"my_mac" in inline["results.csv"]


def stored(out):
    path = Path(out) / "results.sqlite"
    if not path.exists():
        return 0
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(*) FROM points").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def test_a_dask_worker_killed_in_a_run_costs_no_result(folder, capsys):
    inline = run("inline", "--workers", "1")
    with quiet_cluster(2) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]

        def kill_one():
            while not stored("dask"):
                time.sleep(0.01)
            os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        assert run("dask", "--scheduler", cluster.scheduler_address) == inline
        killer.join()


def test_no_scheduler_is_one_line_and_nothing_is_written(folder, capsys, monkeypatch):
    monkeypatch.setattr("simulator.study.executors.cluster._CONNECT_S", 0.5)
    Path("study.yaml").write_text(STUDY.replace(", mine.yaml", ""))
    assert (
        cli.main(["--plugin", "plugin.py", "run", "study.yaml", "--out", "out", "--scheduler", "tcp://127.0.0.1:9"])
        == 2
    )
    printed = capsys.readouterr()
    assert printed.err.startswith("olivine: --scheduler: no Dask scheduler answers at 'tcp://127.0.0.1:9' (")
    assert printed.err.count("\n") == 1
    assert not Path("out").exists()


def test_an_analysis_on_a_cluster_leaves_the_same_table(folder, address, capsys):
    study = STUDY.replace("  array.rows: [4, 8, 16, 40000]\n  array.cols: [8, 12]\n", "  array.rows: [8]\n")
    Path("study.yaml").write_text(study)
    plugin = ["--plugin", "plugin.py", "sensitivity", "study.yaml", "--only", "*clock*"]
    assert cli.main([*plugin, "--out", "inline", "--workers", "1"]) == 0
    assert cli.main([*plugin, "--out", "dask", "--scheduler", address]) == 0
    assert Path("dask/sensitivity.csv").read_bytes() == Path("inline/sensitivity.csv").read_bytes()
