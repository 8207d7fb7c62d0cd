"""Dotted paths that ``set`` and ``sweep`` of a study take, each with the schema of its value."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.config.json_schema import Definitions, Schema

__all__ = ["path_schemas"]

_ROOTS = (("", "SystolicDesign"), ("", "TensorCoreDesign"), ("workload.", "WorkloadSpec"))
_NEVER = ("extends", "dims")


def path_schemas(definitions: Definitions) -> dict[str, Schema]:
    """Path -> what may be written there, whichever kind of design has it."""
    found: dict[str, list[Schema]] = {}
    for prefix, record in _ROOTS:
        for name, schema in definitions.properties(record).items():
            if name not in _NEVER:
                for path, value in _walk(definitions, prefix + name, schema):
                    found.setdefault(path, []).append(value)
    return {path: _joined(values) for path, values in sorted(found.items())}


def _walk(definitions: Definitions, path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """A field and the fields of the mappings in it."""
    yield path, schema
    for record in _records(definitions, schema):
        for name, child in record.items():
            yield from _walk(definitions, f"{path}.{name}", child)


def _records(definitions: Definitions, schema: Schema) -> Iterator[dict[str, Schema]]:
    """Fields of each mapping that a value can be."""
    if "$ref" in schema:
        yield from _records(definitions, definitions.all[schema["$ref"].removeprefix("#/$defs/")])
        return
    yield {k: v for k, v in schema.get("properties", {}).items() if isinstance(v, dict)}
    for member in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _records(definitions, member.get("then", member.get("else", member)))


def _joined(values: list[Schema]) -> Schema:
    """Any of several schemas, with the description of the first."""
    bare = [{k: v for k, v in value.items() if k not in ("description", "default")} for value in values]
    distinct = [value for i, value in enumerate(bare) if value and value not in bare[:i]]
    described = next(({"description": v["description"]} for v in values if "description" in v), {})
    if not distinct:
        return described
    return described | (distinct[0] if len(distinct) == 1 else {"anyOf": distinct})
