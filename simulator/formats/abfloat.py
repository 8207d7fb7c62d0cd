"""Adaptive biased float: ``abfloat``, OliVe's outlier type (Guo et al., ISCA 2023, section 3.3, Table 4, Algorithm 2).

A code is sign, ``e`` exponent bits, ``m`` mantissa bits; its value is ``sign * (2^m + mantissa) << (exponent + bias)``.
There are no subnormals, infinities or NaNs. Code 0 is zero, so the smallest magnitude is ``(2^m + 1) << bias``: with
E2M1 and bias 0 the magnitudes are 3, 4, 6, 8, 12, 16, 24, and 2 does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ConfigError
from simulator.formats.bitstream import values_per_group
from simulator.formats.grid import GridFormat

__all__ = ["Abfloat", "abfloat_magnitudes"]

_LARGEST = (1 << 31) - 1
"""Grid values are int32."""


def abfloat_magnitudes(exp_bits: int, man_bits: int, bias: int) -> list[int]:
    """Magnitude of each code without its sign bit, by code."""
    fields = [(exponent, mantissa) for exponent in range(1 << exp_bits) for mantissa in range(1 << man_bits)]
    return [0] + [((1 << man_bits) + mantissa) << (exponent + bias) for exponent, mantissa in fields[1:]]


@dataclass(frozen=True)
class Abfloat(GridFormat):
    """Adaptive biased float of any width up to 8 bits, for studies of the outlier type on its own.

    Rounding is ``formats.grid``'s. Minus zero is never produced and decodes to 0. ``max_normal`` is the largest value.

    Raises: ConfigError if the bits do not fit, or the largest value does not fit int32.
    """

    exp_bits: int = 2
    """Stored bits of the exponent; with mantissa and sign at most 8."""
    man_bits: int = 1
    """Stored bits of the mantissa; with exponent and sign at most 8."""
    bias: int = 2
    """Added to the exponent, >= 0; 2 goes with int4 normals, 3 with flint4 (Table 3)."""

    name: ClassVar[str] = "abfloat"

    def __post_init__(self) -> None:
        for option in ("exp_bits", "man_bits", "bias"):
            if type(value := getattr(self, option)) is not int or value < 0:
                raise ConfigError(f"abfloat: {option} must be an integer of at least 0, got {value!r}")
        if not 2 <= self.bits <= 8:
            raise ConfigError(
                f"abfloat: 1 sign, {self.exp_bits} exponent and {self.man_bits} mantissa bits make {self.bits}; "
                "2 to 8 are possible"
            )
        largest = (2 << self.man_bits) - 1 << min((1 << self.exp_bits) - 1 + self.bias, 31)
        if largest > _LARGEST:
            raise ConfigError(
                f"abfloat: the largest value of E{self.exp_bits}M{self.man_bits} with bias {self.bias} exceeds "
                f"{_LARGEST}; lower exp_bits or bias"
            )

    @property
    def bits(self) -> int:  # type: ignore[override]  # a class attribute of formats of one width
        """Bits of one code."""
        return 1 + self.exp_bits + self.man_bits

    @property
    def values_per_group(self) -> int:  # type: ignore[override]
        """Codes that fill whole bytes."""
        return values_per_group(self.bits)

    @property
    def max_normal(self) -> float:  # type: ignore[override]
        """The largest value."""
        return float(self.values.max())

    @property
    def values(self) -> NDArray[np.int32]:
        """See ``GridFormat.values``."""
        magnitudes = np.array(abfloat_magnitudes(self.exp_bits, self.man_bits, self.bias), np.int32)
        return np.concatenate([magnitudes, -magnitudes])
