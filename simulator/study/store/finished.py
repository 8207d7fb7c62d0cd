"""Finished points of one run folder: rows, layers and failures by content address, and what makes the folder again."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from simulator.errors import OlivineError, OutputError
from simulator.study.failure import Failure
from simulator.study.store import database
from simulator.study.store.complaints import DamagedError, told
from simulator.study.store.database import STORE_NAME, Kind
from simulator.study.store.packing import checksum, pack_layers, pack_row, unpack_layers, unpack_row
from simulator.study.store.presence import Presence, living

__all__ = ["Store", "Stored"]

Row = dict[str, Any]
_ROWS = """
SELECT points.key, names.names, points.result, points.crc, points.failure, {layers}
FROM json_each(?) AS asked JOIN points ON points.key = asked.value JOIN names ON names.id = points.names
"""


_PUT = "INSERT OR REPLACE INTO points (key, names, result, crc, failure, layers) VALUES (?, ?, ?, ?, ?, ?)"


class Stored(NamedTuple):
    """A point's result as it was put: its row and those of its layers, or why it has none."""

    row: Row
    layers: list[Row]
    failure: Failure | None = None


class Store:
    """The points of one run folder, on one connection that stays open; a context manager, or ``close`` it.

    The file comes into being with the first thing stored; without one a store is empty.

    Args:
        kind: which command's results the folder holds; another's are refused.
        fresh: forget all points, also those of an older version of the file; refused while another run is at work here.
    Every method raises OutputError, one line, if the file is locked, damaged, full or of another kind or version.
    """

    def __init__(self, folder: Path, kind: Kind = "run", *, fresh: bool = False, read_only: bool = False) -> None:
        self.path = Path(folder) / STORE_NAME
        self._kind: Kind = kind
        self._read_only = read_only
        self._db: sqlite3.Connection | None = None
        self._made: list[Path] = []
        self._names: dict[str, int] = {}
        self.presence = Presence(self.path)
        if fresh and self.path.exists():
            with _closed_if_it_fails(self):
                self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the last process to do so leaves it without a log beside it."""
        if self._db is not None:
            self.presence.still()
            if self.presence.begun:
                with suppress(OlivineError), self.transaction() as db:  # of a full disk was complained already
                    self.presence.end(db)
            database.close(self._db, self._made)
            self._db = None

    def get(self, key: str) -> Stored | None:
        """One finished point, or None."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str], layers: bool = True) -> dict[str, Stored]:
        """Those of the points that are stored; ``layers=False`` leaves their layer rows on disk."""
        if self._absent():
            return {}
        query = _ROWS.format(layers="points.layers" if layers else "NULL")
        with self._opened() as db:
            return {key: _unpacked(key, *packed) for key, *packed in db.execute(query, (json.dumps(list(keys)),))}

    def keys(self) -> list[str]:
        """Of all points, in the order in which they were stored."""
        if self._absent():
            return []
        with self._opened() as db:
            return [key for (key,) in db.execute("SELECT key FROM points ORDER BY id")]

    def numbers(self, keys: Iterable[str]) -> dict[str, int]:
        """Of points that are stored the numbers they were stored under; a point stored anew gets another."""
        if self._absent():
            return {}
        query = "SELECT key, id FROM points WHERE key IN (SELECT value FROM json_each(?))"
        with self._opened() as db:
            return dict(db.execute(query, (json.dumps(list(keys)),)))

    def put(self, key: str, row: Row, layers: Sequence[Row] = (), failure: Failure | None = None) -> None:
        """Store a finished point: no kill of this process loses it once this returns."""
        self.put_many({key: Stored(row, list(layers), failure)})

    def put_many(self, points: Mapping[str, Stored]) -> None:
        """Store finished points by key, as one transaction: no kill of this process loses one once this returns."""
        packed = [_packed(key, point) for key, point in points.items()]
        if not packed:
            return
        with self.transaction() as db:
            for key, names, *more in packed:
                number = self._names.get(names) or self._number(db, names)
                db.execute(_PUT, (key, number, *more))

    def save(self, documents: Mapping[str, bytes], instead_of: Iterable[str] = ()) -> None:
        """Keep documents by name, all or none of them, and remove those that they replace; all others stay."""
        with self.transaction() as db:
            db.executemany("DELETE FROM documents WHERE name = ?", [(name,) for name in instead_of])
            for name, content in documents.items():
                db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, zlib.compress(content, 1)))

    def document(self, name: str) -> bytes | None:
        """A saved document."""
        if self._absent():
            return None
        with self._opened() as db:
            found = db.execute("SELECT content FROM documents WHERE name = ?", (name,)).fetchone()
            try:
                return zlib.decompress(found[0]) if found else None
            except (zlib.error, TypeError) as error:
                raise DamagedError(f"{name} is damaged ({error})") from None

    @property
    def kind(self) -> Kind:
        """Which command made the store."""
        with self._opened() as db:
            return db.execute("SELECT content FROM documents WHERE name = 'kind'").fetchone()[0]

    def at_work(self) -> None:
        """Have other runs know that this process has something to put here, until it closes the store."""
        with self.transaction() as db:
            self.presence.begin(db)

    def _forget(self) -> None:
        """Raises: OutputError if another process is at work here."""
        with self.transaction(fresh=True) as db:
            for other in living(db, self.presence.owner).values():
                raise OutputError(
                    f"{self.path}: another run (process {other.pid} on {other.machine}) is at work on it, and --fresh "
                    "would forget its points; wait for it, stop it or name another --out"
                )
            for table in ("points", "claims", "documents WHERE name != 'kind'"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608

    @contextmanager
    def transaction(self, fresh: bool = False) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else writes meanwhile."""
        with self._opened(fresh) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _opened(self, fresh: bool = False) -> Iterator[sqlite3.Connection]:
        with told(self.path, database.PATIENCE_S):
            if self._db is None:
                self._db = self._open(fresh)
            try:
                yield self._db
            except BaseException:
                self._names.clear()  # what was numbered may be undone
                with suppress(sqlite3.Error):  # SQLite ended some by itself
                    self._db.execute("ROLLBACK")
                raise

    def _open(self, fresh: bool) -> sqlite3.Connection:
        if self._read_only:
            return database.open_to_read(self.path)
        self._made = database.missing(self.path)
        return database.open_to_write(self.path, self._kind, fresh)

    def _absent(self) -> bool:
        return self._db is None and not self.path.exists()

    def _number(self, db: sqlite3.Connection, names: str) -> int:
        """Of a list of names, which all rows that have it share."""
        db.execute("INSERT OR IGNORE INTO names (names) VALUES (?)", (names,))
        self._names[names] = db.execute("SELECT id FROM names WHERE names = ?", (names,)).fetchone()[0]
        return self._names[names]


@contextmanager
def _closed_if_it_fails(store: Store) -> Iterator[None]:
    try:
        yield
    except BaseException:
        store.close()
        raise


def _packed(key: str, point: Stored) -> tuple[str, str, str, int, str | None, bytes | None]:
    """Key, names and values, checksum, failure and layers."""
    names, values = pack_row(point.row)
    why = json.dumps(asdict(point.failure)) if point.failure else None
    return key, names, values, checksum(key, names, values, why or ""), why, pack_layers(point.layers)


def _unpacked(key: str, names: str, values: str, crc: int, failure: str | None, layers: bytes | None) -> Stored:
    """Raises: DamagedError."""
    if checksum(key, names, values, failure or "") != crc:
        raise DamagedError(f"the row of point {key[:12]} is damaged (checksum)")
    why = Failure(**json.loads(failure)) if failure else None
    return Stored(unpack_row(_listed(names), values), unpack_layers(layers), why)


@lru_cache
def _listed(names: str) -> tuple[str, ...]:
    return tuple(json.loads(names))
