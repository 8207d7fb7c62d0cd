"""Results as lines of JSON, each written when it is known."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["append", "attempt"]


def append(path: Path, section: str, fields: Mapping[str, Any]) -> None:
    """One line more."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"section": section, **fields}, default=str) + "\n")


def attempt(path: Path, section: str, fields: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> None:
    """What ``measure`` gives, or the error that it ended in: a shape that a library refuses ends nothing else."""
    try:
        found = measure()
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"}
        print(section, dict(fields), traceback.format_exc(limit=3), flush=True)
    append(path, section, {**fields, **found})
