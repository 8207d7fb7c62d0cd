"""The accumulators of one PE as numba functions see them: ``state[i]``.

PEs are counted row after row. Several accumulators are a row of a two-dimensional array. One accumulator is an element
of a one-dimensional one, whose only index is 0 or -1; it is handed on as a bare address, because an array of one
element keeps LLVM from working on neighbouring PEs at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

__all__ = ["compiled", "make_state", "state_of"]


def make_state(count: int, registers: int, state_type: type[Any]) -> NDArray[Any]:
    """Accumulators of ``count`` PEs, zero."""
    return np.zeros(count if registers == 1 else (count, registers), state_type)


def state_of(states: NDArray[Any], i: Any) -> Any:
    """Accumulators of PE ``i``."""
    return states[i : i + 1] if states.ndim == 1 else states[i]


@cache
def compiled(function: Callable[..., Any]) -> Any:
    """``function`` compiled once more, for this process alone: numba's cache on disk, which lies beside the source of
    ``function``, would not see a change of this file.
    """
    return njit(getattr(function, "py_func", function))


class _OneRegister(types.Type):
    """Type of a single accumulator in memory."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"OneRegister({dtype})")


@register_model(_OneRegister)
class _OneRegisterModel(models.OpaqueModel):
    """An address."""

    def __init__(self, manager: Any, kind: _OneRegister) -> None:
        super(models.OpaqueModel, self).__init__(manager, kind, manager.lookup(kind.dtype).get_data_type().as_pointer())


@intrinsic
def _address(typing: Any, states: Any, i: Any) -> Any:
    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, args[0])
        return cgutils.get_item_pointer(context, builder, signature.args[0], array, list(args[1:]))

    return _OneRegister(states.dtype)(states, types.intp), lower


@intrinsic
def _load(typing: Any, register: Any) -> Any:
    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.unpack_value(builder, register.dtype, args[0])

    return register.dtype(register), lower


@intrinsic
def _store(typing: Any, register: Any, value: Any) -> Any:
    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kept = context.cast(builder, args[1], signature.args[1], register.dtype)
        context.pack_value(builder, register.dtype, kept, args[0])
        return context.get_dummy_value()

    return types.none(register, value), lower


@overload(state_of)
def _state_of(states, i):
    if states.ndim == 1:
        return lambda states, i: _address(states, i)
    return lambda states, i: states[i]


@overload(operator.getitem)
def _get(state, index):
    if isinstance(state, _OneRegister):
        return lambda state, index: _load(state)
    return None


@overload(operator.setitem)
def _set(state, index, value):
    if isinstance(state, _OneRegister):
        return lambda state, index, value: _store(state, value)
    return None
