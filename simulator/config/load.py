"""From YAML files, dicts and overrides to a checked record; whatever is wrong is one line that says where.

With ``yaml_nodes``, which walks the nodes, the only place in the program that reads YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from simulator.config.text_file import read_text
from simulator.config.yaml_nodes import Lines, Source, Steps, check, dotted, found, one_line, parse, place, shorten
from simulator.errors import ConfigError, did_you_mean

__all__ = [
    *("FieldError", "Label", "apply_overrides", "from_mapping", "label_of", "merge", "parse_override", "read_yaml"),
    "validate",
]

Record = TypeVar("Record", bound=BaseModel)
Label = str | Mapping[Any, str]
"""What to call where overrides come from: all of them, or each by its dotted path."""


class FieldError(ValueError):
    """Raised by a ``model_validator`` to point at a field: ``path`` leads to it from the model."""

    def __init__(self, path: Steps, message: str) -> None:
        super().__init__(message)
        self.path = path


def read_yaml(path: Path) -> Source:
    """Read a file that holds one mapping. Raises: ConfigError if it cannot be read or is not plain, honest YAML."""
    label = str(path)
    data, lines = _parsed(read_text(path, "a YAML file"), label)
    if not isinstance(data, dict):
        complaint = "the document is empty" if data is None else f"expected a mapping at the top, found {found(data)}"
        raise ConfigError(f"{place(label, lines[()])}: {complaint}")
    return Source(data, lines, label)


@lru_cache(maxsize=64)
def _parsed(text: str, label: str) -> tuple[Any, Lines]:
    """``parse`` of a file, once for the same text: the price list that designs share is long. No one may change it."""
    return parse(text, label)


def from_mapping(data: Mapping[str, object], label: str = "<dict>") -> Source:
    """A document given as a Python dict, deep-copied. Raises: ConfigError for what YAML could not hold."""
    return Source(_plain(data, (), label), {}, label)


def parse_override(text: str) -> tuple[str, object]:
    """``("array.rows", 64)`` for ``array.rows=64``; the value follows the rules of YAML, and may be ``[8, 16]``.

    Raises: ConfigError for anything else.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not (key and value):
        raise ConfigError(f"--set: expected KEY=VALUE, as in array.rows=64, found {shorten(text)}")
    return key, parse(value, "--set", _split(key, "--set"), numbered=False)[0]


def apply_overrides(source: Source, overrides: Mapping[Any, object], label: Label = "--set") -> Source:
    """``source`` with the values at some dotted paths replaced, or added along with the mappings around them.

    Args:
        label: what to call where they come from, of all or of each.
    Raises: ConfigError if a path goes through something other than a mapping.
    """
    data, lines, labels = dict(source.data), dict(source.lines), dict(source.labels)
    for key, value in overrides.items():
        called = label_of(label, key)
        path = _split(key, called)
        new = _put(data, path, _plain(value, path, called), called)
        for origins in (lines, labels):
            for known in [k for k in origins if k and k[0] == new[0] and k[: len(new)] == new]:
                del origins[known]
        labels[new] = called
    return Source(data, lines, source.label, labels)


def label_of(label: Label, key: Any) -> str:
    """What to call where one override comes from."""
    return label if isinstance(label, str) else label[key]


def merge(base: Source, top: Source) -> Source:
    """``top`` laid over ``base``: mappings merge, anything else of ``top`` replaces; each value keeps its origin."""
    data = _overlay(base.data, top.data)
    from_top = _nodes(top.data)
    origins = {path: (top if path in from_top else base).origin(path) for path in _nodes(data)}
    lines = {path: line for path, (_, line) in origins.items() if line is not None}
    return Source(data, lines, top.label, {path: label for path, (label, _) in origins.items()})


def _plain(value: object, path: Steps, label: str) -> Any:
    """A deep copy of ``value`` made of what YAML has: dict, list, str, int, float, bool, None."""
    value = value.value if isinstance(value, Enum) else value
    strange = [key for key in value if not isinstance(key, str)] if isinstance(value, Mapping) else []
    try:
        check(value, path)  # its limit on depth also stops a dict that contains itself
        if strange:
            raise ValueError(f"a key must be text, found {found(strange[0])}")
        if not isinstance(value, Mapping | list | tuple | str | int | float | NoneType):
            raise ValueError(f"a {type(value).__name__} is not allowed; use text, numbers, lists and mappings")
    except ValueError as error:
        raise ConfigError(f"{place(label, None, path)}: {error}") from None
    if isinstance(value, Mapping):
        return {str(key): _plain(child, (*path, key), label) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child, (*path, i), label) for i, child in enumerate(value)]
    return value


