"""The SQLite file of a run folder: opened, of the right kind and version, and closed so that one file is left.

While a run is under way the file has a write-ahead log beside it: points cost an append, readers and a second run
do not wait for each other, and a process that is killed at any moment loses nothing that was stored. ``synchronous =
NORMAL``: a power cut may take the last points with it (those since the last checkpoint), never the file's soundness.
When the last process closes the store it becomes one plain file again, which also opens on read-only media.

A write-ahead log needs shared memory, which network file systems do not have: there, and where the kind of the file
system cannot be found out, SQLite's rollback journal is used, several times slower.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
import warnings
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from simulator.errors import OutputError, StoreNote
from simulator.study.store.file_system import is_local, kind_of

__all__ = ["PATIENCE_S", "STORE_NAME", "Kind", "close", "missing", "open_to_read", "open_to_write", "other_kind"]

STORE_NAME = "results.sqlite"
Kind = Literal["run", "sensitivity", "accuracy"]
"""What made a folder."""
PATIENCE_S = 60.0
"""How long to wait for another process's transaction; ours take milliseconds, for half a second of work."""
_VERSION = 3
_APPLICATION = 0x4F6C6976
"""``Oliv``, in the file's header."""
_MADE_BY = {"run": "olivine run", "sensitivity": "olivine sensitivity", "accuracy": "olivine accuracy"}
_TABLES = (
    "CREATE TABLE names (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE)",
    "CREATE TABLE points (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, names INTEGER NOT NULL"
    " REFERENCES names, result TEXT NOT NULL, crc INTEGER NOT NULL, failure TEXT, layers BLOB)",
    "CREATE TABLE documents (name TEXT PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE owners (id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,"
    " seen REAL NOT NULL)",
    "CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL)",
)
_CHECKPOINT_PAGES = 4000
"""16 MiB of log before it is copied into the file."""
_LEAVING_S = 0.2
"""Several that leave a store at once wait up to so long for each other, so that the last one tidies up."""

_TRIES = 100
"""To make a file in a folder that others remove; far more than there are processes on a folder."""


def open_to_write(path: Path, kind: Kind, fresh: bool = False) -> sqlite3.Connection:
    """The store at ``path``, made if there is none; ``fresh`` replaces what an older version left.

    Raises: sqlite3.Error, OSError; OutputError if it is of another kind, version or program.
    """
    while True:
        _touch(path)
        before = _number(path)
        db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        opened = _number(path)
        try:
            _prepare(db, path, kind, fresh)
            complaint = None
        except sqlite3.OperationalError as error:
            complaint = error
        except BaseException:
            db.close()
            raise
        stayed = before is not None and before == opened == _number(path)
        if stayed and complaint is None:
            return db
        db.close()
        if stayed and complaint is not None:
            raise complaint
        # whoever left an empty store removed it meanwhile: what was opened is nobody's file


def _touch(path: Path) -> None:
    """Make file and folders if they are not there; again if who left an empty store removes them meanwhile."""
    for left in reversed(range(_TRIES)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o666))
            return
        except FileNotFoundError:
            if not left:
                raise


