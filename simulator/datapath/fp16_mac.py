"""``fp16_mac``: FP16 multiply, FP32 accumulate, one MAC per PE per cycle, in the order in which operands arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.edp import EdpRun, edp_matmul, float_operand
from simulator.datapath.float_sums import mac_in_order, matmul_in_order
from simulator.datapath.registry import register
from simulator.formats import Encoded, Format, TensorEncoding
from simulator.kernels import njit

__all__ = ["Fp16Mac"]

_LOWEST_EXPONENT = -14
"""Of FP16 numbers, and of its subnormals."""


@njit(cache=True)
def _from_half(codes, length):
    """Little-endian binary16 bytes (R, 2 * length) to float32 bit patterns (R, length), field by field."""
    out = np.empty((codes.shape[0], length), np.uint32)
    for r in range(codes.shape[0]):
        for k in range(length):
            half = np.uint32(codes[r, 2 * k]) | (np.uint32(codes[r, 2 * k + 1]) << np.uint32(8))
            sign = (half & np.uint32(0x8000)) << np.uint32(16)
            exponent = (half >> np.uint32(10)) & np.uint32(0x1F)
            mantissa = half & np.uint32(0x3FF)
            if exponent == 0 and mantissa != 0:  # subnormal: normalise, FP32 has room for its exponent
                shift = np.uint32(0)
                while mantissa & np.uint32(0x400) == 0:
                    mantissa = mantissa << np.uint32(1)
                    shift += np.uint32(1)
                bits = ((np.uint32(113) - shift) << np.uint32(23)) | ((mantissa & np.uint32(0x3FF)) << np.uint32(13))
            elif exponent == 0:
                bits = np.uint32(0)
            else:
                bits = ((exponent + np.uint32(112)) << np.uint32(23)) | (mantissa << np.uint32(13))
            out[r, k] = sign | bits
    return out


@register("fp16_mac")
@dataclass(frozen=True)
class Fp16Mac(Datapath):
    """FP16 operands (subnormals included), exact products, FP32 accumulation rounded to nearest even at every step."""

    mac = staticmethod(mac_in_order)

    @property
    def act_format(self) -> Format:
        """``fp16``."""
        return formats.get("fp16")

    @property
    def weight_format(self) -> TensorEncoding:
        """``fp16``."""
        return formats.get("fp16")

    @property
    def accumulation(self) -> Accumulation:
        """FP32, sequential in k."""
        return Accumulation("fp32_sequential", 32)

    def actions_per_mac(self) -> dict[str, float]:
        """One multiply-accumulate."""
        return {"mac_fp16_acc32": 1}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers; nothing at the edges."""
        return {"pe_fp16_acc32": rows * cols}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.float32]:
        """The FP16 values, in FP32 registers."""
        return np.asarray(_from_half(encoded.codes, encoded.length)).view(np.float32)

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        return matmul_in_order(self.edge_words(act, "act"), self.edge_words(weight, "weight"))

    @property
    def edp_widths(self) -> tuple[int, ...]:
        """FEDP."""
        return (16,)

    @property
    def edp_multiplies_floats(self) -> bool:
        """FP16."""
        return True

    def edp_matmul(self, act: Encoded, weight: Encoded, run: EdpRun) -> NDArray[Any]:
        """See ``edp``: FP16 products, FP32 accumulators."""
        a = float_operand(self.edge_words(act, "act"), _LOWEST_EXPONENT)
        w = float_operand(self.edge_words(weight, "weight"), _LOWEST_EXPONENT)
        regions = run.over(len(act.codes), len(weight.codes), act.length)
        return edp_matmul(a, w, self.edp_order(run.orders), regions)
