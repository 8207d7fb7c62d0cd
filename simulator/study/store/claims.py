"""Who runs which point: runs that share a store divide its missing points, and take over from those that died."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Generic, Self, TypeVar

from simulator.errors import OlivineError
from simulator.study.store.finished import Store
from simulator.study.store.presence import living

__all__ = ["Claims"]

Item = TypeVar("Item")


class Claims(Generic[Item]):
    """The points that this process has yet to run, handed out a few at a time; a context manager.

    A point is handed out if it is neither stored nor claimed by a living process; what others claimed is looked at
    again later: it is then stored, or free because its owner gave it up or died.

    Args:
        items: what to hand out, by key, of points that were missing when last looked.
        again: of these those that are stored, but not as they are wanted: to be run and stored anew.
    """

    def __init__(self, store: Store, items: Mapping[str, Item], again: Collection[str] = ()) -> None:
        self._store = store
        self._presence = store.presence
        self._items = items
        self._free = deque(items)
        self._others: list[str] = []
        self._old = store.numbers(again)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what was claimed and not stored."""
        if self._presence.begun:
            with suppress(OlivineError), self._store.transaction() as db:  # a full disk was complained of already
                db.execute("DELETE FROM claims WHERE owner = ?", (self._presence.owner.name,))

    @property
    def left(self) -> int:
        """How many may still be handed out."""
        return len(self._free) + len(self._others)

    def take(self, count: int) -> list[Item] | None:
        """Up to ``count`` items for this process to run; empty if all that is left is others'; None at the end."""
        if not self.left:
            return None
        with self._store.transaction() as db:
            if not self._free:
                self._look_again(db)
            taken = self._claim(db, count)
            self._presence.begin(db)
        return [self._items[key] for key in taken] if taken or self.left else None

    def _claim(self, db: sqlite3.Connection, count: int) -> list[str]:
        others = living(db, self._presence.owner)
        taken: list[str] = []
        while self._free and len(taken) < count:
            key = self._free.popleft()
            if self._is_stored(key, db.execute("SELECT id FROM points WHERE key = ?", (key,)).fetchone()):
                continue
            claimed = db.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
            if claimed and claimed[0] in others:
                self._others.append(key)
                continue
            taken.append(key)
        claims = [(key, self._presence.owner.name) for key in taken]
        db.executemany("INSERT OR REPLACE INTO claims (key, owner) VALUES (?, ?)", claims)
        return taken

    def _look_again(self, db: sqlite3.Connection) -> None:
        """Of what others claimed, free what is neither stored nor still theirs, and forget what is stored."""
        living(db, self._presence.owner)
        asked = json.dumps(self._others)
        stored = db.execute("SELECT key, id FROM points WHERE key IN (SELECT value FROM json_each(?))", (asked,))
        done = {key for key, *number in stored if self._is_stored(key, tuple(number))}
        claimed = {key for (key,) in db.execute("SELECT key FROM claims")}
        left = [key for key in self._others if key not in done]
        self._free.extend(key for key in left if key not in claimed)
        self._others = [key for key in left if key in claimed]

    def _is_stored(self, key: str, number: tuple[int] | None) -> bool:
        """Whether a point's number says that it is there, and newer than what is not wanted."""
        return number is not None and number[0] != self._old.get(key)
