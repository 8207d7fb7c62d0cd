"""``adaptivfloat``: float multiply, integer accumulate, AdaptivFloat<8,3> (Tambe et al., DAC 2020, HFINT PE).

A code is sign, 3 exponent and 4 mantissa bits; ``1.m`` is an integer of 5 bits, so an operand is ``<exponent, ±1m>``
of value ``±1m << exponent``, or 0 for the code without exponent and mantissa. A PE multiplies the integers, adds the
exponents, shifts, and adds the aligned product, exact, to an integer accumulator, k = 0, 1 ... K-1. Both exponent
biases are constants of a tensor or row: they stay outside and scale the result, like any format's scales.

The paper's rule for the accumulator, as recalled, is ``2 * (2^3 - 1) + 2 * 4 + log2 K`` bits: 30 for K = 256. That is
less than the worst case, ``K * (31 << 7)^2``: 32 bits hold any 136 products, 40 bits any 34,916. Both widths are
``assumed``; a partial sum beyond the chosen one is an error here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.exponent_integer import mac, values, words
from simulator.datapath.registry import register
from simulator.formats import Encoded, TensorEncoding

__all__ = ["AdaptivFloat"]


def _fields(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Exponents and signed integers of codes, each of their shape: 0 is the one code without a leading one."""
    integer = np.where(codes & 0x7F, codes & 0x0F | 0x10, 0).astype(np.int8)
    return (codes >> 4 & 0x7).astype(np.int8), np.where(codes & 0x80, -integer, integer)


@register("adaptivfloat")
@dataclass(frozen=True)
class AdaptivFloat(Datapath):
    """8-bit floats with 3 exponent bits on both operands, integer accumulation with overflow detected."""

    acc_bits: Literal[32, 40] = 40
    """Accumulator width [bits]."""

    mac = staticmethod(mac)

    @property
    def act_format(self) -> TensorEncoding:
        """``adaptivfloat8`` with 3 exponent bits."""
        return formats.get("adaptivfloat8", bits=8, exp_bits=3)

    @property
    def weight_format(self) -> TensorEncoding:
        """As ``act_format``."""
        return self.act_format

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within ``acc_bits``."""
        return Accumulation("int", self.acc_bits)

    def actions_per_mac(self) -> dict[str, float]:
        """One multiply-accumulate of 8-bit operands, which PEs take apart themselves."""
        return {f"mac_af8_acc{self.acc_bits}": 1}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers; nothing at the edges."""
        return {f"pe_af8_acc{self.acc_bits}": rows * cols}

    def edp_parts(self, multipliers: Mapping[int, int]) -> dict[str, int]:
        """An adder and a shifter per 8-bit multiplier; its fields need no decoder (``assumed``)."""
        return {"gpu_lane_ei8": multipliers.get(8, 0)}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Exponent-integer words: the fields of a code."""
        return words(*_fields(encoded.codes))

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        a, w = (values(*_fields(operand.codes)) for operand in (act, weight))
        require_fit(a, w, self.acc_bits, self.name)
        return exact_product(a, w)
