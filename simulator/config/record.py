"""The base of every record read from YAML: strict, frozen, closed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler

__all__ = ["Record", "descriptions_of"]


class Record(BaseModel):
    """Types are never coerced, unknown keys are errors, nothing changes after construction.

    The text below each field describes it to readers, to `olivine schema` and to the generated reference alike. It is
    looked up when a schema is made: pydantic's ``use_attribute_docstrings`` would parse every source file in every
    process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for field, words in descriptions_of(cls).items():
            name = cls.model_fields[field].alias or field
            if name in properties:
                properties[name].setdefault("description", words)
        return schema


def descriptions_of(record: type[Record]) -> dict[str, str]:
    """Field -> the text below it, in the record or in one that it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(record.__mro__):
        if issubclass(base, Record):
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            found |= _below_fields(tree)
    return found


def _below_fields(tree: Any) -> dict[str, str]:
    texts = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[field.target.id] = inspect.cleandoc(str(text.value.value))  # type: ignore[union-attr]
    return texts