def _split(key: str | Steps, label: str) -> Steps:
    """The steps of a dotted path that a user typed, unless they are given."""
    steps = key if isinstance(key, tuple) else tuple(key.split("."))
    if not all(step and step == str(step).strip() for step in steps):
        raise ConfigError(f"{label}: {shorten(key)} is not a dotted path such as array.rows")
    return steps


def _put(data: dict[str, Any], path: Steps, value: object, label: str) -> Steps:
    """Set ``data`` at ``path``, mappings on the way copied; returns the shortest path that is new, maybe one made."""
    new = path
    for depth, step in enumerate(path[:-1], start=1):
        if step not in data:
            new = min(new, path[:depth], key=len)
        inner = data.get(str(step), {})
        if not isinstance(inner, dict):
            obstacle = f"cannot be set; {dotted(path[:depth])} is not a mapping but {found(inner)}"
            raise ConfigError(f"{place(label, None, path)}: {obstacle}")
        data[str(step)] = data = dict(inner)
    data[str(path[-1])] = value
    return new


def _overlay(base: Any, top: Any) -> Any:
    """``top`` over ``base``, mapping by mapping."""
    if not (isinstance(base, dict) and isinstance(top, dict)):
        return top
    return {key: _overlay(base.get(key), top[key]) if key in top else base[key] for key in {**base, **top}}


def _nodes(value: object) -> dict[Steps, object]:
    """Path -> value of every node of a document."""
    nodes: dict[Steps, object] = {}
    left: list[tuple[Steps, object]] = [((), value)]
    while left:
        path, node = left.pop()
        nodes[path] = node
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        left += [((*path, step), child) for step, child in children]
    return nodes


_YAML_NAMES = {  # by the last word of pydantic's "Input should be a valid integer"
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "nothing",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}


@dataclass(frozen=True)
class _Problem:
    """One thing wrong; ``expected`` says what would be right, if the value is absent or of another type."""

    path: Steps
    complaint: str
    expected: str = ""
    found: str = ""


def validate(source: Source, model: type[Record]) -> Record:
    """The record that ``source`` describes.

    Args:
        source: the document.
        model: a pydantic model; strict, frozen and closed, as are the models in it.
    Raises: ConfigError for the first thing wrong, in the order of the document; it counts the others.
    """
    try:
        # Strict JSON still refuses "8" for 8 and true for 1, but lets a list be a tuple and text be an enum.
        return model.model_validate_json(to_json(source.data))
    except ValidationError as error:
        nodes = _nodes(source.data)
        problems = _distinct([_problem(model, nodes, details) for details in error.errors(include_url=False)])
    first, *others = sorted(problems, key=lambda problem: source.origin(problem.path)[1] or 0)
    more = f" (and {len(others)} more)" if others else ""
    raise ConfigError(f"{source.where(first.path)}: {one_line(first.complaint)}{more}")


def _distinct(problems: list[_Problem]) -> list[_Problem]:
    """One problem per mistake: a misspelt key is not also missing, and a union's members complain as one."""
    by_path: dict[Steps, _Problem] = {}
    for new in problems:
        old = by_path.setdefault(new.path, new)
        if old.expected and not new.expected:  # a member of the union of the right type goes into what is wrong
            by_path[new.path] = new
        elif old.expected and new.expected and new.expected != old.expected:
            either = f"{old.expected} or {new.expected}"
            by_path[new.path] = _Problem(new.path, f"expected {either}, found {new.found}", either, new.found)
    unknown = [p for p in problems if p.complaint.startswith("unknown key; did you mean")]
    misspelt = {(*p.path[:-1], p.complaint.split("'")[1]) for p in unknown}
    above = {p.path[:n] for p in problems for n in range(len(p.path))}  # another member of the union went deeper
    return [p for p in by_path.values() if not (p.expected and p.path in misspelt | above)]


