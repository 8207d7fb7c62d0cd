"""Files appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from simulator.errors import OutputError

__all__ = ["cannot_write", "whole_file", "write_bytes"]


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
