"""A BERT-style encoder in plain NumPy float32 that gives away the operands of each of its matrix products.

Post-LN blocks with learned absolute positions, as ``BertModel`` of Hugging Face; names are those of its modules.
Source: Devlin et al., NAACL 2019 (the model); Hendrycks and Gimpel, arXiv:1606.08415 (GELU, both forms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.tracing.weights import ModelWeights
from simulator.workload import Op

__all__ = ["WEIGHT_PREFIX", "BertConfig", "Captured", "capture", "op_names", "read_config"]

F32 = NDArray[np.float32]
WEIGHT_PREFIX = "bert."  # of checkpoints with a head, such as BertForMaskedLM
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
    max_positions: int
    vocab: int
    segments: int
    eps: float
    activation: str


@dataclass(frozen=True, slots=True)
class Captured:
    """One op with its operands: ``a`` (M, K) or (count, M, K), ``w`` (N, K) or (count, N, K), float32.

    Ops that read the same tensor give it the same name.
    """

    op: Op
    a_name: str
    a: F32
    w_name: str
    w: F32


Step = Generator[Captured, None, F32]  # yields ops, returns the activations after them


def read_config(path: Path, data: dict[str, Any]) -> BertConfig:
    """The parts of a Hugging Face ``config.json`` that the forward pass needs; ``path`` is only for messages.

    Raises: TraceError for a missing key, a wrong number, or a variant that this forward pass does not compute.
    """
    config = BertConfig(
        layers=_positive_int(path, data, "num_hidden_layers"),
        heads=_positive_int(path, data, "num_attention_heads"),
        hidden=_positive_int(path, data, "hidden_size"),
        intermediate=_positive_int(path, data, "intermediate_size"),
        max_positions=_positive_int(path, data, "max_position_embeddings"),
        vocab=_positive_int(path, data, "vocab_size"),
        segments=_positive_int(path, data, "type_vocab_size"),
        eps=_positive_float(path, data, "layer_norm_eps"),
        activation=str(data.get("hidden_act")),
    )
    if config.activation not in _ACTIVATIONS:
        raise TraceError(f"{path}: hidden_act '{config.activation}' is not supported; known: {', '.join(_ACTIVATIONS)}")
    if config.hidden % config.heads:
        raise TraceError(f"{path}: hidden_size {config.hidden} is not a multiple of {config.heads} attention heads")
    position = data.get("position_embedding_type", "absolute")
    if position != "absolute":
        raise TraceError(f"{path}: position_embedding_type '{position}' is not supported; known: absolute")
    if data.get("is_decoder", False):
        raise TraceError(f"{path}: is_decoder is set; only encoders are supported")
    return config


def _positive_int(path: Path, data: dict[str, Any], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TraceError(f"{path}: {key} must be a positive integer, got {value!r}")
    return value


def _positive_float(path: Path, data: dict[str, Any], key: str) -> float:
    value = data.get(key)
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise TraceError(f"{path}: {key} must be a positive number, got {value!r}")
    return value


def op_names(config: BertConfig) -> list[str]:
    """The names of all ops, in the order in which ``capture`` gives them."""
    return [f"encoder.layer.{layer}.{part}" for layer in range(config.layers) for part in _PARTS]


def capture(
    weights: ModelWeights, config: BertConfig, token_ids: Sequence[int], layers: int | None = None
) -> Iterator[Captured]:
    """Run the first ``layers`` layers (default: all) on one sentence and yield every op as it is computed.

    Args:
        token_ids: T ids, special tokens included; segment 0 throughout, no padding.
    Raises: TraceError for an id outside the vocabulary or more tokens than positions.
    """
    x = _embed(weights, config, token_ids)
    for layer in range(config.layers if layers is None else layers):
        x = yield from _attention_block(weights, config, f"encoder.layer.{layer}.attention.", x)
        x = yield from _feed_forward_block(weights, config, f"encoder.layer.{layer}.", x)


def _embed(weights: ModelWeights, config: BertConfig, token_ids: Sequence[int]) -> F32:
    """Token, position and segment-0 embeddings, summed and normalised: (T, hidden)."""
    tokens, d = len(token_ids), config.hidden
    if not 1 <= tokens <= config.max_positions:
        raise TraceError(f"{tokens} tokens do not fit the model's {config.max_positions} positions")
    if max(token_ids) >= config.vocab:
        raise TraceError(f"token id {max(token_ids)} is outside the model's vocabulary of {config.vocab}")
    x = weights.get("embeddings.word_embeddings.weight", (config.vocab, d))[np.asarray(token_ids)]
    x = x + weights.get("embeddings.position_embeddings.weight", (config.max_positions, d))[:tokens]
    x = x + weights.get("embeddings.token_type_embeddings.weight", (config.segments, d))[0]
    return _layer_norm(weights, config, "embeddings.LayerNorm", x)


def _attention_block(weights: ModelWeights, config: BertConfig, prefix: str, x: F32) -> Step:
    """Self-attention of all heads, output projection, residual and LayerNorm: (T, hidden) -> (T, hidden)."""
    d, shared = config.hidden, f"{prefix}self.a"
    q = yield from _linear(weights, f"{prefix}self.query", x, d, shared)
    k = yield from _linear(weights, f"{prefix}self.key", x, d, shared)
    v = yield from _linear(weights, f"{prefix}self.value", x, d, shared)
    scores = yield from _bmm(f"{prefix}qk", _split_heads(q, config.heads), _split_heads(k, config.heads))
    probs = _softmax(scores / np.float32(math.sqrt(d // config.heads)))
    context = yield from _bmm(f"{prefix}pv", probs, _split_heads(v, config.heads).transpose(0, 2, 1))
    y = yield from _linear(weights, f"{prefix}output.dense", _merge_heads(context), d)
    return _layer_norm(weights, config, f"{prefix}output.LayerNorm", y + x)


def _feed_forward_block(weights: ModelWeights, config: BertConfig, prefix: str, x: F32) -> Step:
    """Up-projection, activation, down-projection, residual and LayerNorm: (T, hidden) -> (T, hidden)."""
    up = yield from _linear(weights, f"{prefix}intermediate.dense", x, config.intermediate)
    y = yield from _linear(weights, f"{prefix}output.dense", _ACTIVATIONS[config.activation](up), config.hidden)
    return _layer_norm(weights, config, f"{prefix}output.LayerNorm", y + x)


def _linear(weights: ModelWeights, name: str, x: F32, features: int, a_name: str | None = None) -> Step:
    """``x @ W^T + b``: (T, K) -> (T, features); yields its operands. ``a_name`` defaults to ``name.a``."""
    tokens, k = x.shape
    w = weights.get(f"{name}.weight", (features, k))
    yield Captured(Op(name, tokens, features, k), a_name or f"{name}.a", x, f"{name}.weight", w)
    return x @ w.T + weights.get(f"{name}.bias", (features,))


def _bmm(name: str, a: F32, w: F32) -> Step:
    """``a @ w^T`` head by head: (H, M, K) and (H, N, K) -> (H, M, N); yields its operands."""
    op = Op(name, a.shape[1], w.shape[1], a.shape[2], a.shape[0], "bmm")
    yield Captured(op, f"{name}.a", a, f"{name}.w", w)
    return a @ w.transpose(0, 2, 1)


def _split_heads(x: F32, heads: int) -> F32:
    """(T, heads * d) -> (heads, T, d)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def _merge_heads(x: F32) -> F32:
    """(heads, T, d) -> (T, heads * d)."""
    return np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(x.shape[1], -1)


