"""``mixed_int8_fp16``: LLM.int8() (Dettmers et al., NeurIPS 2022): an int8 array, FP16 lanes for outlier columns.

Columns of A with a magnitude of at least ``threshold`` are found at run time. The int8 array multiplies all of K, with
zeros in those columns, as the released kernel does; beside it ``rows x fp16_cols`` FP16 PEs multiply the outlier
columns of A by their rows of W, k in order, in FP32. A vector unit joins both: the int32 sum, rounded to FP32, times
the FP32 product of both scales, plus the FP32 sum: one rounding each. Results are real values.

Rows of W that meet outlier columns come from an FP16 copy of W in DRAM (the paper), which is loaded on top, or are
made of the int8 rows (the released code). Timing and order of sums are this project's, so ``assumed``:

1. Before the first tile, the vector unit scans all of A, ``vector_lanes`` values a cycle: which columns are outliers,
   and every row's largest magnitude, are known only at its end. A is read from DRAM for it, as FP16; nothing of it is
   taken to stay in the scratchpad until the tiles load it again.
2. Quantisation and the gathering of outlier columns happen while a tile loads and hide behind that.
3. Both arrays take a tile together; where the FP16 one needs it longer, the int8 one waits. Nothing follows the last
   tile: it is done when the last result of either array has left. If K comes in chunks, the FP16 array has all its
   columns with the last one.
4. The results of a tile are dequantised and merged, ``vector_lanes`` a cycle, while the next tile is in the arrays,
   which waits for the end of it; nothing hides those of the last tile.

The second operand of a GEMM is encoded like weights even where it is none by nature; the paper leaves attention scores
and values at 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from simulator import formats
from simulator.datapath.base import Accumulation, Datapath, Lane, Operand
from simulator.datapath.edp import EdpOrder, EdpRun
from simulator.datapath.fp16_mac import Fp16Mac
from simulator.datapath.int_mac import IntMac
from simulator.datapath.job import Job, TileCosts
from simulator.datapath.registry import register
from simulator.datapath.width import Width
from simulator.formats import Encoded, Granularity, TensorEncoding
from simulator.formats.base import Calibration, operand_tensor
from simulator.formats.llm_int8 import OutlierWeights, encode_split
from simulator.kernels import njit

__all__ = ["MixedInt8Fp16"]

_INT8, _FP16 = IntMac(), Fp16Mac()
"""The two kinds of PE."""
_HALF_BITS = 16

Count = Annotated[int, Field(ge=1, le=1 << 20)]


@njit(cache=True)
def _dequantise(integers, halves, row_scale, col_scale):
    """Int32 sums and FP32 sums (M, N) with scales (M,) and (N,) to real results (M, N)."""
    out = np.empty(halves.shape, np.float32)
    for m in range(out.shape[0]):
        for n in range(out.shape[1]):
            scale = np.float32(row_scale[m] * col_scale[n])
            out[m, n] = np.float32(np.float32(np.float32(integers[m, n]) * scale) + halves[m, n])
    return out


def _fp16_operand(values: NDArray[np.float16]) -> Encoded:
    codes = np.ascontiguousarray(values, "<f2").view(np.uint8)
    return Encoded(codes, np.ones((), np.float32), values.shape[1])


@register("mixed_int8_fp16")
@dataclass(frozen=True)
class MixedInt8Fp16(Datapath):
    """Int8 PEs, FP16 PEs and a vector unit that splits operands and joins results."""

    threshold: Annotated[float, Field(gt=0)] = 6.0
    """Magnitude that makes a column of A an outlier column (6.0 in the paper); infinity: none."""
    outlier_weights: OutlierWeights = "fp16"
    """Rows of W for them are FP16, as in the paper, or dequantised int8, as in the released code."""
    fp16_cols: Count = 8
    """Columns of the FP16 array; it has the rows of the int8 one (`assumed`)."""
    vector_lanes: Count = 64
    """Values that the vector unit takes in a cycle (`assumed`: what a 1024-bit port delivers)."""
    outlier_dims: Annotated[int, Field(ge=0)] = 6
    """Outlier columns where only shapes are known (paper: 6 at 6.7 billion parameters)."""

    timing_options = frozenset({"fp16_cols", "vector_lanes", "outlier_dims"})
    looks_at = (("outlier_column",), ())

    @property
    def mac(self) -> Any:
        """Of the int8 array."""
        return _INT8.mac

    @property
    def act_format(self) -> TensorEncoding:
        """``llm_int8``."""
        return formats.get("llm_int8", threshold=self.threshold)

    @property
    def weight_format(self) -> TensorEncoding:
        """``int8``."""
        return _INT8.weight_format

    @property
    def accumulation(self) -> Accumulation:
        """Int32 and FP32 side by side."""
        return Accumulation("int8_and_fp16", 32)

    @property
    def dataflows(self) -> tuple[str, ...]:
        """Sums of both arrays stay until they are joined."""
        return ("os",)

    @property
    def why_not(self) -> str:
        """Results of the two arrays are joined as they leave."""
        return "its two arrays would leave unfinished sums of an output at different times"

    def width(self, operand: Operand) -> Width:
        """8 bits in the scratchpads; A is FP16 in DRAM, for its columns are not known there."""
        return Width.plain(8, _HALF_BITS if operand == "act" else 8)

    def stored_format(self, operand: Operand) -> str:
        """A is FP16 in DRAM, and split and quantised as it comes in."""
        return "fp16" if operand == "act" else super().stored_format(operand)

    def outlier_columns(self, K: int, act: Encoded | None) -> int:
        """Those found in an operand, or as many as are assumed."""
        return min(self.outlier_dims, K) if act is None else len(act.extras["outlier_column"])

    def actions_per_mac(self) -> dict[str, float]:
        """Of the int8 array, zeros included."""
        return _INT8.actions_per_mac()

    def actions_per_output(self) -> dict[str, float]:
        """Dequantisation and the sum of both parts."""
        return {"dequantise_fp32": 1}

    def data_dependent_actions(self) -> tuple[str, ...]:
        """The passes over the operands, and the FP16 array."""
        return (
            "scan_fp16",
            "quantise_int8_value",
            "gather_fp16",
            "dequantise_fp32",
            "reg_bit",
            *_FP16.actions_per_mac(),
        )

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """Both arrays and the lanes of the vector unit."""
        arrays = _INT8.area_bill(rows, cols) | _FP16.area_bill(rows, self.fp16_cols)
        return arrays | dict.fromkeys(("dequantiser_fp32", "scan_lane_fp16", "quantiser_int8"), self.vector_lanes)

    # Values

    def encode(
        self,
        act: ArrayLike,
        weight: ArrayLike,
        granularity: tuple[Granularity, Granularity],
        calibration: tuple[Calibration, Calibration],
    ) -> list[tuple[Encoded, Encoded]]:
        """Operands split by the columns of A; a scale per row, absmax, whatever granularity and calibration."""
        pairs = zip(operand_tensor(act, self.name), operand_tensor(weight, self.name), strict=True)
        return [encode_split(a, w, self.threshold, self.outlier_weights) for a, w in pairs]

    def real(self, accumulators: NDArray[Any], act: Encoded, weight: Encoded) -> NDArray[np.float64]:
        """As they are: both scales have been applied."""
        return np.asarray(accumulators, np.float64)

    def decoded(self, act: Encoded, weight: Encoded) -> tuple[NDArray[Any], NDArray[Any]]:
        """Real values, exact in float64; FP16 where a column is an outlier column."""
        w = weight.codes.view(np.int8) * weight.row_scale
        w[:, act.extras["outlier_column"]] = weight.extras["outlier_weight"]
        return self.act_format.decode_operand(act), w

    def real_operands(self, act: Encoded, weight: Encoded) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As decoded: both scales have been applied."""
        a, w = self.decoded(act, weight)
        return np.asarray(a, np.float64), np.asarray(w, np.float64)

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[Any]:
        """Of the int8 array."""
        return _INT8.edge_words(encoded, operand)

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``. Raises: AccumulatorOverflowError if an integer sum leaves int32."""
        halves = self._halves(act, weight)
        return self.merge([_INT8.matmul(act, weight), *(_FP16.matmul(*pair) for pair in halves)], act, weight)

    @property
    def edp_widths(self) -> tuple[int, ...]:
        """Of the int8 part; the outlier columns are a product of their own on the FP16 units."""
        return _INT8.edp_widths

    def why_no_edp(self, orders: Mapping[int, EdpOrder]) -> str:
        """Both kinds of units are needed."""
        return _INT8.why_no_edp(orders) or _FP16.why_no_edp(orders)

    def edp_matmul(self, act: Encoded, weight: Encoded, run: EdpRun) -> NDArray[Any]:
        """As ``matmul``, on 8-bit and FP16 units. The product of outlier columns is not cut along K (``assumed``)."""
        halves = [_FP16.edp_matmul(*pair, EdpRun(run.orders)) for pair in self._halves(act, weight)]
        return self.merge([_INT8.edp_matmul(act, weight, run), *halves], act, weight)

    def lanes(self, act: Encoded, weight: Encoded, rows: int, cols: int) -> Sequence[Lane]:
        """The int8 array and, if there are outlier columns, the FP16 array."""
        halves = [lane for pair in self._halves(act, weight) for lane in _FP16.lanes(*pair, rows, self.fp16_cols)]
        return [*_INT8.lanes(act, weight, rows, cols), *halves]

    def merge(self, results: Sequence[NDArray[Any]], act: Encoded, weight: Encoded) -> NDArray[np.float32]:
        """Real results (M, N) of the vector unit."""
        halves = results[1] if len(results) > 1 else np.zeros(results[0].shape, np.float32)
        scales = (np.asarray(s, np.float32).reshape(-1) for s in (act.extras["row_scale"], weight.scale))
        return np.asarray(_dequantise(results[0], halves, *scales))

    def _halves(self, act: Encoded, weight: Encoded) -> list[tuple[Encoded, Encoded]]:
        """The FP16 operands of outlier columns; none if there are none."""
        columns, rows = act.extras["outlier_value"], weight.extras["outlier_weight"]
        return [(_fp16_operand(columns), _fp16_operand(rows))] if columns.shape[1] else []

    # What depends on which columns are outliers

    @property
    def assumed_distribution(self) -> str:
        """The number of columns; which ones they are matters only if K comes in chunks."""
        return f"{self.outlier_dims} columns of A (all, if it has fewer) are outlier columns, drawn without preference"

    def tile_costs(self, job: Job) -> TileCosts:
        """Scan, imbalance of the arrays and merge; the FP16 operands; and the work on all of them."""
        if len(job.cores) == 1:
            return self._core_costs(job)
        return TileCosts.joined([self._core_costs(core) for core in job.per_core()])

    def _core_costs(self, job: Job) -> TileCosts:
        """Those of one core, whose vector unit scans and merges what that core works on."""
        tiles, columns = job.tiles, self._columns(job)
        finished = tiles["k0"] + tiles["k"] == job.K
        beside, emptying = self._fp16_cycles(job, len(columns))
        beside = np.where(finished, beside, 0)
        array_cycles = np.maximum(tiles["issue_cycles"], beside)
        imbalance = array_cycles - tiles["issue_cycles"]
        own = tiles["issue_cycles"][-1] + tiles["drain_cycles"][-1]
        imbalance[-1] = max(0, beside[-1] + emptying - own)
        merge = np.where(finished, -(-tiles["m"] * tiles["n"] // self.vector_lanes), 0)
        waiting = np.maximum(0, np.concatenate([[0], merge[:-1]]) - array_cycles)
        scan = -(-job.M * job.K // self.vector_lanes)
        waiting[0] += max(0, scan - int(job.M * job.K * _HALF_BITS // 8 / job.dram_bytes_per_cycle))
        waiting[-1] += merge[-1]
        return replace(self._traffic(job, columns), outlier_cycles=imbalance, vector_cycles=waiting)

    def _columns(self, job: Job) -> NDArray[np.int64]:
        if job.act is not None:
            return np.asarray(job.act.extras["outlier_column"], np.int64)
        drawn = np.random.default_rng(job.seed).choice(job.K, min(self.outlier_dims, job.K), replace=False)
        return np.sort(drawn)

    def _fp16_cycles(self, job: Job, columns: int) -> tuple[NDArray[np.int64], int]:
        """Cycles for which a tile takes the FP16 array, its folds one after another, as the int8 array runs its own;
        and from there until it is empty.
        """
        if not columns:
            return np.zeros(len(job.tiles), np.int64), 0
        period, drain = job.fold_beside(columns, job.rows, self.fp16_cols)
        folds = -(-job.tiles["m"] // job.rows) * -(-job.tiles["n"] // self.fp16_cols)
        return np.asarray(folds * period), drain

    def _traffic(self, job: Job, columns: NDArray[np.int64]) -> TileCosts:
        """What is loaded, kept in the scratchpads and worked on because of the split."""
        tiles, outliers = job.tiles, len(columns)
        m, n, k = (tiles[x] for x in "mnk")
        here = np.searchsorted(columns, tiles["k0"] + k) - np.searchsorted(columns, tiles["k0"])
        finished = tiles["k0"] + k == job.K
        act_loaded, weight_loaded = (tiles[f"{x}_load_bytes"] > 0 for x in ("act", "weight"))
        gathered, rows_of_w = m * here * act_loaded, n * here * weight_loaded
        act_read = (-(-n // self.fp16_cols) * m * outliers)[finished].sum()
        weight_read = (-(-m // job.rows) * n * outliers)[finished].sum()
        from_dram = self.outlier_weights == "fp16"
        scanned = np.zeros(len(tiles), np.int64)
        scanned[0] = job.M * job.K * _HALF_BITS // 8
        return replace(
            TileCosts.none(tiles),
            act_load_bytes=scanned,
            weight_load_bytes=rows_of_w * (_HALF_BITS // 8 if from_dram else 0),
            act_buffer_bits=(int(act_read) * _HALF_BITS, int(gathered.sum()) * _HALF_BITS),
            weight_buffer_bits=(int(weight_read) * _HALF_BITS, int(rows_of_w.sum()) * _HALF_BITS),
            actions={
                "scan_fp16": job.M * job.K,
                "quantise_int8_value": int((m * k)[act_loaded].sum()),
                "gather_fp16": int(gathered.sum()),
                "dequantise_fp32": 0 if from_dram else int(rows_of_w.sum()),
                **self._fp16_actions(job, outliers),
            },
        )

    def _fp16_actions(self, job: Job, outliers: int) -> dict[str, float]:
        """MACs of the FP16 array, and the hops of its results: ``rows - r`` for one of array row ``r``."""
        macs = job.M * job.N * outliers
        actions = {action: times * macs for action, times in _FP16.actions_per_mac().items()}
        hops = int((job.rows - np.arange(job.M) % job.rows).sum()) if outliers else 0
        operands = sum(_FP16.register_bits(operand) for operand in ("act", "weight"))
        actions["reg_bit"] = macs * operands + hops * job.N * _FP16.accumulation.bits
        return actions
