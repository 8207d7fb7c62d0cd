"""BLOOM, as Hugging Face names it: LayerNorm behind the table, no positions but a slope per head (ALiBi), and query,
key and value in one weight, head by head.

Sources: BigScience, arXiv:2211.05100, section 3.2 (the model); Press et al., ICLR 2022 (ALiBi).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import TraceError
from simulator.tracing.functions import ACTIVATIONS, softmax
from simulator.tracing.models.fields import positive_float, positive_int
from simulator.tracing.net import Net, merge_heads
from simulator.tracing.products import F32

__all__ = ["BloomConfig", "forward", "op_names", "read_config", "slopes"]

_PARTS = (
    *("self_attention.query_key_value", "qk", "pv", "self_attention.dense"),
    *("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
)


@dataclass(frozen=True, slots=True)
class BloomConfig:
    """Sizes [count]; ``eps`` of the LayerNorms."""

    layers: int
    heads: int
    hidden: int
    vocab: int
    eps: float


def read_config(path: Path, data: dict[str, Any]) -> BloomConfig:
    """From BLOOM's keys, older ones as well. Raises: TraceError for a wrong number or an unsupported variant."""
    older = {"n_head": "num_attention_heads", "hidden_size": "n_embed"}
    keys = ("n_layer", "n_head", "hidden_size", "vocab_size")
    layers, heads, hidden, vocab = (
        positive_int(path, data, key if key in data else older.get(key, key)) for key in keys
    )
    config = BloomConfig(layers, heads, hidden, vocab, positive_float(path, data, "layer_norm_epsilon", 1e-5))
    usual = {"apply_residual_connection_post_layernorm": False, "tie_word_embeddings": True}
    for key, value in usual.items():
        if data.get(key, value) != value:
            raise TraceError(f"{path}: {key} {data[key]!r} is not supported; known: {value!r}")
    if config.hidden % config.heads:
        raise TraceError(f"{path}: {config.heads} heads do not divide the hidden size {config.hidden}")
    return config


def op_names(config: BloomConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    return [f"h.{layer}.{part}" for layer in range(config.layers) for part in _PARTS] + ["lm_head"]


def slopes(heads: int) -> F32:
    """What each head takes off per position of distance: powers of ``2^(-8/n)``, n a power of two; for further heads
    every second one of twice as many (Press et al., section 3; their released code for other numbers).
    """
    whole = 1 << (heads.bit_length() - 1)
    first = [2 ** (-8 * i / whole) for i in range(1, whole + 1)]
    more = [2 ** (-4 * i / whole) for i in range(1, 2 * (heads - whole), 2)]
    return np.array([*first, *more], np.float32)


def forward(net: Net, config: BloomConfig, token_ids: np.ndarray) -> F32:
    """Logits (T, vocab) of one text, each token seeing itself and those before it."""
    d, eps = config.hidden, config.eps
    table = net.weights.get("word_embeddings.weight", (config.vocab, d))
    x = net.layer_norm("word_embeddings_layernorm", table[token_ids], eps)
    for layer in range(config.layers):
        prefix = f"h.{layer}."
        x = x + _attention(net, config, prefix, net.layer_norm(f"{prefix}input_layernorm", x, eps))
        z = net.layer_norm(f"{prefix}post_attention_layernorm", x, eps)
        up = ACTIVATIONS["gelu_new"](net.linear(f"{prefix}mlp.dense_h_to_4h", z, 4 * d))
        x = x + net.linear(f"{prefix}mlp.dense_4h_to_h", up, d)
    return net.against("lm_head", net.layer_norm("ln_f", x, eps), "word_embeddings.weight", config.vocab)


def _attention(net: Net, config: BloomConfig, prefix: str, x: F32) -> F32:
    """Causal self-attention and its output projection: (T, hidden) -> (T, hidden)."""
    tokens, d = x.shape
    width = d // config.heads
    fused = net.linear(f"{prefix}self_attention.query_key_value", x, 3 * d)
    q, k, v = (part.transpose(1, 0, 2) for part in np.moveaxis(fused.reshape(tokens, config.heads, 3, width), 2, 0))
    scores = net.bmm(f"{prefix}qk", q, k) / np.float32(math.sqrt(width))
    nearness = slopes(config.heads)[:, None, None] * np.arange(tokens, dtype=np.float32)
    future = np.triu(np.full(scores.shape[1:], -np.inf, np.float32), 1)
    seen = (scores + nearness + future).astype(np.float32)
    context = net.bmm(f"{prefix}pv", softmax(seen), v.transpose(0, 2, 1))
    return net.linear(f"{prefix}self_attention.dense", merge_heads(context), d)
