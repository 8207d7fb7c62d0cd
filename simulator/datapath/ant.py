"""``ant``: ANT's adaptive numeric types (Guo et al., MICRO 2022) on 4-bit exponent-integer PEs.

Each tensor, or each row with a scale of its own, is int4, flint4 or a power of two, chosen when it is encoded; its type
comes with it. Decoders at the two edges of the array make exponent-integer operands of all three. PEs accumulate in
int32, k = 0, 1 ... K-1. Where 4 bits lose too much, a layer falls back to plain int8 on the same PEs, two by two:
``x = <4, h> + <0, l>``, n x m PEs are n/2 x m/2.

Published: types and their choice; decoders at the edges only, one per row and column (SPARK, HPCA 2024, Table VII: 128
for 4096 PEs); int8 on the PEs of 4 bits (released simulator). OliVe (ISCA 2023, section 4.2) takes its exponent-integer
operands from ANT's flint decoder. ``Assumed``: that a decoder is a leading-zero detector and a shifter and serves all
three types; that four PEs make an int8 product as in OliVe's section 4.5, with one adder per four.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.datapath.base import Operand
from simulator.datapath.four_bit_pes import FourBitPes
from simulator.datapath.registry import OptionError, register
from simulator.errors import ConfigError
from simulator.formats import Encoded, TensorEncoding
from simulator.formats.ant import TypePer

__all__ = ["Ant"]

_TYPE_BITS = 2
"""Bits of a stored type (``formats.ant``)."""


def _decode_int(code: int) -> tuple[int, int]:
    """Two's complement."""
    return 0, (code ^ 8) - 8


def _decode_flint(code: int) -> tuple[int, int]:
    """A leading 0 says integer. Else ``z`` zeros before the next one shift the low bits by ``2 z + 1``; none is 16."""
    low = code & 3
    if not code & 4:
        exponent, magnitude = 0, low
    elif low:
        exponent, magnitude = 2 * (2 - low.bit_length()) + 1, low
    else:
        exponent, magnitude = 4, 1
    return exponent, -magnitude if code & 8 else magnitude


def _decode_pot(code: int) -> tuple[int, int]:
    """The three low bits, less one, are the exponent of 1; all zeros are 0."""
    low = code & 7
    magnitude = 1 if low else 0
    return max(low - 1, 0), -magnitude if code & 8 else magnitude


_DECODERS = {"int": _decode_int, "flint": _decode_flint, "pot": _decode_pot}


def _truth_table(kind: str) -> NDArray[np.int8]:
    """Exponent and integer of each code, (2, 16)."""
    return np.array([_DECODERS[kind](code) for code in range(16)], np.int8).T


@register("ant")
@dataclass(frozen=True)
class Ant(FourBitPes):
    """4-bit operands of three types, or int8 ones; int32 accumulation with overflow detected."""

    bits: Literal[4, 8] = 4
    """Of both operands; `layers` of a design may mix 4 and 8."""
    types: str = "int-flint-pot"
    """4-bit types to choose from, joined by `-`; the first of equals wins (see `formats.Ant4`)."""
    type_per: TypePer = "scale"
    """Whether every scale has its type, or the operand has one."""

    def __post_init__(self) -> None:
        try:
            formats.get("ant4", types=self.types)
        except ConfigError as error:
            raise OptionError("types", str(error)) from None

    @property
    def act_format(self) -> TensorEncoding:
        """``ant4`` or ``int8``."""
        if self.bits == 8:
            return formats.get("int8")
        return formats.get("ant4", types=self.types, type_per=self.type_per)

    def register_bits(self, operand: Operand) -> float:
        """As many bits as can toggle. 4 bits: a 3-bit exponent (6 at most) and a 4-bit integer. 8 bits: half an integer
        in each of four PEs, whose exponent of 4 or 0 is wired.
        """
        return 7 if self.bits == 4 else 4 * 4

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """A decode, whatever the type: priced as one of flint4. int8 passes the decoders by."""
        return {"decode_flint4": 1} if self.bits == 4 else {}

    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """PEs, a decoder per row and column, an adder per four PEs."""
        return {
            "pe_ei4_acc32": rows * cols,
            "decoder_flint4": rows + cols,
            "merge_adder32": (rows // 2) * (cols // 2),
        }

    def edp_actions_per_mac(self) -> dict[str, float]:
        """At 8 bits that of an 8EDP, which multiplies int8 as it is."""
        return super().edp_actions_per_mac() if self.bits == 4 else {"mac_int8x8_acc32": 1}

    def edp_parts(self, multipliers: Mapping[int, int]) -> dict[str, int]:
        """As OliVe's (``assumed``): a decoder for each operand value that enters an EDP at 4 bits, and an adder and a
        shifter per multiplier.
        """
        four = multipliers.get(4, 0)
        return {"gpu_decoder_flint4": 2 * four, "gpu_lane_ei4": four}

    def decoded_words(self, encoded: Encoded) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Exponents and integers, (R, K)."""
        if self.bits == 8:
            return np.zeros(encoded.codes.shape, np.int8), encoded.codes.view(np.int8)
        nibbles = np.stack([encoded.codes >> 4, encoded.codes & 0xF], axis=-1)
        nibbles = nibbles.reshape(len(encoded.codes), -1)[:, : encoded.length]
        tables = np.stack([_truth_table(kind) for kind in self.types.split("-")])
        exponent, integer = np.empty(nibbles.shape, np.int8), np.empty(nibbles.shape, np.int8)
        row_types = np.broadcast_to(self._types(encoded), (len(nibbles),))
        for kind in np.unique(row_types):
            mine = row_types == kind
            exponent[mine], integer[mine] = tables[kind][:, nibbles[mine]]
        return exponent, integer

    def _types(self, encoded: Encoded) -> NDArray[np.int64]:
        """Type of the operand, (1,), or of each scale: two bits each, the first one in the high bits."""
        count = encoded.scale.size if self.type_per == "scale" else 1
        bits = np.unpackbits(encoded.extras["types"], count=count * _TYPE_BITS).astype(np.int64)
        return 2 * bits[::2] + bits[1::2]
