"""What SQLite complains about, in one line that says what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.errors import OutputError

__all__ = ["DamagedError", "told"]

_KEPT = "finished points are kept"


class DamagedError(ValueError):
    """What was stored is not what was written."""


@contextmanager
def told(path: Path, patience_s: float) -> Iterator[None]:
    """Complaints about the store at ``path`` as one line each. Raises: OutputError."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(f"{path}: {_reason(error, patience_s)}") from None
    except DamagedError as error:
        raise OutputError(f"{path}: {_damaged(error)}") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; name another --out") from None


def _reason(error: sqlite3.Error, patience_s: float) -> str:
    name = getattr(error, "sqlite_errorname", "")  # Python's own complaints have none
    for prefixes, text in _REASONS.items():
        if name.startswith(prefixes):
            return text.format(error=error, patience_s=patience_s)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged(error)
    return f"not a usable result store: {error}; move it away or name another --out"


def _damaged(error: Exception) -> str:
    return (
        f"not a usable result store: {error}; nothing in it was changed; move it away (`sqlite3 FILE .recover` may "
        "read what is left) or name another --out"
    )


_REASONS = {
    ("SQLITE_BUSY", "SQLITE_LOCKED"): "locked by another program for {patience_s:g} s, such as a database browser; "
    f"close that and run again; {_KEPT}",
    ("SQLITE_FULL",): f"the disk is full; {_KEPT}; make room and run again",
    ("SQLITE_IOERR",): f"cannot be written or read ({{error}}): a full or failing disk?; {_KEPT}",
    ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"): "cannot be written ({error}); name another --out",
    ("SQLITE_CANTOPEN",): "cannot be opened ({error}): no permission, or not a file?; name another --out",
}
