"""Functions that numba compiles, from first call to machine code: numba is imported when one is worth it, and the code
kept on disk is never stale.

``njit`` is numba's, but numba, which takes half a second, is imported when the function is first called. With
``cache=True`` numba keeps machine code beside a source file and makes it anew when that file changes. It does not look
at the files of the functions that are called, nor at constants that are imported.

A ``kernel`` may call kernels of other files. It is kept under a digest of the sources of all modules that have any, so
that an edit of one makes all anew. And it is interpreted, as the Python that it is, until this process has spent
``INTERPRET_S`` on that: a command that asks for one GEMM has its answer before numba would be imported. What comes out
is the same (tests/test_kernels.py).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property, update_wrapper
from typing import Any, TypeVar, cast

import numpy as np

__all__ = ["Compiled", "Kernel", "compile_at_once", "kernel", "njit"]

INTERPRET_S = float(os.environ.get("OLIVINE_INTERPRET_S", "0.5"))
"""CPU seconds that a process interprets kernels before it compiles them: about what numba's import takes [assumed]. 0:
compiled at once."""

_F = TypeVar("_F", bound=Callable[..., Any])


class Compiled:
    """A function that numba compiles when it is first called, or when a compiled one calls it."""

    def __init__(self, function: Callable[..., Any], make: Callable[[Callable[..., Any]], Any]) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self._make = make
        self._call: Callable[..., Any] = self._first

    def __call__(self, *args: Any) -> Any:
        """Its result."""
        return self._call(*args)

    def __reduce__(self) -> str:
        return self.py_func.__qualname__

    @cached_property
    def dispatcher(self) -> Any:
        """What numba made of it."""
        self._call = self._make(self.py_func)
        return self._call

    @property
    def _numba_type_(self) -> Any:
        """What a compiled function sees that calls this one."""
        return self.dispatcher._numba_type_

    def _first(self, *args: Any) -> Any:
        return self.dispatcher(*args)


class _Interpreter(threading.local):
    """What interpreting may still take in this thread, and whether a kernel is being interpreted."""

    def __init__(self) -> None:
        self.left_s = INTERPRET_S
        self.busy = False


_interpreter = _Interpreter()


class Kernel(Compiled):
    """One that is interpreted at first.

    Called by another, it becomes a part of that one's machine code, without what Python would call it by and without a
    place in the cache, which takes half of compiling.
    """

    @cached_property
    def inner(self) -> Any:
        """What other kernels call."""
        return _for_any_number(
            _jit(self.py_func, {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True})
        )

    @property
    def _numba_type_(self) -> Any:
        return self.inner._numba_type_

    def _first(self, *args: Any) -> Any:
        if _interpreter.busy:
            return self.py_func(*args)
        if _interpreter.left_s <= 0:
            return self.dispatcher(*args)
        _interpreter.busy, start = True, time.thread_time()
        try:
            return _plain(self.py_func(*args))
        finally:
            _interpreter.busy = False
            _interpreter.left_s -= time.thread_time() - start


def compile_at_once() -> None:
    """From now on kernels are compiled when they are called, for measurements of warm processes."""
    _interpreter.left_s = 0.0


def _plain(result: Any) -> Any:
    """As numba returns it: numbers of Python, not NumPy's."""
    if isinstance(result, np.generic):
        return result.item()
    if isinstance(result, tuple):
        parts = map(_plain, result)
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return result


def njit(function: Callable[..., Any] | None = None, /, *, allocates: bool = True, **options: Any) -> Any:
    """numba's ``njit`` for a function that calls none of another file.

    Args:
        allocates: whether it makes arrays, or what it calls does. If not, nobody has to count who holds the arrays that
            it is given; where small functions pass on many of them, that takes several times as long as all else.
    """
    if function is None:
        return lambda given: njit(given, allocates=allocates, **options)
    how = options if allocates else options | {"_nrt": False}
    return Compiled(function, lambda given: _jit(given, how))


def kernel(function: _F) -> _F:
    """``function`` interpreted at first, then compiled by numba, or read from the cache."""
    return cast(_F, Kernel(function, _kernel))


def _kernel(function: Callable[..., Any]) -> Any:
    import numba

    from simulator.kernel_cache import LOCATORS

    config: Any = numba.config
    before = config.CACHE_LOCATOR_CLASSES
    config.CACHE_LOCATOR_CLASSES = LOCATORS
    try:
        compiled = _jit(function, {"cache": True, "error_model": "numpy"})
    finally:
        config.CACHE_LOCATOR_CLASSES = before
    return compiled if compiled is not function else lambda *args: _plain(function(*args))  # NUMBA_DISABLE_JIT


def _for_any_number(dispatcher: Any) -> Any:
    """``dispatcher``, which compiled functions call, compiled once for a number and not again for each constant."""
    from numba.core.types import unliteral

    asked = dispatcher.get_call_template

    def get_call_template(args: Sequence[Any], kws: dict[str, Any]) -> Any:
        return asked(tuple(map(unliteral, args)), {name: unliteral(given) for name, given in kws.items()})

    dispatcher.get_call_template = get_call_template
    return dispatcher


def _jit(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Compiled by numba; nowhere to keep it: in every process."""
    import numba

    try:
        return numba.njit(**options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(**{**options, "cache": False})(function)
