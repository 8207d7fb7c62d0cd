"""Models whose forward passes are written here, one file per architecture, by what ``config.json`` calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from simulator.tracing.models import albert, bert, bloom, gpt, llama, mamba_sr, resnet_cifar, rwkv, vit
from simulator.tracing.net import Net
from simulator.tracing.products import F32

__all__ = ["ARCHITECTURES", "Architecture", "Image"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of ImageNet, as torchvision has them


@dataclass(frozen=True, slots=True)
class Image:
    """What images a model takes: their side [pixel], None for any; mean and deviation of its colours, of 0 to 1."""

    side: Callable[[Any], int | None]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A forward pass and what it needs.

    Attributes:
        reads: token ids, bytes of a text, or an image.
        gives: embeddings of tokens, logits of the next token, of each place's token or of classes, or an image.
        read_config: ``config.json`` (path for messages, parsed) to the record that the others take.
        op_names: names of all ops, in order.
        forward: outputs of one input.
        behind: end of an op's name -> kinds of the passes behind it, besides ``dequantise`` and ``bias``.
        prefix: tried before every weight's name.
        image: if it reads images.
    """

    reads: Literal["tokens", "bytes", "image"]
    gives: Literal["embeddings", "next_token", "tokens", "classes", "image"]
    read_config: Callable[[Path, dict[str, Any]], Any]
    op_names: Callable[[Any], list[str]]
    forward: Callable[[Net, Any, np.ndarray], F32]
    behind: Callable[[Any], dict[str, tuple[str, ...]]] = field(default=lambda config: {})
    prefix: str = ""
    image: Image | None = None


_GELU = {"gelu": "gelu", "gelu_new": "gelu", "relu": "relu"}
_RMS, _LAYER = ("residual", "rms_norm"), ("residual", "layer_norm")


def _decoder(config: gpt.GptConfig) -> dict[str, tuple[str, ...]]:
    n = config.names
    return {".qk": ("softmax",), n.out: _LAYER, n.up: (_GELU[config.activation],), n.down: _LAYER}


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(
        "tokens", "embeddings", bert.read_config, bert.op_names, bert.forward,
        lambda c: {".qk": ("softmax",), "intermediate.dense": (_GELU[c.activation],), "output.dense": _LAYER},
        prefix=bert.PREFIX,
    ),
    "llama": Architecture(
        "tokens", "next_token", llama.read_config, llama.op_names, llama.forward,
        lambda c: {".qk": ("softmax",), c.names.o: _RMS, c.names.gate: ("silu",), c.names.down: _RMS},
    ),
    "gpt2": Architecture(
        "tokens", "next_token", gpt.read_gpt2, gpt.op_names, gpt.forward, _decoder, prefix="transformer.",
    ),
    "opt": Architecture(
        "tokens", "next_token", gpt.read_opt, gpt.op_names, gpt.forward, _decoder, prefix="model.",
    ),
    "bloom": Architecture(
        "tokens", "next_token", bloom.read_config, bloom.op_names, bloom.forward,
        lambda c: {".qk": ("softmax",), "attention.dense": _LAYER, "dense_h_to_4h": ("gelu",),
                   "dense_4h_to_h": _LAYER},
        prefix="transformer.",
    ),
    "albert": Architecture(
        "tokens", "tokens", albert.read_config, albert.op_names, albert.forward,
        lambda c: {".qk": ("softmax",), "predictions.dense": (_GELU[c.activation], "layer_norm"), ".dense": _LAYER,
                   ".ffn": (_GELU[c.activation],), ".ffn_output": _LAYER},
    ),
    "deit": Architecture(
        "image", "classes", vit.read_config, vit.op_names, vit.forward,
        lambda c: {".qk": ("softmax",), "attn.proj": _LAYER, "mlp.fc1": ("gelu",), "mlp.fc2": _LAYER},
        image=Image(lambda c: c.image, *_IMAGENET),
    ),
    "resnet_cifar": Architecture(
        "image", "classes", resnet_cifar.read_config, resnet_cifar.op_names, resnet_cifar.forward,
        lambda c: {"conv1": ("bias", "relu"), "conv2": ("bias", "residual", "relu")},  # BatchNorm folded
        image=Image(lambda c: c.image, *_IMAGENET),
    ),
    "rwkv": Architecture(
        "bytes", "next_token", rwkv.read_config, rwkv.op_names, rwkv.forward,
        lambda c: {"att.output": _LAYER, "att.gate": ("silu",), "ffn.key": ("relu",), "ffn.value": _LAYER},
    ),
    "dvmsr": Architecture(
        "image", "image", mamba_sr.read_config, mamba_sr.op_names, mamba_sr.forward,
        lambda c: {".conv1d": ("silu",), "out_proj": ("layer_norm",)},
        image=Image(lambda c: None),
    ),
}  # fmt: skip
