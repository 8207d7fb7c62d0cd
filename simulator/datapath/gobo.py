"""``gobo``: GOBO's own accelerator (Zadeh et al., MICRO 2020): index PEs that add, one outlier unit per array.

Activations are FP16; weights stay 3- or 4-bit indices into a dictionary. A PE has 2^b FP32 accumulators and adds its
activation to the one that its weight's index selects, k in order: no multiplier. At the end the sums leave one after
another, the outliers' sum behind them, and a centroid unit below each column multiplies each by its dictionary entry
and adds, entries in order, the outliers' sum last. The first addition is to +0, every result is rounded to FP32.

Outliers travel beside the indices with a mark. A marked weight adds nothing in its PE; a coordinator sees step k of
all columns of a fold before the skew registers and queues the fold's outliers, column after column, for the outlier
unit: one column of ``rows`` PEs that serves an outlier for all rows at once (FP16 x FP32 rounded to FP32, added in
FP32 to the sum of its output). Queue and stalls: ``coordinator``. A fold is a barrier: it is done when its last
outlier is served. The list is loaded with a tile's weights, kept beside them in the weight scratchpad and read again
by each row block; the room that it takes there is not modelled, nor is the load of a dictionary.

The paper's text was not available. Dictionary and outliers are published (abstract, Algorithm 1); that a PE
accumulates per entry and that outliers have PEs of their own is recalled; one outlier PE per row is MicroScopiQ's
count (ISCA 2025, Table 5: 64 for 64 x 64). Queue, unit, order of sums and the edge units are ``assumed``.

The second operand of a GEMM is encoded like weights even where it is none by nature (attention scores and values).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulator import formats
from simulator.datapath.base import Accumulation, Datapath, Gate, Operand
from simulator.datapath.coordinator import coordinator_batch, coordinator_cycles
from simulator.datapath.edp import EdpOrder
from simulator.datapath.fp16_mac import Fp16Mac
from simulator.datapath.job import Job, TileCosts
from simulator.datapath.registry import register
from simulator.datapath.weight_outliers import LISTED_BITS, WeightOutliers, bernoulli, per_tile
from simulator.datapath.width import Width
from simulator.formats import Encoded, TensorEncoding
from simulator.formats.gobo import DictionaryFormat
from simulator.kernels import njit

__all__ = ["Gobo", "coordinator_cycles", "indices"]

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1 << 20)]
_MARK_SHIFT = 32
"""A weight word is an index, or ``1 << 32`` and the bits of an outlier's float32 value."""


@njit(cache=True)
def _mac(state, act, weight):
    """One step of one PE, and of its outlier PE: the last register is the outliers' sum."""
    if weight >> 32:
        value = np.uint32(weight & 0xFFFFFFFF).view(np.float32)
        state[-1] = np.float32(state[-1] + np.float32(act * value))
    else:
        state[weight] = np.float32(state[weight] + act)


@njit(cache=True)
def _finish(state, dictionary):
    """The centroid unit: entries in order, the outliers' sum last."""
    total = np.float32(0)
    for entry in range(dictionary.size):
        total = np.float32(total + np.float32(state[entry] * np.float32(dictionary[entry])))
    return np.float32(total + state[dictionary.size])


@njit(cache=True)
def _coordinator(memory, act, weight, last):
    """One cycle of the coordinator, as the contract words it: serve, push, retire; see ``coordinator``.

    ``memory``: depth of the queue, cycles of a service, push width; entries in the queue, cycles that the unit is still
    busy, outliers of this step that have been pushed.
    """
    depth, service, width = memory[0], memory[1], memory[2]
    if memory[4] == 0 and memory[3] > 0:
        memory[3] -= 1
        memory[4] = service
    memory[4] = max(0, memory[4] - 1)
    outliers = 0
    for word in weight:
        outliers += word >> 32
    entering = min(outliers - memory[5], width, depth - memory[3])
    memory[3] += entering
    memory[5] += entering
    if memory[5] < outliers or (last and (memory[3] > 0 or memory[4] > 0)):
        return False
    memory[5] = 0
    return True


@njit(cache=True)
def _unpack(codes, bits, length):
    """Index streams (R, bytes), least significant bit first, to indices (R, length)."""
    out = np.empty((codes.shape[0], length), np.uint8)
    for r in range(codes.shape[0]):
        for k in range(length):
            byte, bit = (k * bits) >> 3, (k * bits) & 7
            window = np.int64(codes[r, byte])
            if bit + bits > 8:
                window |= np.int64(codes[r, byte + 1]) << 8
            out[r, k] = (window >> bit) & ((1 << bits) - 1)
    return out


