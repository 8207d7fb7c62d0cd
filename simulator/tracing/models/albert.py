"""ALBERT with its masked-language head: an encoder whose layers share one block, after a factorised embedding.

Weights as ``AlbertForMaskedLM`` of Hugging Face names them. Source: Lan et al., ICLR 2020.
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
from simulator.tracing.products import F32

__all__ = ["AlbertConfig", "forward", "op_names", "read_config"]

_BLOCK = "albert.encoder.albert_layer_groups.0.albert_layers.0."
_INTO = "albert.encoder.embedding_hidden_mapping_in"
_PARTS = ("query", "key", "value", "qk", "pv", "dense", "ffn", "ffn_output")


@dataclass(frozen=True, slots=True)
class AlbertConfig:
    """Sizes [count]; ``eps`` of the LayerNorms, the name of the activation function."""

    layers: int
    heads: int
    hidden: int
    intermediate: int
    embedding: int
    positions: int
    vocab: int
    segments: int
    eps: float
    activation: str


def read_config(path: Path, data: dict[str, Any]) -> AlbertConfig:
    """From a Hugging Face ``config.json``. Raises: TraceError for a wrong number or an unsupported variant."""
    config = AlbertConfig(
        layers=positive_int(path, data, "num_hidden_layers"),
        heads=positive_int(path, data, "num_attention_heads"),
        hidden=positive_int(path, data, "hidden_size"),
        intermediate=positive_int(path, data, "intermediate_size"),
        embedding=positive_int(path, data, "embedding_size"),
        positions=positive_int(path, data, "max_position_embeddings"),
        vocab=positive_int(path, data, "vocab_size"),
        segments=positive_int(path, data, "type_vocab_size"),
        eps=positive_float(path, data, "layer_norm_eps", 1e-12),
        activation=str(data.get("hidden_act")),
    )
    if config.activation not in ACTIVATIONS:
        raise TraceError(f"{path}: hidden_act '{config.activation}' is not supported; known: {', '.join(ACTIVATIONS)}")
    if config.hidden % config.heads:
        raise TraceError(f"{path}: hidden_size {config.hidden} is not a multiple of {config.heads} attention heads")
    for key in ("num_hidden_groups", "inner_group_num"):
        if data.get(key, 1) != 1:
            raise TraceError(f"{path}: {key} {data[key]!r} is not supported; known: 1")
    return config


def op_names(config: AlbertConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    layers = [f"layer.{layer}.{part}" for layer in range(config.layers) for part in _PARTS]
    return [_INTO, *layers, "predictions.dense", "predictions.decoder"]


def forward(net: Net, config: AlbertConfig, token_ids: np.ndarray) -> F32:
    """Logits (T, vocab) of the token at each place; segment 0 throughout, no padding."""
    activation = ACTIVATIONS[config.activation]
    x = net.linear(_INTO, _embed(net, config, token_ids), config.hidden)
    for layer in range(config.layers):
        prefix = f"layer.{layer}."
        y = _attention(net, config, prefix, x)
        x = net.layer_norm(f"{_BLOCK}attention.LayerNorm", y + x, config.eps)
        up = net.linear(f"{prefix}ffn", x, config.intermediate, key=f"{_BLOCK}ffn")
        y = net.linear(f"{prefix}ffn_output", activation(up), config.hidden, key=f"{_BLOCK}ffn_output")
        x = net.layer_norm(f"{_BLOCK}full_layer_layer_norm", y + x, config.eps)
    x = activation(net.linear("predictions.dense", x, config.embedding))
    return net.linear("predictions.decoder", net.layer_norm("predictions.LayerNorm", x, config.eps), config.vocab)


def _embed(net: Net, config: AlbertConfig, token_ids: np.ndarray) -> F32:
    """Token, position and segment-0 embeddings, summed and normalised: (T, embedding)."""
    names = {"word": config.vocab, "position": config.positions, "token_type": config.segments}
    tables = (net.weights.get(f"albert.embeddings.{n}_embeddings.weight", (size, config.embedding))
              for n, size in names.items())  # fmt: skip
    word, position, segment = tables
    x = word[token_ids] + position[: len(token_ids)] + segment[0]
    return net.layer_norm("albert.embeddings.LayerNorm", x, config.eps)


def _attention(net: Net, config: AlbertConfig, prefix: str, x: F32) -> F32:
    """Self-attention of all heads and its output projection: (T, hidden) -> (T, hidden)."""
    keys, d = f"{_BLOCK}attention.", config.hidden
    q, k, v = (
        split_heads(net.linear(prefix + part, x, d, a_name=f"{prefix}attention.a", key=keys + part), config.heads)
        for part in ("query", "key", "value")
    )
    probs = softmax(net.bmm(f"{prefix}qk", q, k) / np.float32(math.sqrt(d // config.heads)))
    context = merge_heads(net.bmm(f"{prefix}pv", probs, v.transpose(0, 2, 1)))
    return net.linear(f"{prefix}dense", context, d, key=f"{keys}dense")
