"""What the versions of RWKV share: the token shift, and the recurrence of versions 5 and 6."""

from __future__ import annotations

import numpy as np

from simulator.tracing.functions import group_norm
from simulator.tracing.net import Net
from simulator.tracing.products import F32

__all__ = ["head_norm", "previous_minus", "recurrence", "shifted"]


def previous_minus(x: F32) -> F32:
    """At each token (T, D) the one before it (zeros before the first) minus itself."""
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]]) - x


def shifted(net: Net, x: F32, prefix: str, letter: str, version: int) -> F32:
    """x moved towards the token before it, by a learned share per feature."""
    if version == 5:
        share = np.float32(1) - net.vector(f"{prefix}time_mix_{letter}", x.shape[1])
    else:
        share = net.vector(f"{prefix}time_maa_{letter}" if version == 6 else f"{prefix}x_{letter}", x.shape[1])
    return x + previous_minus(x) * share


def recurrence(r: F32, k: F32, v: F32, decay: F32, bonus: F32) -> F32:
    """``o_t = r_t (diag(bonus) k_t v_t^T + S)``, then ``S = diag(decay_t) S + k_t v_t^T``, from a state S of zeros.

    Args:
        r, k, v, decay: (T, heads * width); bonus: (heads, width).
    Returns: (T, heads * width).
    """
    r, k, v, decay = (z.reshape(-1, *bonus.shape) for z in (r, k, v, decay))
    state = np.zeros((*bonus.shape, bonus.shape[1]), np.float32)
    out = np.empty_like(r)
    for t in range(len(r)):
        now = k[t][:, :, None] * v[t][:, None, :]
        out[t] = np.einsum("hk,hkv->hv", r[t], bonus[:, :, None] * now + state)
        state = decay[t][:, :, None] * state + now
    return out.reshape(len(r), -1)


def head_norm(net: Net, prefix: str, x: F32, heads: int, eps: float) -> F32:
    """GroupNorm of (T, heads * width), a group per head."""
    gain, offset = (net.vector(f"{prefix}ln_x.{part}", x.shape[1]) for part in ("weight", "bias"))
    return group_norm(x, heads, gain, offset, eps)
