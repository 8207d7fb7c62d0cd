"""Conditions of a study, as ``array.rows >= 2 * array.cols``: parsed, checked against known names and interpreted.

Python's grammar, of which little is allowed: names with dots, numbers, text, true and false, comparisons, arithmetic,
``and``, ``or``, ``not``, ``in`` and lists. Nothing is ever executed as Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from simulator.config.yaml_nodes import found, shorten
from simulator.errors import ConfigError, did_you_mean

__all__ = ["ANYTHING", "Condition", "parse_condition"]

MOST_CHARACTERS = 1000
MOST_DEEP = 40
MOST_BITS = 512
"""Of whole numbers on the way: a tower of powers would otherwise take all memory."""

_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_REFUSED = {
    ast.Call: "calls nothing",
    ast.Subscript: "has no brackets after a name",
    ast.Lambda: "is no function",
    ast.IfExp: "has no if; use and, or, not",
    ast.JoinedStr: "has no f-strings",
    ast.NamedExpr: "assigns nothing",
    ast.Dict: "has no mappings",
}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """One condition; ``where`` says in which file and line, ``names`` what it looks at."""

    text: str
    where: str
    names: frozenset[str]
    _tree: ast.expr

    def holds(self, values: Values) -> bool:
        """Whether it is true of these values by name. Raises: ConfigError if it compares what cannot be compared."""
        try:
            answer = _value(self._tree, values)
        except (TypeError, ValueError, ArithmeticError) as error:
            given = ", ".join(f"{name} = {shorten(values[name])}" for name in sorted(self.names))
            raise ConfigError(f"{self.where}: {shorten(self.text)}: {_reason(error)} (where {given})") from None
        if not isinstance(answer, bool):
            raise ConfigError(f"{self.where}: {shorten(self.text)} is {found(answer)}, neither true nor false")
        return answer

    def excess(self, values: Values) -> float:
        """By how much it is broken, as a share of what it compares with; 0 or less if it holds, 1 where that has no
        size. Raises: as ``holds``.
        """
        holds = self.holds(values)
        over = _excess(self._tree, values)
        if over is None or (over > 0) is holds:  # of what is not known, and of a strict order at its limit
            return 0.0 if holds else 1.0
        return over


def parse_condition(text: str, known: Collection[str], where: str) -> Condition:
    """The condition that ``text`` writes.

    Args:
        known: the names that it may look at.
        where: ``file:line: field`` for complaints.
    Raises: ConfigError.
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"{where}: a condition has at most {MOST_CHARACTERS} characters, found {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = (getattr(error, "msg", None) or "nested too deep").partition(". ")[0]
        hint = "; compare with ==" if _assigns(text) else ""
        raise ConfigError(f"{where}: {shorten(text)} is no condition: {reason}{hint}") from None
    try:
        names = frozenset(_names(tree))
    except ValueError as error:
        raise ConfigError(f"{where}: {shorten(text)}: {error}") from None
    for name in sorted(names):
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known) or 'none'}"
            raise ConfigError(f"{where}: unknown name '{name}'{hint}")
    return Condition(text, where, names, tree)


