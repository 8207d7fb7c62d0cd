"""``biscaled``: 6-bit integers of two scales, the wide one ``2^s`` times the fine one (Jain et al., DAC 2019).

A PE multiplies two 6-bit integers, shifts the product by the ``s`` of each operand that is wide (by 0, s, or 2 s where
both operands have the same s), and adds it to an integer accumulator at the fine scales, k = 0, 1 ... K-1. Whether a
value is wide stands in a block-sparse index that decoders at the two edges of the array turn into a bit beside it.

Published: few bits, two scales per tensor, PEs that shift, the block-sparse index. ``Assumed``: blocks of 8 values; one
index bit per block that travels with the values, eight blocks to a byte, in scratchpads and DRAM; masks of the blocks
that hold wide values in a list that is loaded with a tile's operand, kept beside it and read again with each pass (the
room it takes in the scratchpad is not modelled); shifts of at most 8, set once per operand or row. That is 31 << 8 fine
steps, more than 500 standard deviations of an operand whose fine scale is calibrated by ``mse``: larger is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulator import formats
from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Operand
from simulator.datapath.distinct import distinct_rows
from simulator.datapath.exponent_integer import mac, values, words
from simulator.datapath.job import Job, TileCosts
from simulator.datapath.packed_integers import signed_integers
from simulator.datapath.registry import register
from simulator.datapath.width import Width
from simulator.errors import DatapathError
from simulator.formats import Encoded, TensorEncoding
from simulator.kernels import njit

__all__ = ["BiScaled"]

_BLOCK = 8
"""Values that share a bit of the index, and bits of a mask."""
_LARGEST_SHIFT = 8
"""What a PE's shifter takes per operand."""


@njit(cache=True)
def _wide_bits(block_bits, masks, out):
    """The index decoder: fill ``out`` (R, K) with the wide bit of each value. What comes first is in the high bits;
    blocks never straddle rows; ``masks`` are those of the blocks whose bit is set.
    """
    block = mask = 0
    for r in range(out.shape[0]):
        for first in range(0, out.shape[1], 8):
            flags = 0
            if block_bits[block >> 3] >> (7 - (block & 7)) & 1:
                flags = masks[mask]
                mask += 1
            block += 1
            for k in range(first, min(first + 8, out.shape[1])):
                out[r, k] = flags >> (7 - (k - first)) & 1


