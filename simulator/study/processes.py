"""Independent pieces of work in several processes: each result as soon as it is there, none lost to an interrupt."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from simulator import datapath as datapaths
from simulator.errors import OlivineError

__all__ = ["in_processes"]

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_processes(
    work: Callable[[_Item], _Result], items: Mapping[_Key, _Item], workers: int, plugins: Sequence[Path] = ()
) -> Iterator[tuple[_Key, _Result]]:
    """``work`` of each item, with its key; in this process if one is enough.

    Args:
        plugins: files of datapaths that other processes load first.
    Raises: OlivineError if a process dies; whatever ``work`` raises.
    """
    if workers <= 1 or len(items) <= 1:
        for key, item in items.items():
            yield key, work(item)
        return
    with ProcessPoolExecutor(
        min(workers, len(items)), get_context("spawn"), initializer=_load_plugins, initargs=(tuple(plugins),)
    ) as pool:
        with _uninterrupted():
            futures = {pool.submit(work, item): key for key, item in items.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise OlivineError(
                "a worker process died, perhaps for lack of memory; finished points are kept, run again with fewer "
                "--workers"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C; processes started meanwhile never see it, so that only the parent answers it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load_plugins(paths: Sequence[Path]) -> None:
    for path in paths:
        datapaths.load_file(path)
