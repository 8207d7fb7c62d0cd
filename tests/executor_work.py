"""Work for executors, importable by their processes."""

from __future__ import annotations

import os
import signal
import time

from simulator.errors import UnknownNameError


def squares(items):
    return [item * item for item in items]


def naps(items, seconds):
    time.sleep(seconds * len(items))
    return [os.getpid() for _ in items]


def fails_at(items, item):
    if item in items:
        if item == 0:
            raise ZeroDivisionError("nought")
        raise UnknownNameError("thing", "x", ["y"])
    return squares(items)


def logged(items, log):
    if log:
        with open(log, "a") as file:
            file.write("".join(f"{item}\n" for item in items))
    return [os.getpid() for _ in items]


def dies_at(items, item, log=None):
    """Kills its process on that item; on every one for None."""
    logged(items, log)
    if item is None or item in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return squares(items)
