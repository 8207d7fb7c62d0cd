"""How far a result is from another: first differing position, signal over quantisation noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_mismatch", "noise_energy", "sqnr_db"]


def first_mismatch(found: NDArray[Any], expected: NDArray[Any]) -> tuple[int, ...] | None:
    """Position of the first element that differs in any bit (so -0.0 is not 0.0, and NaN equals itself), or None."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return ()
    bits = f"u{found.dtype.itemsize}"
    differs = np.ascontiguousarray(found).view(bits) != np.ascontiguousarray(expected).view(bits)
    if not differs.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), found.shape))


def noise_energy(exact: NDArray[np.float64], approximate: NDArray[np.float64]) -> tuple[float, float]:
    """Sum of squares of the signal and of the error."""
    error = exact - approximate
    return float(np.vdot(exact, exact)), float(np.vdot(error, error))


def sqnr_db(signal: float, noise: float) -> float:
    """10 log10(signal / noise) [dB]; infinite when there is no noise, NaN when there is no signal."""
    if signal == 0:
        return math.nan
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)
