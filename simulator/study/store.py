"""Finished points on disk: SQLite, one transaction per point, found again by content.

A point's key covers everything its result depends on: the resolved design and price list, the workload's fingerprint,
fidelity, seed and the code. An interrupted or extended study runs only what is missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import OutputError
from simulator.study.evaluate import Failure

__all__ = ["STORE_NAME", "Store", "Stored"]

STORE_NAME = "results.sqlite"
_SCHEMA_VERSION = 2


class Stored(NamedTuple):
    """A point's result as it was put: its row and those of its layers, or why it has none."""

    row: dict[str, Any]
    layers: list[dict[str, Any]]
    failure: Failure | None = None


class Store:
    """The points of one run folder. The file comes into being with the first finished point."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STORE_NAME

    def get(self, key: str) -> Stored | None:
        """What a finished point left, or None."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Stored]:
        """Those of the points that are finished."""
        if not self._path.exists():
            return {}
        with self._transaction() as db:
            question = "SELECT result, layers, failure FROM points WHERE key = ?"
            rows = ((key, db.execute(question, (key,)).fetchone()) for key in keys)
            return {key: _stored(*row) for key, row in rows if row}

    def put(
        self, key: str, result: dict[str, Any], layers: list[dict[str, Any]], failure: Failure | None = None
    ) -> None:
        """Store a finished point; it is on disk when this returns. Raises: OutputError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror or error}") from None
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO points (key, result, layers, failure) VALUES (?, ?, ?, ?)",
                (key, json.dumps(result), json.dumps(layers), json.dumps(asdict(failure)) if failure else None),
            )

    def clear(self) -> None:
        """Forget all points."""
        if self._path.exists():
            with self._transaction() as db:
                db.execute("DELETE FROM points")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that commits or rolls back as one transaction, and is closed. Raises: OutputError.

        SQLite's rollback journal, not its write-ahead log: no files of its own stay beside the store, and it also
        works on network file systems. Other processes wait their turn.
        """
        try:
            with closing(sqlite3.connect(self._path, timeout=60)) as db, db:
                self._check_version(db)
                yield db
        except (sqlite3.Error, ValueError) as error:  # ValueError: a row that is not the JSON it was
            raise OutputError(
                f"{self._path}: not a usable result store: {error}; move it away or name another --out"
            ) from None

    def _check_version(self, db: sqlite3.Connection) -> None:
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _SCHEMA_VERSION):
            raise OutputError(
                f"{self._path}: written by another version (schema {found}, this one reads {_SCHEMA_VERSION}); "
                "name another --out"
            )
        if found == 0:
            self._create(db)

    def _create(self, db: sqlite3.Connection) -> None:
        """Table and version appear together; of two processes the second finds what the first made."""
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise OutputError(f"{self._path}: another program's database; move it away or name another --out")
            db.execute(
                "CREATE TABLE points (key TEXT PRIMARY KEY, result TEXT NOT NULL, layers TEXT NOT NULL, failure TEXT)"
            )
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        db.commit()


def _stored(result: str, layers: str, failure: str | None) -> Stored:
    return Stored(json.loads(result), json.loads(layers), Failure(**json.loads(failure)) if failure else None)
