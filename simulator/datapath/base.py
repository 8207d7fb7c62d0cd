"""The contract of a PE datapath: operand formats, cycles, actions, area bill, exact result. No energies in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Format

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

    Codes are packed uint8 rows as the operand formats make them: activations (M, bytes of K), weights (N, bytes of K).
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
    def edge_words(self, codes: NDArray[np.uint8], length: int, operand: Operand) -> NDArray[Any]:
        """What the array edge feeds into the PEs: packed codes (R, bytes) to operand words (R, length).

        int64 words (float32 for float datapaths) whose zero adds nothing. Decoded here as the hardware would, not by
        ``formats``: the reference check compares the two.
        """

    @abstractmethod
    def matmul(self, act: NDArray[np.uint8], weight: NDArray[np.uint8], length: int) -> NDArray[Any]:
        """The array's exact answer: codes (M, bytes) and (N, bytes) of K = ``length`` values to accumulators (M, N).

        Returns: int64, or float32 for float datapaths.
        Raises: AccumulatorOverflowError naming the first output whose partial sum leaves the accumulator.
        """

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """Priced actions of one operand value entering the array at its edge (decoders)."""
        return {}

    def cycles_per_step(self) -> int:
        """Array cycles per reduction step: more than 1 for bit-serial datapaths."""
        return 1

    def stall_cycles(
        self, act: NDArray[np.uint8] | None, weight: NDArray[np.uint8] | None, tiles: NDArray[Any], seed: int
    ) -> NDArray[np.int64] | None:
        """Data-dependent stall of each tile (see ``tiles.TILE_DTYPE``), or None if this datapath never stalls.

        Codes are None when only shapes are known: draw from a stated distribution with ``seed`` then.
        """
        return None
