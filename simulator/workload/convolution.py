"""A convolution as matrix products, one per group: shapes, and the tensors themselves.

im2col: ``A[M, K]`` with ``M = batch * out_height * out_width`` windows of ``K = in_channels / groups * kernel height *
kernel width`` values, times ``W[K, N]`` with ``N = out_channels / groups``; ``count = groups`` such GEMMs. K runs over
channels, then rows, then columns of the kernel, as a PyTorch weight does.

What is charged: the matrix A as it stands. It is streamed from DRAM through the act scratchpad like any other operand,
so a feature map's value is loaded once for each window that it is in (about ``kernel^2 / stride^2`` times), as on
hardware that has im2col done for it. Hardware that unfolds the map on chip loads less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config.conv_geometry import ConvGeometry
from simulator.errors import WorkloadError
from simulator.workload.ops import Op

__all__ = ["Convolution", "fold_result", "im2col", "weight_matrix"]


@dataclass(frozen=True, slots=True)
class Convolution(ConvGeometry):
    """A convolution that can be lowered to matrix products."""

    def op(self, name: str, count: int = 1) -> Op:
        """Its matrix products; ``count`` convolutions of this shape."""
        M = self.batch * self.out_height * self.out_width
        K = self.in_channels // self.groups * math.prod(self.kernels)
        return Op(name, M, self.out_channels // self.groups, K, self.groups * count, "conv")


def im2col(conv: Convolution, x: NDArray[Any]) -> NDArray[Any]:
    """The map (batch, in_channels, height, width) as A of each group: (groups, M, K)."""
    _require_shape("map", x, (conv.batch, conv.in_channels, conv.height, conv.width))
    outs, sizes = (conv.out_height, conv.out_width), (conv.height, conv.width)
    needed = [step * (out - 1) + reach for step, out, reach in zip(conv.strides, outs, conv.reaches, strict=True)]
    filled = [
        (before, max(0, need - before - size)) for need, size, (before, _) in zip(needed, sizes, conv.pads, strict=True)
    ]
    padded = np.pad(x, ((0, 0), (0, 0), *filled))[:, :, : needed[0], : needed[1]]
    windows = np.lib.stride_tricks.sliding_window_view(padded, conv.reaches, axis=(2, 3))
    (down, across), (high, wide) = conv.strides, conv.dilations
    taken = windows[:, :, ::down, ::across, ::high, ::wide]
    grouped = taken.reshape(conv.batch, conv.groups, -1, *taken.shape[2:])  # batch, group, channel, y, x, ky, kx
    M = conv.batch * conv.out_height * conv.out_width
    return np.ascontiguousarray(grouped.transpose(1, 0, 3, 4, 2, 5, 6)).reshape(conv.groups, M, -1)


def weight_matrix(conv: Convolution, w: NDArray[Any]) -> NDArray[Any]:
    """The weight (out_channels, in_channels / groups, kernel height, width) as W^T of each group: (groups, N, K)."""
    _require_shape("weight", w, (conv.out_channels, conv.in_channels // conv.groups, *conv.kernels))
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
