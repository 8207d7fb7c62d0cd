"""What ``ovp`` and ``ant`` share: exponent-integer PEs for 4-bit integers, of which four make a MAC of 8 bits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.exponent_integer import mac, mac_halves, values, words
from simulator.formats import Encoded, TensorEncoding

__all__ = ["FourBitPes"]


class FourBitPes(Datapath):
    """The same formats on both operands, int32 accumulation with overflow detected.

    Attributes:
        bits: of both operands, an option of the subclass.
    """

    bits: Literal[4, 8]

    @abstractmethod
    def decoded_words(self, encoded: Encoded) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """What the edge decoders make of an operand: exponents and integers, (R, K)."""

    @property
    def mac(self) -> Callable[..., Any]:
        """One 4-bit PE, or four."""
        return mac if self.bits == 4 else mac_halves

    @property
    def weight_format(self) -> TensorEncoding:
        """As ``act_format``."""
        return self.act_format

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within int32."""
        return Accumulation("int", 32)

    def logical_array(self, rows: int, cols: int) -> tuple[int, int]:
        """Four 4-bit PEs make one 8-bit MAC."""
        return (rows, cols) if self.bits == 4 else (rows // 2, cols // 2)

    def actions_per_mac(self) -> dict[str, float]:
        """Multiply-accumulates of 4-bit PEs; at 8 bits four of them, and one more addition that joins the four."""
        return {"mac_ei4_acc32": 1} if self.bits == 4 else {"mac_ei4_acc32": 4, "merge_int32": 1}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Exponent-integer words; at 8 bits a word holds both halves."""
        return words(*self.decoded_words(encoded))

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        a, w = (values(*self.decoded_words(operand)) for operand in (act, weight))
        require_fit(a, w, self.accumulation.bits, self.name)
        return exact_product(a, w)
