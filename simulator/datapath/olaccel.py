"""``olaccel``: dense 4-bit MACs with units of their own for outliers (OLAccel; Park et al., ISCA 2018).

Both operands are int4 with a list of their largest values at 16 bits, at whose places the codes are 0. A PE multiplies
4 x 4 bits. Each group of 16 columns has an outlier lane per row, for one outlier weight per step (16 x 4 bits); each
group of 16 rows has a high-precision MAC per column, for one outlier activation per step (16 x 16 bits, as its weight
may be an outlier). More outliers of one group in one step take a cycle each, while the lock-step array waits. The edge
sees a step of all rows and columns before the skew registers. In ``ws`` a word of the stream is a step, with all the
outliers that its fold holds:

    cycles of a step = 1 + max(0, outlier weights of the fullest column group - 1, those of activations likewise - 1)

Published (abstract): 4-bit MACs for the dense part, about 3 % of the data at high precision, an extra MAC lane per SIMD
group so that one outlier weight costs no cycle, dedicated high-precision MACs for outlier activations, partial sums
updated by both in a pipelined way. Recalled: groups of 16 lanes, 16-bit outliers. ``Assumed``: the output-stationary
array of the ANT / OliVe comparison, which models no stalls (``stalls: false``); groups of rows likewise; that every
further outlier costs a cycle. An output has three exact sums: 24 bits of dense products, 32 bits of the outlier lane's,
48 bits of the high-precision MAC's. They are added as it leaves, in 48 bits. Beyond any of these is an error. A unit's
price has one sum: those of the other outputs that it serves are not in the bill, nor is room for the lists in the
scratchpads. A list entry is loaded with its tile's operand and read again with each pass: 32 bits of position, 16 of
value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulator import formats
from simulator.datapath.accumulate import exact_product, require_fit
from simulator.datapath.base import Accumulation, Datapath, Gate, Operand
from simulator.datapath.edp import EdpOrder
from simulator.datapath.job import Job, TileCosts
from simulator.datapath.met_outliers import MetOutliers
from simulator.datapath.packed_integers import signed_integers
from simulator.datapath.registry import register
from simulator.formats import Encoded, TensorEncoding
from simulator.kernels import njit

__all__ = ["OlAccel"]

_DENSE_BITS, _LANE_BITS, _SUM_BITS = 24, 32, 48
_OUTLIER_BITS = 16
_LISTED_BYTES = 6
_MARK_SHIFT = 16
"""An operand word is ``is outlier << 16 | value & 0xFFFF``."""


@njit(cache=True)
def _mac(state, act, weight):
    """One step of one output: its PE, or the outlier lane, or the high-precision MAC."""
    product = ((act & 0xFFFF ^ 0x8000) - 0x8000) * ((weight & 0xFFFF ^ 0x8000) - 0x8000)
    if act >> 16:
        state[2] += product
    elif weight >> 16:
        state[1] += product
    else:
        state[0] += product


@njit(cache=True)
def _finish(state, constants):
    """The three sums of an output."""
    return state[0] + state[1] + state[2]


@njit(cache=True)
def _fullest(words, group):
    """Outliers of the group that has most of them in one step."""
    fullest = 0
    for first in range(0, len(words), group):
        listed = 0
        for word in words[first : first + group]:
            listed += word >> 16
        fullest = max(fullest, listed)
    return fullest


@njit(cache=True)
def _one_each(memory, act, weight, last):
    """Hold a step until every group has had a cycle for each of its outliers. ``memory``: group, cycles waited."""
    if memory[1] + 1 < max(_fullest(act, memory[0]), _fullest(weight, memory[0])):
        memory[1] += 1
        return False
    memory[1] = 0
    return True


@njit(cache=True)
def _one_each_held(memory, act, weight, last):
    """As ``_one_each`` for held weights (columns, rows). ``memory[2]``: most of a group of a row, -1 in a new fold."""
    if memory[2] < 0:
        memory[2] = 0
        for row in range(weight.shape[1]):
            memory[2] = max(memory[2], _fullest(weight[:, row], memory[0]))
    if memory[1] + 1 < max(_fullest(act, memory[0]), memory[2]):
        memory[1] += 1
        return False
    memory[1] = 0
    if last:
        memory[2] = -1
    return True


@register("olaccel")
@dataclass(frozen=True)
class OlAccel(Datapath):
    """4-bit operands with 16-bit outliers, separate exact sums with overflow detected."""

    outlier_share: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Of each tensor's values, those of largest magnitude; where only shapes are known, of all values."""
    group: Annotated[int, Field(ge=1, le=1024)] = 16
    """Columns, and rows, that share units for one outlier per step."""
    stalls: bool = True
    """Whether the array waits for further outliers."""

    mac = staticmethod(_mac)
    timing_options = frozenset({"group", "stalls"})
    looks_at = (("outlier_position",), ("outlier_position",))
    costs_know_bandwidth = False

    @property
    def act_format(self) -> TensorEncoding:
        """``olaccel4``."""
        return formats.get("olaccel4", outlier_share=self.outlier_share)

    @property
    def weight_format(self) -> TensorEncoding:
        """As ``act_format``."""
        return self.act_format

    @property
    def accumulation(self) -> Accumulation:
        """Exact, within 48 bits."""
        return Accumulation("int", _SUM_BITS)

    def actions_per_mac(self) -> dict[str, float]:
        """One dense multiply-accumulate, of 0 where an operand is an outlier."""
        return {"mac_int4x4_acc24": 1}

    def actions_per_output(self) -> dict[str, float]:
        """Two additions of its three sums, priced as 32-bit ones."""
        return {"merge_int32": 2}

    def data_dependent_actions(self) -> tuple[str, ...]:
        """Products of outliers, and their hops."""
        return ("outlier_mac_int16x4_acc32", "outlier_mac_int16x16_acc48", "reg_bit")

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs; a lane per row and column group; a high-precision MAC per column and row group; two adders a column."""
        return {
            "pe_olaccel4_acc24": rows * cols,
            "outlier_pe_int16x4_acc32": rows * -(-cols // self.group),
            "outlier_pe_int16x16_acc48": cols * -(-rows // self.group),
            "merge_adder32": 2 * cols,
        }

    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[np.int64]:
        """Values, marked where they are outliers."""
        dense, outliers = self._parts(encoded)
        words = (dense + outliers).astype(np.int64) & 0xFFFF
        words.reshape(-1)[encoded.extras["outlier_position"]] |= 1 << _MARK_SHIFT
        return words

    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """See ``Datapath.matmul``."""
        sums = self.sums(act, weight)
        for products_of in sums:
            require_fit(*products_of, self.name)
        return exact_product(*sums[-1][:2])

    def sums(self, act: Encoded, weight: Encoded) -> list[tuple[NDArray[Any], NDArray[Any], int]]:
        """The dense sum, that of the outlier lane, that of the high-precision MAC, and all three together."""
        (a, a_listed), (w, w_listed) = self._parts(act), self._parts(weight)
        whole = w + w_listed
        return [
            (a, w, _DENSE_BITS),
            (a, w_listed, _LANE_BITS),
            (a_listed, whole, _SUM_BITS),
            (a + a_listed, whole, _SUM_BITS),
        ]

    def _parts(self, encoded: Encoded) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Dense values and outliers, (R, K) each, 0 where there is none."""
        position = encoded.extras["outlier_position"]
        dense = signed_integers(encoded.codes, 4, encoded.length).astype(np.int16)
        outliers = np.zeros(dense.shape, np.int16)
        dense.reshape(-1)[position], outliers.reshape(-1)[position] = 0, encoded.extras["outlier_value"]
        return dense, outliers

    # The register-accurate array

    @property
    def finish(self) -> Callable[..., Any]:
        """The adders below a column."""
        return _finish

    @property
    def registers(self) -> int:
        """Dense sum, sum of the outlier lane, sum of the high-precision MAC."""
        return 3

    @property
    def gate(self) -> Gate | None:
        """Groups take one outlier a cycle, if the design models it."""
        return Gate(_one_each, np.array([self.group, 0], np.int64)) if self.stalls else None

    @property
    def held_gate(self) -> Gate | None:
        """The same; a held outlier takes a cycle of its lane with every word of the stream."""
        return Gate(_one_each_held, np.array([self.group, 0, -1], np.int64)) if self.stalls else None

    @property
    def dataflows(self) -> tuple[str, ...]:
        """Not ``is``, see ``why_not``."""
        return ("os", "ws")

    @property
    def why_not(self) -> str:
        """A streamed weight meets all columns of its row."""
        return "a lane multiplies an outlier weight by one activation, and a streamed one meets a group of them"

    def why_no_edp(self, orders: Mapping[int, EdpOrder]) -> str:
        """Outliers need 16-bit integer multipliers beside every group of PEs."""
        return "its outlier lanes and 16-bit integer multipliers have no place in dot-product units"

    @property
    def unfinished_bits(self) -> int:
        """All three sums."""
        return _DENSE_BITS + _LANE_BITS + _SUM_BITS

    # What depends on where outliers are

    @property
    def assumed_distribution(self) -> str:
        """Independent outliers."""
        return f"each value of both operands is an outlier with probability {self.outlier_share:g}, independently"

    def tile_costs(self, job: Job) -> TileCosts:
        """Stalls of every fold, both lists, the products of outliers with all that they meet, and their hops."""
        tiles, found = job.tiles, MetOutliers(job, self.outlier_share, self.group)
        acts, weights = found.listed("act"), found.listed("weight")
        loaded = [
            np.where(tiles[f"{x}_load_bytes"] > 0, listed, 0) for x, listed in (("act", acts), ("weight", weights))
        ]
        read = [int((listed * times).sum()) for listed, times in zip((acts, weights), job.reads, strict=True)]
        met = int((weights * tiles["m"]).sum()), int((acts * tiles["n"]).sum())
        hops = met[1] + (found.hops() if job.dataflow == "ws" else met[0])
        return replace(
            TileCosts.none(tiles),
            outlier_cycles=found.waiting() if self.stalls else np.zeros(len(tiles), np.int64),
            act_load_bytes=loaded[0] * _LISTED_BYTES,
            weight_load_bytes=loaded[1] * _LISTED_BYTES,
            act_buffer_bits=(8 * _LISTED_BYTES * read[0], 8 * _LISTED_BYTES * int(loaded[0].sum())),
            weight_buffer_bits=(8 * _LISTED_BYTES * read[1], 8 * _LISTED_BYTES * int(loaded[1].sum())),
            actions={
                # where both are outliers, the high-precision MAC is at work
                "outlier_mac_int16x4_acc32": met[0] - found.both(),
                "outlier_mac_int16x16_acc48": met[1],
                "reg_bit": hops * self._hop_bits,
            },
        )

    @property
    def _hop_bits(self) -> int:
        """An outlier and its place in its group."""
        return _OUTLIER_BITS + (self.group - 1).bit_length()
