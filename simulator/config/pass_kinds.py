"""Names of the passes of a vector unit, for every record that holds one."""

from __future__ import annotations

from typing import Literal

__all__ = ["FusibleKind", "PassKind"]

PassKind = Literal[
    "bias",
    "conv1d",
    "dequantise",
    "gelu",
    "hadamard",
    "layer_norm",
    "lookup",
    "max_pool",
    "mean_pool",
    "multiply",
    "quantise",
    "relu",
    "relu6",
    "residual",
    "rms_norm",
    "rotary",
    "scale",
    "selective_scan",
    "silu",
    "softmax",
    "softplus",
]

FusibleKind = Literal["bias", "dequantise", "gelu", "quantise", "relu", "relu6", "scale", "silu", "softplus"]
"""One value in, one value out, nothing else needed: what can be done to a result on its way."""
