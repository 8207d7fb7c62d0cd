"""``gobo_dram``: GOBO as memory compression only, as OliVe (Guo et al., ISCA 2023, section 5.1) compares with it.

Weights are 3- or 4-bit indices and a list of outliers in DRAM. On their way into the weight scratchpad each index
becomes its dictionary entry and each listed outlier its value, all of them FP16; from there on this is ``fp16_mac``.
On a GPU that is the way into L2, which holds, gives and is filled with FP16 values.

Decompressors take as many values per cycle as the DRAM port delivers, so they never hold up a load; they put outliers
in their places at no time of their own (both ``assumed``). The list is loaded with a tile's weights and not kept.

The second operand of a GEMM is encoded like weights even where it is none by nature (attention scores and values).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulator import formats
from simulator.datapath.base import Operand
from simulator.datapath.fp16_mac import Fp16Mac
from simulator.datapath.gobo import Share, indices
from simulator.datapath.job import Job, KernelJob, TileCosts
from simulator.datapath.registry import register
from simulator.datapath.weight_outliers import LISTED_BITS, WeightOutliers, bernoulli, per_tile
from simulator.datapath.width import Width
from simulator.formats import Encoded, TensorEncoding

__all__ = ["GoboDram"]


@register("gobo_dram")
@dataclass(frozen=True)
class GoboDram(Fp16Mac):
    """FP16 PEs behind decompressors of GOBO weights."""

    index_bits: Literal[3, 4] = 4
    """Bits of a weight in DRAM [bits]."""
    log_probability: float = -4.0
    """Natural log of the density below which a weight is an outlier (`formats.gobo`; `assumed`)."""
    port_bits: Annotated[int, Field(ge=1, le=1 << 20)] = 1024
    """Bits that DRAM delivers in a cycle; set it to what the design's bandwidth makes [bits]."""
    outlier_share: Share = 0.001
    """Of the weights, where only shapes are known: about 0.1 % on average (GOBO, abstract)."""

    timing_options = frozenset({"port_bits", "outlier_share"})
    looks_at = ((), ("outlier_position",))
    costs_know_bandwidth = False

    @property
    def weight_format(self) -> TensorEncoding:
        """``gobo3`` or ``gobo4``, dictionary and outliers in half precision."""
        options = {"dictionary": "fp16", "outliers": "fp16", "log_probability": self.log_probability}
        return formats.get(f"gobo{self.index_bits}", **options)

    def width(self, operand: Operand) -> Width:
        """16 bits in the scratchpads; indices in DRAM."""
        return Width.plain(16) if operand == "act" else Width.plain(16, self.index_bits)

    def register_bits(self, operand: Operand) -> float:
        """FP16 on both sides."""
        return 16

    def data_dependent_actions(self) -> tuple[str, ...]:
        """Decompression of every value that is loaded."""
        return ("decompress_gobo_value",)

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs, and a decompressor for each value that the DRAM port delivers in a cycle."""
        return super().area_bill(rows, cols) | {"decompressor_gobo": -(-self.port_bits // self.index_bits)}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.float32]:
        """FP16 values in FP32 registers: activations as they are, weights decompressed."""
        if operand == "act":
            return super().edge_words(encoded, operand)
        values = np.asarray(encoded.extras["dictionary"], np.float32)[indices(encoded, self.index_bits)]
        values.reshape(-1)[encoded.extras["outlier_position"]] = encoded.extras["outlier_value"]
        return values

    @property
    def assumed_distribution(self) -> str:
        """See ``weight_outliers``."""
        return bernoulli(self.outlier_share)

    def tile_costs(self, job: Job) -> TileCosts:
        """The list of outliers, loaded with the weights, and their decompression."""
        tiles = job.tiles
        loaded = tiles["weight_load_bytes"] > 0
        values = int((tiles["n"] * tiles["k"])[loaded].sum())
        return replace(
            TileCosts.none(tiles),
            weight_load_bytes=np.where(loaded, self._listed(job) * (LISTED_BITS // 8), 0),
            actions={"decompress_gobo_value": values},
        )

    def kernel_costs(self, job: KernelJob) -> TileCosts:
        """The part of the list that belongs to the weights of each load, and their decompression. Outliers are where
        they are listed, spread evenly over the loads of a GEMM, or drawn.
        """
        loaded = np.diff(np.cumsum(job.tiles["weight_load_bytes"]) * 8 // self.index_bits, prepend=0)
        listed = self._drawn(loaded, job.seed) if job.weight is None else self._spread(loaded, job.weight)
        return replace(
            TileCosts.none(job.tiles),
            weight_load_bytes=listed * (LISTED_BITS // 8),
            actions={"decompress_gobo_value": int(loaded.sum())},
        )

    def _drawn(self, loaded: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        return np.random.default_rng(seed).binomial(loaded, self.outlier_share)

    def _spread(self, loaded: NDArray[np.int64], weight: Encoded) -> NDArray[np.int64]:
        """As many of all outliers as the load has of all weights; whole ones, none lost."""
        values = len(weight.codes) * weight.length
        before = np.cumsum(loaded) * len(weight.extras["outlier_position"])
        return np.diff(-(-before // values), prepend=0)

    def _listed(self, job: Job) -> NDArray[np.int64]:
        """Outliers among the weights of each tile."""
        outliers = WeightOutliers.of(job, self.outlier_share)
        drawn = None if job.weight is not None else (self.outlier_share, job.seed, job.N, job.K)
        before = lambda k0, k: job.of_operands(("listed", k0, k, drawn), lambda: outliers.before_rows(k0, k))  # noqa: E731
        return per_tile(job, 1, before)