@register("biscaled")
@dataclass(frozen=True)
class BiScaled(Datapath):
    """6-bit operands of two scales, integer accumulation with overflow detected."""

    acc_bits: Literal[32, 48] = 32
    """Accumulator width [bits]."""
    wide_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of wide values where only shapes are known (`assumed`)."""

    mac = staticmethod(mac)
    timing_options = frozenset({"wide_share"})
    looks_at = (("wide_block",), ("wide_block",))
    costs_know_bandwidth = False

    @property
    def act_format(self) -> TensorEncoding:
        """``biscaled6`` in blocks of 8."""
        return formats.get("biscaled6", block=_BLOCK)

    @property
    def weight_format(self) -> TensorEncoding:
        """As ``act_format``."""
        return self.act_format

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within ``acc_bits``."""
        return Accumulation("int", self.acc_bits)

    def width(self, operand: Operand) -> Width:
        """6 bits, and a bit of the index per block: whole bytes of eight blocks."""
        bits = _BLOCK * (_BLOCK * 6 + 1)
        return Width(_BLOCK * _BLOCK, bits, bits)

    def actions_per_mac(self) -> dict[str, float]:
        """One multiply-accumulate."""
        return {f"mac_bs6_acc{self.acc_bits}": 1}

    def register_bits(self, operand: Operand) -> float:
        """6 bits and the wide bit."""
        return 6 + 1

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """Its wide bit."""
        return {"decode_biscaled_index": 1}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs with pass-through registers, an index decoder per row and column."""
        return {f"pe_bs6_acc{self.acc_bits}": rows * cols, "decoder_biscaled": rows + cols}

    def edp_parts(self, multipliers: Mapping[int, int]) -> dict[str, int]:
        """An index decoder for each operand value that enters an EDP at 8 bits, and an adder and a shifter per
        multiplier (``assumed``).
        """
        eight = multipliers.get(8, 0)
        return {"decoder_biscaled": 2 * eight, "gpu_lane_ei8": eight}

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Exponent-integer words: the exponent is the shift of a wide value, else 0."""
        return words(*self._decoded(encoded))

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        a, w = (values(*self._decoded(operand)) for operand in (act, weight))
        require_fit(a, w, self.acc_bits, self.name)
        return exact_product(a, w)

    def _decoded(self, encoded: Encoded) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Shifts and integers, (R, K).

        Raises: DatapathError for a shift that PEs do not have.
        """
        shift = np.asarray(encoded.extras["shift"])
        if (shift > _LARGEST_SHIFT).any():
            raise DatapathError(f"{self.name}: PEs shift by at most {_LARGEST_SHIFT}, this operand needs {shift.max()}")
        wide = np.empty((len(encoded.codes), encoded.length), np.int8)
        _wide_bits(encoded.extras["wide_block"], encoded.extras["wide_mask"].reshape(-1), wide)
        per_row = np.broadcast_to(shift.astype(np.int8), (len(wide),))
        return wide * per_row[:, None], signed_integers(encoded.codes, 6, encoded.length)  # type: ignore[return-value]

    # What depends on where wide values are

    @property
    def assumed_distribution(self) -> str:
        """Independent wide values."""
        return f"each value of both operands is wide with probability {self.wide_share:g}, independently"

    def tile_costs(self, job: Job) -> TileCosts:
        """Masks of the blocks that hold wide values: loaded with the operand of a tile, read with each pass over it."""
        tiles = job.tiles
        act, weight = self._masks(job, "act"), self._masks(job, "weight")
        reads = job.reads
        act_load, weight_load = (
            np.where(tiles[f"{operand}_load_bytes"] > 0, masks, 0)
            for operand, masks in (("act", act), ("weight", weight))
        )
        return replace(
            TileCosts.none(tiles),
            act_load_bytes=act_load,
            weight_load_bytes=weight_load,
            act_buffer_bits=(8 * int((act * reads[0]).sum()), 8 * int(act_load.sum())),
            weight_buffer_bits=(8 * int((weight * reads[1]).sum()), 8 * int(weight_load.sum())),
        )

    def _masks(self, job: Job, operand: Operand) -> NDArray[np.int64]:
        """Blocks with wide values in each tile's part of an operand."""
        encoded, line = (job.act, "m") if operand == "act" else (job.weight, "n")
        parts, which = distinct_rows([job.tiles[name] for name in (f"{line}0", line, "k0", "k")])
        ranges = job.tiles[[f"{line}0", line, "k0", "k"]][parts].tolist()
        if encoded is None:
            found = [self._drawn(job.seed, operand, *part) for part in ranges]
        else:
            found = []
            for first, lines, k0, k in ranges:
                before = _masks_before(job, operand, encoded, (k0, k))
                found.append(int(before[first + lines] - before[first]))
        return np.array(found, np.int64)[which]

    def _drawn(self, seed: int, operand: Operand, first: int, lines: int, k0: int, k: int) -> int:
        """As many as independent wide values fill: the same for all tiles that share a part."""
        rng = np.random.default_rng([seed, operand == "act", first, k0])
        fine = 1 - self.wide_share
        whole, rest = divmod(k, _BLOCK)
        return int(rng.binomial(lines * whole, 1 - fine**_BLOCK) + rng.binomial(lines, 1 - fine**rest))


def _masks_before(job: Job, operand: Operand, encoded: Encoded, steps: tuple[int, int]) -> NDArray[np.int64]:
    """Blocks with wide values at some steps in all lines before each, (lines + 1,)."""
    k0, k = steps
    lines, blocks = len(encoded.codes), -(-encoded.length // _BLOCK)

    def count() -> NDArray[np.int64]:
        full = np.unpackbits(encoded.extras["wide_block"], count=lines * blocks).reshape(lines, blocks)
        here = np.count_nonzero(full[:, k0 // _BLOCK : -(-(k0 + k) // _BLOCK)], axis=1)
        return np.concatenate([[0], np.cumsum(here)])

    return job.of_operands(("masks", operand, steps), count)
