"""Runs that are killed again and again, or run side by side: the table is that of an uninterrupted run, and no point is
computed again that was stored.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from simulator.study.run import execute

ROOT = Path(__file__).parent.parent
PATIENCE_S = 120

STUDY = """name: killed
designs: [int8_systolic, int4_systolic]
workloads:
  - {name: one, gemms: [{name: up, M: 20, N: 30, K: 40}, {name: qk, M: 9, N: 9, K: 9, count: 2}]}
sweep:
  array.rows: {from: 4, to: 20, step: 2}
  array.cols: {from: 4, to: 20, step: 4}
set: {memory.dram.model: ideal}
baseline: int8_systolic
"""
POINTS = 2 * 9 * 5


def test_what_is_told_as_done_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.report.figures.write_figures", lambda *_: [])
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    told = []

    def look(done, total, label):
        if not done:
            told.append((0, 0))
            return
        with contextlib.closing(sqlite3.connect(tmp_path / "run" / "results.sqlite")) as db:
            told.append((done, db.execute("SELECT count(*) FROM points").fetchone()[0]))

    for workers in (1, 2):
        execute(tmp_path / "study.yaml", tmp_path / "run", workers=workers, fresh=True, progress=look)
        assert [done for done, _ in told] == list(range(POINTS + 1))
        assert all(stored >= done for done, stored in told)
        told.clear()


NURSERY = """
import os, sys
import pandas, pyarrow.parquet, rich.console
from simulator import cli
from simulator.report import figures, page, run_folder, tables
from simulator.study import rounds, run
from tests.kill_work import logged

figures.write_figures = lambda *_: []
rounds.evaluate = logged
for line in sys.stdin:
    arguments = line.split("\\t")
    if os.fork() == 0:
        os.setsid()
        sys.stdin.close()
        os.environ["COMPUTED"] = arguments[0]
        with open(arguments[1], "w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        print("pid", os.getpid(), flush=True)
        code = cli.main([argument.strip() for argument in arguments[2:]])
        print("exit", code, flush=True)
        os._exit(code)
    os.wait()
    print("ended", flush=True)
"""
"""A process that has imported everything, and forks a run for each line: fifty starts cost little."""


class Nursery:
    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "computed"
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()

    def begin(self, *arguments):
        """Start a run; its process number."""
        said = self.folder / "said"
        said.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        self._process.stdin.write("\t".join([str(self.log), str(said), *map(str, arguments)]) + "\n")
        self._process.stdin.flush()
        wait_until(lambda: said.exists() and said.read_text().count("\n"))
        return int(said.read_text().split()[1])

    def ended(self):
        """Wait for the run's end; its exit code, None if it was killed."""
        assert self._process.stdout.readline() == "ended\n"
        words = (self.folder / "said").read_text().rsplit("exit ", 1)
        return int(words[1]) if len(words) > 1 else None

    def computed(self):
        """Keys of the points that the run computed, by its log; the last line may be half a line."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def nursery(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    made = Nursery(tmp_path)
    yield made
    made.close()


def wait_until(true):
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stored(out):
    """Keys in a store, by a reader that knows nothing of the program, and may roll back what a kill left half done."""
    if not (out / "results.sqlite").exists():
        return set()
    uri = f"file:{out / 'results.sqlite'}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
        try:
            return {key for (key,) in db.execute("SELECT key FROM points")}
        except sqlite3.OperationalError:  # no table yet
            return set()


def tables(out):
    return {name: (out / name).read_bytes() for name in ("results.csv", "results.parquet", "layers.parquet")}


def uninterrupted(nursery):
    """Its tables, and the time that it takes [s]."""
    out = nursery.folder / "whole"
    began = time.monotonic()
    nursery.begin("run", nursery.folder / "study.yaml", "--out", out, "--workers", 1)
    assert nursery.ended() == 0
    assert len(nursery.computed()) == len(set(nursery.computed())) == POINTS
    return tables(out), time.monotonic() - began


def kill_at_random(nursery, kills, workers):
    whole, duration_s = uninterrupted(nursery)
    chance, finished, killed = random.Random(5), 0, 0
    while killed < kills or not finished:
        out = nursery.folder / f"run{finished}"
        before = stored(out)
        pid = nursery.begin("run", nursery.folder / "study.yaml", "--out", out, "--workers", workers)
        if killed < kills:
            time.sleep(chance.random() * duration_s / 3)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        code = nursery.ended()
        assert code in (0, None)
        killed += code is None
        computed = [key for key in nursery.computed() if len(key) == 64]
        assert not before & set(computed), "a point was computed again that was stored"
        assert len(computed) == len(set(computed))
        assert before <= stored(out)
        if code == 0:
            assert tables(out) == whole
            assert len(stored(out)) == POINTS
            assert not [p for p in out.rglob("*") if p.name.startswith("results.sqlite-")]
            finished += 1
    return killed, finished


def test_killed_at_random_moments(nursery):
    assert kill_at_random(nursery, 6, 1)[0] == 6


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_fifty_random_moments(workers, nursery):
    killed, finished = kill_at_random(nursery, 50, workers)
    assert killed == 50
    assert finished >= 1


def begin_alone(folder, out, log):
    program = NURSERY.split("for line in")[0] + "sys.exit(cli.main(sys.argv[1:]))\n"
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            program,
            "run",
            str(folder / "study.yaml"),
            "--out",
            str(out),
            "--json",
            "--workers",
            "1",
        ],
        env=os.environ | {"COMPUTED": str(log), "PAUSE_S": "0.02"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_two_runs_side_by_side_compute_every_point_once(nursery):
    whole, _ = uninterrupted(nursery)
    out, logs = nursery.folder / "shared", [nursery.folder / "log0", nursery.folder / "log1"]
    runs = [begin_alone(nursery.folder, out, log) for log in logs]
    printed = [run.communicate(timeout=PATIENCE_S) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    computed = [log.read_text().split() for log in logs]
    assert set(Counter(computed[0] + computed[1]).values()) == {1}
    assert len(computed[0]) + len(computed[1]) == POINTS
    assert min(map(len, computed)) > 0, "one run did everything"
    assert [json.loads(text)["points_run"] for text, _ in printed] == list(map(len, computed))
    assert tables(out) == whole
    assert [p.name for p in out.iterdir() if "sqlite" in p.name] == ["results.sqlite"]


def test_the_survivor_takes_over_from_a_run_that_is_killed(nursery):
    whole, _ = uninterrupted(nursery)
    out, logs = nursery.folder / "shared", [nursery.folder / "log0", nursery.folder / "log1"]
    first, second = (begin_alone(nursery.folder, out, log) for log in logs)
    with first, second:
        wait_until(lambda: all(log.exists() for log in logs))
        first.kill()
        first.communicate()
        printed = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 0, printed
    assert tables(out) == whole
