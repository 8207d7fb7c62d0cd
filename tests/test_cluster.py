"""Dask: two workers of a local cluster give what this process gives; deaths, absences and plugins."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
import warnings
from functools import partial

import pytest

from simulator.errors import OlivineError, UnknownNameError
from simulator.study.executors import Died, Listed, cluster, executor
from simulator.study.executors.shipping import load_shipped, shipped
from tests.executor_work import dies_at, fails_at, naps, squares

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore:.*", "default::pytest.PytestUnraisableExceptionWarning")
"""What Dask and Tornado warn of is not ours to mend."""


@contextlib.contextmanager
def quiet_cluster(workers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        with made as cluster:
            yield cluster


@pytest.fixture(scope="module")
def address():
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), quiet_cluster(2) as cluster:
        yield cluster.scheduler_address


def collected(made, work, items):
    with made, contextlib.closing(made.map(work, Listed(items))) as found:
        return list(itertools.chain.from_iterable(found))


def test_every_item_comes_once_with_its_own_result(address):
    assert sorted(collected(executor(scheduler=address), squares, range(100))) == [(i, i * i) for i in range(100)]


def test_both_workers_work(address):
    found = collected(executor(scheduler=address), partial(naps, seconds=0.02), range(40))
    assert len({pid for _, pid in found} - {os.getpid()}) == 2


def test_an_error_of_the_work_is_raised_as_it_was(address):
    with pytest.raises(UnknownNameError, match="unknown thing 'x'; known: y"):
        collected(executor(scheduler=address), partial(fails_at, item=3), range(10))


@pytest.mark.slow
def test_an_item_that_kills_every_worker_costs_no_other(address):
    found = dict(collected(executor(scheduler=address), partial(dies_at, item=4), range(10)))
    assert isinstance(found.pop(4), Died)
    assert found == {i: i * i for i in range(10) if i != 4}


@pytest.mark.parametrize("strange", ["nonsense", "tcp://127.0.0.1", "http://127.0.0.1:1", "", "tcp://127.0.0.1:x"])
def test_what_is_no_address_is_one_line(strange, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    with pytest.raises(OlivineError, match=r"--scheduler: no Dask scheduler answers at .*") as caught:
        executor(scheduler=strange).__enter__()
    assert "\n" not in str(caught.value)


def test_nobody_at_the_address(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(OlivineError, match=f"no Dask scheduler answers at '{address}'"):
            executor(scheduler=address).__enter__()


def test_a_cluster_without_workers():
    with quiet_cluster(0) as empty, pytest.raises(OlivineError, match="has no workers; start some with `dask worker`"):
        executor(scheduler=empty.scheduler_address).__enter__()


def test_a_scheduler_that_goes_away():
    with quiet_cluster(1) as short, executor(scheduler=short.scheduler_address) as made:
        found = made.map(partial(naps, seconds=0.05), Listed(range(1000)))
        next(found)
        short.close()
        with pytest.raises(OlivineError, match="is gone; finished points are kept, run again"):
            list(found)


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OlivineError, match=r"--scheduler: needs Dask: pip install 'olivine\[dask\]'"):
        executor(scheduler="tcp://127.0.0.1:1")


PLUGIN = """
from dataclasses import dataclass
from simulator.datapath import register
from simulator.datapath.int_mac import IntMac

@register("shipped_mac")
@dataclass(frozen=True)
class ShippedMac(IntMac):
    pass
"""


def plugin_files(items):
    from simulator.datapath.registry import files

    return [str(files().get("shipped_mac")) for _ in items]


def test_plugins_come_to_workers_by_content(address, tmp_path):
    path = tmp_path / "shipped_mac.py"
    path.write_text(PLUGIN)
    here = collected(executor(scheduler=address, plugins=[path]), plugin_files, range(4))
    assert {file for _, file in here} == {str(path)}


def test_a_plugin_whose_file_is_not_there_is_loaded_from_a_copy(tmp_path):
    """As on another machine."""
    path = tmp_path / "package" / "copied_mac.py"
    path.parent.mkdir()
    path.write_text(PLUGIN.replace("shipped_mac", "copied_mac"))
    (path.parent / "__init__.py").write_text("")
    sent = shipped(path)
    content = dict(sent.files)
    assert set(content) == {"__init__.py", "copied_mac.py"}
    for file in path.parent.iterdir():
        file.unlink()
    load_shipped(sent)
    from simulator.datapath.registry import files

    copy = files()["copied_mac"]
    assert copy != path
    assert {file.name: file.read_bytes() for file in copy.parent.iterdir() if file.is_file()} == content
