"""Tensors of a workload of shapes, drawn op by op from stated statistics: no model's, and called synthetic."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.tracing.synthetic import RECIPES, Recipe, draw, parse_recipe
from simulator.workload import Op

__all__ = ["MOST_VALUES", "Drawn", "drawn_from"]

MOST_VALUES = 1 << 26
"""Of a tensor that is drawn at once: 256 MiB as float32."""


@dataclass(frozen=True)
class Drawn:
    """How both operands of every op are drawn; the same op gets the same tensors whatever else is drawn.

    Attributes:
        source: where the statistics come from.
    """

    activations: Recipe
    weights: Recipe
    source: str
    seed: int = 0

    def tensors(self, op: Op) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both operands, (count, M, K) and (count, N, K); those of two activations are drawn as such.

        Raises: TraceError if one is too large to draw.
        """
        return self.side(op, 0), self.side(op, 1)

    def side(self, op: Op, side: Literal[0, 1]) -> NDArray[np.float32]:
        """One of them. Raises: as ``tensors``."""
        largest = op.count * max(op.M, op.N) * op.K
        if largest > MOST_VALUES:
            raise TraceError(f"op '{op.name}': an operand of {largest:,} values is too large to draw")
        recipe = self.weights if side == 1 and op.kind != "bmm" else self.activations
        rng = np.random.default_rng([self.seed, zlib.crc32(op.name.encode()), side])
        return draw(recipe, (op.count, op.N if side else op.M, op.K), rng)


def drawn_from(name: str, activations: str | None, weights: str | None, seed: int) -> Drawn:
    """Statistics for a workload: as given, in the notation of ``tracing.synthetic``, or the published ones of its name.

    Raises: TraceError if they are not understood, or not known.
    """
    known = RECIPES.get(name)
    if known is None and (activations is None or weights is None):
        raise TraceError(
            f"no statistics are known for workload '{name}'; give activations and weights, such as N() or K(1018); "
            f"known: {', '.join(RECIPES)}"
        )
    usual_a, usual_w, origin = known or ("", "", "")
    given = [f"{what} as asked" for what, text in (("activations", activations), ("weights", weights)) if text]
    sources = [*given, *([origin] if len(given) < 2 else [])]
    return Drawn(parse_recipe(activations or usual_a), parse_recipe(weights or usual_w), "; ".join(sources), seed)
