"""Number formats and tensor encodings: pure numerics, one file each.

``get("ovp4", pair_rule="larger")`` gives a format; ``names()`` lists them.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from simulator.errors import UnknownNameError
from simulator.formats.base import Encoded, Format, Granularity, Storage, TensorEncoding
from simulator.formats.float16 import Fp16
from simulator.formats.integer import Int4, Int8
from simulator.formats.ovp import Ovp4

__all__ = [
    "Encoded",
    "Format",
    "Fp16",
    "Granularity",
    "Int4",
    "Int8",
    "Ovp4",
    "Storage",
    "TensorEncoding",
    "get",
    "names",
]

_FORMATS: dict[str, type[TensorEncoding]] = {cls.name: cls for cls in (Fp16, Int4, Int8, Ovp4)}


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