def _softmax(x: F32) -> F32:
    """Over the last axis, shifted by its maximum."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), dtype=np.float32)


def _layer_norm(weights: ModelWeights, config: BertConfig, name: str, x: F32) -> F32:
    """Over the last axis, population variance, learned gain and offset."""
    gain = weights.get(f"{name}.weight", (config.hidden,))
    offset = weights.get(f"{name}.bias", (config.hidden,))
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(config.eps)) * gain + offset


def _gelu(x: F32) -> F32:
    """``x * Phi(x)``, Phi the normal distribution function, by the error function."""
    out = np.empty(x.size, dtype=np.float32)
    _gelu_kernel(np.ascontiguousarray(x).reshape(-1), out)
    return out.reshape(x.shape)


@njit(cache=True)
def _gelu_kernel(x: F32, out: F32) -> None:  # pragma: no cover (compiled)
    for i in range(x.size):
        out[i] = 0.5 * x[i] * (1.0 + math.erf(x[i] * 0.7071067811865476))


def _gelu_tanh(x: F32) -> F32:
    """The tanh approximation of GELU."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + np.tanh(inner)), dtype=np.float32)


def _relu(x: F32) -> F32:
    return np.maximum(x, np.float32(0))


_ACTIVATIONS: dict[str, Callable[[F32], F32]] = {"gelu": _gelu, "gelu_new": _gelu_tanh, "relu": _relu}
