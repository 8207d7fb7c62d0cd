"""Where numba keeps the machine code of kernels: its usual places, under a digest of the sources of all kernels."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

__all__ = ["KERNEL_MODULES", "LOCATORS", "stamp"]

KERNEL_MODULES = (
    "kernel_cache.py",
    "kernels.py",
    "engine/each.py",
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


@cache
def stamp() -> str:
    """Digest of the sources of all kernels."""
    folder = Path(__file__).parent
    content = b"\0".join((folder / name).read_bytes() for name in KERNEL_MODULES)
    return hashlib.sha256(content).hexdigest()


class _Stamped:
    """A place for machine code that is as fresh as all kernels are."""

    def get_source_stamp(self) -> str:
        """What numba compares with what it kept."""
        return stamp()


class Provided(_Stamped, UserProvidedCacheLocator):
    """The folder that ``NUMBA_CACHE_DIR`` names, if it does."""


class InTree(_Stamped, InTreeCacheLocator):
    """Beside the source, if that can be written."""


class UserWide(_Stamped, UserWideCacheLocator):
    """In the user's cache."""


LOCATORS = ",".join(f"{__name__}.{place.__name__}" for place in (Provided, InTree, UserWide))
