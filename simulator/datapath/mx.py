"""``mx``: dot products of blocks that share a scale (OCP microscaling formats, NVFP4), one MAC per PE per cycle.

A PE sums the products of a block's elements exactly in a fixed-point register. With a block's last product (element 31
or 15, or K-1) the sum is scaled by both blocks' scales, rounded once to FP32 (nearest, ties to even, subnormals
included) and added to an FP32 accumulator, blocks in order; a sum beyond FP32 is refused, with its output. NVFP4's FP32
scale of the tensor multiplies results outside.

Bits of the block register, sign included: 32 (NVFP4: 16) times the largest product, in units of the smallest.

| operands | unit | largest product | bits |
| --- | --- | --- | --- |
| ``mxfp4`` | 2^-2 | 12^2 | 14 |
| ``nvfp4`` | 2^-2 | 12^2 | 13 |
| ``mxfp6_e2m3`` | 2^-6 | 60^2 | 18 |
| ``mxint8`` | 2^-12 | 128^2 | 21 |
| ``mxfp6_e3m2`` | 2^-8 | 448^2 | 24 |
| ``mxfp8`` (E4M3) x ``mxfp4`` | 2^-10 | 229376 * 12 | 28 |
| ``mxfp8`` (E4M3) | 2^-18 | 229376^2 | 42 |

So float64 holds any block's sum, scaled, without rounding. E5M2 elements would need 70 bits; they are not offered.

Operands of different formats (8-bit activations, 4-bit weights) share a PE of the wider one, whose elements include the
other's; where neither does (E3M2 and E2M3), of E4M3, which includes both. MXINT8 and NVFP4 stand alone.
That a block's sum is exact and enters FP32 in one addition is ``assumed``: the OCP specification (1.0, 2023) leaves the
order and precision of its dot products to the implementation. So is the time: the last product of a block and the
addition share a cycle; a PE that puts a register between them drains one cycle later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath import minifloat
from simulator.datapath.accumulate import require_finite
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.block_words import BlockLayout, mac_in_blocks
from simulator.datapath.edp import EdpOrder, EdpRun, edp_matmul
from simulator.datapath.registry import OptionError, register
from simulator.formats import Encoded, Format
from simulator.kernels import njit

__all__ = ["Mx"]

MxFormat = Literal["mxfp8", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "mxint8", "nvfp4"]
_LAYOUTS = {
    "mxfp8": BlockLayout("mxfp8", minifloat.E4M3),
    "mxfp6_e3m2": BlockLayout("mxfp6_e3m2", minifloat.E3M2),
    "mxfp6_e2m3": BlockLayout("mxfp6_e2m3", minifloat.E2M3),
    "mxfp4": BlockLayout("mxfp4", minifloat.E2M1),
    "mxint8": BlockLayout("mxint8", None),
    "nvfp4": BlockLayout("nvfp4", minifloat.E2M1, 16, e4m3_scales=True),
}
_MIXED = ("mxfp8", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4")
"""Formats whose elements an E4M3 multiplier takes."""
_PRICED = {"mxfp6_e3m2": "mxfp6"}
"""Names of PEs in price lists, where they differ from the format's."""


@njit(cache=True)
def _add_block(act, weight_t, act_unit, weight_unit, sums, out):
    """One block: its products (M, block) x (block, N), summed in integers ``sums`` (N,), scaled, added to ``out``."""
    M, size = act.shape
    N = weight_t.shape[1]
    integer = sums.dtype.type
    for m in range(M):
        for n in range(N):
            sums[n] = 0
        for k in range(size):
            a = integer(act[m, k])
            for n in range(N):
                sums[n] += integer(a * integer(weight_t[k, n]))
        unit = act_unit[m]
        for n in range(N):
            out[m, n] = np.float32(out[m, n] + np.float32(np.float64(sums[n]) * (unit * weight_unit[n])))


@njit(cache=True)
def _fp32_accumulator(state, constants):
    """The result of a PE that has ended its last block."""
    return np.float32(state[1])


