"""Tables of YAML fields, made of the schema that ``olivine schema`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simulator.config.json_schema import Definitions, Schema
from simulator.datapath import described_options
from simulator.study.schema import known_definitions

__all__ = ["fields_page", "options_table"]

_ROOTS = {
    "study": ["Study"],
    "design": ["SystolicDesign", "TensorCoreDesign"],
    "workload": ["WorkloadSpec"],
    "cost": ["CostLibrary"],
    "dram": ["DramPart"],
    "kernels": ["KernelList"],
}
_TITLES = {"cost": "Price list", "dram": "DRAM part", "kernels": "Kernel list"}
_HEADS = {
    "study": "A study is designs x workloads x sweep axes: what `olivine run` takes.",
    "design": "A design decides cycles, energy, area and values. `array.kind` says which of two kinds it is.",
    "workload": "A workload is convolutions, matrix products and passes in order, or a model that they follow from.",
    "cost": "A price list: what actions cost, what parts take and leak, each number with its source.",
    "dram": "A DRAM part, and the controller in front of it: `memory.dram: {model: banked, part: ...}`.",
    "kernels": "The kernels that software runs for one layer on a GPU: `kernels` of a design.",
}
_ELSEWHERE = {"DramPart": "dram", "design": "design", "workload": "workload", "DatapathSpec": "datapaths"}
"""Records that have a page of their own."""


def fields_page(kind: str) -> str:
    """All fields of a kind of document."""
    known = known_definitions()
    parts = [
        f"# {_TITLES.get(kind, kind.capitalize())}\n\n{_HEADS[kind]} Editors check it: [Editors](../editors.md).\n"
    ]
    extends = "`extends: NAME`, a shipped name, a path, or a list of them, lays the document over another.\n"
    parts += [] if kind == "study" else [extends]
    for name in _reachable(known, _ROOTS[kind]):
        parts.append(f"## {name} {{#{name.lower()}}}\n\n{known.description(name)}\n\n{_table(known, name)}")
    return "\n".join(parts)


def options_table(cls: type) -> str:
    """Options of a datapath or a format; empty if it has none."""
    options = described_options(cls)
    return _rows({name: (schema, False) for name, schema in options.items()}) if options else ""


def _reachable(known: Definitions, roots: list[str]) -> list[str]:
    """The records of a page, those nearest to its roots first."""
    found = list(roots)
    for name in found:
        for schema in known.properties(name).values():
            found += [r for r in dict.fromkeys(_referred(schema)) if r not in found and r not in _ELSEWHERE]
    return found


def _referred(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield _name(schema["$ref"])
        for value in schema.values():
            yield from _referred(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _referred(value)


def _name(reference: str) -> str:
    return reference.removeprefix("#/$defs/").removesuffix("-part")


def _table(known: Definitions, name: str) -> str:
    required = known.needs(name).get("required", [])
    return _rows({field: (schema, field in required) for field, schema in known.properties(name).items()})


def _rows(fields: Mapping[str, tuple[Schema, bool]]) -> str:
    lines = ["| Field | Type | Default | Meaning |", "| :--- | :--- | :--- | :--- |"]
    for field, (schema, required) in fields.items():
        kind = _type(schema).replace("|", "\\|")
        meaning = " ".join(schema.get("description", "").split()).replace("|", "\\|")
        lines.append(f"| `{field}` | {kind} | {'needed' if required else _default(schema)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    value = schema["default"]
    if isinstance(value, dict):
        return "its own"
    return (
        f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"
        if value != ""
        else ""
    )


def _type(schema: Schema) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        name = _name(schema["$ref"])
        place = f"{_ELSEWHERE[name]}.md" if name in _ELSEWHERE else f"#{name.lower()}"
        return f"[{'datapath' if name == 'DatapathSpec' else name}]({place})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(member) for member in _members(schema["anyOf"])))
    if "allOf" in schema:
        return " or ".join(dict.fromkeys(f"[{n}](#{n.lower()})" for n in _referred(schema["allOf"])))
    return _plain_type(schema)


def _members(members: list[Schema]) -> list[Schema]:
    """Members of a choice without the names that editors offer."""
    text = {"type": "string"} in members
    return [m for m in members if not (text and "enum" in m and len(members) > 1)]


def _plain_type(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array" and "prefixItems" in schema:
        return f"[{', '.join(_type(item) for item in schema['prefixItems'])}]"
    if kind == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"name: {_type(values)}" if isinstance(values, dict) and values else "mapping"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`", "null": "`null`"}
    return words.get(str(kind), "any") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f" {sign} {schema[key]:g}".replace("e+0", "e") for key, sign in signs.items() if key in schema]
    return ",".join(limits)
