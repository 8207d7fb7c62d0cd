"""GEMMs of alike points: each shape is searched and measured for all in one compiled call, then counted at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.study.gemm_batch import Alike, Batch, Machines, measure_many
from simulator.study.judged import Judged
from simulator.study.measured import UNCOUNTED, accounted
from simulator.study.planning import MOST_FOLDS
from simulator.study.simulate import OpResult
from simulator.study.storage import storage_of
from simulator.study.systolic import SystolicHardware
from simulator.study.timings import scaled
from simulator.workload import Op

__all__ = ["Shape", "alike_op", "measured_shapes"]

Shape = tuple[int, int, int]
"""M, N, K."""


def measured_shapes(
    stacked: SystolicHardware, many: Sequence[SystolicHardware], ops: Iterable[Op]
) -> tuple[dict[Shape, Batch], NDArray[np.bool_]]:
    """What each shape takes on each design, and which designs can run all of them: others say why when run alone."""
    shapes = {(op.M, op.N, op.K): op for op in ops}
    channels = [h.search_dram for h in many]
    rates = np.array([(dram.bytes_per_cycle, dram.read_bytes_per_cycle) for dram in channels])
    found = {shape: _measured(stacked, op, rates) for shape, op in shapes.items()}
    runs = np.ones(len(stacked.array.rows), np.bool_)  # type: ignore[arg-type]
    for op, batch in zip(shapes.values(), found.values(), strict=True):
        runs &= batch.found & (stacked.array.folds(op.M, op.N, op.K) <= MOST_FOLDS)
        runs &= batch.waits[:, 1] == 0  # before tiles that load nothing: a cause that has no column here
    return found, runs


def _measured(stacked: SystolicHardware, op: Op, rates: NDArray[np.float64]) -> Batch:
    array: Any = stacked.array
    dram: Any = stacked.search_dram
    limits = stacked.limits
    assert limits is not None, "groups are of designs whose memory has limits"
    burst_bytes = dram.burst_bytes, stacked.memories.burst_bytes
    alike = Alike(array, stacked.bits, stacked.depths, *burst_bytes, stacked.pinned, stacked.tolerance)
    bits = np.stack([limits.act_bits, limits.weight_bits, limits.out_bits], axis=-1)
    return measure_many(op, alike, Machines(array.rows, array.cols, bits, rates, dram.latency_cycles))


def alike_op(
    stacked: SystolicHardware, op: Op, batch: Batch, runs: Sequence[int], known: Judged | None = None
) -> OpResult:
    """Result of an op on all designs, which are ``runs`` in the batch, as ``simulate_op`` has it by its shape.

    Args:
        known: the verdict on its values, on which costs do not depend.
    Raises: ConservationError.
    """
    chosen = np.array(runs)
    waits, spent, sums = (tuple(table[chosen].T.copy()) for table in (batch.waits, batch.spent, batch.sums))
    tiles: Any = batch.tiles[chosen]
    how = stacked.array, stacked.bits, stacked.datapath
    one, counts = accounted(op, *how, waits, spent, sums, UNCOUNTED)
    counts = counts.times(op.count)
    energy, storage = stacked.energy(counts), known.storage if known else storage_of(stacked, op, [])
    return OpResult(op, tiles, scaled(one, op.count), counts, energy, [], [], known.quality if known else None, storage)
