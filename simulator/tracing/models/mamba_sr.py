"""A super-resolution network of Mamba blocks (DVMSR): convolutions around selective scans over the pixels of a map.

The scan works on one pixel after another and is no matrix product; its causal convolution, one filter per channel, is.
Sources: Gu and Dao, arXiv:2312.00752 (Mamba); Lei et al., CVPR workshops 2024, arXiv:2405.03008 (DVMSR).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.tracing.functions import silu, softplus
from simulator.tracing.models.fields import positive_int
from simulator.tracing.net import Net
from simulator.tracing.products import F32, Product
from simulator.workload import Op

__all__ = ["MambaSrConfig", "forward", "op_names", "read_config"]

_EPS = 1e-5
_MEAN = np.array([0.4488, 0.4371, 0.4040], np.float32)[:, None, None]  # of DIV2K, as in the released code
_PARTS = ("in_proj", "conv1d", "x_proj", "dt_proj", "out_proj")


@dataclass(frozen=True, slots=True)
class MambaSrConfig:
    """Sizes [count]; ``upscale`` in each direction."""

    stages: int
    blocks: int
    hidden: int
    inner: int
    state: int
    rank: int
    taps: int
    upscale: int


def read_config(path: Path, data: dict[str, Any]) -> MambaSrConfig:
    """From ``stages, blocks_per_stage, embed_dim, d_inner, d_state, dt_rank, d_conv, upscale``. Raises: TraceError."""
    keys = ("stages", "blocks_per_stage", "embed_dim", "d_inner", "d_state", "dt_rank", "d_conv", "upscale")
    return MambaSrConfig(*(positive_int(path, data, key) for key in keys))


def op_names(config: MambaSrConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    names = ["conv_first"]
    for stage in range(config.stages):
        blocks = (f"layers.{stage}.residual_group.blocks.{i}.mixer." for i in range(config.blocks))
        names += [block + part for block in blocks for part in _PARTS]
        names.append(f"layers.{stage}.conv")
    return [*names, "conv_after_body", "upsample.0"]


def forward(net: Net, config: MambaSrConfig, image: F32) -> F32:
    """An image (1, 3, H, W), 0 to 1, ``upscale`` times as large."""
    first = net.conv("conv_first", image - _MEAN, config.hidden, 3, padding=1)
    x = net.layer_norm("patch_embed.norm", _tokens(first), _EPS)
    for stage in range(config.stages):
        y = x
        for i in range(config.blocks):
            block = f"layers.{stage}.residual_group.blocks.{i}."
            y = _mamba(net, config, f"{block}mixer.", net.layer_norm(f"{block}norm", y, _EPS))
        y = net.conv(f"layers.{stage}.conv", _map(y, first.shape), config.hidden, 3, padding=1)
        x = _tokens(y) + x
    body = _map(net.layer_norm("norm_f", x, _EPS), first.shape)
    body = net.conv("conv_after_body", body, config.hidden, 3, padding=1) + first
    out = net.conv("upsample.0", body, 3 * config.upscale**2, 3, padding=1)
    return _spread(out, config.upscale) + _MEAN


def _mamba(net: Net, config: MambaSrConfig, prefix: str, x: F32) -> F32:
    """One Mamba block without its norm and residual: (T, hidden) -> (T, hidden)."""
    inner, state, rank = config.inner, config.state, config.rank
    u, gate = np.split(net.linear(f"{prefix}in_proj", x, 2 * inner), 2, axis=1)
    u = silu(_causal_conv(net, f"{prefix}conv1d", u, config.taps))
    parts = net.linear(f"{prefix}x_proj", u, rank + 2 * state)
    low, b, c = np.split(parts, [rank, rank + state], axis=1)
    step = softplus(net.linear(f"{prefix}dt_proj", np.ascontiguousarray(low), inner))
    rates = -np.exp(net.weights.get(f"{prefix}A_log", (inner, state)))
    y = _scan(u, step, rates, b, c) + u * net.vector(f"{prefix}D", inner)
    return net.linear(f"{prefix}out_proj", y * silu(gate), config.hidden)


def _causal_conv(net: Net, name: str, x: F32, taps: int) -> F32:
    """Each channel of (T, D) with its own filter over its last ``taps`` values."""
    padded = np.pad(x, ((taps - 1, 0), (0, 0)))
    windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, taps, axis=0).transpose(1, 0, 2))
    op = Op(name, len(x), 1, taps, x.shape[1], "conv")
    w = net.weights.get(f"{name}.weight", (x.shape[1], 1, taps))
    product = Product(op, f"{name}.a", windows, f"{name}.weight", w, x.shape)
    return net.multiply(product)[:, :, 0].T + net.vector(f"{name}.bias", x.shape[1])


def _scan(u: F32, step: F32, rates: F32, b: F32, c: F32) -> F32:
    """``h = exp(step rates) h + step u b``, ``y = h c``, token after token: u, step (T, D), b, c (T, N) -> (T, D)."""
    h, out = np.zeros_like(rates), np.empty_like(u)
    for t in range(len(u)):
        h = np.exp(step[t][:, None] * rates) * h + (step[t] * u[t])[:, None] * b[t]
        out[t] = h @ c[t]
    return out


def _tokens(x: F32) -> F32:
    """(1, C, H, W) -> (H * W, C)."""
    return np.ascontiguousarray(x.reshape(x.shape[1], -1).T)


def _map(x: F32, shape: tuple[int, ...]) -> F32:
    """(H * W, C) -> (1, C, H, W)."""
    return x.T.reshape(shape)


def _spread(x: F32, upscale: int) -> F32:
    """Pixel shuffle: (1, C s^2, H, W) -> (1, C, s H, s W)."""
    _, channels, height, width = x.shape
    blocks = x.reshape(-1, upscale, upscale, height, width).transpose(0, 3, 1, 4, 2)
    return blocks.reshape(1, channels // upscale**2, height * upscale, width * upscale)
