"""The contract of a PE datapath: operand formats, cycles, actions, area bill, exact result. No energies in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats import Encoded, Format, Granularity
from simulator.formats.base import Calibration

__all__ = ["Accumulation", "Datapath", "Operand"]

Operand = Literal["act", "weight"]


@dataclass(frozen=True)
class Accumulation:
    """How products are summed, so that "exact" has one meaning.

    ``int``: exact two's complement sum that must stay within ``bits`` after every step.
    ``fp32_sequential``: float32, products exact, one rounding (to nearest even) per addition, k = 0, 1 ... K-1.
    """

    kind: Literal["int", "fp32_sequential"]
    bits: int = 32


class Datapath(ABC):
    """One kind of processing element. A subclass is a frozen dataclass in a file of its own, made known by
    ``@register("name")``; its fields are the options a design may set.

    Operands are ``Encoded`` as its formats make them, packed along K: M rows of activations, N rows of weights.
    Action and part names are priced in ``configs/cost``; one without a price is an error that names it.
    """

    name: ClassVar[str]
    mac: ClassVar[Callable[..., Any]]
    """numba function ``(accumulator, act_word, weight_word) -> accumulator``: what one PE does in one step."""

    @property
    @abstractmethod
    def act_format(self) -> Format:
        """Encoding of the activations."""

    @property
    @abstractmethod
    def weight_format(self) -> Format:
        """Encoding of the weights."""

    @property
    @abstractmethod
    def accumulation(self) -> Accumulation:
        """How products are summed."""

    @abstractmethod
    def actions_per_mac(self) -> dict[str, float]:
        """Priced actions of one PE in one useful MAC, its operand hops included."""

    @abstractmethod
    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """Priced parts of an array of that many PEs: name -> how many."""

    @abstractmethod
    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[Any]:
        """What the array edge feeds into the PEs: an operand of R rows to operand words (R, K).

        int64 words (float32 for float datapaths) whose zero adds nothing. Decoded here as the hardware would, not by
        ``formats``: the reference check compares the two.
        """

    @abstractmethod
    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """The array's exact answer: operands of M and N rows to accumulators (M, N).

        Returns: int64, or float32 for float datapaths.
        Raises: AccumulatorOverflowError naming the first output whose partial sum leaves the accumulator.
        """

    def encode(
        self,
        act: ArrayLike,
        weight: ArrayLike,
        granularity: tuple[Granularity, Granularity],
        calibration: tuple[Calibration, Calibration],
    ) -> list[tuple[Encoded, Encoded]]:
        """Both operands of each GEMM, from real tensors (count, M, K) and (count, N, K).

        A datapath that splits its operands by each other's values (columns chosen at run time) overrides this.
        """
        acts = self.act_format.encode_operand(act, granularity[0], calibration[0])
        weights = self.weight_format.encode_operand(weight, granularity[1], calibration[1])
        return list(zip(acts, weights, strict=True))

    def real(self, accumulators: NDArray[Any], act: Encoded, weight: Encoded) -> NDArray[np.float64]:
        """Accumulators (M, N) as real values, float64: times both scales, one multiplication per output."""
        return accumulators * (act.row_scale * weight.row_scale.T)

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """Priced actions of one operand value entering the array at its edge (decoders)."""
        return {}

    def cycles_per_step(self) -> int:
        """Array cycles per reduction step: more than 1 for bit-serial datapaths."""
        return 1

    def stall_cycles(
        self, act: Encoded | None, weight: Encoded | None, tiles: NDArray[Any], seed: int
    ) -> NDArray[np.int64] | None:
        """Data-dependent stall of each tile (see ``tiles.TILE_DTYPE``), or None if this datapath never stalls.

        Operands are None when only shapes are known: draw from a stated distribution with ``seed`` then.
        """
        return None
