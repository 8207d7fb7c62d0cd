"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from simulator.errors import OutputError

__all__ = ["write_bytes"]


def write_bytes(path: Path, content: bytes) -> Path:
    """Writes ``content`` beside ``path`` and moves it into place; makes the folder it lies in.

    Raises: OutputError if the file cannot be written there.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        os.replace(scratch, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; choose another --out") from None
    finally:  # also when interrupted
        if scratch.parent.is_dir():
            scratch.unlink(missing_ok=True)
    return path
