"""Time mixing of RWKV 7: a state that forgets along a direction (delta rule), values mixed with the first layer's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator.tracing.functions import sigmoid
from simulator.tracing.models.rwkv_parts import head_norm, previous_minus
from simulator.tracing.net import Net
from simulator.tracing.products import F32

__all__ = ["op_names", "time_mix"]

_DECAY = np.float32(-np.exp(-0.5))  # slowest rate of decay: w = exp(-e^-0.5 sigmoid(.))


def op_names(layer: int) -> list[str]:
    """Of one layer's time mixing; the first layer mixes no values."""
    mixed = ["v1", "v2"] if layer else []
    return ["receptance", "key", "value", "w1", "w2", "a1", "a2", "g1", "g2", *mixed, "output"]


def time_mix(net: Net, prefix: str, x: F32, first_value: F32 | None) -> tuple[F32, F32]:
    """(T, D) -> (T, D), and the values v; ``first_value``: those of the first layer, None there."""
    d, heads = x.shape[1], net.weights.shape(f"{prefix}r_k")[0]
    shares = net.weights.flat(f"{prefix}x_rwkvag", 6 * d).reshape(6, d)
    xr, xw, xk, xv, xa, xg = (x + previous_minus(x) * share for share in shares)
    r, k, v = (net.linear(prefix + n, z, d) for n, z in (("receptance", xr), ("key", xk), ("value", xv)))
    decay = np.exp(_DECAY * sigmoid(net.vector(f"{prefix}w0", d) + _low_rank(net, f"{prefix}w", xw, np.tanh)))
    rate = sigmoid(net.vector(f"{prefix}a0", d) + _low_rank(net, f"{prefix}a", xa))
    gate = _low_rank(net, f"{prefix}g", xg, sigmoid)
    if first_value is not None:
        share = sigmoid(net.vector(f"{prefix}v0", d) + _low_rank(net, f"{prefix}v", xv))
        v = v + (first_value - v) * share
    forget = _unit(k * net.vector(f"{prefix}k_k", d), heads)
    k = k * (1 + (rate - 1) * net.vector(f"{prefix}k_a", d))
    r, k, by_head, rate, decay = (z.reshape(len(x), heads, -1) for z in (r, k, v, rate, decay))
    y = head_norm(net, prefix, _recurrence(r, k, by_head, decay, forget, rate), heads, 64e-5)
    bonus = net.vector(f"{prefix}r_k", d).reshape(heads, -1)
    y = y + ((r * k * bonus).sum(axis=-1, keepdims=True) * by_head).reshape(x.shape)
    return net.linear(f"{prefix}output", y * gate, d), v


def _low_rank(net: Net, name: str, x: F32, between: Callable[[F32], F32] = lambda z: z) -> F32:
    """``W2 between(W1 x)``: (T, D) -> (T, D)."""
    rank = net.weights.shape(f"{name}1")[0]
    return net.against(f"{name}2", between(net.against(f"{name}1", x, f"{name}1", rank)), f"{name}2", x.shape[1])


def _unit(x: F32, heads: int) -> F32:
    """Each head of (T, D) at length 1: (T, heads, width)."""
    by_head = x.reshape(len(x), heads, -1)
    length = np.sqrt((by_head * by_head).sum(axis=-1, keepdims=True))
    return by_head / np.maximum(length, np.float32(1e-12))


def _recurrence(r: F32, k: F32, v: F32, decay: F32, forget: F32, rate: F32) -> F32:
    """``S = S (diag(decay) - forget (rate * forget)^T) + v k^T``, then ``o = S r``, all (T, heads, width)."""
    state = np.zeros((*r.shape[1:], r.shape[2]), np.float32)
    out = np.empty_like(r)
    for t in range(len(r)):
        removed = np.einsum("hij,hj->hi", state, forget[t])
        state = state * decay[t][:, None, :] - removed[:, :, None] * (rate[t] * forget[t])[:, None, :]
        state += v[t][:, :, None] * k[t][:, None, :]
        out[t] = np.einsum("hij,hj->hi", state, r[t])
    return out.reshape(len(r), -1)
