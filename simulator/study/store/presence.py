"""That this process is at work on a store: written down with its first claim, and again every while until it leaves."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from simulator.study.store.owners import Owner, is_gone, this_process

__all__ = ["Presence", "living"]

_BEAT_S = 15.0
"""Between two signs of life."""


class Presence:
    """A process and its signs of life in the store at ``path``, from ``begin`` to ``end``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.owner = this_process()
        self._left = threading.Event()
        self._pulse: threading.Thread | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something to end."""
        return self._pulse is not None

    def begin(self, db: sqlite3.Connection) -> None:
        """Say that this process lives, inside a transaction; from then on it is said every while."""
        _beat(db, self.owner)
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._beat_on, name="olivine-presence", daemon=True)
            self._pulse.start()

    def still(self) -> None:
        """No further sign of life: whoever calls this removes what was written, with ``end``."""
        self._left.set()
        if self._pulse:
            self._pulse.join()

    def end(self, db: sqlite3.Connection) -> None:
        """Give up whatever was claimed, and be gone, inside a transaction."""
        _release(db, [self.owner.name])

    def _beat_on(self) -> None:
        """On a connection of its own. A beat that fails may be the last."""
        while not self._left.wait(_BEAT_S):
            with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                _beat(db, self.owner)


def living(db: sqlite3.Connection, mine: Owner) -> dict[str, Owner]:
    """Other owners that live, by name; what the dead claimed is free again."""
    found = db.execute("SELECT host, pid, started, id, seen FROM owners WHERE id != ?", (mine.name,)).fetchall()
    owners = {owner: seen for *who, seen in found for owner in [Owner(*who)]}
    dead = [owner.name for owner, seen in owners.items() if is_gone(owner, seen)]
    _release(db, dead)
    return {owner.name: owner for owner in owners if owner.name not in dead}


def _release(db: sqlite3.Connection, names: Iterable[str]) -> None:
    for name in names:
        db.execute("DELETE FROM claims WHERE owner = ?", (name,))
        db.execute("DELETE FROM owners WHERE id = ?", (name,))


def _beat(db: sqlite3.Connection, owner: Owner) -> None:
    row = (owner.name, owner.host, owner.pid, owner.started, time.time())
    db.execute("INSERT OR REPLACE INTO owners (id, host, pid, started, seen) VALUES (?, ?, ?, ?, ?)", row)
