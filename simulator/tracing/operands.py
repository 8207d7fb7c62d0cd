"""Operands of models that are graphs of tensors: brought into a trace's layout, integers with what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.tracing.writer import Codes
from simulator.workload import Op

__all__ = ["Found", "GraphProduct", "Layout", "Stored", "Tensor", "flat", "stacked"]

Layout = Callable[[NDArray[Any]], NDArray[Any]]
"""From a tensor as the model has it to an operand, (rows, K) or (count, rows, K)."""
Found = Mapping[str, NDArray[Any]]
"""Tensors of one run of the model by name."""
_HALF = 128


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An operand as a trace holds it: floats, or int8 and what it stands for."""

    values: NDArray[Any]
    codes: Codes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor as the model has it.

    Attributes:
        values: floats, or integers of 8 bits.
        scale, zero: of integers, which stand for ``(value - zero) * scale``: one each, or such that they broadcast
            against the values; no scale is 1.
    """

    values: NDArray[Any]
    scale: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None

    def laid_out(self, layout: Layout) -> Stored:
        """The operand that a layout makes of it; what the layout adds, such as padding, stands for zero.

        Integers stay integers where one zero holds for all of them and each row of the operand has one scale; others
        become float32.
        """
        if self.values.dtype.kind == "f":
            return Stored(layout(self.values))
        zero = np.asarray(0 if self.zero is None else self.zero, np.int32)
        integers = layout(self.values.astype(np.int32) - zero)
        scale = self._scale(layout, integers)
        if scale is not None and scale.shape[-1] != 1:
            return Stored(np.asarray(integers * scale, np.float32))
        shift = int(zero.flat[0]) - (_HALF if self.values.dtype == np.uint8 else 0)
        if (zero != zero.flat[0]).any() or not -_HALF <= shift < _HALF:
            shift = 0
        codes = integers + shift
        if codes.min(initial=0) < -_HALF or codes.max(initial=0) >= _HALF:
            return Stored(np.asarray(integers * (1 if scale is None else scale), np.float32))
        return Stored(codes.astype(np.int8), Codes(scale, shift) if scale is not None or shift else None)

    def _scale(self, layout: Layout, operand: NDArray[Any]) -> NDArray[np.float32] | None:
        """One scale, or one per row, or one per value of the operand; None if there is none."""
        if self.scale is None:
            return None
        given = np.asarray(self.scale, np.float32)
        if given.size == 1:
            return given.reshape((1,) * operand.ndim)
        scale = layout(np.broadcast_to(given, self.values.shape))
        return np.ascontiguousarray(scale[..., :1]) if (scale == scale[..., :1]).all() else scale


@dataclass(frozen=True, slots=True)
class GraphProduct:
    """A matrix product of a graph.

    Attributes:
        act, weight: names of the tensors that its operands are made of, for the trace.
        reads: names of the tensors that ``operands`` needs.
        operands: from these to both operands.
    """

    op: Op
    act: str
    weight: str
    reads: tuple[str, ...]
    operands: Callable[[Found], tuple[Stored, Stored]]


def flat(operand: NDArray[Any]) -> NDArray[Any]:
    """An operand, (rows, K) of a single GEMM."""
    return np.ascontiguousarray(operand[0] if operand.ndim == 3 and len(operand) == 1 else operand)


def stacked(sides: tuple[Layout, Layout], stack: tuple[int, ...], count: int) -> tuple[Layout, Layout]:
    """Layouts of stacks of matrices, both repeated to the whole stack; of one GEMM, all rows under one another.

    Args:
        sides: from each tensor to its rows (.., rows, K).
    """

    def laid(side: Layout) -> Layout:
        def layout(x: NDArray[Any]) -> NDArray[Any]:
            rows = side(x)
            if count > 1:
                rows = np.broadcast_to(rows, (*stack, *rows.shape[-2:]))
                return np.ascontiguousarray(rows.reshape(count, *rows.shape[-2:]))
            return np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]))

        return layout

    return laid(sides[0]), laid(sides[1])
