"""A datapath on tensor cores: which dot-product units it uses, what they add in which order, why it cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.accumulate import exact_product, fits, require_fit, require_sums_fit
from simulator.datapath.edp import EdpOrder, EdpRun, Region
from simulator.formats import Encoded, TensorEncoding

if TYPE_CHECKING:
    from simulator.datapath.base import Accumulation

__all__ = ["OnTensorCores"]

_INTEGER_WIDTHS = (4, 8)
"""Operand widths of dot-product units for integers [bits]: 16EDP, 8EDP (OliVe, ISCA 2023, section 4.1)."""
_REGISTER_BITS = 32
"""Accumulators of tensor cores are registers of 32 bits (PTX ISA, mma: s32 and f32)."""


class OnTensorCores(ABC):
    """What a datapath says and does on tensor cores. The defaults fit exact integer sums; float datapaths override
    ``edp_widths``, ``edp_multiplies_floats`` and ``edp_matmul``.
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
    def actions_per_mac(self) -> dict[str, float]:
        """Priced actions of one useful MAC in an array."""

    @abstractmethod
    def actions_per_operand(self, operand: Any) -> dict[str, float]:
        """Priced actions of one operand value that enters an array."""

    @abstractmethod
    def merge(self, results: Sequence[NDArray[Any]], act: Encoded, weight: Encoded) -> NDArray[Any]:
        """Accumulators (M, N) from the results of lanes."""

    @property
    def edp_widths(self) -> tuple[int, ...]:
        """Operand widths of the dot-product units that can multiply its operands, the one that is meant for them first;
        16-bit ones multiply FP16.
        """
        widest = max(self.act_format.bits, self.weight_format.bits)
        return tuple(width for width in _INTEGER_WIDTHS if width >= widest)

    @property
    def edp_multiplies_floats(self) -> bool:
        """Whether these units must be able to align products."""
        return False

    @property
    def edp_scale_block(self) -> int:
        """Neighbours along K that share a scale within a GEMM; 1 where none do."""
        return 1

    def edp_unit(self, orders: Mapping[int, EdpOrder]) -> int | None:
        """Width of the units that it runs on, of those that there are; None if on none."""
        floats = self.edp_multiplies_floats
        fitting = (w for w in self.edp_widths if w in orders and not (floats and orders[w].extra_bits is None))
        return next(fitting, None)

    def edp_order(self, orders: Mapping[int, EdpOrder]) -> EdpOrder:
        """How these add; it must be able to run."""
        unit = self.edp_unit(orders)
        assert unit is not None, "whoever runs it has asked why not"
        return orders[unit]

    def why_no_edp(self, orders: Mapping[int, EdpOrder]) -> str:
        """Why it cannot run on these dot-product units, as part of a sentence; empty if it can."""
        if self.accumulation.kind != "int" and not self.edp_multiplies_floats:
            return "it does not say how dot-product units add what is no integer"
        if self.accumulation.kind == "int" and self.accumulation.bits > _REGISTER_BITS:
            return f"its sums of {self.accumulation.bits} bits do not fit a tensor core's registers of 32"
        if not self.edp_widths:
            return "dot-product units for 16 bits multiply FP16, not integers"
        if self.edp_unit(orders) is not None:
            exact = self.edp_order(orders).exact if self.edp_multiplies_floats else 1
            scales = f"one per {self.edp_scale_block}" if self.edp_scale_block > 1 else "none"
            shared = f"dot-product units add {exact} products under one scale, and it has {scales}"
            return shared if self.edp_scale_block % exact else ""
        there = [f"{width}-bit" for width in self.edp_widths if width in orders]
        if there:
            return f"the {' and '.join(there)} dot-product units of this tensor core multiply integers only"
        wanted = " or ".join(f"{width}-bit" for width in self.edp_widths)
        return f"this tensor core has no {wanted} dot-product units"

    def edp_actions_per_mac(self) -> dict[str, float]:
        """Priced actions of one useful MAC: decoders stand in front of every dot-product unit, so that both operands
        are decoded anew for each product (OliVe, ISCA 2023, Figure 6).
        """
        actions = dict(self.actions_per_mac())
        for side in ("act", "weight"):
            for action, n in self.actions_per_operand(side).items():
                actions[action] = actions.get(action, 0) + n
        return actions

    def edp_parts(self, multipliers: Mapping[int, int]) -> dict[str, int]:
        """Priced parts that it adds to tensor cores with that many multipliers of each operand width, on the whole
        die. Options that choose a precision for one op must not change it.
        """
        return {}

    def edp_matmul(self, act: Encoded, weight: Encoded, run: EdpRun) -> NDArray[Any]:
        """The tensor cores' exact answer: operands of M and N rows to accumulators (M, N).

        Raises: AccumulatorOverflowError naming an output of which a partial sum leaves the accumulator.
        """
        self.edp_require_fit(act, weight, run)
        a, w, _ = self.sums(act, weight)[-1]
        return self.merge([exact_product(a, w)], act, weight)

    def edp_require_fit(self, act: Encoded, weight: Encoded, run: EdpRun) -> None:
        """Hold integer sums to their accumulators: after every group, which a dot-product unit adds in a tree that
        nothing leaves, in every slice of K, and of slices.

        Raises: AccumulatorOverflowError naming the first output of the first region with one that does not fit.
        """
        group = self.edp_order(run.orders).group
        for a, w, bits in self.sums(act, weight):
            if not fits(a, w, bits):
                for region in run.over(len(a), len(w), a.shape[1]):
                    _require_region_fits(a, w, bits, self.name, group, region)


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
