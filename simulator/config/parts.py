"""Which fields of a record are checked apart from all others, so that each of their values need be checked but once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from simulator.config.record import Record
from simulator.config.yaml_nodes import Steps

__all__ = ["part_of", "texts_of", "value_at"]


@cache
def part_of(model: type[Record], path: Steps) -> Steps:
    """The longest beginning of ``path`` that is checked whatever the rest of the record is: a field, or a record none
    of whose fields is checked apart.
    """
    for depth, step in enumerate(path):
        inner = _records(model).get(str(step))
        if not _is_divisible(model):
            return path[:depth]
        if inner is None:
            return path[: depth + 1]
        model = inner
    return path


def texts_of(record: Record) -> dict[Steps, str]:
    """Every part of a record but its description, with path and content as text; records of equal texts are equal."""
    return dict(_texts(type(record), record.model_dump(mode="json", exclude={"description"}), ()))


def value_at(record: Any, path: Steps) -> Any:
    """The attribute at a path."""
    for step in path:
        record = getattr(record, str(step))
    return record


def _texts(model: type[Record], content: Mapping[str, Any], path: Steps) -> Iterator[tuple[Steps, str]]:
    if not _is_divisible(model):
        yield path, _text(path, content)
        return
    records = _records(model)
    for name, value in content.items():
        if name in records:
            yield from _texts(records[name], value, (*path, name))
        else:
            yield (*path, name), _text((*path, name), value)


def _text(path: Steps, content: Any) -> str:
    return json.dumps([path, content], sort_keys=True)


@cache
def _is_divisible(model: type[Record]) -> bool:
    """Whether no check of a record looks at several of its fields, and none has other keys than fields."""
    checks = model.__pydantic_decorators__
    alone = all(len(inspect.signature(check.func).parameters) == 1 for check in checks.field_validators.values())
    closed = model.model_config.get("extra") == "forbid" and not any(f.alias for f in model.model_fields.values())
    return alone and closed and not (checks.model_validators or checks.root_validators or checks.validators)


@cache
def _records(model: type[Record]) -> dict[str, type[Record]]:
    """Fields that hold one kind of record, and are checked by it alone."""
    checked = {name for c in model.__pydantic_decorators__.field_validators.values() for name in c.info.fields}
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Record)
        if name not in checked and not field.metadata
    }
