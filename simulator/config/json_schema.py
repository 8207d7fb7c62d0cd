"""JSON Schema (2020-12) of the YAML that users write, made of the records that read it.

Every record becomes two definitions. ``Name`` has the keys that must be there; ``Name-part`` has none, as a document
that ``extends`` another may leave out whatever that one says, level by level of its mappings. Editors use both.
Which keys a whole document needs is said apart, by ``needs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simulator.config.record import Record

__all__ = ["DIALECT", "Definitions", "Schema", "one_of_names", "text", "when"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
_PART = "-part"
_HERE = "#/$defs/"


class Definitions:
    """The ``$defs`` of one schema, gathered record by record.

    Attributes:
        replaced: record -> field -> what its schema is said to be, where names say more than types.
    """

    def __init__(self, replaced: Mapping[str, Mapping[str, Schema]]) -> None:
        self.replaced = replaced
        self.all: dict[str, Schema] = {}
        self._records: dict[str, Schema] = {}

    def add(self, record: type[Record]) -> str:
        """Define a record and all in it; returns its name."""
        schema = record.model_json_schema()
        self._records |= schema.pop("$defs", {}) | {record.__name__: schema}
        return record.__name__

    def whole(self, name: str) -> Schema:
        """A reference to a record with all the keys that it needs."""
        self._define(name, False)
        return {"$ref": f"{_HERE}{name}"}

    def part(self, name: str) -> Schema:
        """A reference to as much of a record as a document that extends another says."""
        self._define(name, True)
        return {"$ref": f"{_HERE}{name}{_PART}"}

    def properties(self, name: str) -> dict[str, Schema]:
        """The fields of a record."""
        self.part(name)
        return dict(self.all[name + _PART].get("properties", {}))

    def description(self, name: str) -> str:
        """What a record is."""
        return text(self._records[name]["description"])

    def needs(self, name: str) -> Schema:
        """Which keys a whole document of that record has, mapping by mapping; an empty schema if none."""
        return self._needs(self._records[name], name)

    def used_by(self, schema: Schema) -> dict[str, Schema]:
        """The definitions that a schema refers to, and those that these refer to."""
        used: dict[str, Schema] = {}
        left = [schema]
        while left:
            names = [name for name in _referred(left.pop()) if name not in used]
            used |= {name: self.all[name] for name in names}
            left += [self.all[name] for name in names]
        return dict(sorted(used.items()))

    def _define(self, name: str, part: bool) -> None:
        key = name + _PART * part
        if key in self.all:
            return
        self.all[key] = {}  # records may contain themselves
        schema = self._plain(self._records[name], part, inside_list=False)
        for field, other in self.replaced.get(name, {}).items():
            own = schema["properties"].get(field, {})
            schema["properties"][field] = {k: own[k] for k in ("description", "default") if k in own} | other
        if part:
            schema.pop("required", None)
        self.all[key] = schema

    def _plain(self, schema: Any, part: bool, inside_list: bool) -> Any:
        """A piece of pydantic's schema as ours: references followed, invented titles left out, texts on one line."""
        if isinstance(schema, list):
            return [self._plain(item, part, inside_list) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_HERE)
            target = self.part(name) if part and not inside_list else self.whole(name)
            own = self._plain({k: v for k, v in schema.items() if k != "$ref"}, part, inside_list)
            return target | {"description": text(self._records[name]["description"])} | own
        if "discriminator" in schema:
            return self._by_tag(schema, part, inside_list)
        plain = {k: v for k, v in schema.items() if k in ("default", "const", "enum", "required")}
        if "description" in schema:
            plain["description"] = text(schema["description"])
        for key, value in schema.items():
            if key == "properties":
                plain[key] = {name: self._plain(child, part, inside_list) for name, child in value.items()}
            elif key not in (*plain, "title"):
                plain[key] = self._plain(value, part, inside_list or key in ("items", "prefixItems"))
        return plain

    def _by_tag(self, schema: Schema, part: bool, inside_list: bool) -> Schema:
        """A union of records that a key tells apart; without that key it is the default's, or in a part any."""
        tag = schema["discriminator"]["propertyName"]
        refs = {value: {"$ref": ref} for value, ref in schema["discriminator"]["mapping"].items()}
        given = {value: self._plain(ref, part, inside_list) for value, ref in refs.items()}
        distinct = [ref for i, ref in enumerate(given.values()) if ref not in list(given.values())[:i]]
        absent = {"anyOf": distinct} if part else given[schema["default"][tag]]
        about = {k: schema[k] for k in ("default",) if k in schema} | {"description": text(schema["description"])}
        return about | {
            "type": "object",
            "properties": {tag: {"enum": list(given)}},
            "allOf": [
                *(when({tag: value}, ref) for value, ref in given.items()),
                {"if": {"required": [tag]}, "else": absent},
            ],
        }

    def _needs(self, schema: Schema, name: str = "") -> Schema:
        if "$ref" in schema:
            target = schema["$ref"].removeprefix(_HERE)
            return self._needs(self._records[target], target)
        if "discriminator" in schema:
            return self._needs_by_tag(schema)
        if "anyOf" in schema:  # of text, nothing and one record, the record; ``required`` is of mappings alone
            found = [need for member in schema["anyOf"] if (need := self._needs(member))]
            return found[0] if len(found) == 1 else {}
        needs: Schema = {"required": schema["required"]} if schema.get("required") else {}
        fields = {k: n for k, v in schema.get("properties", {}).items() if (n := self._needs(v))}
        values = schema.get("additionalProperties")
        below = self._needs(values) if isinstance(values, dict) else {}
        return needs | ({"properties": fields} if fields else {}) | ({"additionalProperties": below} if below else {})

    def _needs_by_tag(self, schema: Schema) -> Schema:
        tag = schema["discriminator"]["propertyName"]
        mapping: dict[str, str] = schema["discriminator"]["mapping"]
        members = [when({tag: v}, need) for v, ref in mapping.items() if (need := self._needs({"$ref": ref}))]
        assumed = self.part(mapping[schema["default"][tag]].removeprefix(_HERE))
        return {"allOf": [*members, {"if": {"required": [tag]}, "else": assumed}]}


def _referred(schema: Any) -> set[str]:
    """Names of the definitions that a schema refers to itself."""
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    below = {name for child in children for name in _referred(child)}
    return below | ({schema["$ref"].removeprefix(_HERE)} if isinstance(schema, dict) and "$ref" in schema else set())


def when(fields: Mapping[str, Any], then: Schema) -> Schema:
    """``then`` where these fields are there and have these values."""
    given = {name: {"const": value} for name, value in fields.items()}
    return {"if": {"properties": given, "required": list(given)}, "then": then}


def one_of_names(names: Iterable[str], description: str = "") -> Schema:
    """Text that an editor offers these for, any other text included: a path, say, or a plug-in's name."""
    offered: Schema = {"anyOf": [{"enum": sorted(names)}, {"type": "string"}]}
    return offered | ({"description": description} if description else {})


def text(words: str) -> str:
    """A description on one line, in Markdown."""
    return " ".join(words.split()).replace("``", "`")
