"""A model's weights and the function that its matrix products go through: what forward passes here are written with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.tracing.functions import layer_norm
from simulator.tracing.products import F32, Multiply, Product, multiply
from simulator.tracing.weights import ModelWeights
from simulator.workload import Op
from simulator.workload.convolution import Convolution, fold_result, im2col, weight_matrix

__all__ = ["Net", "merge_heads", "split_heads"]


@dataclass(frozen=True, slots=True)
class Net:
    """Layers by the names of their weights; ``multiply`` computes every matrix product."""

    weights: ModelWeights
    multiply: Multiply = multiply

    def linear(self, name: str, x: F32, features: int, *, a_name: str | None = None, key: str | None = None) -> F32:
        """``x @ W^T`` and a bias if the file has one: (T, K) -> (T, features).

        Args:
            a_name: of x, which other products may share; default ``name.a``.
            key: of the weight without ``.weight``; default ``name``.
        """
        key = key or name
        c = self.against(name, x, f"{key}.weight", features, a_name=a_name)
        return c + self.weights.get(f"{key}.bias", (features,)) if self.weights.has(f"{key}.bias") else c

    def against(self, name: str, x: F32, tensor: str, features: int, *, a_name: str | None = None) -> F32:
        """``x @ W^T`` with W (features, K), the tensor of that very name: (T, K) -> (T, features)."""
        tokens, k = x.shape
        w = self.weights.get(tensor, (features, k))
        return self.multiply(Product(Op(name, tokens, features, k), a_name or f"{name}.a", x, tensor, w))

    def bmm(self, name: str, a: F32, w: F32) -> F32:
        """``a @ w^T`` head by head: (H, M, K) and (H, N, K) -> (H, M, N)."""
        op = Op(name, a.shape[1], w.shape[1], a.shape[2], a.shape[0], "bmm")
        return self.multiply(Product(op, f"{name}.a", a, f"{name}.w", w))

    def conv(self, name: str, x: F32, features: int, kernel: int, *, stride: int = 1, padding: int = 0) -> F32:
        """A convolution through im2col, and a bias if the file has one: (1, C, H, W) -> (1, features, H', W')."""
        _, channels, height, width = x.shape
        shape = Convolution(channels, height, width, features, kernel, stride, padding)
        w = self.weights.get(f"{name}.weight", (features, channels, kernel, kernel))
        product = Product(
            shape.op(name),
            f"{name}.a",
            im2col(shape, x),
            f"{name}.weight",
            weight_matrix(shape, w),
            (x[0, 0].size, len(x[0])),
        )
        c = fold_result(shape, self.multiply(product))
        if not self.weights.has(f"{name}.bias"):
            return c
        return c + self.weights.get(f"{name}.bias", (features,))[:, None, None]

    def layer_norm(self, name: str, x: F32, eps: float) -> F32:
        """LayerNorm over the last axis with the weights of that name."""
        gain, offset = (self.weights.get(f"{name}.{part}", x.shape[-1:]) for part in ("weight", "bias"))
        return layer_norm(x, gain, offset, eps)

    def vector(self, name: str, size: int) -> F32:
        """A tensor of ``size`` values, whatever axes of length 1 it has."""
        return self.weights.flat(name, size)


def split_heads(x: F32, heads: int) -> F32:
    """(T, heads * d) -> (heads, T, d)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def merge_heads(x: F32) -> F32:
    """(heads, T, d) -> (T, heads * d)."""
    return np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(x.shape[1], -1)
