"""Exponent-integer operands ``<e, i>`` of value ``i << e``, as decoders at the edge of an array make them.

A PE multiplies the integers, adds the exponents, shifts and accumulates: <a, b> x <c, d> = (b * d) << (a + c) (OliVe,
ISCA 2023, section 4.4, after ANT, MICRO 2022). Four PEs for 4-bit integers multiply two integers of 8 bits: each is cut
into ``<e, i> = <4 + e, h> + <e, l>``, with ``h`` its high half, signed, and ``l`` its low half, unsigned (section 4.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["mac", "mac_halves", "values", "words"]

_WORD_SHIFT = 8
"""An operand word is ``exponent << 8 | integer & 0xFF``."""


@njit(cache=True)
def _product(act_exponent, act_integer, weight_exponent, weight_integer):
    """One PE: <a, b> x <c, d> = (b * d) << (a + c)."""
    return (act_integer * weight_integer) << (act_exponent + weight_exponent)


@njit(cache=True)
def mac(state: Any, act: Any, weight: Any) -> None:
    """One step of one PE; the integer is the word's low byte, sign-extended."""
    state[0] += _product(act >> 8, (act & 0xFF ^ 0x80) - 0x80, weight >> 8, (weight & 0xFF ^ 0x80) - 0x80)


@njit(cache=True)
def mac_halves(state: Any, act: Any, weight: Any) -> None:
    """One step of four PEs that share an accumulator: high halves signed, low halves not."""
    a_high, a_low, a_exponent = (act >> 4 & 0xF ^ 0x8) - 0x8, act & 0xF, act >> 8
    w_high, w_low, w_exponent = (weight >> 4 & 0xF ^ 0x8) - 0x8, weight & 0xF, weight >> 8
    state[0] += (
        _product(a_exponent + 4, a_high, w_exponent + 4, w_high)
        + _product(a_exponent + 4, a_high, w_exponent, w_low)
        + _product(a_exponent, a_low, w_exponent + 4, w_high)
        + _product(a_exponent, a_low, w_exponent, w_low)
    )


def words(exponent: NDArray[np.int8], integer: NDArray[np.int8]) -> NDArray[np.int64]:
    """Operand words (R, K)."""
    return (exponent.astype(np.int64) << _WORD_SHIFT) | (integer.astype(np.int64) & 0xFF)


def values(exponent: NDArray[np.int8], integer: NDArray[np.int8]) -> NDArray[np.int32]:
    """What the operands stand for, (R, K)."""
    return integer.astype(np.int32) << exponent