@register("mx")
@dataclass(frozen=True)
class Mx(Datapath):
    """Block-scaled operands, exact sums inside a block, FP32 accumulation of blocks."""

    format: MxFormat = "mxfp4"
    """Of both operands."""
    weight: MxFormat | None = None
    """Of the weights, where it differs from `format`; one of the MXFP formats, as then `format` is."""

    mac = staticmethod(mac_in_blocks)

    def __post_init__(self) -> None:
        """Refuse formats that share no multiplier. Raises: OptionError."""
        pair = (self._act.name, self._weight.name)
        if pair[0] != pair[1] and not set(pair) <= set(_MIXED):
            raise OptionError("weight", f"no PE multiplies {pair[0]} by {pair[1]}; formats to mix: {', '.join(_MIXED)}")

    @property
    def act_format(self) -> Format:
        """The block format of that name."""
        return formats.get(self._act.name)

    @property
    def weight_format(self) -> Format:
        """The block format of that name."""
        return formats.get(self._weight.name)

    @property
    def accumulation(self) -> Accumulation:
        """FP32, a block at a time."""
        return Accumulation("fp32_blocks", 32, self._act.block)

    @property
    def registers(self) -> int:
        """The block accumulator and the FP32 accumulator."""
        return 2

    @property
    def dataflows(self) -> tuple[str, ...]:
        """All: an output's block register hops and is kept beside its FP32 sum; a block may end in a later fold."""
        return ("os", "ws", "is")

    @property
    def unfinished_bits(self) -> int:
        """The FP32 accumulator and the block register of the table above."""
        return 32 + 1 + (self._act.block * self._act.largest * self._weight.largest).bit_length()

    @property
    def state_type(self) -> type[Any]:
        """float64 holds either exactly."""
        return np.float64

    @property
    def finish(self) -> Any:
        """The FP32 accumulator leaves the array."""
        return _fp32_accumulator

    def actions_per_mac(self) -> dict[str, float]:
        """One product into the block accumulator, and a whole block's share of scaling and addition.

        A short last block is charged as part of one.
        """
        share = 1 / self._act.block
        end = "block_scale_add_nvfp4" if self._act.e4m3_scales else "block_scale_add_fp32"
        return {f"mac_{self._pe}": 1, end: share}

    def register_bits(self, operand: Operand) -> float:
        """An element; its scale byte hops once a block."""
        return (self._act if operand == "act" else self._weight).bits + 8 / self._act.block

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers of elements and scales; narrower elements are widened by wires."""
        return {f"pe_{self._pe}": rows * cols}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Element, block scale and end of block in one word."""
        layout = self._act if operand == "act" else self._weight
        return layout.read(encoded, self.name).words()

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        block = self._act.block
        a, w = self._act.read(act, self.name), self._weight.read(weight, self.name)
        integers, weight_t = a.integers(), np.ascontiguousarray(w.integers().T)
        units, weight_units = np.ascontiguousarray(a.units().T), np.ascontiguousarray(w.units().T)
        fits = block * self._act.largest * self._weight.largest < 1 << 31
        out = np.zeros((len(integers), weight_t.shape[1]), np.float32)
        sums = np.empty(out.shape[1], np.int32 if fits else np.int64)
        for b in range(len(units)):
            part = slice(b * block, (b + 1) * block)
            _add_block(integers[:, part], weight_t[part], units[b], weight_units[b], sums, out)
        require_finite(out, self.name)
        return out

    @property
    def edp_multiplies_floats(self) -> bool:
        """And scales, on units for elements of 4 bits, or of 8 or fewer."""
        return True

    @property
    def edp_scale_block(self) -> int:
        """A block."""
        return self._act.block

    def why_no_edp(self, orders: Mapping[int, EdpOrder]) -> str:
        """Besides what units there are: what they add in fixed point fits the adder of ``edp``."""
        refusal = super().why_no_edp(orders)
        if refusal or self.edp_order(orders).exact == 1:
            return refusal
        order = self.edp_order(orders)
        bits = order.kept_bits + (order.group * self._largest_product * 4).bit_length()
        return f"a group's sum may need {bits} bits, of which there are 53" if bits > 53 else ""

    def edp_matmul(self, act: Encoded, weight: Encoded, run: EdpRun) -> NDArray[Any]:
        """See ``edp``; a product has the exponents of both elements and both scales.

        Raises: AccumulatorOverflowError naming the first output that leaves FP32.
        """
        order = self.edp_order(run.orders)
        a, w = self._act.read(act, self.name), self._weight.read(weight, self.name)
        regions = run.over(len(act.codes), len(weight.codes), act.length)
        out = edp_matmul(a.for_edp(order.exact), w.for_edp(order.exact), order, regions)
        require_finite(out, self.name)
        return out

    @property
    def _largest_product(self) -> int:
        """Largest product of two elements, rounded up to an integer."""
        act, weight = self._act, self._weight
        return math.ceil(math.ldexp(act.largest * weight.largest, act.unit + weight.unit))

    @property
    def _act(self) -> BlockLayout:
        return _LAYOUTS[self.format]

    @property
    def _weight(self) -> BlockLayout:
        return _LAYOUTS[self.weight or self.format]

    @property
    def _pe(self) -> str:
        """The PE whose elements include both operands'."""
        pair = {self._act.name, self._weight.name}
        wider = pair - {"mxfp4"} or pair
        widest = wider.pop() if len(wider) == 1 else "mxfp8"
        return _PRICED.get(widest, widest)
