"""Compiled functions that call each other across files, with a cache on disk that is never stale.

numba keeps machine code beside a source file and makes it anew when that file changes. It does not look at the files of
the functions that are called, nor at constants that are imported. A ``kernel`` is kept under a digest of the sources of
all modules that have any, so that an edit of one makes all anew. A kernel of a module that calls no other module's may
as well be ``njit(cache=True)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

__all__ = ["KERNEL_MODULES", "kernel"]

KERNEL_MODULES = (
    "kernels.py",
    "engine/loops.py",
    "engine/rates.py",
    "mapping/blocking.py",
    "mapping/blocks.py",
    "mapping/closed_forms.py",
    "mapping/loop_orders.py",
    "mapping/tile_sums.py",
    "study/blocking_bounds.py",
    "study/blocking_search.py",
    "study/gemm_batch.py",
    "study/measured.py",
)
"""Every module that defines kernels, from the package's folder; a test holds the list."""

_config: Any = numba.config
_F = TypeVar("_F", bound=Callable[..., Any])


@cache
def _stamp() -> str:
    """Digest of the sources of all kernels."""
    folder = Path(__file__).parent
    content = b"\0".join((folder / name).read_bytes() for name in KERNEL_MODULES)
    return hashlib.sha256(content).hexdigest()


class _Stamped:
    """A place for machine code that is as fresh as all kernels are."""

    def get_source_stamp(self) -> str:
        """What numba compares with what it kept."""
        return _stamp()


class Provided(_Stamped, UserProvidedCacheLocator):
    """The folder that ``NUMBA_CACHE_DIR`` names, if it does."""


class InTree(_Stamped, InTreeCacheLocator):
    """Beside the source, if that can be written."""


class UserWide(_Stamped, UserWideCacheLocator):
    """In the user's cache."""


_LOCATORS = ",".join(f"{__name__}.{place.__name__}" for place in (Provided, InTree, UserWide))


def kernel(function: _F) -> _F:
    """``function`` compiled by numba when it is first called, or read from the cache. Nowhere to keep it: compiled in
    every process.
    """
    before = _config.CACHE_LOCATOR_CLASSES
    _config.CACHE_LOCATOR_CLASSES = _LOCATORS
    try:
        return cast(_F, njit(cache=True, error_model="numpy")(function))
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return cast(_F, njit(error_model="numpy")(function))
    finally:
        _config.CACHE_LOCATOR_CLASSES = before
