"""Time mixing of RWKV 6: token shift and decay depend on the token, through low-rank products."""

from __future__ import annotations

import numpy as np

from simulator.tracing.functions import silu
from simulator.tracing.models.rwkv_parts import head_norm, previous_minus, recurrence
from simulator.tracing.net import Net
from simulator.tracing.products import F32, Product
from simulator.workload import Op

__all__ = ["op_names", "time_mix"]

_LETTERS = "wkvrg"


def op_names(layer: int) -> list[str]:
    """Of one layer's time mixing."""
    return [
        "time_maa_w1", "time_maa_w2", "time_decay_w1", "time_decay_w2",
        "receptance", "key", "value", "gate", "output",
    ]  # fmt: skip


def time_mix(net: Net, prefix: str, x: F32, first_value: F32 | None) -> tuple[F32, F32]:
    """(T, D) -> (T, D), and the values v; ``first_value``, those of the first layer, is not used."""
    d, (heads, width, *_) = x.shape[1], net.weights.shape(f"{prefix}time_decay")
    xw, xk, xv, xr, xg = _mixed(net, prefix, x)
    decay = np.exp(-np.exp(_decay(net, prefix, xw)))
    r, k = (net.linear(prefix + name, z, d) for name, z in (("receptance", xr), ("key", xk)))
    v, g = (net.linear(prefix + name, z, d) for name, z in (("value", xv), ("gate", xg)))
    bonus = net.vector(f"{prefix}time_faaaa", d).reshape(heads, width)
    y = head_norm(net, prefix, recurrence(r, k, v, decay, bonus), heads, 64e-5)
    return net.linear(f"{prefix}output", y * silu(g), d), v


def _mixed(net: Net, prefix: str, x: F32) -> list[F32]:
    """x moved towards the token before it, five times, by shares that each token finds for itself: (T, D) each."""
    towards, d = previous_minus(x), x.shape[1]
    tensor = f"{prefix}time_maa_w2"
    count, _, rank = net.weights.shape(tensor)
    start = x + towards * net.vector(f"{prefix}time_maa_x", d)
    low = np.tanh(net.against(f"{prefix}time_maa_w1", start, f"{prefix}time_maa_w1", count * rank))
    a = np.ascontiguousarray(low.reshape(-1, count, rank).transpose(1, 0, 2))
    op = Op(tensor, len(x), d, rank, count)
    shares = net.multiply(Product(op, f"{tensor}.a", a, tensor, net.weights.get(tensor, (count, d, rank))))
    bases = (net.vector(f"{prefix}time_maa_{letter}", d) for letter in _LETTERS)
    return [x + towards * (base + share) for base, share in zip(bases, shares, strict=True)]


def _decay(net: Net, prefix: str, x: F32) -> F32:
    """Logarithm of the rate of decay (T, D)."""
    first, second, d = f"{prefix}time_decay_w1", f"{prefix}time_decay_w2", x.shape[1]
    low = np.tanh(net.against(first, x, first, net.weights.shape(first)[0]))
    return net.vector(f"{prefix}time_decay", d) + net.against(second, low, second, d)
