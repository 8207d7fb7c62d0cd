"""Boolean functions as Liberty files write them, to truth tables."""

from __future__ import annotations

import re
from itertools import product

__all__ = ["truth_table"]


def truth_table(function: str, inputs: list[str]) -> int:
    """Bit i is the function's value when input j has bit j of i. Liberty operators: ! ' & * + | ^ and juxtaposition."""
    tokens = re.findall(r"[A-Za-z_]\w*|[01]|[!'&*+|^()]", function)
    bits = 0
    for word, values in enumerate(product((0, 1), repeat=len(inputs))):
        known = dict(zip(reversed(inputs), values, strict=True)) | {"0": 0, "1": 1}
        rest = list(tokens)
        bits |= _either(rest, known) << word
        if rest:
            raise ValueError(f"cannot read the function {function!r}")
    return bits


def _either(tokens: list[str], known: dict[str, int]) -> int:
    value = _exclusive(tokens, known)
    while tokens and tokens[0] in "+|":
        tokens.pop(0)
        value |= _exclusive(tokens, known)
    return value


def _exclusive(tokens: list[str], known: dict[str, int]) -> int:
    value = _both(tokens, known)
    while tokens and tokens[0] == "^":
        tokens.pop(0)
        value ^= _both(tokens, known)
    return value


def _both(tokens: list[str], known: dict[str, int]) -> int:
    value = _negated(tokens, known)
    while tokens and tokens[0] not in "+|^)":
        if tokens[0] in "&*":
            tokens.pop(0)
        value &= _negated(tokens, known)
    return value


def _negated(tokens: list[str], known: dict[str, int]) -> int:
    token = tokens.pop(0)
    if token == "!":
        return 1 - _negated(tokens, known)
    if token == "(":
        value = _either(tokens, known)
        tokens.pop(0)
    else:
        value = known[token]
    while tokens and tokens[0] == "'":
        tokens.pop(0)
        value = 1 - value
    return value
