"""An exception inside somebody else's datapath becomes one line that says where."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.datapath.registry import files
from simulator.errors import DatapathError, OlivineError

__all__ = ["TRACEBACK_VARIABLE", "blamed"]

TRACEBACK_VARIABLE = "OLIVINE_TRACEBACK"
"""Environment variable that lets the exception through, for whoever writes the datapath."""
_SHIPPED = Path(__file__).resolve().parent


@contextmanager
def blamed() -> Iterator[None]:
    """Names the datapath's file, line and function if what is raised inside passed through a file of a datapath that
    is not shipped. Anything else goes on as it is: it is a mistake of this program.

    Raises: DatapathError.
    """
    try:
        yield
    except OlivineError:
        raise
    except Exception as error:
        place = _foreign_place(error)
        if place is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        hint = f"{TRACEBACK_VARIABLE}=1 shows the whole traceback"
        raise DatapathError(f"{place}: {type(error).__name__}: {error}; {hint}") from error


def _foreign_place(error: Exception) -> str | None:
    foreign = {path: name for name, path in files().items() if path.parent != _SHIPPED}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path in foreign:
            return f"{path}:{frame.lineno}: datapath '{foreign[path]}' failed in {frame.name}"
    return None
