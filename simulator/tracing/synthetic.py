"""Tensors that are drawn to have stated outlier statistics. They are no model's: whatever holds them says so.

Written ``N()``, ``P(on, oo, largest)``, ``C(dims, positions, mean, sd)``, ``K(kurtosis, share)``, ``M()``:

- N: standard normal, no outliers but its own.
- P: shares of (even, odd) pairs along K with one and with two outliers beyond 3 sigma; their magnitudes are Pareto
  distributed (exponent 3, assumed), the largest of all ``largest`` sigma. The body is normal, cut at 3 sigma.
- C: in ``dims`` columns of K a share ``positions`` of the rows is normal with that mean and deviation; the rest is N.
- K: of a standard normal tensor a ``share`` becomes plus or minus the one magnitude that gives the excess ``kurtosis``.
- M: massive activations: two features of the first and of one other token, over a normal body of sigma 0.2965.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError, UnknownNameError

__all__ = ["RECIPES", "Recipe", "draw", "outlier_magnitude", "parse_recipe"]

F32 = NDArray[np.float32]
_SIGMAS, _PARETO = 3.0, 3.0
# Llama-2-7B in Sun et al., COLM 2024: two features of the first and of a delimiter token; the median magnitude is 0.2
_MASSIVE = ((2380.0, -1400.0), (1547.0, -802.0))
_MASSIVE_FEATURES, _MASSIVE_SIGMA = (2533, 1415), 0.2965


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of tensor and its numbers, in the order of the module's notation."""

    kind: str
    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{number:g}' for number in self.numbers)})"


RECIPES: dict[str, tuple[str, str, str]] = {
    "bert_base": (
        "K(3076)", "P(0.0084, 0.0004, 325)",
        "kurtosis of layer outputs: Bondarenko et al., NeurIPS 2023; pairs: Guo et al., ISCA 2023, table 2, fig. 2",
    ),
    "bert_large": (
        "K(3076)", "P(0.0071, 0.0005, 325)",
        "pairs: Guo et al., ISCA 2023, table 2; kurtosis and largest value: those of BERT-base, assumed",
    ),
    "bart_base": (
        "P(0.0084, 0.0004, 325)", "P(0.0084, 0.0004, 325)",
        "those of BERT-base in Guo et al., ISCA 2023, table 2, fig. 2, assumed",
    ),
    "gpt2_xl": (
        "C(2, 0.35, -9, 3)", "P(0.0114, 0.0006, 28)",
        "columns: Dettmers et al., NeurIPS 2022, table 4; pairs: Guo et al., ISCA 2023, table 2; largest value assumed",
    ),
    "opt_6_7b": (
        "C(6, 0.75, -40, 6.7)", "P(0.0064, 0.0003, 28)",
        "columns: Dettmers et al., NeurIPS 2022, table 4 (FSEQ 6.7B); pairs: Guo et al., ISCA 2023, table 2; "
        "largest value assumed",
    ),
    "opt_13b": (
        "C(7, 0.73, -58, 13)", "P(0.0064, 0.0003, 28)",
        "columns: Dettmers et al., NeurIPS 2022, table 4 (FSEQ 13B); pairs: those of OPT-6.7B, assumed",
    ),
    "bloom_7b1": (
        "P(0.0064, 0.0003, 28)", "P(0.0064, 0.0003, 28)",
        "those of OPT-6.7B in Guo et al., ISCA 2023, table 2, assumed",
    ),
    "llama_7b": (
        "M()", "P(0.0064, 0.0003, 28)",
        "massive activations: Sun et al., COLM 2024; pairs: those of OPT-6.7B, assumed",
    ),
    "vit_b": (
        "K(1018)", "P(0.0084, 0.0004, 28)",
        "kurtosis of ViT-S/16: Bondarenko et al., NeurIPS 2023; pairs: those of BERT-base, assumed",
    ),
    "resnet50": (
        "P(0.0084, 0.0004, 28)", "P(0.0084, 0.0004, 28)",
        "largest value: that of ResNet-18 in Guo et al., ISCA 2023, fig. 2; pairs: those of BERT-base, assumed",
    ),
}  # fmt: skip
"""Workload -> activations, weights, where the numbers come from."""

_DEFAULTS: dict[str, tuple[float | None, ...]] = {
    "N": (),
    "P": (None, None, 28.0),
    "C": (None, None, None, None),
    "K": (None, 0.0),
    "M": (),
}


def parse_recipe(text: str) -> Recipe:
    """``K(3076)`` as a record. Raises: TraceError with what is allowed."""
    match = re.fullmatch(r"\s*([A-Z])\(([^()]*)\)\s*", text)
    if match is None:
        raise TraceError(f"statistics '{text}' are not understood; write them as K(3076) or P(0.0084, 0.0004, 325)")
    kind, words = match.group(1), [word.strip() for word in match.group(2).split(",") if word.strip()]
    if kind not in _DEFAULTS:
        raise UnknownNameError("statistics", kind, _DEFAULTS)
    defaults = _DEFAULTS[kind]
    try:
        given = [float(word) for word in words]
    except ValueError:
        raise TraceError(f"statistics '{text}': not a number among {', '.join(words)}") from None
    missing = [value for value in defaults[len(given) :] if value is None]
    if len(given) > len(defaults) or missing or not all(map(math.isfinite, given)):
        raise TraceError(f"statistics '{text}': {kind} takes {_signature(kind)}")
    recipe = Recipe(kind, tuple(given) + tuple(value for value in defaults[len(given) :] if value is not None))
    _check(recipe, text)
    return recipe


def _signature(kind: str) -> str:
    names = {"P": "(on, oo, largest)", "C": "(dims, positions, mean, sd)", "K": "(kurtosis, share)"}
    return names.get(kind, "()")


