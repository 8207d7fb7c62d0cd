"""The kernels of a layer as software runs it, for one shape: what each moves and does, and what it finds in the L2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from simulator.config.kernels import Dimension, Kernel, TensorUse
from simulator.mapping.cuda_cores import KernelWork
from simulator.mapping.l2_reuse import held

__all__ = ["kernel_works", "size_of", "sizes_of"]


def sizes_of(M: int, N: int, K: int, outliers: int) -> dict[str, int]:
    """What the dimensions of a kernel list stand for."""
    return {"M": M, "N": N, "K": K, "K32": -(-K // 32) * 32, "K256": -(-K // 256), "O": outliers}


def size_of(dimension: Dimension, sizes: Mapping[str, int]) -> int:
    """One dimension."""
    return sizes[dimension] if isinstance(dimension, str) else dimension


def kernel_works(kernels: Sequence[Kernel], sizes: Mapping[str, int], l2_bytes: int) -> list[KernelWork]:
    """Each kernel's work, in order; nothing for one that launches nothing. That of a product is what it moves at least.

    Args:
        kernels: those that run for these sizes.
        l2_bytes: capacity of the L2.
    """
    touched = [[(use.tensor, _bytes(use, sizes)) for use in (*k.reads, *k.writes)] for k in kernels]
    return [_work(k, sizes, found) for k, found in zip(kernels, held(touched, l2_bytes), strict=True)]


def _work(kernel: Kernel, sizes: Mapping[str, int], found: Sequence[bool]) -> KernelWork:
    reads = [_bytes(use, sizes) for use in kernel.reads]
    from_l2 = sum(size for size, there in zip(reads, found, strict=False) if there)
    values = max((_elements(use, sizes) for use in (*kernel.reads, *kernel.writes)), default=0)
    return KernelWork(
        values,
        sum(reads) - from_l2,
        from_l2,
        sum(_bytes(use, sizes) for use in kernel.writes),
        values * (kernel.adds + kernel.muls),
        values * kernel.specials,
    )


def _elements(use: TensorUse, sizes: Mapping[str, int]) -> int:
    return prod(size_of(d, sizes) for d in use.shape)


def _bytes(use: TensorUse, sizes: Mapping[str, int]) -> int:
    return -(-_elements(use, sizes) * use.bits // 8)
