"""RWKV language models, versions 5.2, 6 and 7: token shift, a recurrence over a matrix per head, gated feed-forward.

Names are those of the published checkpoints (``blocks.0.att.receptance.weight``); ``time_decay`` of version 5 is read
as rwkv.cpp stores it, ``exp(-exp(w))``. The recurrence works on one token after another and is no matrix product.
Sources: Peng et al., arXiv:2404.05892 (5 and 6); Peng et al., arXiv:2503.14456 (7).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import TraceError
from simulator.tracing.functions import relu, sigmoid
from simulator.tracing.models import rwkv5, rwkv6, rwkv7
from simulator.tracing.models.fields import positive_int
from simulator.tracing.models.rwkv_parts import shifted
from simulator.tracing.net import Net
from simulator.tracing.products import F32

__all__ = ["RwkvConfig", "forward", "op_names", "read_config"]

_EPS = 1e-5
_TIME_MIX = {5: rwkv5, 6: rwkv6, 7: rwkv7}


@dataclass(frozen=True, slots=True)
class RwkvConfig:
    """Version, sizes [count], and whether texts are read as UTF-16-BE bytes instead of UTF-8."""

    version: int
    layers: int
    hidden: int
    vocab: int
    utf16: bool


def read_config(path: Path, data: dict[str, Any]) -> RwkvConfig:
    """From ``version, n_layer, n_embed, vocab_size, tokenizer``. Raises: TraceError for what is not computed here."""
    config = RwkvConfig(
        version=positive_int(path, data, "version"),
        layers=positive_int(path, data, "n_layer"),
        hidden=positive_int(path, data, "n_embed"),
        vocab=positive_int(path, data, "vocab_size"),
        utf16="UTF-16-BE" in str(data.get("tokenizer", "")),
    )
    if config.version not in _TIME_MIX:
        known = ", ".join(map(str, _TIME_MIX))
        raise TraceError(f"{path}: RWKV version {config.version} is not supported; known: {known}")
    if config.vocab != 256:
        raise TraceError(f"{path}: vocab_size {config.vocab} is not supported; known: 256 (bytes)")
    return config


def op_names(config: RwkvConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    names = []
    for layer in range(config.layers):
        parts = _TIME_MIX[config.version].op_names(layer)
        names += [f"blocks.{layer}.att.{part}" for part in parts]
        names += [f"blocks.{layer}.ffn.{part}" for part in ("key", "value")]
        names += [f"blocks.{layer}.ffn.receptance"] if config.version < 7 else []
    return [*names, "head"]


def forward(net: Net, config: RwkvConfig, token_ids: np.ndarray) -> F32:
    """Logits (T, 256) of one text."""
    x = net.weights.get("emb.weight", (config.vocab, config.hidden))[token_ids]
    x = net.layer_norm("blocks.0.ln0", x, _EPS)
    time_mix = _TIME_MIX[config.version]
    first_value: F32 | None = None
    for layer in range(config.layers):
        block = f"blocks.{layer}."
        y, value = time_mix.time_mix(net, f"{block}att.", net.layer_norm(f"{block}ln1", x, _EPS), first_value)
        first_value = value if first_value is None else first_value
        x = x + y
        x = x + _channel_mix(net, config, f"{block}ffn.", net.layer_norm(f"{block}ln2", x, _EPS))
    return net.linear("head", net.layer_norm("ln_out", x, _EPS), config.vocab)


def _channel_mix(net: Net, config: RwkvConfig, prefix: str, x: F32) -> F32:
    """Squared-ReLU feed-forward of the shifted x, gated by the receptance before version 7."""
    xk = shifted(net, x, prefix, "k", config.version)
    width = net.weights.shape(f"{prefix}key.weight")[0]
    hidden = np.square(relu(net.linear(f"{prefix}key", xk, width)))
    y = net.linear(f"{prefix}value", hidden, config.hidden)
    if config.version == 7:
        return y
    xr = shifted(net, x, prefix, "r", config.version)
    return sigmoid(net.linear(f"{prefix}receptance", xr, config.hidden)) * y
