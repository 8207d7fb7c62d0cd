"""A run that is killed, interrupted or doubled loses no finished point and leaves nothing half-written."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simulator import cli
from simulator.errors import OutputError
from simulator.study import run

POINTS = 6
PATIENCE_S = 120

SLOW = """
import os, signal, time
from simulator.study import rounds

quick = rounds.evaluate

def slow(setup, indices):
    if int(os.environ["KILLER"]) in indices:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ["PAUSE_S"]))
    return quick(setup, indices)
"""
DRIVER = """
import sys
from simulator import cli
from simulator.study import rounds
from slow_points import slow

rounds.evaluate = slow
sys.exit(cli.main(sys.argv[1:]))
"""
"""The command line, with points that take a while, also in workers: the signal comes while one is under way."""

STUDY = """name: resumed
designs: [int8_systolic, olive_systolic]
workloads:
  - {name: one, gemms: [{name: up, M: 20, N: 30, K: 40}, {name: qk, M: 9, N: 9, K: 9, count: 2}]}
sweep: {array.rows: [8, 16, 32]}
baseline: int8_systolic
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study, and the bytes of what an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    with contextlib.redirect_stdout(None):
        assert cli.main(["run", str(folder / "study.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "study.yaml", {n: (folder / "run" / n).read_bytes() for n in ("results.csv", "layers.parquet")}


@pytest.fixture(autouse=True)
def undrawn():
    """Runs inside this process draw no figures; those in processes of their own do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulator.report.figures.write_figures", lambda *_: [])
        yield


def hear_interrupts():
    """A shell starts background jobs with SIGINT ignored, and children inherit that; a user's foreground run has it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(study, out, *options, pause=0.0, killer=-1):
    """A process that runs the study, with a process group of its own, as a shell would start it."""
    (study.parent / "slow_points.py").write_text(SLOW, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "run", str(study), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(study.parent), "PAUSE_S": str(pause), "KILLER": str(killer)},
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def stored(out: Path) -> list[tuple[str, str]]:
    """Keys and results in a run's store, by a reader that knows nothing of the program."""
    if not (out / "results.sqlite").exists():
        return []
    db = sqlite3.connect(f"file:{out / 'results.sqlite'}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute("SELECT key, result FROM points ORDER BY key").fetchall()
    except sqlite3.OperationalError:  # no table yet
        return []
    finally:
        db.close()


def wait_for_points(process, out, count):
    deadline = time.monotonic() + PATIENCE_S
    while len(stored(out)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(study, out, capsys, *options):
    """Run the study to its end, here; the JSON that it prints."""
    capsys.readouterr()
    assert cli.main(["run", str(study), "--out", str(out), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def require_nothing_half_written(out):
    assert not [p for p in out.rglob("*") if p.name.startswith(".") or "tmp" in p.name]


def require_whole(out, files):
    assert {name: (out / name).read_bytes() for name in files} == files
    require_nothing_half_written(out)


def test_killed_after_the_first_point(whole, tmp_path, capsys):
    study, files = whole
    out = tmp_path / "run"
    with running(study, out, pause=0.3) as process:
        wait_for_points(process, out, 1)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    before = stored(out)
    assert 1 <= len(before) < POINTS
    assert not (out / "results.csv").exists()
    outcome = finish(study, out, capsys)
    assert outcome["points_reused"] == len(before)
    assert outcome["points_run"] == POINTS - len(before)
    after = stored(out)
    assert set(before) <= set(after)
    assert len(after) == POINTS
    require_whole(out, files)


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted(workers, whole, tmp_path, capsys):
    """Ctrl-C goes to the whole group, as a terminal sends it: one line all the same."""
    study, files = whole
    out = tmp_path / "run"
    with running(study, out, "--workers", str(workers), pause=0.4) as process:
        wait_for_points(process, out, 1)
        os.killpg(process.pid, signal.SIGINT)
        printed = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, *printed) == (130, "", "olivine: interrupted; finished points are kept\n")
    assert not (out / "results.csv").exists()
    require_nothing_half_written(out)
    before = stored(out)
    assert 1 <= len(before) < POINTS
    outcome = finish(study, out, capsys)
    assert outcome["points_reused"] == len(before)
    require_whole(out, files)


def test_interrupted_twice_and_killed_once_then_finished_by_two_workers(whole, tmp_path, capsys):
    study, files = whole
    out = tmp_path / "run"
    for count, kind in ((1, signal.SIGINT), (2, signal.SIGKILL), (3, signal.SIGINT)):
        with running(study, out, pause=0.3) as process:
            wait_for_points(process, out, count)
            os.kill(process.pid, kind)
            process.communicate(timeout=PATIENCE_S)
    before = stored(out)
    assert 3 <= len(before) < POINTS
    assert finish(study, out, capsys, "--workers", "2")["points_reused"] == len(before)
    require_whole(out, files)


def test_two_processes_on_one_folder(whole, tmp_path, capsys):
    study, files = whole
    out = tmp_path / "run"
    with running(study, out) as first, running(study, out) as second:
        for process in (first, second):
            printed = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, printed[1]) == (0, "")
    assert len(stored(out)) == POINTS
    require_whole(out, files)
    db = sqlite3.connect(out / "results.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert finish(study, out, capsys)["points_run"] == 0


def test_many_writers_of_a_new_store_wait_their_turn(tmp_path):
    """The first of them makes it, and nobody knows who."""

    def write(writer):
        with run.Store(tmp_path / "run") as store:
            for i in range(10):
                store.put(f"{writer}-{i}", {"writer": writer}, [{"i": i}])
                assert store.get(f"{writer}-{i}")[:2] == ({"writer": writer}, [{"i": i}])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(stored(tmp_path / "run")) == 80
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["results.sqlite"]


def test_a_point_that_kills_its_worker_is_recorded_and_tried_again_by_the_next_run(whole, tmp_path, capsys):
    study, files = whole
    out = tmp_path / "run"
    with running(study, out, "--workers", "2", "--json", killer=3) as process:
        printed = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert printed[1] == (
        "olivine: 1 of 6 points failed, e.g. olive_systolic on one (array.rows=8): a worker process died (signal "
        "SIGKILL)\n"
    )
    assert json.loads(printed[0])["points_failed"] == 1
    assert len(stored(out)) == POINTS - 1
    outcome = finish(study, out, capsys)
    assert (outcome["points_run"], outcome["points_reused"]) == (1, POINTS - 1)
    require_whole(out, files)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_point_that_fails_keeps_those_before(workers, whole, tmp_path, monkeypatch, capsys):
    """Those that come second meet a full disk."""
    study, files = whole
    out = tmp_path / "run"
    right, calls = run.Store.put_many, []

    def put_many(self, points):
        calls.append(points)
        if len(calls) == 2:
            raise OutputError(f"{out}: cannot be written: No space left on device")
        right(self, points)

    monkeypatch.setattr(run.Store, "put_many", put_many)
    assert cli.main(["run", str(study), "--out", str(out), "--workers", str(workers)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"olivine: {out}: cannot be written: No space left on device\n")
    monkeypatch.undo()
    assert finish(study, out, capsys)["points_reused"] == len(calls[0]) < 6
    require_whole(out, files)
