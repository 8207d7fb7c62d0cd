"""Products of alike points, on shapes or tensors: which of the points can be run at once, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.study.alike.gemms import Shape, alike_op
from simulator.study.alike.groups import costs_follow_from_shapes, systolic
from simulator.study.alike.valued import EachTimed, timed_of_each, valued_op
from simulator.study.gemm_batch import Batch
from simulator.study.judged import Judged, judged
from simulator.study.point import Point
from simulator.study.simulate import OpResult
from simulator.study.systolic import SystolicHardware
from simulator.workload import Op

__all__ = ["Products"]


class Products:
    """The ops of a workload on many designs of one kind.

    Attributes:
        fit: which designs can run all of them; others say why when run alone.
    """

    fit: NDArray[np.bool_]

    def __init__(
        self, first: Point, many: Sequence[SystolicHardware], batches: Mapping[Shape, Batch], runs: NDArray[np.bool_]
    ) -> None:
        """Judge and time what has values.

        Args:
            first: a point of that kind.
            batches: how each shape is cut and measured on the designs; runs: which of these can run them.
        Raises: ConservationError; as ``judged``.
        """
        self.fit, self._first, self._many, self._batches = runs.copy(), first, many, batches
        self._known: dict[int, Judged] = {}
        self._each: dict[int, EachTimed] = {}
        for place in range(len(first.workload.steps)):
            if self.fit.any():
                self._meet(place)

    def _meet(self, place: int) -> None:
        """Judge an op, and time it where its costs depend on values."""
        source, step = self._first.workload.source(place), self._first.workload.steps[place]
        if source is None:
            return
        assert isinstance(step, Op), "passes have no tensors"
        hardware = systolic(self._first)
        known = judged(hardware, step, None, source)
        self._known[place] = replace(known, operands=())  # what costs look at is let go op by op
        if known.quality and known.quality.mismatch:
            self.fit[:] = False  # each tells it by its own name
        elif known.operands and not costs_follow_from_shapes(hardware.datapath):
            wanted = np.flatnonzero(self.fit).tolist()
            each = self._each[place] = timed_of_each(self._many, step, self._batch(step), wanted, known)
            self.fit &= each.fit

    def _batch(self, op: Op) -> Batch:
        return self._batches[op.M, op.N, op.K]

    def result(self, place: int, stacked: SystolicHardware, runs: Sequence[int]) -> OpResult:
        """Of the op at that place of the workload, on some designs, of which all fit. Raises: ConservationError."""
        op = self._first.workload.steps[place]
        assert isinstance(op, Op), "passes are run elsewhere"
        known, batch = self._known.get(place), self._batch(op)
        if place in self._each:
            assert known is not None, "what was timed was judged"
            return valued_op(stacked, op, batch.tiles[list(runs)], known, self._each[place].of(runs))
        return alike_op(stacked, op, batch, runs, known)
