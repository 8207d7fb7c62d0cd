"""Names and layouts of PyTorch tensors that a trace is made of."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence

import torch

__all__ = ["Names", "conv_operands", "conv_transpose_operands"]

_REMEMBERED = 8  # activations that are kept to see that a later op reads the same one


class Names:
    """Names of ops and tensors: parameters by their own, everything else by the running module (``path``, innermost
    last).
    """

    def __init__(self, module: torch.nn.Module, path: list[str]) -> None:
        self._path = path
        self._of_storage: dict[int, list[str]] = {}
        self._values: dict[str, torch.Tensor] = {}
        for name, value in [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]:
            self._of_storage.setdefault(value.untyped_storage().data_ptr(), []).append(name)
            self._values[name] = value
        self._recent: OrderedDict[tuple[object, ...], tuple[torch.Tensor, str]] = OrderedDict()
        self._parts: dict[tuple[object, ...], str] = {}
        self._used: Counter[str] = Counter()

    def parameter(self, tensor: torch.Tensor) -> str | None:
        """The parameter that a tensor is, or is a view of: that of the running module if several share it."""
        known = self._of_storage.get(tensor.untyped_storage().data_ptr())
        if not known:
            return None
        own = [name for name in known if self._path and name.rpartition(".")[0] == self._path[-1]]
        return (own or known)[0]

    def of(self, weight: torch.Tensor, word: str) -> str:
        """Name of an op: its parameter's without ``.weight``, or the running module and a word for what it does."""
        name = self.parameter(weight)
        if name is not None:
            return name.removesuffix(".weight") if name != "weight" else word
        return ".".join([*(self._path[-1:] if self._path and self._path[-1] else []), word])

    def tensor(self, value: torch.Tensor, otherwise: str, shape: Sequence[int]) -> str:
        """Name of an operand in the trace, the same for the same values in the same layout."""
        key: tuple[object, ...] = (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype, tuple(shape))
        name = self.parameter(value)
        if name is not None:
            if key not in self._parts:
                self._parts[key] = self._free(name)
            return self._parts[key]
        key = (*key, value._version if not value.is_inference() else object())
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key][1]
        self._recent[key] = (value, self._free(otherwise))
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return self._recent[key][1]

    def _free(self, name: str) -> str:
        self._used[name] += 1
        return f"{name}#{self._used[name]}" if self._used[name] > 1 else name


def conv_operands(
    x: torch.Tensor,
    w: torch.Tensor,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """im2col of (batch, channels, ...) with any number of axes: (groups, M, K) and (groups, N, K).

    K runs over channels, then over the kernel's axes in order, as in ``simulator.workload.convolution``.
    """
    axes = w.ndim - 2
    padded = torch.nn.functional.pad(x, [side for axis in reversed(padding) for side in (axis, axis)])
    for axis in range(axes):
        reach = dilation[axis] * (w.shape[2 + axis] - 1) + 1
        padded = padded.unfold(2 + axis, reach, strides[axis])[..., :: dilation[axis]]
    batch, channels = padded.shape[:2]
    spots = padded.reshape(batch, groups, channels // groups, *padded.shape[2:])
    order = [1, 0, *range(3, 3 + axes), 2, *range(3 + axes, 3 + 2 * axes)]
    K = w.shape[1] * math.prod(w.shape[2:])
    return spots.permute(order).reshape(groups, -1, K), w.reshape(groups, -1, K)


def conv_transpose_operands(x: torch.Tensor, w: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A transposed convolution, each input value times the whole kernel: (groups, M, K) and (groups, N, K).

    M counts input positions, K input channels, N output channels times the kernel; overlapping results are added up
    afterwards.
    """
    batch, channels = x.shape[:2]
    a = x.reshape(batch, groups, channels // groups, -1).permute(1, 0, 3, 2).reshape(groups, -1, channels // groups)
    return a, w.reshape(groups, channels // groups, -1).transpose(1, 2)