@njit(cache=True)
def _by_index(act, index, first, at, value, dictionary):
    """Activations (B, K, 64), indices (N, K) and outliers by row to (B * 64, N); 64 rows of A side by side.

    An index of ``dictionary.size`` marks an outlier; those of row n are ``first[n]`` to ``first[n + 1]``.
    """
    blocks, K, _ = act.shape
    N, entries = index.shape[0], dictionary.size
    out = np.empty((blocks * 64, N), np.float32)
    sums = np.empty((entries + 1, 64), np.float32)
    for b in range(blocks):
        for n in range(N):
            sums[:] = 0
            for k in range(K):
                entry = index[n, k]
                if entry < entries:
                    for m in range(64):
                        sums[entry, m] += act[b, k, m]
            for i in range(first[n], first[n + 1]):
                for m in range(64):
                    sums[entries, m] += np.float32(act[b, at[i], m] * value[i])
            for m in range(64):
                total = np.float32(0)
                for entry in range(entries):
                    total = np.float32(total + np.float32(sums[entry, m] * dictionary[entry]))
                out[b * 64 + m, n] = np.float32(total + sums[entries, m])
    return out


def indices(weight: Encoded, bits: int) -> NDArray[np.uint8]:
    """The dictionary indices (N, K) of a ``gobo3`` or ``gobo4`` operand, as its decoder reads them."""
    return np.asarray(_unpack(weight.codes, bits, weight.length))


