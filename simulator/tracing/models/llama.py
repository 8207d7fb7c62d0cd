"""A Llama-style decoder: pre-RMSNorm blocks, rotary positions, grouped key and value heads, gated FFN.

Reads checkpoints with Meta's names (``layers.0.attention.wq``, also of llama2.c) and Hugging Face's
(``model.layers.0.self_attn.q_proj``), which order each head's rotated pairs differently. Key and value heads are
repeated for the query heads that share them, as the products read them.
Sources: Touvron et al., arXiv:2302.13971; Su et al., arXiv:2104.09864 (rotary); Ainslie et al., EMNLP 2023 (groups).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import TraceError
from simulator.tracing.functions import rms_norm, silu, softmax
from simulator.tracing.models.fields import positive_float, positive_int
from simulator.tracing.net import Net, merge_heads, split_heads
from simulator.tracing.products import F32

__all__ = ["LlamaConfig", "forward", "op_names", "read_config"]


@dataclass(frozen=True, slots=True)
class _Names:
    """What a checkpoint calls its modules, and its keys in ``config.json``."""

    layer: str
    q: str
    k: str
    v: str
    o: str
    gate: str
    up: str
    down: str
    attention_norm: str
    ffn_norm: str
    norm: str
    embedding: str
    head: str
    keys: tuple[str, ...]  # of layers, heads, hidden, intermediate, positions, norm eps


_META = _Names(
    "layers.", "attention.wq", "attention.wk", "attention.wv", "attention.wo",
    "feed_forward.w1", "feed_forward.w3", "feed_forward.w2", "attention_norm", "ffn_norm",
    "norm", "tok_embeddings", "output",
    ("n_layers", "n_heads", "dim", "hidden_dim", "max_seq_len", "norm_eps"),
)  # fmt: skip
_HF = _Names(
    "model.layers.", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm",
    "model.norm", "model.embed_tokens", "lm_head",
    ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size", "max_position_embeddings",
     "rms_norm_eps"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Sizes of the decoder [count], ``eps`` of its norms, base of its rotary angles, names of its weights.

    Attributes:
        interleaved: rotated pairs are neighbours (Meta), not the two halves of a head (Hugging Face).
        tied: the head is the embedding.
    """

    layers: int
    heads: int
    kv_heads: int
    hidden: int
    intermediate: int
    positions: int
    vocab: int
    eps: float
    theta: float
    tied: bool
    interleaved: bool
    names: _Names

    @property
    def width(self) -> int:
        """Values of a head."""
        return self.hidden // self.heads


def read_config(path: Path, data: dict[str, Any]) -> LlamaConfig:
    """From Meta's or Hugging Face's keys. Raises: TraceError for a wrong number or an unsupported variant."""
    names = _META if "dim" in data else _HF
    layers, heads, hidden, intermediate, positions = (positive_int(path, data, key) for key in names.keys[:5])
    config = LlamaConfig(
        layers=layers,
        heads=heads,
        kv_heads=positive_int(path, data, "n_kv_heads" if names is _META else "num_key_value_heads", heads),
        hidden=hidden,
        intermediate=intermediate,
        positions=positions,
        vocab=positive_int(path, data, "vocab_size"),
        eps=positive_float(path, data, names.keys[5]),
        theta=positive_float(path, data, "rope_theta", 10000.0),
        tied=bool(data.get("tie_embeddings", data.get("tie_word_embeddings", False))),
        interleaved=names is _META,
        names=names,
    )
    if config.hidden % config.heads or config.width % 2 or config.heads % config.kv_heads:
        raise TraceError(
            f"{path}: {config.hidden} values do not make {config.heads} heads of an even width, "
            f"shared by {config.kv_heads} key and value heads"
        )
    for key, usual in (("hidden_act", "silu"), ("rope_scaling", None), ("head_dim", config.width)):
        if data.get(key, usual) != usual:
            raise TraceError(f"{path}: {key} {data[key]!r} is not supported; known: {usual!r}")
    return config


