"""Reading a text file that a user named; whatever is wrong with the file itself is one line. And which files were read,
for whoever keeps what was made of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from simulator.config.yaml_nodes import place, shorten
from simulator.errors import ConfigError, NoSuchFileError, did_you_mean

__all__ = ["Stamps", "note", "noting_files", "read_text", "unchanged"]

Stamps = dict[Path, tuple[int, int]]
"""Files, each with when it was last changed [ns] and its size [bytes]."""

_noted: ContextVar[Stamps | None] = ContextVar("noted", default=None)


@contextmanager
def noting_files() -> Iterator[Stamps]:
    """Inside, every file read is noted as it is just before."""
    stamps: Stamps = {}
    token = _noted.set(stamps)
    try:
        yield stamps
    finally:
        _noted.reset(token)


def note(path: Path) -> None:
    """Note a file that is about to be read, if someone asks for that."""
    stamps = _noted.get()
    if stamps is not None and path.is_file():
        stamps[path.absolute()] = _stamp(path)


def unchanged(stamps: Stamps) -> bool:
    """Whether all these files are as they were."""
    try:
        return all(_stamp(path) == stamp for path, stamp in stamps.items())
    except OSError:
        return False


def _stamp(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def read_text(path: Path, kind: str) -> str:
    """The text of a file, without a byte order mark.

    Args:
        kind: what it should be, as in ``a YAML file``, for the complaint about a folder.
    Raises: ConfigError if it cannot be read or is not UTF-8 text.
    """
    label, raw = str(path), b""
    note(path)
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, names) or f"; nothing in {shorten(str(path.parent))} has a name like it"
        raise NoSuchFileError(f"{place(label)}: no such file{near}") from None
    except IsADirectoryError:
        raise ConfigError(f"{place(label)}: a folder, not {kind}; name a file in it") from None
    except OSError as error:
        raise ConfigError(f"{place(label)}: cannot read the file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place(label, line)}: not UTF-8 text; save the file as UTF-8") from None
