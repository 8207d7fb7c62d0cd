"""``fp8_mac``: FP8 multiply, FP32 accumulate, one MAC per PE per cycle, in the order in which operands arrive.

Each operand is E4M3 or E5M2 (OCP 8-bit floating point specification 1.0, 2023), subnormals included; one PE takes
either, widened inside to 5 exponent bits and a significand of 4. A product has 8 significant bits and a magnitude from
2^-32 to below 2^32: it is exact in FP32, and only the addition rounds, to nearest even. Codes of NaN and infinity are
refused.
In an array each product takes one addition, k = 0, 1 ... K-1, which is ``assumed``. Tensor cores add groups of products
at once, with as few as 13 fraction bits (``edp``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath import minifloat
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.edp import EdpOperand, EdpRun, edp_matmul, float_operand
from simulator.datapath.float_sums import mac_in_order, matmul_in_order
from simulator.datapath.registry import register
from simulator.formats import Encoded, Format

__all__ = ["Fp8Mac"]

Fp8 = Literal["e4m3", "e5m2"]
_FIELDS = {"e4m3": minifloat.E4M3, "e5m2": minifloat.E5M2}


@register("fp8_mac")
@dataclass(frozen=True)
class Fp8Mac(Datapath):
    """FP8 operands, exact products, FP32 accumulation rounded to nearest even at every step."""

    act: Fp8 = "e4m3"
    """Type of the activations; the hardware is the same."""
    weight: Fp8 = "e4m3"
    """Type of the weights; the hardware is the same."""

    mac = staticmethod(mac_in_order)

    @property
    def act_format(self) -> Format:
        """``fp8_e4m3`` or ``fp8_e5m2``."""
        return formats.get(f"fp8_{self.act}")

    @property
    def weight_format(self) -> Format:
        """``fp8_e4m3`` or ``fp8_e5m2``."""
        return formats.get(f"fp8_{self.weight}")

    @property
    def accumulation(self) -> Accumulation:
        """FP32, sequential in k."""
        return Accumulation("fp32_sequential", 32)

    def actions_per_mac(self) -> dict[str, float]:
        """One multiply-accumulate."""
        return {"mac_fp8_acc32": 1}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers; nothing at the edges."""
        return {"pe_fp8_acc32": rows * cols}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.float32]:
        """The FP8 values, in FP32 registers."""
        fields = _FIELDS[self.act if operand == "act" else self.weight]
        shift, significand = fields.split(encoded.codes, self.name)
        return np.ldexp(significand.astype(np.float32), shift + fields.unit)

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        return matmul_in_order(self.edge_words(act, "act"), self.edge_words(weight, "weight"))

    @property
    def edp_multiplies_floats(self) -> bool:
        """FP8, on 8-bit units that can."""
        return True

    def edp_matmul(self, act: Encoded, weight: Encoded, run: EdpRun) -> NDArray[Any]:
        """See ``edp``: FP8 products, FP32 accumulators."""
        regions = run.over(len(act.codes), len(weight.codes), act.length)
        operands = self._edp_operand(act, "act"), self._edp_operand(weight, "weight")
        return edp_matmul(*operands, self.edp_order(run.orders), regions)

    def _edp_operand(self, encoded: Encoded, operand: Operand) -> EdpOperand:
        fields = _FIELDS[self.act if operand == "act" else self.weight]
        return float_operand(self.edge_words(encoded, operand), fields.lowest_exponent)
