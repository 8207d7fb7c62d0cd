"""From YAML text to plain data, node by node, so that every value knows its line and no trap of YAML 1.1 passes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from simulator.errors import ConfigError

__all__ = ["Lines", "Origins", "Source", "Steps", "check", "dotted", "found", "one_line", "parse", "place", "shorten"]

Steps = tuple[str | int, ...]
"""Where a value lies in a document: the keys and list positions that lead to it."""

Lines = dict[Steps, int]
"""Path of a node -> its line, counted from 1; of a mapping's entry, the line of the key."""

MAX_DEPTH = 50  # no real design nests deeper; pydantic's JSON reader stops at 200
MAX_NODES = 100_000  # a few aliases of aliases can stand for billions of values
MAX_INT_BITS = 1024  # beyond it, Python itself refuses to print some integers
MAX_SHOWN = 60  # characters of a found value in a message

_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml, if PyYAML was built with it: eight times as fast, with words of its own for what is wrong."""

_CORE = "tag:yaml.org,2002:"
_RESOLVER = yaml.resolver.Resolver()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_NUMBER = re.compile(r"([-+]?)([0-9][0-9_]*)?(?:\.([0-9_]*))?(?:[eE]([-+]?)([0-9]+))?")


class Origins(Protocol):
    """Where each value of a document was written."""

    def origin(self, path: Steps) -> tuple[str, int | None]:
        """Label and line of ``path``; no line if it was not read from a file."""

    def where(self, path: Steps) -> str:
        """``label:line: dotted.path``, as every complaint starts."""


@dataclass(frozen=True)
class Source:
    """A parsed document that remembers where each value was written.

    ``labels`` names the file (or ``--set``) of the paths that do not come from ``label``. A path in neither ``lines``
    nor ``labels`` was written where its nearest known ancestor was.
    """

    data: dict[str, Any]
    lines: Lines
    label: str
    labels: dict[Steps, str] = field(default_factory=dict)

    def origin(self, path: Steps) -> tuple[str, int | None]:
        """Label and line of ``path``; no line if it was not read from a file."""
        while path and path not in self.lines and path not in self.labels:
            path = path[:-1]
        return self.labels.get(path, self.label), self.lines.get(path)

    def where(self, path: Steps) -> str:
        """``label:line: dotted.path``, as every complaint starts."""
        return place(*self.origin(path), path)

    def part(self, path: Steps) -> Source:
        """The mapping at ``path`` as a document of its own, whose values keep their origin."""
        data: Any = self.data
        for step in path:
            data = data[step]
        depth = len(path)
        lines = {known[depth:]: line for known, line in self.lines.items() if known[:depth] == path}
        labels = {known[depth:]: label for known, label in self.labels.items() if known[:depth] == path}
        return Source(data, lines, self.origin(path)[0], labels)


def parse(text: str, label: str, prefix: Steps = (), numbered: bool = True) -> tuple[Any, Lines]:
    """Read the one YAML document in ``text``.

    Args:
        text: the document.
        label: what to call it in complaints, mostly the file's name.
        prefix: path under which the value will be put; it starts every path, in complaints and in the result.
        numbered: False if lines mean nothing to the user, as on the command line.
    Returns: the plain data (dict, list, str, int, float, bool, None), and the line of each of its nodes.
    Raises: ConfigError at the first thing that YAML refuses, or that it reads otherwise than it looks.
    """
    try:
        return _walked(text, prefix, _Walk(label, numbered, _FAST))
    except ConfigError:  # complaints are those of PyYAML, whether libyaml is there or not
        return _walked(text, prefix, _Walk(label, numbered, yaml.SafeLoader))


def _walked(text: str, prefix: Steps, walk: _Walk) -> tuple[Any, Lines]:
    try:
        return walk.value(walk.document(text, prefix), prefix), walk.lines
    except RecursionError:
        raise ConfigError(f"{place(walk.label, None, prefix)}: nested more than {MAX_DEPTH} levels deep") from None


def dotted(path: Steps) -> str:
    """``designs[2].array.rows`` for ``("designs", 2, "array", "rows")``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{one_line(step)[:MAX_SHOWN]}" for step in path)
    return "".join(steps).removeprefix(".")


def place(label: str, line: int | None = None, path: Steps = ()) -> str:
    """``label:line: dotted.path``, without the parts that do not apply."""
    head = one_line(label) if line is None else f"{one_line(label)}:{line}"
    return f"{head}: {dotted(path)}" if path else head


