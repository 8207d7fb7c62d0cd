"""How the dot-product units of a tensor core add: what ``docs/numerics.md`` explains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["EdpSums", "EdpSumsByWidth"]

_ADDER_BITS = 53
"""What the model of an adder holds."""


class EdpSums(Record):
    """Sums of the units for one operand width."""

    group: Annotated[int, Field(ge=1, le=256)]
    """Products, neighbours along K, that are added to an accumulator at once."""
    extra_bits: Annotated[int, Field(ge=-20, le=21)] | None = None
    """Bits below an FP32 significand that their alignment keeps; null: the units multiply integers only."""
    rounding: Literal["zero", "nearest"] = "zero"
    """Of the sum, towards zero or to nearest, ties to even."""
    fraction_bits: Annotated[int, Field(ge=3, le=23)] = 23
    """Bits of fraction that the sum is rounded to."""
    exact: PositiveInt = 1
    """Neighbours that share a block scale, whose products are added in fixed point before they are aligned."""

    @model_validator(mode="after")
    def _fits_together(self) -> EdpSums:
        if self.group % self.exact:
            raise FieldError(("exact",), f"{self.exact} products are no whole part of a group of {self.group}")
        bits = 23 + (self.extra_bits or 0) + 2 + self.group.bit_length()
        if bits > _ADDER_BITS:
            sum_of = f"a sum of {self.group} products with {self.extra_bits} extra bits"
            raise FieldError(("extra_bits",), f"{sum_of} may need {bits} bits, of which there are {_ADDER_BITS}")
        return self


class EdpSumsByWidth(Record):
    """Sums by the width of the operands; null: there are no such units."""

    bits_16: EdpSums | None = None
    """Of the units for 16-bit operands."""
    bits_8: EdpSums | None = None
    """Of the units for 8-bit operands."""
    bits_4: EdpSums | None = None
    """Of the units for 4-bit operands."""
