"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from simulator.errors import OutputError

__all__ = ["cannot_write", "require_replaceable", "whole_file", "write_bytes", "write_folder"]


def cannot_write(path: Path, error: OSError) -> OutputError:
    """What to tell whoever chose ``path``."""
    return OutputError(f"{path}: cannot be written: {error.strerror or error}; choose another --out")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, beside ``path``; moved into place if the block ends normally. Makes the folder it lies in.

    Raises: OutputError if the file cannot be written there.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            yield file
        os.replace(scratch, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:  # also when interrupted
        if scratch.parent.is_dir():
            scratch.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Writes ``content`` beside ``path`` and moves it into place; makes the folder it lies in.

    Raises: OutputError if the file cannot be written there.
    """
    with whole_file(path) as file:
        file.write(content)
    return path


def require_replaceable(folder: Path, record: str, format_name: str, force: bool) -> None:
    """Refuse to write a folder over one that holds something else, or over one of its kind without ``force``.

    Args:
        record: JSON file that such a folder holds, in which ``format`` is ``format_name``.
    Raises: OutputError.
    """
    if folder.name in ("", ".."):
        raise OutputError(f"{folder}: not a folder's name; give a new folder to --out")
    try:
        if not folder.is_symlink() and (not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))):
            return
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror or error}; choose another --out") from None
    if folder.is_symlink() or _record(folder / record).get("format") != format_name:
        raise OutputError(f"{folder}: exists and holds something else; choose another --out")
    if not force:
        raise OutputError(f"{folder}: already exists; choose another --out, or replace it with --force")


def write_folder(folder: Path, files: Mapping[str, bytes], record: str) -> None:
    """Writes ``files`` beside ``folder`` and moves them into place together.

    An old ``folder`` gives way to the new one; what it holds beyond the ``files`` that its ``record`` lists is kept.
    Raises: OutputError if the folder cannot be written; an old one is then as it was.
    """
    scratch, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{role}") for role in ("tmp", "old"))
    try:
        scratch.mkdir(parents=True)
        _keep_foreign(folder, scratch, record)
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        _swap(scratch, folder, old)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}; choose another --out") from None
    finally:  # also when interrupted
        shutil.rmtree(scratch, ignore_errors=True)


def _record(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _keep_foreign(folder: Path, scratch: Path, record: str) -> None:
    own = {record, *_record(folder / record).get("files", ())}
    for item in folder.iterdir() if folder.exists() else ():
        if item.name in own:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.copytree(item, scratch / item.name, symlinks=True)
        else:
            shutil.copy2(item, scratch / item.name, follow_symlinks=False)


def _swap(scratch: Path, folder: Path, old: Path) -> None:
    if not folder.exists():
        os.replace(scratch, folder)
        return
    os.replace(folder, old)
    try:
        os.replace(scratch, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
