"""ANT's choice of a 4-bit type: ``ant4`` (Guo et al., ANT, MICRO 2022; selection as in the released code).

The published types are int, flint, power of two and float. The released code's 4-bit signed float has three exponent
bits and no mantissa, which is the grid of ``pot4``, so float adds nothing here and has no type code of its own.
Published: one type per tensor, per-channel scales for weights, least squared error. ``Assumed``: the scale search,
this project's for all formats (the released one starts at the largest magnitude), and the two bits of a stored type.
Only signed types take part; ANT stores tensors without negative values in unsigned ones (``flint4_unsigned``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from simulator.errors import ConfigError, UnknownNameError
from simulator.formats.base import Format
from simulator.formats.flint import Flint4
from simulator.formats.integer import Int4
from simulator.formats.pot import Pot4
from simulator.formats.selection import Selection

__all__ = ["Ant4", "TypePer"]

TypePer = Literal["scale", "operand"]
_TYPES: dict[str, type[Format]] = {"int": Int4, "flint": Flint4, "pot": Pot4}


@dataclass(frozen=True)
class Ant4(Selection):
    """4-bit values in int4, flint4 or pot4, whichever has the least squared error."""

    types: str = "int-flint-pot"
    """The types to choose from, joined by `-`; the first of equals wins. Stored types count from 0 in this order."""
    type_per: TypePer = "scale"
    """`scale`: every tensor-wide scale, and every row with a scale of its own, has its own type; `operand`: all rows
    have one type, that of least total error (the released code).
    """

    name: ClassVar[str] = "ant4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    type_bits: ClassVar[int] = 2

    def __post_init__(self) -> None:
        chosen = str(self.types).split("-")
        for kind in chosen:
            if kind not in _TYPES:
                raise UnknownNameError("ANT type", kind, _TYPES)
        if len(set(chosen)) < len(chosen):
            raise ConfigError(f"ant4: each of the types {self.types!r} may be named once")
        if self.type_per not in get_args(TypePer):
            raise UnknownNameError("type_per", str(self.type_per), get_args(TypePer))

    @property
    def candidates(self) -> tuple[Format, ...]:
        """See ``Selection.candidates``."""
        return tuple(_TYPES[kind]() for kind in self.types.split("-"))

    @property
    def type_per_scale(self) -> bool:
        """See ``Selection.type_per_scale``."""
        return self.type_per == "scale"
