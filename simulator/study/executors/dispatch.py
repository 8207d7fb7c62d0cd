"""Chunks of work sent to processes elsewhere: how many, of what size, and what becomes of those that died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.errors import OlivineError
from simulator.study.executors.inline import WAIT_S
from simulator.study.executors.interrupts import Interrupts
from simulator.study.executors.protocol import ChunkSize, Died, Finds, Item, Supply, Work

__all__ = ["Finished", "Pool", "dispatch"]

_GRACE_S = 0.5
"""After Ctrl-C or an error, for chunks that are nearly done."""
_DEATHS = 10
"""So many in a row, without a result between them, are no accident."""


@dataclass(frozen=True)
class Finished:
    """What became of a chunk: results, or an error of its work, or the death of its process."""

    number: int
    results: Sequence[Any] = ()
    seconds: float = 0.0
    error: BaseException | None = None
    died: str = ""


class Pool(Protocol):
    """Processes that work on chunks."""

    @property
    def slots(self) -> int:
        """How many chunks may be under way."""

    def submit(self, number: int, work: Work, items: list[Any]) -> None:
        """Begin a chunk."""

    def finished(self, timeout_s: float) -> list[Finished]:
        """Chunks that are done since the last call; waits for the first of them."""

    def drop(self) -> None:
        """Stop whatever is under way."""


def dispatch(pool: Pool, work: Work, supply: Supply[Item]) -> Finds[Item]:
    """As ``Executor.map``."""
    flight = _Flight(pool, work)
    alone: deque[Item] = deque()
    with Interrupts() as interrupts:
        try:
            more = True
            while more or flight.chunks:
                more = more and _send(flight, supply)
                if not flight.chunks and more:
                    time.sleep(WAIT_S)  # others are at what is left
                for items, done in flight.landed(WAIT_S):
                    alone.extend(items if done.died else ())
                    yield _paired(items, done)
                if interrupts.asked or flight.error:
                    break
            while alone and not interrupts.asked and not flight.error:  # one by one: perhaps memory was short
                yield from _alone(flight, alone.popleft(), interrupts)
            yield from _remains(flight)
            interrupts.check()
        finally:
            pool.drop()
    if flight.error:
        raise flight.error


class _Flight:
    """Chunks under way."""

    def __init__(self, pool: Pool, work: Work) -> None:
        self._pool, self._work = pool, work
        self._number = self._deaths = 0
        self.size = ChunkSize(pool.slots)
        self.chunks: dict[int, list[Any]] = {}
        self.error: BaseException | None = None

    @property
    def full(self) -> bool:
        return len(self.chunks) >= self._pool.slots

    def send(self, items: list[Any]) -> None:
        self._number += 1
        self.chunks[self._number] = items
        self._pool.submit(self._number, self._work, items)

    def landed(self, timeout_s: float) -> Iterator[tuple[list[Any], Finished]]:
        """Items of each chunk that is done, and how it went."""
        for done in self._pool.finished(timeout_s) if self.chunks else ():
            items = self.chunks.pop(done.number)
            self.error = self.error or done.error
            self._deaths = self._deaths + 1 if done.died else 0
            if self._deaths >= _DEATHS:
                raise OlivineError(
                    f"worker processes keep dying ({done.died}), perhaps for lack of memory; finished points are "
                    "kept, run again with fewer --workers"
                )
            if done.results:
                self.size.measured(len(items), done.seconds)
            yield items, done


def _paired(items: Sequence[Item], done: Finished) -> list[tuple[Item, Any]]:
    """Items with their results; none of a chunk that has none."""
    return list(zip(items, done.results, strict=bool(done.results)))


def _send(flight: _Flight, supply: Supply[Any]) -> bool:
    """Fill the slots; False when the supply is at its end."""
    while not flight.full:
        items = supply.take(flight.size.next(supply.left))
        if not items:
            return items is not None
        flight.send(items)
    return True


def _alone(flight: _Flight, item: Item, interrupts: Interrupts) -> Finds[Item]:
    """An item whose process died, when nothing else is under way."""
    flight.send([item])
    while flight.chunks and not interrupts.asked:
        for items, done in flight.landed(WAIT_S):
            if done.died:
                yield [(item, Died(done.died))]
            yield _paired(items, done)


def _remains(flight: _Flight) -> Finds[Any]:
    """What finishes soon after an interrupt or an error."""
    deadline = time.monotonic() + _GRACE_S
    while flight.chunks and (left := deadline - time.monotonic()) > 0:
        for items, done in flight.landed(left):
            yield _paired(items, done)
