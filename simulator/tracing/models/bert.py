"""A BERT-style encoder: post-LN blocks with learned absolute positions, as ``BertModel`` of Hugging Face names them.

Source: Devlin et al., NAACL 2019.
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

__all__ = ["PREFIX", "BertConfig", "forward", "op_names", "read_config"]

PREFIX = "bert."  # of checkpoints with a head, such as BertForMaskedLM
_PARTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.qk",
    "attention.pv",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Sizes of the encoder [count], ``eps`` of its LayerNorms, the name of its activation function."""

    layers: int
    heads: int
    hidden: int
    intermediate: int
    positions: int
    vocab: int
    segments: int
    eps: float
    activation: str


def read_config(path: Path, data: dict[str, Any]) -> BertConfig:
    """The parts of a Hugging Face ``config.json`` that the forward pass needs; ``path`` is only for messages.

    Raises: TraceError for a missing key, a wrong number, or a variant that this forward pass does not compute.
    """
    config = BertConfig(
        layers=positive_int(path, data, "num_hidden_layers"),
        heads=positive_int(path, data, "num_attention_heads"),
        hidden=positive_int(path, data, "hidden_size"),
        intermediate=positive_int(path, data, "intermediate_size"),
        positions=positive_int(path, data, "max_position_embeddings"),
        vocab=positive_int(path, data, "vocab_size"),
        segments=positive_int(path, data, "type_vocab_size"),
        eps=positive_float(path, data, "layer_norm_eps"),
        activation=str(data.get("hidden_act")),
    )
    if config.activation not in ACTIVATIONS:
        raise TraceError(f"{path}: hidden_act '{config.activation}' is not supported; known: {', '.join(ACTIVATIONS)}")
    if config.hidden % config.heads:
        raise TraceError(f"{path}: hidden_size {config.hidden} is not a multiple of {config.heads} attention heads")
    position = data.get("position_embedding_type", "absolute")
    if position != "absolute":
        raise TraceError(f"{path}: position_embedding_type '{position}' is not supported; known: absolute")
    if data.get("is_decoder", False):
        raise TraceError(f"{path}: is_decoder is set; only encoders are supported")
    return config


def op_names(config: BertConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    return [f"encoder.layer.{layer}.{part}" for layer in range(config.layers) for part in _PARTS]


def forward(net: Net, config: BertConfig, token_ids: np.ndarray) -> F32:
    """The last hidden state (T, hidden) of one sentence; segment 0 throughout, no padding."""
    x = _embed(net, config, token_ids)
    for layer in range(config.layers):
        x = _attention_block(net, config, f"encoder.layer.{layer}.attention.", x)
        x = _feed_forward_block(net, config, f"encoder.layer.{layer}.", x)
    return x


def _embed(net: Net, config: BertConfig, token_ids: np.ndarray) -> F32:
    """Token, position and segment-0 embeddings, summed and normalised: (T, hidden)."""
    d, get = config.hidden, net.weights.get
    x = get("embeddings.word_embeddings.weight", (config.vocab, d))[token_ids]
    x = x + get("embeddings.position_embeddings.weight", (config.positions, d))[: len(token_ids)]
    x = x + get("embeddings.token_type_embeddings.weight", (config.segments, d))[0]
    return net.layer_norm("embeddings.LayerNorm", x, config.eps)


def _attention_block(net: Net, config: BertConfig, prefix: str, x: F32) -> F32:
    """Self-attention of all heads, output projection, residual and LayerNorm: (T, hidden) -> (T, hidden)."""
    d, heads = config.hidden, config.heads
    q, k, v = (
        split_heads(net.linear(f"{prefix}self.{part}", x, d, a_name=f"{prefix}self.a"), heads)
        for part in ("query", "key", "value")
    )
    probs = softmax(net.bmm(f"{prefix}qk", q, k) / np.float32(math.sqrt(d // heads)))
    context = merge_heads(net.bmm(f"{prefix}pv", probs, v.transpose(0, 2, 1)))
    y = net.linear(f"{prefix}output.dense", context, d)
    return net.layer_norm(f"{prefix}output.LayerNorm", y + x, config.eps)


def _feed_forward_block(net: Net, config: BertConfig, prefix: str, x: F32) -> F32:
    """Up-projection, activation, down-projection, residual and LayerNorm: (T, hidden) -> (T, hidden)."""
    up = net.linear(f"{prefix}intermediate.dense", x, config.intermediate)
    y = net.linear(f"{prefix}output.dense", ACTIVATIONS[config.activation](up), config.hidden)
    return net.layer_norm(f"{prefix}output.LayerNorm", y + x, config.eps)