def _number(path: Path) -> int | None:
    """Of the file that has this name now."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _prepare(db: sqlite3.Connection, path: Path, kind: Kind, fresh: bool) -> None:
    version = _version(db, path)
    if fresh and 0 < version < _VERSION:
        _replace(db)
    _require_version(_version(db, path), path)
    _require_kind(db, path, kind)
    _set_journal(db, path)
    _create(db, kind)
    _require_kind(db, path, kind)


def open_to_read(path: Path) -> sqlite3.Connection:
    """The store at ``path`` for reading, also in a folder that cannot be written.

    Raises: sqlite3.Error; OutputError as ``open_to_write``.
    """
    log, journal = (path.with_name(path.name + end) for end in ("-wal", "-journal"))
    # a journal: a run was killed at its begin or end, and who may write rolls that back
    undone = journal.exists() and os.access(path, os.W_OK)
    where = path.absolute().as_uri() + ("?mode=rw" if undone else "?mode=ro")
    in_use = journal.exists() or (log.exists() and log.stat().st_size)
    if not os.access(path.parent, os.W_OK) and not in_use:
        where += "&immutable=1"  # a store left in write-ahead mode and then made read-only: nobody writes
    db = sqlite3.connect(where, uri=True, timeout=PATIENCE_S, isolation_level=None)
    try:
        _require_version(_version(db, path), path)
    except BaseException:
        db.close()
        raise
    return db


def missing(path: Path) -> list[Path]:
    """A file and the folders that it lies in, as far as they do not exist, innermost first."""
    return [one for one in (path, *path.parents) if not one.exists()]


def close(db: sqlite3.Connection, made: Sequence[Path] = ()) -> None:
    """Close a store; the last to do so leaves one plain file, or none if it was made in vain.

    Args:
        made: the file and folders that came into being with it, innermost first; empty for one that was there.
    """
    with closing(db), suppress(sqlite3.Error):  # others have it open, or the disk is full: the log stays and is safe
        db.execute("PRAGMA busy_timeout = 0")
        if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            return
        _switch(db, "DELETE", random.uniform(0, _LEAVING_S))  # noqa: S311  who waits longest is the last
        if made:
            db.execute("BEGIN EXCLUSIVE")  # whoever opens it now waits, and then sees that it is gone
            if _is_empty(db):
                _remove(made)
            db.execute("ROLLBACK")


def _is_empty(db: sqlite3.Connection) -> bool:
    """Whether there is neither a result nor anyone at work on one: of documents, those that a run begins with alone."""
    tables = "points", "owners", "documents WHERE name NOT IN ('kind', 'begun.json', 'plan.json')"
    return not any(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)  # noqa: S608


def _remove(made: Sequence[Path]) -> None:
    with suppress(OSError):  # a folder that is not empty
        made[0].unlink()
        for folder in made[1:]:
            folder.rmdir()


def _require_kind(db: sqlite3.Connection, path: Path, kind: Kind) -> None:
    """Raises: OutputError if another command made the folder."""
    if not _made(db):
        return
    found = db.execute("SELECT content FROM documents WHERE name = 'kind'").fetchone()[0]
    if found != kind:
        raise OutputError(other_kind(path.parent, found, kind))


def other_kind(folder: Path, found: str, kind: Kind) -> str:
    """The refusal to mix two commands' results."""
    made = _MADE_BY.get(found, found)
    return f"{folder}: holds what `{made}` made, which `{_MADE_BY[kind]}` would overwrite; name another --out"


def _version(db: sqlite3.Connection, path: Path) -> int:
    """Of the schema; 0 for an empty file. Raises: OutputError for a file of another program."""
    db.execute("BEGIN")  # all three as they are at one moment: another process may be making the tables
    version, application = (int(db.execute(f"PRAGMA {p}").fetchone()[0]) for p in ("user_version", "application_id"))
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    db.execute("COMMIT")
    early = application == 0 and version in (1, 2) and tables == ["points"]  # those versions had no mark
    ours = early or application == _APPLICATION
    if not ours and (tables or version or application):
        raise OutputError(f"{path}: another program's database; move it away or name another --out")
    return version


def _require_version(version: int, path: Path) -> None:
    if version in (0, _VERSION):
        return
    why = f"(schema {version}, this one uses {_VERSION})"
    if version > _VERSION:
        raise OutputError(f"{path}: written by a newer version {why}; use that one or name another --out")
    raise OutputError(
        f"{path}: written by an older version {why}, whose points this one would not use again; replace it with "
        "--fresh or name another --out"
    )


def _replace(db: sqlite3.Connection) -> None:
    """Drop everything that an older version made."""
    db.execute("BEGIN IMMEDIATE")
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        db.execute(f'DROP TABLE "{table}"')
    db.execute("PRAGMA user_version = 0")
    db.execute("PRAGMA application_id = 0")
    db.execute("COMMIT")


def _set_journal(db: sqlite3.Connection, path: Path) -> None:
    if is_local(path.parent):
        _switch(db, "WAL", PATIENCE_S)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        return
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA synchronous = FULL")
    what = kind_of(path.parent)
    warnings.warn(
        StoreNote(f"{path}: on a file system that may be shared ({what}): stored safely, but slower"), stacklevel=2
    )


def _switch(db: sqlite3.Connection, journal: Literal["WAL", "DELETE"], patience_s: float) -> None:
    """Switch the journal. That needs the file for itself for a moment, and SQLite does not wait for it."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            db.execute(f"PRAGMA journal_mode = {journal}")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _create(db: sqlite3.Connection, kind: Kind) -> None:
    """Tables and version appear together; of two processes the second finds what the first made."""
    if _made(db):
        return
    db.execute("BEGIN IMMEDIATE")
    if not _made(db):
        for table in _TABLES:
            db.execute(table)
        db.execute("INSERT INTO documents VALUES ('kind', ?)", (kind,))
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")


def _made(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA user_version").fetchone()[0])
