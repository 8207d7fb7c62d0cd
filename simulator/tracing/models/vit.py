"""A vision transformer: pre-LN blocks on image patches and a class token, with timm's names (``blocks.0.attn.qkv``).

Sources: Dosovitskiy et al., ICLR 2021 (ViT); Touvron et al., ICML 2021 (DeiT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import TraceError
from simulator.tracing.functions import gelu, softmax
from simulator.tracing.models.fields import positive_float, positive_int
from simulator.tracing.net import Net, merge_heads, split_heads
from simulator.tracing.products import F32

__all__ = ["VitConfig", "forward", "op_names", "read_config"]

_PARTS = ("attn.qkv", "attn.qk", "attn.pv", "attn.proj", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True, slots=True)
class VitConfig:
    """Sizes [count], of images and patches [pixel]; ``eps`` of the LayerNorms."""

    layers: int
    heads: int
    hidden: int
    patch: int
    image: int
    classes: int
    eps: float


def read_config(path: Path, data: dict[str, Any]) -> VitConfig:
    """From ``embed_dim, depth, num_heads, patch_size, img_size, num_classes, norm_eps``. Raises: TraceError."""
    config = VitConfig(
        layers=positive_int(path, data, "depth"),
        heads=positive_int(path, data, "num_heads"),
        hidden=positive_int(path, data, "embed_dim"),
        patch=positive_int(path, data, "patch_size"),
        image=positive_int(path, data, "img_size"),
        classes=positive_int(path, data, "num_classes"),
        eps=positive_float(path, data, "norm_eps", 1e-6),
    )
    if config.hidden % config.heads or config.image % config.patch:
        raise TraceError(
            f"{path}: {config.heads} heads must divide embed_dim {config.hidden}, and patches of {config.patch} "
            f"images of {config.image} pixels"
        )
    return config


def op_names(config: VitConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    blocks = [f"blocks.{layer}.{part}" for layer in range(config.layers) for part in _PARTS]
    return ["patch_embed.proj", *blocks, "head"]


def forward(net: Net, config: VitConfig, image: F32) -> F32:
    """Logits (1, classes) of an image (1, 3, size, size)."""
    patches = net.conv("patch_embed.proj", image, config.hidden, config.patch, stride=config.patch)
    x = np.ascontiguousarray(patches.reshape(config.hidden, -1).T)
    x = np.concatenate([net.weights.flat("cls_token", config.hidden)[None], x])
    x = x + net.weights.get("pos_embed", (1, *x.shape))[0]
    for layer in range(config.layers):
        x = x + _attention(net, config, f"blocks.{layer}.", x)
        x = x + _feed_forward(net, config, f"blocks.{layer}.", x)
    return net.linear("head", net.layer_norm("norm", x, config.eps)[:1], config.classes)


def _attention(net: Net, config: VitConfig, prefix: str, x: F32) -> F32:
    """Self-attention of the normalised x and its output projection: (T, hidden) -> (T, hidden)."""
    qkv = net.linear(f"{prefix}attn.qkv", net.layer_norm(f"{prefix}norm1", x, config.eps), 3 * config.hidden)
    q, k, v = (split_heads(part, config.heads) for part in np.split(qkv, 3, axis=1))
    probs = softmax(net.bmm(f"{prefix}attn.qk", q, k) / np.float32(math.sqrt(config.hidden // config.heads)))
    context = net.bmm(f"{prefix}attn.pv", probs, v.transpose(0, 2, 1))
    return net.linear(f"{prefix}attn.proj", merge_heads(context), config.hidden)


def _feed_forward(net: Net, config: VitConfig, prefix: str, x: F32) -> F32:
    """MLP of the normalised x, as wide as the file has it: (T, hidden) -> (T, hidden)."""
    width = net.weights.shape(f"{prefix}mlp.fc1.weight")[0]
    up = net.linear(f"{prefix}mlp.fc1", net.layer_norm(f"{prefix}norm2", x, config.eps), width)
    return net.linear(f"{prefix}mlp.fc2", gelu(up), config.hidden)
