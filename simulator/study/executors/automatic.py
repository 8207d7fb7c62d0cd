"""Which executor a run gets, and whether further processes are worth their start."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from simulator.errors import OlivineError
from simulator.study.executors.inline import Inline
from simulator.study.executors.local import Local
from simulator.study.executors.protocol import Executor, Finds, Item, Supply, Work

__all__ = ["executor"]

_WORTH_S = 4.0
"""Work for which processes are started, each about a second of imports [assumed]."""


def executor(workers: int | None = None, scheduler: str | None = None, plugins: Sequence[Path] = ()) -> Executor:
    """By ``--workers`` and ``--scheduler``: by default as many processes as there are cores, if it is worth it.

    Raises: OlivineError if both are given, or Dask is not installed or not there.
    """
    if scheduler is not None:
        if workers is not None:
            raise OlivineError("--workers: is for this machine; the workers of --scheduler are those of its cluster")
        from simulator.study.executors.cluster import Cluster

        return Cluster(scheduler, plugins)
    if workers is None:
        return _Automatic(_cores(), plugins)
    return Inline() if workers <= 1 else Local(workers, plugins)


class _Automatic:
    """This process, until what is left is known to be worth starting others."""

    def __init__(self, workers: int, plugins: Sequence[Path]) -> None:
        self._inline, self._local = Inline(), Local(workers, plugins)
        self._workers = workers
        self._item_s = math.nan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._local.__exit__()

    def map(self, work: Work, supply: Supply[Item]) -> Finds[Item]:
        """As ``Executor.map``."""

        def enough(item_s: float) -> bool:
            """NaN, of the first items, which also open everything, is never enough."""
            known = self._item_s if math.isnan(item_s) else item_s
            self._item_s = known
            return self._workers > 1 and supply.left > 1 and known * supply.left > _WORTH_S

        yield from self._inline.map(work, supply, enough)
        if supply.left:
            yield from self._local.map(work, supply)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
