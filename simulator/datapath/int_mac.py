"""``int_mac``: bit-parallel integer multiply-accumulate, one MAC per PE per cycle.

Operands are two's complement and sums exact, so their order only decides which partial sums must fit.

Activations with a zero point (``act_zero_point``): the array's edge inverts the top bit of each code ``q``, which makes
it the signed integer ``q - 2^(b-1)``, so the PEs are the same. The rest of the zero point leaves at the bottom edge:
``C = acc - (z - 2^(b-1)) * colsum(W)``. Column sums come with the weights, so each result takes one subtraction
(Jacob et al., CVPR 2018, section 2.3). Assumed: the subtrahend of a column is known before its results leave, as it
is with one zero point per tensor; with one per token the multiplication it takes is not charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.packed_integers import signed_integers
from simulator.datapath.registry import OptionError, register
from simulator.errors import AccumulatorOverflowError
from simulator.formats import Encoded, TensorEncoding
from simulator.kernels import njit

__all__ = ["IntMac"]

Bits = Literal[2, 3, 4, 5, 6, 7, 8, 16]


@njit(cache=True)
def _mac(state, act, weight):
    """One step of one PE."""
    state[0] += act * weight


@register("int_mac")
@dataclass(frozen=True)
class IntMac(Datapath):
    """Integer multiplier and accumulator per PE."""

    act_bits: Bits = 8
    """Width of an activation [bits]."""
    weight_bits: Bits = 8
    """Width of a weight [bits]."""
    acc_bits: Literal[16, 24, 32, 48] = 32
    """Accumulator width [bits]; a partial sum beyond it is an error, not a wrap."""
    act_zero_point: bool = False
    """Activations are unsigned codes with a zero point; at most 8 bits."""

    mac = staticmethod(_mac)

    def __post_init__(self) -> None:
        if self.act_zero_point and self.act_bits > 8:
            raise OptionError("act_zero_point", f"activations of at most 8 bits have one, found {self.act_bits} bits")

    @property
    def act_format(self) -> TensorEncoding:
        """``int2`` ... ``int8``, ``int16``; with a zero point ``int2_asym`` ... ``int8_asym``."""
        return formats.get(f"int{self.act_bits}{'_asym' if self.act_zero_point else ''}")

    @property
    def weight_format(self) -> TensorEncoding:
        """``int2`` ... ``int8``, ``int16``."""
        return formats.get(f"int{self.weight_bits}")

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within ``acc_bits``."""
        return Accumulation("int", self.acc_bits)

    def actions_per_mac(self) -> dict[str, float]:
        """One multiply-accumulate."""
        return {f"mac_{self._kind}": 1}

    def actions_per_output(self) -> dict[str, float]:
        """With a zero point, one subtraction: priced as the 32-bit adder that it is."""
        return {"merge_int32": 1} if self.act_zero_point else {}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers; with a zero point, a subtractor at the foot of each column."""
        subtractors = {"merge_adder32": cols} if self.act_zero_point else {}
        return {f"pe_{self._kind}": rows * cols} | subtractors

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Sign-extended integers."""
        return self._integers(encoded, operand).astype(np.int64)

    def accumulated(self, act: Encoded, weight: Encoded) -> tuple[NDArray[Any], NDArray[Any]]:
        """What the PEs multiply."""
        return self._integers(act, "act"), self._integers(weight, "weight")

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        a, w = self.accumulated(act, weight)
        require_fit(a, w, self.acc_bits, self.name)
        return self.merge([exact_product(a, w)], act, weight)

    def merge(self, results: Sequence[NDArray[Any]], act: Encoded, weight: Encoded) -> NDArray[Any]:
        """Results less what the zero points add.

        Raises: AccumulatorOverflowError naming the first difference that leaves ``acc_bits``, in which it is stored.
        """
        if not self.act_zero_point:
            return results[0]
        zero = np.asarray(act.extras["zero_point"], np.int64).reshape(-1, 1) - (1 << (self.act_bits - 1))
        out = results[0] - zero * self._integers(weight, "weight").sum(axis=1, dtype=np.int64)
        half = 1 << (self.acc_bits - 1)
        bad = (out < -half) | (out >= half)
        if bad.any():
            where = divmod(int(np.argmax(bad)), out.shape[1])
            raise AccumulatorOverflowError(
                f"{self.name}: output {where} less its zero point leaves {self.acc_bits} bits"
            )
        return np.asarray(out)

    @property
    def _kind(self) -> str:
        return f"int{self.act_bits}x{self.weight_bits}_acc{self.acc_bits}"

    def _integers(self, encoded: Encoded, operand: Operand) -> NDArray[np.integer]:
        if operand == "act":
            return signed_integers(encoded.codes, self.act_bits, encoded.length, self.act_zero_point)
        return signed_integers(encoded.codes, self.weight_bits, encoded.length)
