"""What models compute between their matrix products, in float32.

Sources: Hendrycks and Gimpel, arXiv:1606.08415 (GELU, both forms); Ba et al., arXiv:1607.06450 (LayerNorm); Wu and He,
ECCV 2018 (GroupNorm); Zhang and Sennrich, NeurIPS 2019 (RMSNorm); Ioffe and Szegedy, ICML 2015 (BatchNorm).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from simulator.kernels import njit
from simulator.tracing.products import F32

__all__ = [
    "ACTIVATIONS",
    "batch_norm",
    "gelu",
    "gelu_tanh",
    "group_norm",
    "layer_norm",
    "relu",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]


def softmax(x: F32) -> F32:
    """Over the last axis, shifted by its maximum."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), dtype=np.float32)


def layer_norm(x: F32, gain: F32, offset: F32, eps: float) -> F32:
    """Over the last axis, population variance, learned gain and offset."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(eps)) * gain + offset


def group_norm(x: F32, groups: int, gain: F32, offset: F32, eps: float) -> F32:
    """Rows (T, D) normalised in ``groups`` equal parts of D."""
    ones, zeros = np.float32(1), np.float32(0)
    parts = layer_norm(x.reshape(len(x), groups, -1), np.asarray(ones), np.asarray(zeros), eps)
    return parts.reshape(x.shape) * gain + offset


def rms_norm(x: F32, gain: F32, eps: float) -> F32:
    """Over the last axis: divided by the root of the mean square, times a learned gain."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * gain


def batch_norm(x: F32, mean: F32, variance: F32, gain: F32, offset: F32) -> F32:
    """A map (batch, channels, ...) with the statistics of training, one set per channel; eps 1e-5, as PyTorch's."""
    factor = gain / np.sqrt(variance + np.float32(1e-5))
    shape = (1, -1, *(1,) * (x.ndim - 2))
    return x * factor.reshape(shape) + (offset - mean * factor).reshape(shape)


def gelu(x: F32) -> F32:
    """``x * Phi(x)``, Phi the normal distribution function, by the error function."""
    out = np.empty(x.size, dtype=np.float32)
    _gelu_kernel(np.ascontiguousarray(x).reshape(-1), out)
    return out.reshape(x.shape)


@njit(cache=True)
def _gelu_kernel(x: F32, out: F32) -> None:  # pragma: no cover (compiled)
    for i in range(x.size):
        out[i] = 0.5 * x[i] * (1.0 + math.erf(x[i] * 0.7071067811865476))


def gelu_tanh(x: F32) -> F32:
    """The tanh approximation of GELU."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + np.tanh(inner)), dtype=np.float32)


def relu(x: F32) -> F32:
    """``max(x, 0)``."""
    return np.maximum(x, np.float32(0))


def sigmoid(x: F32) -> F32:
    """``1 / (1 + e^-x)``, without overflow on either side."""
    half = np.float32(0.5)
    return half * (np.float32(1) + np.tanh(half * x))


def silu(x: F32) -> F32:
    """``x * sigmoid(x)``."""
    return x * sigmoid(x)


def softplus(x: F32) -> F32:
    """``log(1 + e^x)``."""
    return np.logaddexp(x, np.float32(0))


ACTIVATIONS: dict[str, Callable[[F32], F32]] = {"gelu": gelu, "gelu_new": gelu_tanh, "relu": relu}
"""What Hugging Face's ``hidden_act`` calls them."""
