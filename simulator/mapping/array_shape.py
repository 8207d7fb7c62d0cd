"""The array as the mapping sees it: MACs side by side, what they hold, and how folds follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.mapping.closed_forms import FoldOverlap, FoldTiming, held_fold, os_fold
from simulator.workload import Op

__all__ = ["DATAFLOWS", "ArrayShape", "Dataflow", "mapping_util"]

Dataflow = Literal["os", "ws", "is"]
DATAFLOWS: tuple[Dataflow, ...] = ("os", "ws", "is")


@dataclass(frozen=True)
class ArrayShape:
    """MACs side by side, and how folds follow each other.

    Attributes:
        rows, cols: logical size: 4-bit PEs that make one 8-bit MAC count as one.
        cycles_per_step: array steps of one reduction step.
        result_words: cycles that a result takes per hop on its way out (``os``).
        dataflow: which operand stays: outputs, weights or inputs.
    """

    rows: int
    cols: int
    overlap: FoldOverlap
    cycles_per_step: int = 1
    result_words: int = 1
    dataflow: Dataflow = "os"

    def fold(self, stream: int) -> FoldTiming:
        """Timing of one fold; ``stream`` is K for ``os``, M for ``ws``, N for ``is``."""
        if self.dataflow == "os":
            return os_fold(stream * self.cycles_per_step, self.rows, self.cols, self.overlap, self.result_words)
        return held_fold(stream, self.rows, self.cols, self.overlap)

    def fold_beside(self, steps: int, rows: int, cols: int) -> tuple[int, int]:
        """Of ``rows x cols`` plain output-stationary PEs beside this array, overlapped as it is: cycles between folds,
        and from there until the last result of the last one has left.
        """
        timing = os_fold(steps, rows, cols, self.overlap)
        return timing.period_cycles, timing.drain_cycles

    def stream(self, M: int, N: int, K: int) -> int:
        """The streamed dimension of a GEMM."""
        return {"os": K, "ws": M, "is": N}[self.dataflow]

    def places(self, M: int, N: int, K: int) -> tuple[int, int]:
        """What rows and columns hold of a GEMM: (M, N), (K, N) or (K, M), K in array steps."""
        steps = K * self.cycles_per_step
        return {"os": (M, N), "ws": (steps, N), "is": (steps, M)}[self.dataflow]

    def folds(self, M: int, N: int, K: int) -> int:
        """Passes over the array that a GEMM takes when nothing but the array cuts it."""
        down, across = self.places(M, N, K)
        return -(-down // self.rows) * -(-across // self.cols)

    def total(self, M: int, N: int, K: int) -> int:
        """Cycles of a GEMM that nothing but the array cuts, with ideal memory and no data-dependent stall."""
        return self.fold(self.stream(M, N, K)).total(self.folds(M, N, K))


def mapping_util(op: Op, array: ArrayShape) -> float:
    """Share of PEs that hold work, averaged over folds."""
    down, across = array.places(op.M, op.N, op.K)
    return down * across / (array.folds(op.M, op.N, op.K) * array.rows * array.cols)
