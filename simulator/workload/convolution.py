"""A convolution as matrix products, one per group: shapes, and the tensors themselves.

im2col: ``A[M, K]`` with ``M = batch * out_height * out_width`` windows of ``K = in_channels / groups * kernel^2``
values, times ``W[K, N]`` with ``N = out_channels / groups``; ``count = groups`` such GEMMs. K runs over channels, then
rows, then columns of the kernel, as a PyTorch weight does.

What is charged: the matrix A as it stands. It is streamed from DRAM through the act scratchpad like any other operand,
so a feature map's value is loaded once for each window that it is in (about ``kernel^2 / stride^2`` times), as on
hardware that has im2col done for it. Hardware that unfolds the map on chip loads less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import WorkloadError
from simulator.workload.ops import Op

__all__ = ["Convolution", "fold_result", "im2col", "weight_matrix"]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A two-dimensional convolution of a map ``(batch, in_channels, height, width)``, square kernel.

    Args:
        ceil: the size of the result is rounded up: a last window reaches beyond the padding, over zeros. Else down, as
            in PyTorch.
    Raises: WorkloadError if groups do not divide the channels or the kernel reaches beyond the map.
    """

    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    batch: int = 1
    ceil: bool = False

    def __post_init__(self) -> None:
        if self.in_channels % self.groups or self.out_channels % self.groups:
            channels = f"{self.in_channels} and {self.out_channels}"
            raise WorkloadError(f"a convolution's channels must be multiples of its groups: {channels}, {self.groups}")
        if min(self.height, self.width) + 2 * self.padding < self.reach:
            raise WorkloadError(
                f"a kernel that reaches over {self.reach} values does not fit {self.height} x {self.width}"
            )

    @property
    def reach(self) -> int:
        """Values along an axis from the kernel's first to its last, both included."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def out_height(self) -> int:
        """Rows of the result."""
        return self._out(self.height)

    @property
    def out_width(self) -> int:
        """Columns of the result."""
        return self._out(self.width)

    def _out(self, size: int) -> int:
        steps = size + 2 * self.padding - self.reach
        return (-(-steps // self.stride) if self.ceil else steps // self.stride) + 1

    def op(self, name: str, count: int = 1) -> Op:
        """Its matrix products; ``count`` convolutions of this shape."""
        M = self.batch * self.out_height * self.out_width
        K = self.in_channels // self.groups * self.kernel**2
        return Op(name, M, self.out_channels // self.groups, K, self.groups * count, "conv")


def im2col(conv: Convolution, x: NDArray[Any]) -> NDArray[Any]:
    """The map (batch, in_channels, height, width) as A of each group: (groups, M, K)."""
    _require_shape("map", x, (conv.batch, conv.in_channels, conv.height, conv.width))
    down, across = (conv.stride * (out - 1) + conv.reach for out in (conv.out_height, conv.out_width))
    bottom, right = (max(0, need - conv.padding - size) for need, size in ((down, conv.height), (across, conv.width)))
    padded = np.pad(x, ((0, 0), (0, 0), (conv.padding, bottom), (conv.padding, right)))[:, :, :down, :across]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (conv.reach, conv.reach), axis=(2, 3))
    taken = windows[:, :, :: conv.stride, :: conv.stride, :: conv.dilation, :: conv.dilation]
    grouped = taken.reshape(conv.batch, conv.groups, -1, *taken.shape[2:])  # batch, group, channel, y, x, ky, kx
    M = conv.batch * conv.out_height * conv.out_width
    return np.ascontiguousarray(grouped.transpose(1, 0, 3, 4, 2, 5, 6)).reshape(conv.groups, M, -1)


def weight_matrix(conv: Convolution, w: NDArray[Any]) -> NDArray[Any]:
    """The weight (out_channels, in_channels / groups, kernel, kernel) as W^T of each group: (groups, N, K)."""
    _require_shape("weight", w, (conv.out_channels, conv.in_channels // conv.groups, conv.kernel, conv.kernel))
    return np.ascontiguousarray(w).reshape(conv.groups, conv.out_channels // conv.groups, -1)


def fold_result(conv: Convolution, c: NDArray[Any]) -> NDArray[Any]:
    """The products (groups, M, N) as a map (batch, out_channels, out_height, out_width)."""
    M, N = conv.batch * conv.out_height * conv.out_width, conv.out_channels // conv.groups
    _require_shape("result", c, (conv.groups, M, N))
    split = c.reshape(conv.groups, conv.batch, conv.out_height, conv.out_width, N)
    return split.transpose(1, 0, 4, 2, 3).reshape(conv.batch, conv.out_channels, conv.out_height, conv.out_width)


def _require_shape(what: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise WorkloadError(f"a convolution's {what} must have shape {list(shape)}, got {list(values.shape)}")
