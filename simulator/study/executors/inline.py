"""Work in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from simulator.study.executors.interrupts import Interrupts
from simulator.study.executors.protocol import ChunkSize, Finds, Item, Supply, Work

__all__ = ["WAIT_S", "Inline"]

WAIT_S = 0.1
"""Between two looks for work that other runs may leave."""


class Inline:
    """Everything in this process; Ctrl-C is answered at once while it works, and after what it has is kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def map(
        self, work: Work, supply: Supply[Item], enough: Callable[[float], bool] = lambda item_s: False
    ) -> Finds[Item]:
        """As ``Executor.map``; stops early when ``enough`` says so of the time of an item."""
        size = ChunkSize()
        with Interrupts() as interrupts:
            while not enough(size.item_s):
                interrupts.check()
                items = supply.take(size.next(supply.left))
                if items is None:
                    return
                interrupts.at_once(True)
                if not items:
                    time.sleep(WAIT_S)
                    continue
                began = time.perf_counter()
                results = work(items)
                interrupts.at_once(False)
                size.measured(len(items), time.perf_counter() - began)
                yield list(zip(items, results, strict=True))
            interrupts.check()