def _check(recipe: Recipe, text: str) -> None:
    n = recipe.numbers
    wrong = {
        "P": lambda: min(n) < 0 or (n[0] + 2 * n[1]) / 2 >= 1 / 54 or n[2] <= _SIGMAS,
        "C": lambda: n[0] < 1 or n[0] % 1 != 0 or not 0 < n[1] <= 1 or n[3] < 0,
        "K": lambda: n[0] <= 0 or not 0 <= n[1] < 1 / (n[0] + 3),
    }.get(recipe.kind, lambda: False)
    if wrong():
        raise TraceError(
            f"statistics '{text}' cannot be met: P needs fewer than 1 outlier in 54 values and a largest one beyond 3 "
            "sigma, C whole dims and a share of positions in 0..1, K a share below 1 / (kurtosis + 3)"
        )


def draw(recipe: Recipe, shape: tuple[int, int, int], rng: np.random.Generator) -> F32:
    """A tensor (count, rows, K) with the recipe's statistics, as near as its size allows."""
    makers: dict[str, Callable[[F32, tuple[float, ...], np.random.Generator], F32]] = {
        "N": lambda x, numbers, rng: x,
        "P": _with_pairs,
        "C": _with_columns,
        "K": _with_kurtosis,
        "M": _with_massive,
    }
    return makers[recipe.kind](rng.standard_normal(shape, dtype=np.float32), recipe.numbers, rng)


def _with_pairs(x: F32, numbers: tuple[float, ...], rng: np.random.Generator) -> F32:
    """Outliers in exactly the asked shares of pairs; no row's last odd value is one."""
    on, oo, largest = numbers
    share = (on + 2 * oo) / 2
    most = min(largest, max(_SIGMAS * 1.01, 0.3 * math.sqrt(x.size)))  # one value at R sigma is R^2 / n of the variance
    tail = _PARETO / (_PARETO - 2) * _SIGMAS**2 * share + most**2 / x.size  # the outliers' part of the variance
    sigma = math.sqrt((1 - share) / (1 - min(tail, 0.9)))
    _cut(x, _SIGMAS * sigma, rng)
    rows, half = x.shape[0] * x.shape[1], x.shape[2] // 2
    pairs = rows * half
    if not pairs:
        return x
    first, second = round(on * pairs), round(oo * pairs)
    chosen = rng.choice(pairs, first + second, replace=False)
    side = rng.integers(0, 2, first)
    places = np.concatenate([2 * chosen[:first] + side, 2 * chosen[first:], 2 * chosen[first:] + 1])
    magnitude = np.minimum(_SIGMAS * (1 - rng.random(len(places))) ** (-1 / _PARETO), most)
    if len(places):
        magnitude[int(rng.integers(len(places)))] = most
    values = (sigma * magnitude * rng.choice((-1.0, 1.0), len(places))).astype(np.float32)
    paired = x[:, :, : 2 * half].reshape(rows, 2 * half)
    paired[places // (2 * half), places % (2 * half)] = values
    x[:, :, : 2 * half] = paired.reshape(*x.shape[:2], 2 * half)
    return x


def _cut(x: F32, limit: float, rng: np.random.Generator) -> None:
    """Draw again what lies beyond ``limit``, in place."""
    beyond = np.abs(x) >= limit
    while beyond.any():
        x[beyond] = rng.standard_normal(int(beyond.sum()), dtype=np.float32)
        beyond = np.abs(x) >= limit


def _with_columns(x: F32, numbers: tuple[float, ...], rng: np.random.Generator) -> F32:
    dims, positions, mean, sd = numbers
    rows = x.shape[1]
    for gemm in x:
        for column in rng.choice(x.shape[2], min(int(dims), x.shape[2]), replace=False):
            chosen = rng.choice(rows, max(1, round(positions * rows)), replace=False)
            gemm[chosen, column] = rng.normal(mean, sd, len(chosen))
    return x


def _with_kurtosis(x: F32, numbers: tuple[float, ...], rng: np.random.Generator) -> F32:
    kurtosis, share = numbers
    share = share or _usual_share(kurtosis)
    chosen = rng.choice(x.size, max(1, round(share * x.size)), replace=False)
    magnitude = outlier_magnitude(kurtosis, share)
    x.reshape(-1)[chosen] = (magnitude * rng.choice((-1.0, 1.0), len(chosen))).astype(np.float32)
    return x


def _usual_share(kurtosis: float) -> float:
    """1/2048, or the largest smaller power of two that can reach the kurtosis."""
    return 2.0 ** -max(11, math.floor(math.log2(kurtosis + 3)) + 1)


def outlier_magnitude(kurtosis: float, share: float) -> float:
    """A for which a ``share`` of values at plus or minus A, the others standard normal, has that excess kurtosis.

    The larger root of ``(3 (1-p) + p A^4) = (kurtosis + 3) ((1-p) + p A^2)^2``, a quadratic in A^2.
    """
    p, total = share, kurtosis + 3
    a, b, c = p * (1 - total * p), -2 * total * (1 - p) * p, 3 * (1 - p) - total * (1 - p) ** 2
    return math.sqrt((-b + math.sqrt(b * b - 4 * a * c)) / (2 * a))


def _with_massive(x: F32, numbers: tuple[float, ...], rng: np.random.Generator) -> F32:
    x *= np.float32(_MASSIVE_SIGMA)
    other = int(rng.integers(1, x.shape[1])) if x.shape[1] > 1 else 0
    features = [feature % x.shape[2] for feature in _MASSIVE_FEATURES]
    for token, values in ((other, _MASSIVE[1]), (0, _MASSIVE[0])):
        x[:, token, features] = np.array(values, np.float32)
    return x