@register("gobo")
@dataclass(frozen=True)
class Gobo(Datapath):
    """Index PEs, centroid units and an outlier unit behind a queue."""

    index_bits: Literal[3, 4] = 3
    """Bits of a weight, so 8 or 16 accumulators [bits]."""
    dictionary: DictionaryFormat = "fp32"
    """Precision of the entries."""
    log_probability: float = -4.0
    """Natural log of the density below which a weight is an outlier (`formats.gobo`; `assumed`)."""
    fifo_depth: Count = 16
    """Entries of the outlier queue (`assumed`)."""
    service_cycles: Count = 1
    """Cycles that the outlier unit takes for one outlier (`assumed`)."""
    push_width: Count = 1
    """Outliers that can enter the queue in a cycle (`assumed`)."""
    outlier_share: Share = 0.001
    """Of the weights, where only shapes are known: about 0.1 % on average (GOBO, abstract)."""

    mac = staticmethod(_mac)
    timing_options = frozenset({"fifo_depth", "service_cycles", "push_width", "outlier_share"})
    looks_at = ((), ("outlier_position",))
    costs_know_bandwidth = False

    @property
    def act_format(self) -> TensorEncoding:
        """``fp16``."""
        return Fp16Mac().act_format

    @property
    def weight_format(self) -> TensorEncoding:
        """``gobo3`` or ``gobo4``."""
        options = {"dictionary": self.dictionary, "log_probability": self.log_probability}
        return formats.get(f"gobo{self.index_bits}", **options)

    @property
    def accumulation(self) -> Accumulation:
        """FP32 sums per dictionary entry."""
        return Accumulation("fp32_by_index", 32)

    def width(self, operand: Operand) -> Width:
        """16 bits; whole bytes of indices."""
        return Width.plain(16 if operand == "act" else self.index_bits)

    def actions_per_mac(self) -> dict[str, float]:
        """One addition, charged for an outlier's step too."""
        return {f"accumulate_gobo{self.index_bits}": 1}

    def register_bits(self, operand: Operand) -> float:
        """A 16-bit activation; an index and an outlier mark."""
        return 16 if operand == "act" else self.index_bits + 1

    def actions_per_output(self) -> dict[str, float]:
        """One multiply-add per dictionary entry, and one step for the outliers' sum."""
        return {"centroid_mac_fp32": self.result_words}

    def data_dependent_actions(self) -> tuple[str, ...]:
        """The work of the outlier unit and its queue."""
        return ("outlier_mac_fp32", "fifo_entry_move")

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs, an outlier PE per row, a centroid unit per column, the coordinator's lane of ``cols`` PEs, its queue."""
        return {
            f"pe_gobo{self.index_bits}": rows * cols,
            "outlier_pe_fp32": rows,
            "centroid_unit_fp32": cols,
            "coordinator_lane16": -(-cols // 16),
            "fifo_entry32": self.fifo_depth,
        }

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[Any]:
        """FP16 values in FP32 registers; indices, or marked outliers."""
        if operand == "act":
            return Fp16Mac().edge_words(encoded, "act")
        words = indices(encoded, self.index_bits).astype(np.int64)
        value = np.asarray(encoded.extras["outlier_value"], np.float32)
        words.reshape(-1)[encoded.extras["outlier_position"]] = 1 << _MARK_SHIFT | value.view(np.uint32).astype(
            np.int64
        )
        return words

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        a = self.edge_words(act, "act")
        index = indices(weight, self.index_bits)
        position = np.asarray(weight.extras["outlier_position"], np.int64)
        index.reshape(-1)[position] = 1 << self.index_bits
        row, at = np.divmod(position, weight.length)
        first = np.searchsorted(row, np.arange(len(index) + 1))
        value, dictionary = (np.asarray(weight.extras[x], np.float32) for x in ("outlier_value", "dictionary"))
        padded = np.pad(a, ((0, -len(a) % 64), (0, 0))).reshape(-1, 64, act.length)
        blocks = np.ascontiguousarray(padded.transpose(0, 2, 1))
        return np.asarray(_by_index(blocks, index, first, at, value, dictionary))[: len(a)]

    # The register-accurate array

    @property
    def finish(self) -> Callable[..., Any]:
        """The centroid unit."""
        return _finish

    @property
    def registers(self) -> int:
        """An accumulator per dictionary entry, and the outliers' sum."""
        return (1 << self.index_bits) + 1

    @property
    def result_words(self) -> int:
        """One per accumulator."""
        return self.registers

    @property
    def gate(self) -> Gate:
        """The coordinator, its queue and unit empty."""
        return Gate(_coordinator, np.array([self.fifo_depth, self.service_cycles, self.push_width, 0, 0, 0], np.int64))

    @property
    def dataflows(self) -> tuple[str, ...]:
        """Output-stationary only, see ``why_not``."""
        return ("os",)

    @property
    def why_not(self) -> str:
        """An outlier waits in the queue while its step goes on."""
        return "its outlier unit adds to sums, cycles later, that must still be where they were"

    def why_no_edp(self, orders: Mapping[int, EdpOrder]) -> str:
        """Its PEs have no multipliers, dot-product units nothing else."""
        return "its PEs add activations by index; gobo_dram is GOBO on tensor cores"

    def constants(self, act: Encoded, weight: Encoded) -> NDArray[np.float64]:
        """The dictionary."""
        return np.asarray(weight.extras["dictionary"], np.float64)

    # What depends on where outliers are

    @property
    def assumed_distribution(self) -> str:
        """See ``weight_outliers``."""
        return bernoulli(self.outlier_share)

    def tile_costs(self, job: Job) -> TileCosts:
        """Stalls of every fold, the list of outliers, and the work on them.

        Row blocks meet the same outliers: a tile's folds of one column block wait equally long.
        """
        tiles = job.tiles
        listed, waiting = self._per_block(job)
        row_folds = -(-tiles["m"] // job.rows)
        loaded = np.where(tiles["weight_load_bytes"] > 0, listed, 0)
        read = int((row_folds * listed).sum())
        return replace(
            TileCosts.none(tiles),
            outlier_cycles=row_folds * waiting,
            weight_load_bytes=loaded * (LISTED_BITS // 8),
            weight_buffer_bits=(read * LISTED_BITS, int(loaded.sum()) * LISTED_BITS),
            actions={"outlier_mac_fp32": int((tiles["m"] * listed).sum()), "fifo_entry_move": 2 * read},
        )

    def _per_block(self, job: Job) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each tile: outliers of its weights, and cycles that one row of its folds waits for them."""
        found = per_tile(job, job.cols, lambda k0, k: self._before_folds(job, k0, k))
        return found[:, 0], found[:, 1]

    def _before_folds(self, job: Job, k0: int, k: int) -> NDArray[np.int64]:
        """Outliers in all folds of columns before each, and cycles that these wait for them, (folds + 1, 2)."""
        unit = (job.cols, self.fifo_depth, self.service_cycles, self.push_width)
        drawn = None if job.weight is not None else (self.outlier_share, job.seed, job.N, job.K)

        def count() -> NDArray[np.int64]:
            folds = [np.zeros((1, 2), np.int64)]
            for positions, first in WeightOutliers.of(job, self.outlier_share).lanes(k0, k):
                cycles = coordinator_batch(positions, first, k * job.cols, *unit)
                folds.append(np.stack([np.diff(first), cycles["total_cycles"] - cycles["steps"]], axis=1))
            return np.cumsum(np.concatenate(folds), axis=0)

        return job.of_operands(("coordinator", *unit, k0, k, drawn), count)
