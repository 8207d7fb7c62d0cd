"""Files that are read once while a run lasts, however many of its points name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["Memory", "Same", "once", "remembering"]

Memory = dict[Any, Any]
"""What was read, by what asked for it."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
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
        if memory is None:
            return function(*args, **kwargs)
        key = (function.__qualname__, args, tuple(sorted(kwargs.items())) if kwargs else ())
        try:
            found: _R = memory[key]
        except TypeError:  # unhashable
            return function(*args, **kwargs)
        except KeyError:
            found = memory[key] = function(*args, **kwargs)
        return found

    return remembered


class Same(Generic[_T]):
    """A frozen object as an argument that a cache tells apart by which object it is, whatever it equals."""

    __slots__ = ("it",)

    def __init__(self, it: _T) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)
