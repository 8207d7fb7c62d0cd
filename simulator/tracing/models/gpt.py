"""Pre-LN decoders with learned positions and a head tied to the table: GPT-2 and OPT, as Hugging Face names them.

GPT-2 keeps its weights transposed, [K, N], and query, key and value in one.
Sources: Radford et al., OpenAI 2019 (GPT-2); Zhang et al., arXiv:2205.01068 (OPT).
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
from simulator.tracing.net import Net, merge_heads, split_heads
from simulator.tracing.products import F32, Product
from simulator.workload import Op

__all__ = ["GptConfig", "forward", "op_names", "read_gpt2", "read_opt"]


@dataclass(frozen=True, slots=True)
class _Names:
    """What a checkpoint calls its parts. ``qkv``: one weight or three; ``skipped`` rows of the positions' table."""

    layer: str
    qkv: tuple[str, ...]
    out: str
    up: str
    down: str
    norms: tuple[str, str]
    last_norm: str
    table: str
    positions: str
    transposed: bool
    skipped: int


_GPT2 = _Names("h.", ("attn.c_attn",), "attn.c_proj", "mlp.c_fc", "mlp.c_proj", ("ln_1", "ln_2"), "ln_f", "wte", "wpe",
               True, 0)  # fmt: skip
_OPT = _Names(
    "decoder.layers.", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn.out_proj", "fc1", "fc2",
    ("self_attn_layer_norm", "final_layer_norm"), "decoder.final_layer_norm", "decoder.embed_tokens",
    "decoder.embed_positions", False, 2,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GptConfig:
    """Sizes [count]; ``eps`` of the LayerNorms, the name of the activation function, names of the weights."""

    layers: int
    heads: int
    hidden: int
    intermediate: int
    positions: int
    vocab: int
    eps: float
    activation: str
    names: _Names


def read_gpt2(path: Path, data: dict[str, Any]) -> GptConfig:
    """From GPT-2's keys. Raises: TraceError for a wrong number or an unsupported variant."""
    layers, heads, hidden, vocab, positions = (
        positive_int(path, data, key) for key in ("n_layer", "n_head", "n_embd", "vocab_size", "n_positions")
    )
    inner = positive_int(path, data, "n_inner") if data.get("n_inner") is not None else 4 * hidden
    eps = positive_float(path, data, "layer_norm_epsilon", 1e-5)
    activation = str(data.get("activation_function", "gelu_new"))
    config = GptConfig(layers, heads, hidden, inner, positions, vocab, eps, activation, _GPT2)
    usual = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True}
    return _checked(path, data, config, usual)


def read_opt(path: Path, data: dict[str, Any]) -> GptConfig:
    """From OPT's keys. Raises: TraceError for a wrong number or an unsupported variant."""
    keys = (
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_size",
        "ffn_dim",
        "max_position_embeddings",
        "vocab_size",
    )
    layers, heads, hidden, inner, positions, vocab = (positive_int(path, data, key) for key in keys)
    activation = str(data.get("activation_function", "relu"))
    config = GptConfig(layers, heads, hidden, inner, positions, vocab, 1e-5, activation, _OPT)
    usual = {"do_layer_norm_before": True, "word_embed_proj_dim": config.hidden, "enable_bias": True,
             "tie_word_embeddings": True, "_remove_final_layer_norm": False}  # fmt: skip
    return _checked(path, data, config, usual)


def _checked(path: Path, data: dict[str, Any], config: GptConfig, usual: dict[str, Any]) -> GptConfig:
    for key, value in usual.items():
        if data.get(key, value) != value:
            raise TraceError(f"{path}: {key} {data[key]!r} is not supported; known: {value!r}")
    if config.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise TraceError(f"{path}: activation_function '{config.activation}' is not supported; known: {known}")
    if config.hidden % config.heads:
        raise TraceError(f"{path}: {config.heads} heads do not divide the hidden size {config.hidden}")
    return config


def op_names(config: GptConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    n = config.names
    parts = (*n.qkv, "qk", "pv", n.out, n.up, n.down)
    return [f"{n.layer}{layer}.{part}" for layer in range(config.layers) for part in parts] + ["lm_head"]


def forward(net: Net, config: GptConfig, token_ids: np.ndarray) -> F32:
    """Logits (T, vocab) of one text, each token seeing itself and those before it."""
    n, d = config.names, config.hidden
    table = net.weights.get(f"{n.table}.weight", (config.vocab, d))
    places = net.weights.get(f"{n.positions}.weight", (config.positions + n.skipped, d))
    x = table[token_ids] + places[n.skipped : n.skipped + len(token_ids)]
    for layer in range(config.layers):
        prefix = f"{n.layer}{layer}."
        x = x + _attention(net, config, prefix, net.layer_norm(prefix + n.norms[0], x, config.eps))
        up = _linear(net, n, prefix + n.up, net.layer_norm(prefix + n.norms[1], x, config.eps), config.intermediate)
        x = x + _linear(net, n, prefix + n.down, ACTIVATIONS[config.activation](up), d)
    return net.against("lm_head", net.layer_norm(n.last_norm, x, config.eps), f"{n.table}.weight", config.vocab)


def _attention(net: Net, config: GptConfig, prefix: str, x: F32) -> F32:
    """Causal self-attention and its output projection: (T, hidden) -> (T, hidden)."""
    n, d = config.names, config.hidden
    width = 3 * d // len(n.qkv)
    made = [_linear(net, n, prefix + part, x, width, a_name=f"{prefix}attention.a") for part in n.qkv]
    q, k, v = (split_heads(part, config.heads) for part in np.split(np.concatenate(made, axis=1), 3, axis=1))
    scores = net.bmm(f"{prefix}qk", q, k) / np.float32(math.sqrt(d // config.heads))
    future = np.triu(np.full(scores.shape[1:], -np.inf, np.float32), 1)
    context = net.bmm(f"{prefix}pv", softmax(scores + future), v.transpose(0, 2, 1))
    return _linear(net, n, prefix + n.out, merge_heads(context), d)


def _linear(net: Net, names: _Names, name: str, x: F32, features: int, a_name: str | None = None) -> F32:
    """A layer whose weight may lie transposed."""
    if not names.transposed:
        return net.linear(name, x, features, a_name=a_name)
    tokens, k = x.shape
    w = np.ascontiguousarray(net.weights.get(f"{name}.weight", (k, features)).T)
    c = net.multiply(Product(Op(name, tokens, features, k), a_name or f"{name}.a", x, f"{name}.weight", w))
    return c + net.weights.get(f"{name}.bias", (features,))
