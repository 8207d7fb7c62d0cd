"""What a worker process does: load plugins, then chunk after chunk until its parent closes the link or dies."""

from __future__ import annotations

import gc
import os
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from simulator.errors import OlivineError
from simulator.study.executors.protocol import Work

__all__ = ["main"]

_LOOK_S = 0.5


def main(descriptor: int, parent: int) -> None:
    """Work for the process ``parent`` at the other end of a socket."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    link = Connection(descriptor)
    try:
        link.send(_load(link.recv()))
        _serve(link)
    except (EOFError, ConnectionError):
        return


def _load(plugins: list[Any]) -> Exception | None:
    """What goes wrong with it, if anything does."""
    try:
        for path in plugins:
            from simulator import datapath

            datapath.load_file(path)
    except Exception as error:
        return error
    return None


def _serve(link: Connection) -> None:
    work: Work | None = None
    while True:
        number, content = link.recv()
        if number is None:
            work = content
            continue
        assert work is not None
        link.send(_done(number, work, content))
        if not gc.get_freeze_count():
            gc.freeze()  # modules and compiled kernels stay: no need to look at them again and again


def _done(number: int, work: Work, items: list[Any]) -> tuple[int, list[Any], float, BaseException | None]:
    began = time.perf_counter()
    try:
        return number, work(items), time.perf_counter() - began, None
    except Exception as error:
        return number, [], 0.0, _portable(error)


def _portable(error: Exception) -> Exception:
    """What the parent can load, whatever it is of; with the traceback if it is no message for users."""
    if isinstance(error, OlivineError):
        return error
    text = f"in a worker process:\n{traceback.format_exc()}"
    if type(error).__module__ != "builtins":
        return RuntimeError(f"{type(error).__name__}: {error}; {text}")
    error.add_note(text)
    return error


def _end_with(parent: int) -> None:
    """A parent that was killed cannot say goodbye, and whoever is in the middle of a chunk does not listen."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
