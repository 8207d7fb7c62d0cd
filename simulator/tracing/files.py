"""Files of a folder that somebody else made: plain ones inside it, of a size that can be read."""

from __future__ import annotations

from pathlib import Path

from simulator.errors import TraceError

__all__ = ["plain_file", "read_at_most", "why_no_safetensors"]

_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"


def plain_file(folder: Path, name: str) -> Path:
    """``folder / name``, which may still be missing.

    Raises: TraceError for a link that leaves the folder, and for what is no plain file (a pipe, a device, a folder).
    """
    path = folder / name
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise TraceError(f"{path}: is a link to outside the trace's folder, which is not followed; copy the file there")
    if path.exists() and not path.is_file():
        raise TraceError(f"{path}: is no plain file")
    return path


def read_at_most(path: Path, most: int) -> bytes:
    """The file's bytes. Raises: TraceError if it holds more than ``most``; OSError."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TraceError(f"{path}: is larger than {most} bytes, which no manifest is")
    return data


def why_no_safetensors(path: Path) -> str:
    """What a file that is no safetensors file may be instead, or an empty string."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == _ZIP or start[:1] == _PICKLE:
        return "it begins like a pickle (.pt, .pth), which can run code and is never opened; convert it to safetensors"
    return ""
