"""A datapath on tensor cores: which dot-product units it uses, what they add in which order, why it cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.accumulate import exact_product, require_fit, require_sums_fit
from simulator.datapath.edp import EdpOrder, EdpRun, Region
from simulator.formats import Encoded, TensorEncoding

if TYPE_CHECKING:
    from simulator.datapath.base import Accumulation

__all__ = ["OnTensorCores", "why_no_floats"]

_WIDTHS = (4, 8, 16)
"""Operand widths of dot-product units [bits]: 16EDP, 8EDP, FEDP (OliVe, ISCA 2023, section 4.1)."""
_REGISTER_BITS = 32
"""Accumulators of tensor cores are registers of 32 bits (PTX ISA, mma: s32 and f32)."""


def why_no_floats(bits: int, orders: Mapping[int, EdpOrder], block: int = 1) -> str:
    """Why these dot-product units cannot multiply floats of that width, as part of a sentence; empty if they can.

    Args:
        block: neighbours along K that share a scale.
    """
    if bits not in orders:
        return f"this tensor core has no {bits}-bit dot-product units"
    order = orders[bits]
    if order.extra_bits is None:
        return f"the {bits}-bit dot-product units of this tensor core multiply integers only"
    if block % order.exact:
        return (
            f"its {bits}-bit dot-product units add {order.exact} products under one scale, and it has one per {block}"
        )
    return ""


class OnTensorCores(ABC):
    """What a datapath says and does on tensor cores. The defaults fit exact integer sums; float datapaths override
    ``edp_matmul`` and ``why_no_edp``.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def act_format(self) -> TensorEncoding:
        """Encoding of the activations."""

    @property
    @abstractmethod
    def weight_format(self) -> TensorEncoding:
        """Encoding of the weights."""

    @property
    @abstractmethod
    def accumulation(self) -> Accumulation:
        """How products are summed."""

    @abstractmethod
    def sums(self, act: Encoded, weight: Encoded) -> Sequence[tuple[NDArray[Any], NDArray[Any], int]]:
        """Every integer sum: operands, and the bits that it must stay within."""

    @abstractmethod
    def merge(self, results: Sequence[NDArray[Any]], act: Encoded, weight: Encoded) -> NDArray[Any]:
        """Accumulators (M, N) from the results of lanes."""

    @property
    def edp_bits(self) -> int:
        """Operand width of the dot-product units it runs on: that of its wider operand, rounded up to 4, 8 or 16."""
        widest = max(self.act_format.bits, self.weight_format.bits)
        return next((width for width in _WIDTHS if widest <= width), _WIDTHS[-1])

    def why_no_edp(self, orders: Mapping[int, EdpOrder]) -> str:
        """Why it cannot run on dot-product units of these widths, as part of a sentence; empty if it can."""
        bits = self.edp_bits
        if self.accumulation.kind != "int":
            return f"it adds by '{self.accumulation.kind}' in its own PEs"
        if self.accumulation.bits > _REGISTER_BITS:
            return f"its sums of {self.accumulation.bits} bits do not fit a tensor core's registers of 32"
        if bits == 16:
            return "16-bit dot-product units multiply FP16, not integers"
        return "" if bits in orders else f"this tensor core has no {bits}-bit dot-product units"

    def edp_parts(self, multipliers: Mapping[int, int]) -> dict[str, int]:
        """Priced parts that it adds to tensor cores with that many multipliers of each operand width, on the whole
        die. Options that choose a precision for one op must not change it.
        """
        return {}

    def edp_matmul(self, act: Encoded, weight: Encoded, run: EdpRun) -> NDArray[Any]:
        """The tensor cores' exact answer: operands of M and N rows to accumulators (M, N).

        A dot-product unit adds the products of a group in a tree that nothing leaves; accumulators are held to their
        width after every group, slices of K likewise, and so are the sums of slices.
        Raises: AccumulatorOverflowError naming the first output whose partial sum leaves the accumulator.
        """
        group = run.orders[self.edp_bits].group
        for a, w, bits in self.sums(act, weight):
            for region in run.over(len(a), len(w), a.shape[1]):
                _require_region_fits(a, w, bits, self.name, group, region)
        a, w, _ = self.sums(act, weight)[-1]
        return self.merge([exact_product(a, w)], act, weight)


def _require_region_fits(
    a: NDArray[np.integer], w: NDArray[np.integer], bits: int, name: str, group: int, region: Region
) -> None:
    rows, cols = region.block
    at, total = (rows.start, cols.start), np.zeros((1, 1), np.int64)
    for first, end in pairwise(region.cuts):
        left, right = a[rows, first:end], w[cols, first:end]
        require_fit(left, right, bits, name, group, at)
        if len(region.cuts) > 2:
            total = total + exact_product(left, right)
            require_sums_fit(total, bits, name, at)
