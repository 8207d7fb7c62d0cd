"""Executors: every item once whatever the executor, deaths, interrupts, errors, and nothing left running."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from simulator.errors import DatapathError, OlivineError, UnknownNameError
from simulator.study.executors import Died, Inline, Listed, Local, automatic, dispatch, executor
from simulator.study.executors.protocol import CHUNK_S, ChunkSize
from tests.executor_work import dies_at, fails_at, logged, naps, squares

ITEMS = list(range(40))


def collected(made, work, items=ITEMS):
    with made, contextlib.closing(made.map(work, Listed(items))) as found:
        return list(itertools.chain.from_iterable(found))


def inline():
    return Inline()


def local():
    return Local(2)


@pytest.mark.parametrize("make", [inline, local, executor])
def test_every_item_comes_once_with_its_own_result(make):
    assert sorted(collected(make(), squares)) == [(i, i * i) for i in ITEMS]


@pytest.mark.parametrize("make", [inline, local])
def test_nothing_to_do(make):
    assert collected(make(), squares, []) == []


@pytest.mark.parametrize("make", [inline, local])
def test_an_error_of_the_work_is_raised_as_it_was(make):
    with pytest.raises(UnknownNameError, match="unknown thing 'x'; known: y") as caught:
        collected(make(), partial(fails_at, item=7))
    assert type(caught.value) is UnknownNameError


def test_a_strange_error_comes_with_the_workers_traceback():
    with pytest.raises(ZeroDivisionError) as caught:
        collected(local(), partial(fails_at, item=0))
    assert "in fails_at" in caught.value.__notes__[0]


def test_workers_stay_between_maps():
    with local() as made:
        first, second = (
            {pid for chunk in made.map(partial(logged, log=None), Listed(ITEMS)) for _, pid in chunk} for _ in range(2)
        )
    assert second <= first
    assert os.getpid() not in first
    assert not [pid for pid in first if alive(pid)]


def test_an_item_that_kills_its_worker_is_tried_once_more_alone_and_costs_no_other(tmp_path):
    log = tmp_path / "log"
    found = dict(collected(local(), partial(dies_at, item=11, log=log)))
    assert found.pop(11) == Died("a worker process died (signal SIGKILL)")
    assert found == {i: i * i for i in ITEMS if i != 11}
    assert Counter(log.read_text().split())["11"] == 2


def test_a_worker_that_is_killed_from_outside_costs_no_result(tmp_path):
    killed = []
    with local() as made:
        found = {}
        for item, pid in itertools.chain.from_iterable(made.map(partial(naps, seconds=0.02), Listed(range(60)))):
            found[item] = pid
            if len(found) == 8:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)
    assert sorted(found) == list(range(60))
    assert killed[0] in found.values()


def test_workers_that_all_die_end_the_work(monkeypatch):
    monkeypatch.setattr(dispatch, "_DEATHS", 4)
    with pytest.raises(OlivineError, match=r"worker processes keep dying .*; finished points are kept"):
        collected(local(), partial(dies_at, item=None))


def test_a_plugin_that_only_a_worker_cannot_load(tmp_path):
    with pytest.raises(OlivineError, match=r"a worker process could not start: .*no such datapath file"):
        collected(Local(2, [tmp_path / "gone.py"]), squares)


def test_errors_of_every_kind_travel():
    import pickle

    for error in (UnknownNameError("thing", "x", ["y"]), DatapathError("no")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (type(error), str(error))


def test_chunks_grow_to_half_a_second_and_shrink_towards_the_end():
    size = ChunkSize(slots=2)
    sizes = []
    for _ in range(8):
        count = size.next(10_000)
        sizes.append(count)
        size.measured(count, count * 0.001)
    assert sizes == [1, 4, 16, 64, 256, 500, 500, 500]
    assert round(size.item_s * sizes[-1], 3) == CHUNK_S
    assert [size.next(left) for left in (400, 40, 3, 1)] == [100, 10, 1, 1]


def test_an_item_longer_than_a_chunk_goes_alone():
    size = ChunkSize()
    size.measured(1, 3.0)
    assert size.next(100) == 1


def test_processes_start_only_if_the_rest_is_worth_it(monkeypatch):
    monkeypatch.setattr(automatic, "_cores", lambda: 2)
    short = collected(executor(), partial(naps, seconds=0.0))
    assert {pid for _, pid in short} == {os.getpid()}
    monkeypatch.setattr(automatic, "_WORTH_S", 0.2)
    long = collected(executor(), partial(naps, seconds=0.02))
    assert sorted(item for item, _ in long) == ITEMS
    assert len({pid for _, pid in long} - {os.getpid()}) == 2


class Scarce:
    """A supply that now and then has nothing, as when other runs are at the rest."""

    def __init__(self, items):
        self._items, self._calls = list(items), 0

    @property
    def left(self):
        return len(self._items)

    def take(self, count):
        self._calls += 1
        if not self._items:
            return None
        return [] if self._calls % 2 else [self._items.pop()]


@pytest.mark.parametrize("make", [inline, local])
def test_a_supply_that_has_nothing_for_a_while(make):
    with make() as made:
        found = itertools.chain.from_iterable(made.map(squares, Scarce(range(5))))
        assert sorted(found) == [(i, i * i) for i in range(5)]


def test_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.extend(collected(local(), squares)))
    thread.start()
    thread.join()
    assert len(found) == len(ITEMS)


DRIVER = """
import contextlib, itertools, json, sys
from functools import partial
from simulator.study.executors import Inline, Listed, Local
from tests.executor_work import naps

seconds, workers = float(sys.argv[1]), int(sys.argv[2])
made = Local(workers) if workers > 1 else Inline()
print("started", flush=True)
try:
    with made, contextlib.closing(made.map(partial(naps, seconds=seconds), Listed(range(1000)))) as found:
        for item, pid in itertools.chain.from_iterable(found):
            print(json.dumps([item, pid]), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextlib.contextmanager
def driven(seconds, workers):
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(seconds), str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_ctrl_c_keeps_what_was_finished_and_does_not_wait_for_long_points():
    """Points of a minute in both workers: the interrupt is answered within seconds."""
    with driven(60, 2) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(2.5)
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        assert process.communicate(timeout=20)[0] == "interrupted\n"
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_among_short_points(workers):
    with driven(0.05, workers) as process:
        lines = [process.stdout.readline() for _ in range(6)]
        os.killpg(process.pid, signal.SIGINT)
        lines += process.communicate(timeout=20)[0].splitlines()
    assert lines[-1] == "interrupted"
    items = [json.loads(line)[0] for line in lines[1:-1]]
    assert len(set(items)) == len(items) < 1000


def test_killing_the_parent_leaves_no_worker():
    with driven(60, 2) as quiet:
        quiet.stdout.readline()
        time.sleep(2.5)
        children = Path(f"/proc/{quiet.pid}/task/{quiet.pid}/children")
        if not children.exists():
            pytest.skip("this system does not list the children of a process")
        pids = [int(pid) for pid in children.read_text().split()]
        assert len(pids) == 2
        os.kill(quiet.pid, signal.SIGKILL)
        quiet.wait()
        deadline = time.monotonic() + 10
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in pids if alive(pid)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_script_without_a_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from simulator.study.executors import Listed, Local\nfrom tests.executor_work import squares\n"
        "with Local(2) as made:\n    print(sum(r for c in made.map(squares, Listed(range(10))) for _, r in c))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("285\n", "")


def test_workers_and_scheduler_exclude_each_other():
    with pytest.raises(OlivineError, match="--workers: is for this machine"):
        executor(2, "tcp://127.0.0.1:8786")
