"""What an executor is, what it takes its work from, and how much of it at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

__all__ = ["ChunkSize", "Died", "Executor", "Finds", "Item", "Listed", "Supply", "Work"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[list[Any]], list[Any]]
"""A result for each of a few items, in their order. Another process imports it by name."""
Finds = Generator[list[tuple[Item, Any]]]
"""Items with their results, a few at a time."""
CHUNK_S = 0.5
"""Work that is sent at once: long beside the sending, short for whoever waits for a figure or presses Ctrl-C."""


@dataclass(frozen=True)
class Died:
    """In the place of a result: the process that worked on an item died, and once more when it had only that one."""

    reason: str


class Supply(Protocol[Item]):
    """Items, handed out a few at a time."""

    @property
    def left(self) -> int:
        """How many may still come."""

    def take(self, count: int) -> list[Item] | None:
        """Up to ``count`` of them; empty if there are none just now, None if there will be no more."""


class Listed(Generic[Item]):
    """A supply of all that is in a list."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = deque(items)

    @property
    def left(self) -> int:
        """How many are still to come."""
        return len(self._items)

    def take(self, count: int) -> list[Item] | None:
        """Up to ``count`` of them; None at the end."""
        return [self._items.popleft() for _ in range(min(count, len(self._items)))] or None


class Executor(Protocol):
    """A context manager that holds what it started (processes, a connection) for any number of ``map``."""

    def __enter__(self) -> Self:
        """Starts nothing before there is work."""

    def __exit__(self, *_: object) -> None:
        """Whatever is still at work is stopped."""

    def map(self, work: Work, supply: Supply[Item]) -> Finds[Item]:
        """Each item with its result (or ``Died``), in any order; those that were worked on together come together, as
        soon as they are there.

        Ctrl-C and an error stop the work; what is finished by then still comes, and only then is it raised.
        Close the iterator (``contextlib.closing``) if you leave it early.
        Raises: whatever ``work`` raises; OlivineError if processes cannot work at all; KeyboardInterrupt.
        """


class ChunkSize:
    """How many items to send at once, by the time that those before took."""

    def __init__(self, slots: int = 1) -> None:
        self._slots = slots
        self._size = 1
        self.item_s = math.nan
        """Time of an item, of late [s]; NaN until one was measured."""

    def measured(self, count: int, seconds: float) -> None:
        """``count`` items took ``seconds`` together."""
        item_s = max(seconds, 1e-6) / count
        self.item_s = item_s if math.isnan(self.item_s) else (self.item_s + item_s) / 2
        self._size = max(1, min(round(CHUNK_S / self.item_s), 4 * self._size))

    def next(self, left: int) -> int:
        """For ``left`` items: towards the end smaller, so that all finish together."""
        return max(1, min(self._size, left // (2 * self._slots))) if self._slots > 1 else self._size
