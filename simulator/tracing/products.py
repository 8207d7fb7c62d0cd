"""The one way in which a model here multiplies matrices: by a function that sees, keeps or replaces the operands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.workload import Op

__all__ = ["F32", "Multiply", "Product", "multiply"]

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Product:
    """One op with its operands: ``a`` (M, K) or (count, M, K), ``w`` (N, K) or (count, N, K), float32.

    Ops that read the same tensor give it the same name. ``source`` is the shape (rows, features) of the map that a
    convolution's ``a`` was unfolded from.
    """

    op: Op
    a_name: str
    a: F32
    w_name: str
    w: F32
    source: tuple[int, ...] | None = None


Multiply = Callable[[Product], F32]
"""From a product to its result ``a @ w^T``, (M, N) or (count, M, N): exact, recorded, or of quantised operands."""


def multiply(product: Product) -> F32:
    """The result in float32."""
    return np.asarray(product.a @ product.w.swapaxes(-1, -2))
