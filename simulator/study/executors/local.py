"""Work in other processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from simulator.errors import OlivineError
from simulator.study.executors.dispatch import Finished, dispatch
from simulator.study.executors.protocol import Finds, Item, Supply, Work

__all__ = ["Local"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]);"
    "from simulator.study.executors.worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_ERRORS = 2
"""Standard error: whatever a plugin prints stays out of ``--json``."""
_GONE = (EOFError, ConnectionError, BrokenPipeError)


class Local:
    """Processes of this machine, started when there is work for them; the programs that they run see no Ctrl-C.

    They are plain Python processes, not copies of this one: a script needs no ``if __name__ == "__main__"``. When this
    one dies, in whatever way, they end.

    Args:
        plugins: files of datapaths that they load first.
    """

    def __init__(self, workers: int, plugins: Sequence[Path] = ()) -> None:
        self._count = workers
        self._plugins = list(plugins)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop(self._workers)

    def map(self, work: Work, supply: Supply[Item]) -> Finds[Item]:
        """As ``Executor.map``."""
        return dispatch(self, work, supply)

    @property
    def slots(self) -> int:
        """A chunk per process."""
        return self._count

    def submit(self, number: int, work: Work, items: list[Any]) -> None:
        """Begin a chunk, in a new process if none is idle."""
        idle = next((worker for worker in self._workers if worker.number is None), None)
        if idle is None:
            idle = _Worker.start(self._plugins)
            self._workers.append(idle)
        idle.begin(number, work, items)

    def finished(self, timeout_s: float) -> list[Finished]:
        """As ``Pool.finished``. Raises: OlivineError if a process cannot even start."""
        by_link = {worker.link: worker for worker in self._workers if worker.number is not None}
        found = []
        for link in wait(list(by_link), timeout_s):
            worker = by_link[link]  # type: ignore[index]
            done = worker.receive()
            found.extend([done] if done else [])
            if done and done.died:
                self._stop([worker])
        return found

    def drop(self) -> None:
        """Stop processes that are at work."""
        self._stop([worker for worker in self._workers if worker.number is not None])

    def _stop(self, workers: Sequence[_Worker]) -> None:
        for worker in list(workers):
            worker.stop()
            self._workers.remove(worker)


class _Worker:
    """A process, and what it is at."""

    def __init__(self, process: subprocess.Popen[bytes], link: Connection) -> None:
        self._process = process
        self.link = link
        self.number: int | None = None
        self._work: Work | None = None
        self._ready = False

    @classmethod
    def start(cls, plugins: Sequence[Path]) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs, _uninterrupted():
            arguments = [str(theirs.fileno()), str(os.getpid()), json.dumps([path or os.getcwd() for path in sys.path])]
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", _START, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=_ERRORS,
            )
        worker = cls(process, Connection(ours.detach()))
        with suppress(*_GONE):  # receive() says so
            worker.link.send(list(plugins))
        return worker

    def begin(self, number: int, work: Work, items: list[Any]) -> None:
        self.number = number
        with suppress(*_GONE):  # receive() says so
            if work is not self._work:
                self.link.send((None, work))
                self._work = work
            self.link.send((number, items))

    def receive(self) -> Finished | None:
        """What became of the chunk; None if the process only says that it is ready."""
        try:
            message = self.link.recv()
        except _GONE:
            return self._dead()
        if isinstance(message, Exception):
            raise OlivineError(f"a worker process could not start: {message}") from None
        if message is None:
            self._ready = True
            return None
        number, results, seconds, error = message
        self.number = None
        return Finished(number, results, seconds, error)

    def stop(self) -> None:
        self.link.close()
        self._process.kill()
        self._process.wait()

    def _dead(self) -> Finished:
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if not self._ready:
            raise OlivineError(f"a worker process could not start ({how}); run again with --workers 1")
        assert self.number is not None
        return Finished(self.number, died=f"a worker process died ({how})")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C; a process started meanwhile never sees it, so that only this one answers it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
