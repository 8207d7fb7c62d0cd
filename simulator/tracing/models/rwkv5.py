"""Time mixing of RWKV 5.2: a fixed decay per feature."""

from __future__ import annotations

import numpy as np

from simulator.tracing.functions import silu
from simulator.tracing.models.rwkv_parts import head_norm, recurrence, shifted
from simulator.tracing.net import Net
from simulator.tracing.products import F32

__all__ = ["op_names", "time_mix"]


def op_names(layer: int) -> list[str]:
    """Of one layer's time mixing."""
    return ["receptance", "key", "value", "gate", "output"]


def time_mix(net: Net, prefix: str, x: F32, first_value: F32 | None) -> tuple[F32, F32]:
    """(T, D) -> (T, D), and the values v; ``first_value``, those of the first layer, is not used."""
    d, (heads, width, *_) = x.shape[1], net.weights.shape(f"{prefix}time_decay")
    r, k, v, g = (
        net.linear(prefix + name, shifted(net, x, prefix, name[0], 5), d)
        for name in ("receptance", "key", "value", "gate")
    )
    decay, bonus = (net.vector(f"{prefix}{name}", d).reshape(heads, width) for name in ("time_decay", "time_faaaa"))
    steady = np.broadcast_to(decay.reshape(-1), x.shape)
    y = head_norm(net, prefix, recurrence(r, k, v, steady, bonus), heads, 1e-5)
    return net.linear(f"{prefix}output", y * silu(g), d), v