class _Anything(Collection[str]):
    """Every name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


ANYTHING = _Anything()
"""For ``parse_condition``: any name will do."""


def _assigns(text: str) -> bool:
    bare = text
    for compound in ("==", "<=", ">=", "!="):
        bare = bare.replace(compound, "")
    return "=" in bare


def _names(node: ast.expr, depth: int = 0) -> list[str]:
    """The names in an expression. Raises: ValueError for what a condition may not have."""
    if depth > MOST_DEEP:
        raise ValueError(f"a condition nests at most {MOST_DEEP} deep")
    match node:
        case ast.Constant(value=value):
            if value is not None and not isinstance(value, bool | int | float | str):
                raise ValueError(f"{shorten(value)} is no number and no text")
            return []
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            return [] if name in _LITERALS else [name]
        case ast.Compare(ops=ops):
            if strange := [op for op in ops if isinstance(op, ast.Is | ast.IsNot)]:
                raise ValueError(
                    f"compare with == or !=, not with {'is' if isinstance(strange[0], ast.Is) else 'is not'}"
                )
        case ast.BinOp(op=op):
            if type(op) not in _ARITHMETIC:
                raise ValueError("a condition calculates with + - * / // % ** alone; say and, or, not for logic")
        case ast.UnaryOp(op=op):
            if not isinstance(op, ast.Not) and type(op) not in _SIGNS:
                raise ValueError("a condition calculates with + - * / // % ** alone; say and, or, not for logic")
        case ast.BoolOp() | ast.List() | ast.Tuple():
            pass
        case _:
            raise ValueError(f"a condition {_REFUSED.get(type(node), f'has no {type(node).__name__}')}")
    inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return [name for child in inner for name in _names(child, depth + 1)]


def _dotted(node: ast.expr) -> str:
    """``memory.dram.model``. Raises: ValueError for dots after anything else than a name, and for hidden names."""
    steps: list[str] = []
    while isinstance(node, ast.Attribute):
        steps.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or len(steps) > MOST_DEEP:
        raise ValueError("only a name has dots, as in array.rows")
    steps.append(node.id)
    if hidden := [step for step in steps if step.startswith("__")]:
        raise ValueError(f"'{hidden[0]}' is no name of a field")
    return ".".join(reversed(steps))


def _value(node: ast.expr, values: Values) -> Any:
    """What an expression is; ``_names`` has checked it. Raises: TypeError, ValueError, ArithmeticError."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            return _LITERALS[name] if name in _LITERALS else values[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, values) for item in items]
        case ast.BoolOp(op=op, values=parts):
            wanted = isinstance(op, ast.Or)
            return wanted if any(_truth(_value(part, values)) is wanted for part in parts) else not wanted
        case ast.UnaryOp(op=op, operand=operand):
            inner = _value(operand, values)
            return not _truth(inner) if isinstance(op, ast.Not) else _SIGNS[type(op)](_number(inner))
        case ast.BinOp(op=op, left=left, right=right):
            return _calculated(op, _number(_value(left, values)), _number(_value(right, values)))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_value(side, values) for side in (left, *others)]
            return all(_compared(op, *pair) for op, pair in zip(ops, pairwise(sides), strict=True))
    raise AssertionError(f"a condition was not checked: {ast.dump(node)}")


def _excess(node: ast.expr, values: Values) -> float | None:
    """How far an order of two numbers is from holding, relative to the second; of ``and`` the most, of ``or`` the
    least; None for what is no such order, and for what is not known.
    """
    match node:
        case ast.BoolOp(op=op, values=parts):
            known = [_excess(part, values) for part in parts]
            sizes = [size for size in known if size is not None]
            return (min if isinstance(op, ast.Or) else max)(sizes) if len(sizes) == len(parts) else None
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _ORDER:
            less, more = _value(left, values), _value(right, values)
            if not all(isinstance(side, int | float) and math.isfinite(side) for side in (less, more)):
                return None
            size = abs(more) or 1.0
            return (less - more if isinstance(op, ast.Lt | ast.LtE) else more - less) / size
    return None


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{found(value)} is neither true nor false")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"cannot calculate with {found(value)}")
    return value


def _calculated(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Pow) and (abs(right) > MOST_BITS or _bits(left) * abs(right) > MOST_BITS):
        raise ValueError(f"{shorten(left)} ** {shorten(right)} is too large")
    answer = _ARITHMETIC[type(op)](left, right)
    if isinstance(answer, complex):
        raise ValueError(f"{shorten(left)} ** {shorten(right)} is no real number")
    if _bits(answer) > MOST_BITS:
        raise ValueError("a number on the way is too large")
    return answer


def _bits(number: Any) -> int:
    return number.bit_length() if isinstance(number, int) else 0


def _compared(op: ast.cmpop, left: Any, right: Any) -> bool:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, list | tuple):
            raise TypeError(f"'in' needs a list, found {found(right)}")
        return any(_equal(left, item) for item in right) is isinstance(op, ast.In)
    if isinstance(op, ast.Eq | ast.NotEq):
        return _equal(left, right) is isinstance(op, ast.Eq)
    if isinstance(left, str) is not isinstance(right, str) or not all(_orders(side) for side in (left, right)):
        raise TypeError(f"cannot compare {found(left)} with {found(right)}")
    return bool(_ORDER[type(op)](left, right))


def _orders(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    """Equality as YAML has it: true is not 1."""
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _reason(error: Exception) -> str:
    return "divides by zero" if isinstance(error, ZeroDivisionError) else str(error)