def _problem(model: type[BaseModel], nodes: dict[Steps, object], error: ErrorDetails) -> _Problem:
    """What one pydantic error means to a reader of the document."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    path, types = _trace(model, nodes, error["loc"])
    raised = context.get("error")
    if isinstance(raised, Exception):
        return _Problem((*path, *raised.path) if isinstance(raised, FieldError) else path, str(raised))
    if kind == "extra_forbidden":
        owners = _trace(model, nodes, error["loc"][:-1])[1]
        return _Problem(path, _unknown_key(path[-1], [name for owner in owners for name in _fields(owner)]))
    if kind == "missing":
        return _Problem(path, f"missing key '{path[-1]}'" if isinstance(path[-1], str) else "missing item", "a value")
    if kind.startswith("union_tag_"):
        tag = context["discriminator"].strip("'")
        allowed = context.get("expected_tags", "").replace("'", "").split(", ")
        return _Problem((*path, tag), _not_among(value[tag], allowed) if tag in value else f"missing key '{tag}'")
    if kind in ("literal_error", "enum"):
        return _Problem(path, _not_among(value, _choices(types)), context["expected"], found(value))
    wanted = _YAML_NAMES.get(error["msg"].split()[-1]) if error["msg"].startswith("Input should be") else None
    if wanted:
        return _Problem(path, f"expected {wanted}, found {found(value)}", wanted, found(value))
    must = re.sub(r"^\w+ should", "must", error["msg"]).partition(" after validation")[0]
    return _Problem(path, f"{must}, found {shorten(value)}")


def _unknown_key(key: str | int, allowed: list[str]) -> str:
    return f"unknown key{did_you_mean(str(key), allowed) or '; allowed: ' + (', '.join(allowed) or 'none')}"


def _not_among(value: object, allowed: list[str]) -> str:
    """A value that is not one of a few."""
    near = did_you_mean(value, allowed) if isinstance(value, str) else ""
    return f"found {shorten(value) if isinstance(value, str) else found(value)}; allowed: {', '.join(allowed)}{near}"


def _trace(model: type[BaseModel], nodes: dict[Steps, object], loc: Steps) -> tuple[Steps, list[Any]]:
    """Follow pydantic's location of an error, which also names the member of each union on the way.

    Returns: the path in the document, and the types that the model allows there (none if unknown).
    """
    types: list[Any] = [model]
    path: Steps = ()
    for step in loc:
        if len(types) > 1:
            fits = [kind for kind in types if _fits(kind, str(step), nodes.get(path))]
            types = _members(fits[0]) if fits else []
        elif step != "[key]":
            types = _inside(types[0], step) if types else []
            path = (*path, step)
    return path, types


def _members(kind: Any) -> list[Any]:
    """The types of an annotation: ``Annotated`` and ``Optional`` peeled off, a union split."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) not in (Union, UnionType):
        return [kind]
    members = [member for member in get_args(kind) if member is not NoneType]
    return members if len(members) > 1 else _members(members[0])


def _fits(kind: Any, label: str, data: Any) -> bool:
    """Whether ``kind`` is the member of a union that pydantic calls ``label``: by its tag in ``data``, or its name."""
    tags = [name for name, field in _fields(kind).items() if label in _choices(_members(field))]
    if isinstance(data, dict) and any(str(data.get(tag)) == label for tag in tags):
        return True
    name = getattr(get_origin(kind) or kind, "__name__", "")
    return label.partition("[")[0] in (name, name.lower()) or (label.startswith("tagged-") and len(_members(kind)) > 1)


def _inside(kind: Any, step: str | int) -> list[Any]:
    """The types allowed at a key of a model or a dict, or at an item of a list."""
    fields, items = _fields(kind), [arg for arg in get_args(kind) if arg is not Ellipsis]
    if step in fields:
        return _members(fields[str(step)])
    return _members(items[step] if isinstance(step, int) and step < len(items) else items[-1]) if items else []


def _fields(kind: Any) -> dict[str, Any]:
    """Name -> annotation of a model's fields; empty for other types."""
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    return {field.alias or name: field.annotation for name, field in kind.model_fields.items()} if is_model else {}


def _choices(types: list[Any]) -> list[str]:
    literals = [value for kind in types if get_origin(kind) is Literal for value in get_args(kind)]
    enums = [member.value for kind in types if isinstance(kind, type) and issubclass(kind, Enum) for member in kind]
    return [str(value) for value in literals + enums]
