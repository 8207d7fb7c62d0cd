"""ResNet-20 and its deeper kin for 32 x 32 images: three stages of basic blocks, shortcuts without weights (option A).

Source: He et al., CVPR 2016, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.tracing.functions import batch_norm, relu
from simulator.tracing.models.fields import positive_int
from simulator.tracing.net import Net
from simulator.tracing.products import F32

__all__ = ["ResnetCifarConfig", "forward", "op_names", "read_config"]

_STAGES = (1, 2, 3)
_IMAGE = 32


@dataclass(frozen=True, slots=True)
class ResnetCifarConfig:
    """Blocks of each stage [count]; side of the images [pixel]."""

    blocks: int
    image: int = _IMAGE


def read_config(path: Path, data: dict[str, Any]) -> ResnetCifarConfig:
    """From ``blocks_per_stage``: 3 for ResNet-20, 9 for ResNet-56. Raises: TraceError."""
    return ResnetCifarConfig(positive_int(path, data, "blocks_per_stage"))


def op_names(config: ResnetCifarConfig) -> list[str]:
    """The names of all ops, in the order in which they are computed."""
    blocks = [f"layer{stage}.{i}." for stage in _STAGES for i in range(config.blocks)]
    return ["conv1", *(f"{block}conv{i}" for block in blocks for i in (1, 2)), "linear"]


def forward(net: Net, config: ResnetCifarConfig, image: F32) -> F32:
    """Logits (1, classes) of an image (1, 3, 32, 32)."""
    x = _conv_norm(net, "", 1, image, net.weights.shape("conv1.weight")[0])
    for stage in _STAGES:
        for i in range(config.blocks):
            x = _block(net, f"layer{stage}.{i}.", relu(x), halve=stage > 1 and i == 0)
    pooled = relu(x).mean(axis=(2, 3))
    return net.linear("linear", pooled, net.weights.shape("linear.weight")[0])


def _block(net: Net, prefix: str, x: F32, halve: bool) -> F32:
    """Two convolutions and the shortcut around them, before the last ReLU; ``halve`` the map, twice the channels."""
    features = x.shape[1] * (2 if halve else 1)
    y = relu(_conv_norm(net, prefix, 1, x, features, stride=2 if halve else 1))
    y = _conv_norm(net, prefix, 2, y, features)
    if halve:
        quarter = features // 4
        x = np.pad(x[:, :, ::2, ::2], ((0, 0), (quarter, quarter), (0, 0), (0, 0)))
    return y + x


def _conv_norm(net: Net, prefix: str, number: int, x: F32, features: int, stride: int = 1) -> F32:
    """A 3 x 3 convolution and the BatchNorm behind it."""
    y = net.conv(f"{prefix}conv{number}", x, features, 3, stride=stride, padding=1)
    parts = ("running_mean", "running_var", "weight", "bias")
    return batch_norm(y, *(net.weights.get(f"{prefix}bn{number}.{part}", (features,)) for part in parts))
