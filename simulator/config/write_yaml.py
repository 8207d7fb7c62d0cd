"""From a document to YAML that is read back as it was, with a comment behind each value that has an origin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from simulator.config.yaml_nodes import Steps

__all__ = ["to_yaml"]

_PLAIN = re.compile(r"(\./)?[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./()-]+)*")
"""Text that needs no quotes, if YAML does not see another type in it."""

_ENDLESS = 10**9  # columns: a line is never folded


def to_yaml(data: Mapping[str, Any], origins: Mapping[Steps, str] | None = None, head: str = "") -> str:
    """One document.

    Args:
        data: what YAML has: dict, list, str, int, float, bool, None; keys are text.
        origins: path of a value -> what to say behind it; of an item of a list, behind the whole item.
        head: lines of comment before it.
    """
    comments = "".join(f"# {line}\n" for line in head.splitlines())
    return comments + "\n".join(_mapping(data, (), origins or {})) + "\n"


def _mapping(data: Mapping[str, Any], path: Steps, origins: Mapping[Steps, str]) -> Iterator[str]:
    indent = "  " * len(path)
    for key, value in data.items():
        here = (*path, key)
        start = f"{indent}{_flow(key)}:"
        if isinstance(value, dict) and value:
            yield start + _comment(here, origins)
            yield from _mapping(value, here, origins)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield start
            for i, item in enumerate(value):
                yield f"{indent}  - {_flow(item)}{_comment((*here, i), origins)}"
        else:
            yield f"{start} {_flow(value)}{_comment(here, origins)}"


def _comment(path: Steps, origins: Mapping[Steps, str]) -> str:
    return f"  # {' '.join(origins[path].split())}" if path in origins else ""


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    quoted = isinstance(value, str) and not (_PLAIN.fullmatch(value) and yaml.safe_load(value) == value)
    style = '"' if quoted else None
    text = yaml.safe_dump(value, default_style=style, width=_ENDLESS, allow_unicode=True)
    return str(text).removesuffix("\n").removesuffix("\n...")
