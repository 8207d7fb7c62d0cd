"""Number formats and tensor encodings: pure numerics, one file each.

``get("ovp4", pair_rule="larger")`` gives a format; ``names()`` lists them.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from simulator.errors import UnknownNameError
from simulator.formats.abfloat import Abfloat
from simulator.formats.adaptivfloat import AdaptivFloat
from simulator.formats.ant import Ant4
from simulator.formats.asymmetric import Int2Asym, Int3Asym, Int4Asym, Int5Asym, Int6Asym, Int7Asym, Int8Asym
from simulator.formats.base import ROW_BLOCK, Encoded, Format, Granularity, Storage, TensorEncoding
from simulator.formats.biscaled import BiScaled6
from simulator.formats.flint import Flint4, Flint4Unsigned
from simulator.formats.float16 import Fp16
from simulator.formats.gobo import Gobo3, Gobo4
from simulator.formats.grid import GridFormat
from simulator.formats.integer import Int2, Int3, Int4, Int5, Int6, Int7, Int8, Int16
from simulator.formats.llm_int8 import LlmInt8
from simulator.formats.minifloat import Bf16, Fp4E2M1, Fp6E2M3, Fp6E3M2, Fp8E4M3, Fp8E5M2
from simulator.formats.mx import MxFp4, MxFp6, MxFp6E2M3, MxFp6E3M2, MxFp8, MxFp8E4M3, MxFp8E5M2, MxInt8
from simulator.formats.nvfp4 import NvFp4
from simulator.formats.olaccel import OlAccel4
from simulator.formats.ovp import Ovp4, Ovp4Flint, Ovp8
from simulator.formats.ovp_auto import Ovp4Auto
from simulator.formats.pot import Pot4

__all__ = [
    "ROW_BLOCK",
    "Encoded",
    "Format",
    "Fp16",
    "Granularity",
    "GridFormat",
    "Int4",
    "Int8",
    "Ovp4",
    "Storage",
    "TensorEncoding",
    "get",
    "names",
]

_INTEGERS = (Int2, Int3, Int4, Int5, Int6, Int7, Int8, Int16)
_ASYMMETRIC = (Int2Asym, Int3Asym, Int4Asym, Int5Asym, Int6Asym, Int7Asym, Int8Asym)
_FLOATS = (Fp16, Bf16, Fp8E4M3, Fp8E5M2, Fp6E3M2, Fp6E2M3, Fp4E2M1, AdaptivFloat)
_BLOCKS = (MxFp4, MxFp6, MxFp6E2M3, MxFp6E3M2, MxFp8, MxFp8E4M3, MxFp8E5M2, MxInt8, NvFp4)
_TYPES = (Abfloat, Flint4, Flint4Unsigned, Pot4, Ant4)
_OUTLIERS = (Ovp4, Ovp4Flint, Ovp8, Ovp4Auto, OlAccel4, BiScaled6, Gobo3, Gobo4, LlmInt8)
_FORMATS: dict[str, type[TensorEncoding]] = {
    cls.name: cls for cls in (*_INTEGERS, *_ASYMMETRIC, *_FLOATS, *_BLOCKS, *_TYPES, *_OUTLIERS)
}


def get(name: str, **options: object) -> Any:
    """The format of that name with those options.

    Raises: UnknownNameError for an unknown name or option, naming the nearest one.
    """
    if name not in _FORMATS:
        raise UnknownNameError("format", name, _FORMATS)
    cls = _FORMATS[name]
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of format {name}", option, known)
    return cls(**options)


def names() -> list[str]:
    """Names of all formats, sorted."""
    return sorted(_FORMATS)
