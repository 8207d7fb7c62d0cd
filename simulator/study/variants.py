"""A design at every combination of sweep axes, each value checked once: a combination is put together from parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.config import Design, Source
from simulator.config.catalogue import design_of
from simulator.config.load import Label
from simulator.config.overlays import Overlay, lay
from simulator.config.parts import part_of, texts_of, value_at
from simulator.config.yaml_nodes import Steps
from simulator.errors import ConfigError
from simulator.study.held import held
from simulator.study.space import Choices

__all__ = ["Variants"]

Values = Mapping[str, Any]
"""Value by dotted path."""
_HELD = 512
"""Values of a part, and records put together, that are held."""


@dataclass(frozen=True)
class Variants:
    """A design as the axes of a study set it.

    What it is made of is checked part by part, a part being a field that no other is checked with
    (``config.parts``), each at all of its own values and one of all others. Where one is wrong the combination is
    checked as a whole, for the complaint. Where a field was written does not depend on what is written there: all
    combinations share one ``Origins``.

    Attributes:
        document: of the design, which the axes are laid over; ``label``: what complaints call them.
        values: for each axis of the study, what it sets of a design at each of its places; empty for others' axes.
        watched: fields whose changes ``places_of_watched`` tells.
    """

    document: Source
    label: Label
    values: tuple[tuple[Values, ...], ...]
    watched: tuple[Steps, ...]
    _found: list[_Base] = field(default_factory=list)

    def design(self, choices: Choices, *more: Overlay) -> Design:
        """The design at the places ``choices`` of the axes, with further overlays. Raises: ConfigError."""
        if more:
            return design_of(lay(self.document, [*self._overlays(choices), *more]))
        base = self._base(choices)
        parts = [self._part(base, group, choices) for group in base.groups]
        checked = [part for part in parts if part is not None]
        if len(checked) < len(parts):
            return self._whole(choices)
        made: Design = _put_together(base.root, checked, choices)
        return made

    def fields_sha256(self, choices: Choices) -> str:
        """Hash of every field of the design there. Raises: ConfigError."""
        base = self._base(choices)
        texts = list(base.texts.values())
        for group in base.groups:
            part = self._part(base, group, choices)
            if part is None:
                return _sha256(texts_of(self._whole(choices)).values())
            for number, text in part.texts:
                texts[number] = text
        return _sha256(texts)

    def places_of_watched(self, choices: Choices) -> Choices:
        """Of ``choices`` those that may change a watched field, or what is in it. Raises: ConfigError."""
        return tuple(choices[axis] for axis in self._base(choices).watched)

    def _overlays(self, choices: Choices) -> tuple[Overlay, ...]:
        own: dict[str, Any] = {}
        for values, place in zip(self.values, choices, strict=True):
            if values:
                own |= values[place]
        return ((self.label, own),) if own else ()

    def _whole(self, choices: Choices) -> Design:
        return design_of(lay(self.document, self._overlays(choices)))

    def _base(self, choices: Choices) -> _Base:
        """The first combination that was asked for and is in order, from which all others differ in parts."""
        if not self._found:
            design = self._whole(choices)
            groups = _groups(type(design), self.values)
            tree, watched = _node(design, (), groups), _axes_of(groups, self.watched)
            self._found.append(_Base(design, choices, texts_of(design), groups, tree, watched))
        return self._found[0]

    def _part(self, base: _Base, group: _Group, choices: Choices) -> _Part | None:
        """What a group sets at its own places, checked beside the base's other values; None if that is wrong."""
        at = tuple(choices[axis] for axis in group.axes)
        if at not in group.known:
            beside = tuple(
                choice if axis in group.axes else own
                for axis, (choice, own) in enumerate(zip(choices, base.choices, strict=True))
            )
            held(group.known, at, self._checked(base, group, beside), _HELD)
        return group.known[at]

    def _checked(self, base: _Base, group: _Group, choices: Choices) -> _Part | None:
        try:
            design = self._whole(choices)
        except ConfigError:
            return None
        if type(design) is not type(base.design):
            return None
        texts = texts_of(design)
        own = [
            (number, texts[path])
            for number, path in enumerate(base.texts)
            if any(_overlap(part, path) for part in group.parts)
        ]
        return _Part({path: value_at(design, path) for path in group.parts}, own)


@dataclass(frozen=True)
class _Part:
    """What a group of axes sets: by path as it is in the record, and by number among all texts as text."""

    values: dict[Steps, Any]
    texts: list[tuple[int, str]]


@dataclass(frozen=True)
class _Group:
    """Axes that set parts of a design together, and the parts."""

    axes: tuple[int, ...]
    parts: tuple[Steps, ...]
    known: dict[Choices, _Part | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Node:
    """A record of a design in which a group sets something, or a part (``group`` says of which).

    ``axes``: that set something in it; ``record``: as it is at the base.
    """

    path: Steps
    record: Any
    axes: tuple[int, ...]
    children: dict[str, _Node]
    group: int | None = None
    known: dict[Choices, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Base:
    """A design at some places of all axes.

    ``watched``: the axes that may change a watched field.
    """

    design: Design
    choices: Choices
    texts: dict[Steps, str]
    groups: tuple[_Group, ...]
    root: _Node
    watched: tuple[int, ...]


def _groups(model: type[Design], values: Sequence[Sequence[Values]]) -> tuple[_Group, ...]:
    """Axes by the parts that they set; those that share a part are one group."""
    groups: list[_Group] = []
    for axis, own in enumerate(values):
        if not own:
            continue
        parts = {part_of(model, tuple(path.split("."))) for path in own[0]}
        touched = [group for group in groups if any(_overlap(a, b) for a in group.parts for b in parts)]
        axes = sorted({axis, *(other for group in touched for other in group.axes)})
        parts |= {part for group in touched for part in group.parts}
        groups = [group for group in groups if group not in touched]
        groups.append(_Group(tuple(axes), tuple(sorted(parts))))
    return tuple(groups)


def _axes_of(groups: Sequence[_Group], fields: Sequence[Steps]) -> tuple[int, ...]:
    """The axes that set something in one of these fields, or what one is in."""
    touching = (g for g in groups if any(_overlap(part, path) for part in g.parts for path in fields))
    return tuple(axis for group in touching for axis in group.axes)


def _overlap(one: Steps, other: Steps) -> bool:
    """Whether one path leads into what is at the other."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _node(design: Design, path: Steps, groups: Sequence[_Group]) -> _Node:
    """The tree of what groups set, from a path on."""
    within = [
        (number, part) for number, group in enumerate(groups) for part in group.parts if part[: len(path)] == path
    ]
    axes = tuple(sorted({axis for number, _ in within for axis in groups[number].axes}))
    group = next((number for number, part in within if part == path), None)
    steps = dict.fromkeys(str(part[len(path)]) for _, part in within) if group is None else {}
    children = {step: _node(design, (*path, step), groups) for step in steps}
    return _Node(path, value_at(design, path), axes, children, group)


def _put_together(node: _Node, parts: Sequence[_Part], choices: Choices) -> Any:
    if node.group is not None:
        return parts[node.group].values[node.path]
    if not node.children:
        return node.record
    at = tuple(choices[axis] for axis in node.axes)
    if at not in node.known:
        changes = {name: _put_together(child, parts, choices) for name, child in node.children.items()}
        held(node.known, at, node.record.model_copy(update=changes), _HELD)
    return node.known[at]


def _sha256(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
