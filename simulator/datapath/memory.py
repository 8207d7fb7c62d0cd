"""What was found of tensors and is asked again, in a bounded number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from threading import Lock
from typing import Any, Protocol, TypeVar, cast

import numpy as np

__all__ = ["Memory", "Remembers", "bytes_of"]

_T = TypeVar("_T")
_OBJECT_BYTES = 128
"""What an object takes besides the arrays that it holds, roughly."""


class Remembers(Protocol):
    """Whoever keeps what was made for a key."""

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What was made for that key, or what ``make`` makes."""


class Memory:
    """Keeps results by key. Beyond ``most_bytes`` those go that were not asked for longest; one that is larger than all
    of that is not kept. Results must not be changed.

    Attributes:
        made: how often something had to be made.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.made = most_bytes, 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._held, self._lock = 0, Lock()

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """See ``Remembers``; what ``make`` raises is not remembered, nor is anything for a key without a hash."""
        try:
            key = _Hashed(key)
        except TypeError:  # options of a datapath from elsewhere
            return make()
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return cast(_T, found[0])
        value = make()
        self._keep(key, value, bytes_of(value))
        return value

    def within(self, *place: Hashable) -> Remembers:
        """The part of it whose keys belong to ``place``."""
        return _Within(self, place)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._held = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._held

    def _keep(self, key: Hashable, value: Any, size: int) -> None:
        with self._lock:
            self.made += 1
            if size > self.most_bytes or key in self._kept:
                return
            self._kept[key] = value, size
            self._held += size
            while self._held > self.most_bytes:
                self._held -= self._kept.popitem(last=False)[1][1]


class _Hashed:
    """A key whose hash is made once. Raises: TypeError if it has none."""

    __slots__ = ("hash", "key")

    def __init__(self, key: Hashable) -> None:
        self.key, self.hash = key, hash(key)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self.hash == other.hash and self.key == other.key


class _Within:
    """Some of the keys of a memory."""

    def __init__(self, memory: Memory, place: tuple[Hashable, ...]) -> None:
        self._memory, self._place = memory, place

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """See ``Remembers``."""
        return self._memory.get((self._place, key), make)


def bytes_of(value: Any) -> int:
    """Bytes of the arrays in a value, whatever records, tuples and mappings they lie in, and something for the rest.
    A value may say it itself: ``held_bytes``.
    """
    if isinstance(value, np.ndarray):
        return value.nbytes + _OBJECT_BYTES
    if isinstance(value, tuple | list):
        return _OBJECT_BYTES + sum(map(bytes_of, value))
    if isinstance(value, Mapping):
        return _OBJECT_BYTES + sum(map(bytes_of, value.values()))
    if hasattr(value, "held_bytes"):
        return int(value.held_bytes)
    names = getattr(type(value), "__dataclass_fields__", ())
    return _OBJECT_BYTES + sum(bytes_of(getattr(value, name)) for name in names)
