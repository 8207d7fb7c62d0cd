"""The folder that a command writes to: whether it can be written, and that no other command's results are in it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from simulator.errors import OutputError
from simulator.study.store import Kind, other_kind

__all__ = ["own_folder", "writable"]


def own_folder(folder: Path, kind: Kind) -> Path:
    """The folder, if it can be written and nothing of another kind is in it. Raises: OutputError."""
    found = _kind_of(folder / "manifest.json")
    if found not in (kind, None):
        raise OutputError(other_kind(folder, str(found), kind))
    return writable(folder)


def writable(folder: Path) -> Path:
    """The folder, if it or its nearest existing parent can be written: tried, and nothing left. Raises: OutputError."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"{existing}: is a file; a run needs a folder")
    try:
        tempfile.TemporaryDirectory(prefix=".olivine-", dir=existing).cleanup()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{existing}: cannot be written: {reason}; name another folder with --out") from None
    return folder


def _kind_of(manifest: Path) -> str | None:
    """What made a folder, by its manifest; None if there is none that says so."""
    try:
        content: Any = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    marks = {"study_resolved": "run", "merit": "accuracy"}  # manifests of runs have no kind, nor early ones of models
    return content.get("kind") or next((kind for mark, kind in marks.items() if mark in content), None)
