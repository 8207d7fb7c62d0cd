"""Work on a Dask cluster, of this machine or many. Its scheduler and workers have this version of Olivine installed."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import chdir, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from simulator.errors import OlivineError
from simulator.study.executors.dispatch import Finished, dispatch
from simulator.study.executors.protocol import Finds, Item, Supply, Work
from simulator.study.executors.shipping import Shipped, load_shipped, shipped
from simulator.study.keys import code_sha256

__all__ = ["Cluster"]

_CONNECT_S = 10.0
_WORKERS_S = 60.0
"""Patience with a cluster that has no workers (any more)."""
_LOOK_S = 5.0
_ONE_AT_A_TIME = threading.Lock()
"""A worker with several threads computes in one: the simulator is Python, and its caches are not made for threads."""


class Cluster:
    """The workers of a Dask scheduler.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.
        plugins: files of datapaths; they are sent to the workers.
    Raises: OlivineError if Dask is not installed.
    """

    def __init__(self, address: str, plugins: Sequence[Path] = ()) -> None:
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise OlivineError("--scheduler: needs Dask: pip install 'olivine[dask]'") from None
        self._address = address
        self._sent = _Sent(tuple(shipped(path) for path in plugins), Path.cwd(), code_sha256())
        self._futures: dict[int, Any] = {}
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._client: Any = None
        self._workers, self._seen_s = 0, 0.0

    def __enter__(self) -> Self:
        """Raises: OlivineError if no scheduler with workers answers at the address."""
        from distributed import Client

        try:
            _require_listener(self._address)
            self._client = Client(self._address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError, AttributeError) as error:  # of strange addresses, all but the first
            reason = " ".join(str(error).split())
            raise OlivineError(f"--scheduler: no Dask scheduler answers at '{self._address}' ({reason})") from None
        self._look()
        if not self._workers:
            self.__exit__()
            raise OlivineError(f"--scheduler: {self._address} has no workers; start some with `dask worker`")
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        with suppress(Exception):  # a scheduler that has gone cannot be told
            self._client.close(timeout=_CONNECT_S)

    def map(self, work: Work, supply: Supply[Item]) -> Finds[Item]:
        """As ``Executor.map``."""
        return dispatch(self, work, supply)

    @property
    def slots(self) -> int:
        """Two chunks per worker: one on its way while the other is worked on."""
        return 2 * max(1, self._workers)

    def submit(self, number: int, work: Work, items: list[Any]) -> None:
        """Begin a chunk, wherever the scheduler has room."""
        future = self._client.submit(_work_on, work, items, self._sent, pure=False)
        self._futures[number] = future
        future.add_done_callback(lambda _: self._done.put(number))

    def finished(self, timeout_s: float) -> list[Finished]:
        """As ``Pool.finished``. Raises: OlivineError if the scheduler or all workers are gone for good."""
        numbers: list[int] = []
        with suppress(queue.Empty):
            numbers.append(self._done.get(timeout=timeout_s))
            while True:
                numbers.append(self._done.get_nowait())
        self._look_after()
        return [self._landed(number, self._futures.pop(number)) for number in numbers if number in self._futures]

    def drop(self) -> None:
        """Take back whatever is under way."""
        futures, self._futures = list(self._futures.values()), {}
        with suppress(Exception):  # as above
            self._client.cancel(futures, force=True)

    def _landed(self, number: int, future: Any) -> Finished:
        from distributed.scheduler import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise self._gone()
        try:
            results, seconds = future.result(timeout=_WORKERS_S)
        except KilledWorker:
            return Finished(number, died="a Dask worker died, and others with the same work")
        except OlivineError as error:
            return Finished(number, error=error)
        except ImportError as error:
            what = OlivineError(f"a worker of {self._address} cannot load Olivine ({error}); install the same version")
            return Finished(number, error=what)
        except Exception as error:
            return Finished(number, error=error)
        return Finished(number, results, seconds)

    def _look_after(self) -> None:
        """See now and then whether there are workers."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        self._look()
        if now - self._seen_s > _WORKERS_S:
            raise OlivineError(f"{self._address} has lost all workers; finished points are kept, run again with more")

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        try:
            self._workers = len(self._client.ncores())
        except Exception:
            raise self._gone() from None
        if self._workers:
            self._seen_s = self._looked_s

    def _gone(self) -> OlivineError:
        return OlivineError(f"the Dask scheduler at {self._address} is gone; finished points are kept, run again")


def _require_listener(address: str) -> None:
    """Somebody must listen there: a client of Dask's that found nobody does not let go of its threads.

    Raises: OSError or ValueError.
    """
    from distributed.comm.addressing import get_address_host_port

    socket.create_connection(get_address_host_port(address), timeout=_CONNECT_S).close()


@dataclass(frozen=True)
class _Sent:
    """What goes with each chunk: plugins, the folder that relative paths are meant from, the version of the code."""

    plugins: tuple[Shipped, ...]
    folder: Path
    code: str


def _work_on(work: Work, items: list[Any], sent: _Sent) -> tuple[list[Any], float]:
    """Results of a chunk and the time that they took [s], on a worker."""
    if code_sha256() != sent.code:
        raise OlivineError("--scheduler: a worker has another version of Olivine; install the same one everywhere")
    with _ONE_AT_A_TIME, chdir(sent.folder) if sent.folder.is_dir() else nullcontext():
        for plugin in sent.plugins:
            load_shipped(plugin)
        began = time.perf_counter()
        results = work(items)
        return results, time.perf_counter() - began