def op_names(config: LlamaConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    n = config.names
    parts = (n.q, n.k, n.v, "qk", "pv", n.o, n.gate, n.up, n.down)
    return [f"{n.layer}{layer}.{part}" for layer in range(config.layers) for part in parts] + [n.head]


def forward(net: Net, config: LlamaConfig, token_ids: np.ndarray) -> F32:
    """Logits (T, vocab) of one text, each token seeing itself and those before it."""
    names = config.names
    embedding = net.weights.get(f"{names.embedding}.weight", (config.vocab, config.hidden))
    x, angles = embedding[token_ids], _angles(config, len(token_ids))
    for layer in range(config.layers):
        prefix = f"{names.layer}{layer}."
        x = x + _attention(net, config, prefix, x, angles)
        x = x + _feed_forward(net, config, prefix, x)
    x = _norm(net, config, names.norm, x)
    return net.linear(names.head, x, config.vocab, key=names.embedding if config.tied else None)


def _attention(net: Net, config: LlamaConfig, prefix: str, x: F32, angles: F32) -> F32:
    """Causal self-attention of the normalised x and its output projection: (T, hidden) -> (T, hidden)."""
    n, shared, kv = config.names, f"{prefix}attention.a", config.kv_heads * config.width
    x = _norm(net, config, prefix + n.attention_norm, x)
    q = split_heads(net.linear(prefix + n.q, x, config.hidden, a_name=shared), config.heads)
    k = split_heads(net.linear(prefix + n.k, x, kv, a_name=shared), config.kv_heads)
    v = split_heads(net.linear(prefix + n.v, x, kv, a_name=shared), config.kv_heads)
    q, k = (_rotated(z, angles, config.interleaved) for z in (q, k))
    k, v = (np.repeat(z, config.heads // config.kv_heads, axis=0) for z in (k, v))
    scores = net.bmm(f"{prefix}qk", q, k) / np.float32(math.sqrt(config.width))
    future = np.triu(np.full(scores.shape[1:], -np.inf, np.float32), 1)
    context = net.bmm(f"{prefix}pv", softmax(scores + future), v.transpose(0, 2, 1))
    return net.linear(prefix + n.o, merge_heads(context), config.hidden)


def _feed_forward(net: Net, config: LlamaConfig, prefix: str, x: F32) -> F32:
    """``down(silu(gate(x)) * up(x))`` of the normalised x: (T, hidden) -> (T, hidden)."""
    n, shared = config.names, f"{prefix}ffn.a"
    x = _norm(net, config, prefix + n.ffn_norm, x)
    gate = net.linear(prefix + n.gate, x, config.intermediate, a_name=shared)
    up = net.linear(prefix + n.up, x, config.intermediate, a_name=shared)
    return net.linear(prefix + n.down, silu(gate) * up, config.hidden)


def _norm(net: Net, config: LlamaConfig, name: str, x: F32) -> F32:
    return rms_norm(x, net.weights.get(f"{name}.weight", (config.hidden,)), config.eps)


def _angles(config: LlamaConfig, tokens: int) -> F32:
    """Rotation of each pair of a head at each position (T, width / 2) [rad]."""
    rates = config.theta ** (-np.arange(0, config.width, 2) / config.width)
    return np.outer(np.arange(tokens), rates).astype(np.float32)


def _rotated(x: F32, angles: F32, interleaved: bool) -> F32:
    """Each pair of values of (heads, T, d) turned by its angle."""
    pairs = (
        (slice(0, None, 2), slice(1, None, 2))
        if interleaved
        else (slice(0, x.shape[-1] // 2), slice(x.shape[-1] // 2, None))
    )
    first, second = x[..., pairs[0]], x[..., pairs[1]]
    out = np.empty_like(x)
    out[..., pairs[0]] = first * np.cos(angles) - second * np.sin(angles)
    out[..., pairs[1]] = first * np.sin(angles) + second * np.cos(angles)
    return out
