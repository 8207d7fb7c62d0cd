"""Which steps of a workload are done alike where one precision serves all: the layers of a model repeat themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import fields
from functools import lru_cache

from simulator.workload import Op, Pass

__all__ = ["likeness"]

_MOST = 64
"""Workloads whose steps are remembered; the one met first goes."""
_NAMES = ("name", "gemm")

_known: OrderedDict[int, tuple[Sequence[Op | Pass], tuple[object, ...]]] = OrderedDict()
"""By identity of the steps, which are kept with it."""


def likeness(steps: Sequence[Op | Pass]) -> tuple[object, ...]:
    """An object for each step: the same for steps that differ in names alone, and so do the steps before them back to
    the product whose results a fused pass works on.
    """
    found = _known.get(id(steps))
    if found is None or found[0] is not steps:
        found = _known[id(steps)] = steps, tuple(_standing_for(_described(steps, i)) for i in range(len(steps)))
        if len(_known) > _MOST:
            _known.popitem(last=False)
    return found[1]


def _described(steps: Sequence[Op | Pass], index: int) -> Hashable:
    step = steps[index]
    parts = [_numbers(step)]
    for earlier in reversed(steps[:index]):
        parts.append(_numbers(earlier))
        if earlier.count != step.count or isinstance(earlier, Op):
            break
    return tuple(parts)


def _numbers(step: Op | Pass) -> Hashable:
    """All of a step but what it is called."""
    return type(step), *(getattr(step, field.name) for field in fields(step) if field.name not in _NAMES)


@lru_cache(maxsize=4096)
def _standing_for(description: Hashable) -> object:
    return object()
