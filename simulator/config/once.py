"""Files that are read once while a run lasts, however many of its points name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["Memory", "once", "remembering"]

Memory = dict[Any, Any]
"""What was read, by what asked for it."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Inside, a function under ``once`` finds in ``memory`` what it found before: a run sees one state of each file."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def once(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function of frozen results that is called once for the same arguments while someone remembers; arguments that
    cannot be told apart by hash (a mapping in place of a name) and errors are not remembered.
    """

    @wraps(function)
    def remembered(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        memory = _memory.get()
        key = (function.__qualname__, args, tuple(sorted(kwargs.items())))
        if memory is None or not _is_hashable(key):
            return function(*args, **kwargs)
        if key not in memory:
            memory[key] = function(*args, **kwargs)
        found: _R = memory[key]
        return found

    return remembered


def _is_hashable(key: object) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True