def one_line(text: str) -> str:
    """``text`` on one line, whatever a key, a tag or a validator brought along."""
    shown = (c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in text)
    return text if text.isprintable() else "".join(shown)


def shorten(value: object) -> str:
    """``repr(value)``, cut in the middle if it is too long."""
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 4]}...{shown[-1]}"


def found(value: object) -> str:
    """A value with its type, as YAML calls it."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    kind = "text" if isinstance(value, str) else "number" if isinstance(value, int | float) else type(value).__name__
    return f"{kind.replace('dict', 'mapping')} {shorten(value)}"


def check(value: object, path: Steps) -> None:
    """Raises: ValueError, with a complaint, if ``value``, though legal, has no place in a config."""
    if len(path) > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not allowed; write a finite number")
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        raise ValueError("the number has too many digits")
    if isinstance(value, str) and value != value.encode(errors="ignore").decode():
        raise ValueError(f"{shorten(value)} is not valid Unicode")


class _Walk:
    """One pass over a document's nodes: collects the lines and guards against endless ones."""

    def __init__(self, label: str, numbered: bool, loader: Any) -> None:
        self.label = label
        self.numbered = numbered
        self.loader = loader
        self.lines: Lines = {}
        self.visited = 0
        self.open: set[int] = set()  # ids of the mappings and lists being walked

    def error(self, line: int, path: Steps, complaint: str) -> ConfigError:
        """A complaint about the text on ``line``, counted from 0 as PyYAML does."""
        shown = line + 1 if self.numbered else None
        return ConfigError(f"{place(self.label, shown, path)}: {one_line(complaint)}")

    def document(self, text: str, path: Steps) -> yaml.Node:
        """The root node of the only document in ``text``."""
        try:
            roots = list(yaml.compose_all(text, Loader=self.loader))
        except yaml.MarkedYAMLError as error:
            reason = ", ".join(part for part in (error.context, error.problem) if part)
            line = error.problem_mark.line if error.problem_mark else 0
            raise self.error(line, path, f"not valid YAML: {reason}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            raise self.error(line, path, f"not valid YAML: character {chr(error.character)!r} is not allowed") from None
        except (ValueError, OverflowError):  # PyYAML hands "\UFFFFFFFF" to chr()
            raise self.error(0, path, "not valid YAML: an escape in quotes names no character") from None
        if len(roots) > 1:
            raise self.error(roots[1].start_mark.line, path, "a second document starts here; keep one per file")
        if not roots:
            raise self.error(0, path, "the document is empty")
        return roots[0]

    def value(self, node: yaml.Node, path: Steps) -> Any:
        """The plain data of ``node``, which lies at ``path``; its line joins ``lines`` unless its key's is there."""
        self.count()
        if self.numbered:
            self.lines.setdefault(path, node.start_mark.line + 1)
        try:
            scalar = _scalar(node) if isinstance(node, yaml.ScalarNode) else None
            check(scalar, path)
        except ValueError as error:
            raise self.error(node.start_mark.line, path, str(error)) from None
        if isinstance(node, yaml.ScalarNode):
            return scalar
        with self.inside(node, path):
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]

    def mapping(self, node: yaml.MappingNode, path: Steps) -> dict[str, Any]:
        """The dict of a mapping node."""
        entries = self.entries(node, path)
        if self.numbered:
            self.lines |= {(*path, key): key_node.start_mark.line + 1 for key, (key_node, _) in entries.items()}
        return {key: self.value(child, (*path, key)) for key, (_, child) in entries.items()}

    def entries(self, node: yaml.Node, path: Steps) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key -> (key node, value node); a mapping's own keys win over those it gets through ``<<``."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, child in node.value:
            self.count()
            key = self.key(key_node, path)
            if key in own:
                first = f"; the first is on line {own[key][0].start_mark.line + 1}" if self.numbered else ""
                raise self.error(key_node.start_mark.line, (*path, key), f"duplicate key{first}")
            own[key] = (key_node, child)
        if "<<" not in own or own["<<"][0].tag != f"{_CORE}merge":
            return own
        _, parents = own.pop("<<")
        return self.merged(parents, path) | own

    def merged(self, node: yaml.Node, path: Steps) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The entries that ``<<: node`` brings in; of several mappings, the earlier wins."""
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for parent in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):
            if not isinstance(parent, yaml.MappingNode):
                raise self.error(node.start_mark.line, (*path, "<<"), "expected a mapping or a list of mappings")
            with self.inside(parent, (*path, "<<")):
                entries |= self.entries(parent, path)
        return entries

    def key(self, node: yaml.Node, path: Steps) -> str:
        """The text of a key node."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node.start_mark.line, path, "a key must be text, not a list or a mapping")
        if node.tag not in (f"{_CORE}str", f"{_CORE}merge"):
            raise self.error(node.start_mark.line, path, f"a key must be text; write {shorten(node.value)} in quotes")
        return str(node.value)

    def count(self) -> None:
        """Refuse a document that grows without end."""
        self.visited += 1
        if self.visited > MAX_NODES:
            raise ConfigError(f"{place(self.label)}: more than {MAX_NODES} values once its aliases are written out")

    @contextmanager
    def inside(self, node: yaml.Node, path: Steps) -> Iterator[None]:
        """While a mapping or list is walked, refuse to meet it again: it would contain itself."""
        if id(node) in self.open:
            raise self.error(node.start_mark.line, path, "an alias makes this value contain itself")
        if node.tag != _RESOLVER.resolve(type(node), None, True):
            raise self.error(node.start_mark.line, path, _tag_complaint(node.tag))
        self.open.add(id(node))
        yield
        self.open.discard(id(node))


