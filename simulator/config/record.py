"""The base of every record read from YAML: strict, frozen, closed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Record"]


class Record(BaseModel):
    """Types are never coerced, unknown keys are errors, nothing changes after construction.

    The text below each field describes it to readers, to `olivine schema` and to the generated reference alike.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
