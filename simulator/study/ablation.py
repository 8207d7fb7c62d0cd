"""What is lost with outliers, and what with their neighbours: float tensors with some values clipped or put to zero.

The experiment of OliVe (Guo et al., ISCA 2023, Figure 3). Outliers are the values beyond three standard deviations of
their tensor, victims those that share a pair along K with one (of two outliers the smaller, the right one on a tie).
All that is left stays in float32. Deviations of weights are their own, those of activations are found on the
calibration inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from simulator.study.substitution import Products, is_replaced
from simulator.tracing.products import F32, Product, multiply

__all__ = ["ABLATIONS", "SIGMAS", "Ablated", "victims_of"]

SIGMAS = 3.0
Change = Callable[[F32, float, float, np.random.Generator], F32]
"""From a tensor, the mean and the standard deviation that say what its outliers are, and chance, to what is left."""


def _clip(x: F32, mean: float, sigma: float, rng: np.random.Generator) -> F32:
    """Outliers brought to three sigma."""
    return np.clip(x, np.float32(mean - SIGMAS * sigma), np.float32(mean + SIGMAS * sigma))


def _prune_victims(x: F32, mean: float, sigma: float, rng: np.random.Generator) -> F32:
    """Victims zero, outliers and all other values as they are."""
    return np.where(victims_of(x, mean, sigma), np.float32(0), x)


def _prune_normals(x: F32, mean: float, sigma: float, rng: np.random.Generator) -> F32:
    """As many values zero as there are victims, drawn from those that are no outliers."""
    normal = np.flatnonzero(np.abs(x - mean) <= SIGMAS * sigma)
    count = int(victims_of(x, mean, sigma).sum())
    out = x.copy()
    out.reshape(-1)[rng.choice(normal, min(count, len(normal)), replace=False)] = 0
    return out


def victims_of(x: F32, mean: float, sigma: float) -> NDArray[np.bool_]:
    """Which values (..., K) share a pair (even, odd) with an outlier that is kept."""
    even, odd = x[..., 0 : x.shape[-1] // 2 * 2 : 2], x[..., 1::2]
    outlier = [np.abs(side - mean) > SIGMAS * sigma for side in (even, odd)]
    keep_even = outlier[0] & (~outlier[1] | (np.abs(even) >= np.abs(odd)))
    out = np.zeros(x.shape, np.bool_)
    out[..., 1::2] = keep_even
    out[..., 0 : x.shape[-1] // 2 * 2 : 2] = outlier[1] & ~keep_even
    return out


ABLATIONS: Mapping[str, Change] = {
    "clip_outliers": _clip,
    "prune_victims": _prune_victims,
    "prune_normals": _prune_normals,
}


class Ablated:
    """Computes products with both operands so changed.

    Args:
        seen: name of an activation -> all its rows (R, K) on the calibration inputs.
        seed: of what is drawn, with the tensor's name and the number of times it was seen.
    """

    def __init__(self, kind: str, seen: Mapping[str, F32], products: Products = "layers", seed: int = 0) -> None:
        self._change, self._seen, self._products, self._seed = ABLATIONS[kind], seen, products, seed
        self._weights: dict[str, F32] = {}
        self._spread: dict[str, tuple[float, float]] = {}
        self._calls = 0

    def __call__(self, product: Product) -> F32:
        """The product, (M, N) or (count, M, N)."""
        if not is_replaced(product, self._products):
            return multiply(product)
        a = self._changed(product.a_name, product.a, self._seen.get(product.a_name, product.a))
        if product.op.kind == "bmm":
            return multiply(replace(product, a=a, w=self._changed(product.w_name, product.w, product.w)))
        if product.w_name not in self._weights:
            self._weights[product.w_name] = self._changed(product.w_name, product.w, product.w)
        return multiply(replace(product, a=a, w=self._weights[product.w_name]))

    def _changed(self, name: str, x: F32, reference: F32) -> F32:
        self._calls += 1
        rng = np.random.default_rng([self._seed, crc32(name.encode()), self._calls])
        if reference is x:
            return self._change(x, *_mean_and_sigma(x), rng)
        if name not in self._spread:
            self._spread[name] = _mean_and_sigma(reference)
        return self._change(x, *self._spread[name], rng)


def _mean_and_sigma(x: F32) -> tuple[float, float]:
    return float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))