def _tag_complaint(tag: str) -> str:
    return f"tag {tag.replace(_CORE, '!!')} is not allowed; remove it"


def _scalar(node: yaml.ScalarNode) -> object:
    """The value of a scalar. Raises: ValueError, with a complaint, if it is not what it looks like."""
    plain = not node.style  # None, or empty from libyaml
    if node.tag != _RESOLVER.resolve(yaml.ScalarNode, node.value, (plain, not plain)):
        raise ValueError(_tag_complaint(node.tag))
    return _plain_scalar(node.value, node) if plain else node.value


def _plain_scalar(text: str, node: yaml.ScalarNode) -> object:
    """The value of an unquoted scalar, by the type that YAML 1.1 sees in it."""
    kind = node.tag.removeprefix(_CORE)
    if kind == "null":
        return None
    if kind == "str":
        return _plain_text(text)
    if kind == "bool":
        return _plain_bool(text)
    if kind in ("int", "float"):
        return _plain_number(text, kind, node)
    if kind == "timestamp":
        raise ValueError(f"{shorten(text)} is read as a date by YAML; put it in quotes")
    raise ValueError(f"{shorten(text)} has a meaning of its own in YAML; put it in quotes")


def _plain_text(text: str) -> str:
    """Unquoted text, unless a reader would take it for a number, as ``1e9``, ``08`` and ``-.5``."""
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[2] or (match[3] or "").strip("_")):
        return text
    sign, whole, fraction, exponent_sign, exponent = (part and part.replace("_", "") for part in match.groups())
    decimals = f".{fraction or 0}" if fraction or exponent else ""
    power = f"e{exponent_sign or '+'}{exponent}" if exponent else ""
    number = f"{sign}{(whole or '').lstrip('0') or 0}{decimals}{power}"
    raise ValueError(f"{shorten(text)} is read as text by YAML; write {number}")


def _plain_bool(text: str) -> bool:
    """``true`` or ``false``; YAML 1.1 has twelve more spellings, often meant as text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    meaning = "true" if text.lower() in ("on", "yes") else "false"
    raise ValueError(f"'{text}' is read as {meaning} by YAML; write {meaning}, or '{text}' in quotes")


def _plain_number(text: str, kind: str, node: yaml.ScalarNode) -> object:
    """An unquoted int or float that means what it says."""
    digits = text.lstrip("+-")
    try:
        value = _CONSTRUCTOR.construct_yaml_int(node) if kind == "int" else _CONSTRUCTOR.construct_yaml_float(node)
    except (ValueError, OverflowError):  # "0x_", or more digits than Python converts
        raise ValueError(f"{shorten(text)} is not a number") from None
    if ":" in digits:
        raise ValueError(f"{shorten(text)} is read as the number {value} by YAML; put it in quotes")
    if kind == "int" and re.match("0[0-9_]", digits):
        raise ValueError(f"{shorten(text)} is read as the octal number {value} by YAML; remove the leading zero")
    return value
