"""Names of the passes of a vector unit, for every record that holds one."""

from __future__ import annotations

from typing import Literal

__all__ = ["FusibleKind", "PassKind"]

PassKind = Literal[
    "bias",
    "dequantise",
    "gelu",
    "hadamard",
    "layer_norm",
    "max_pool",
    "mean_pool",
    "quantise",
    "relu",
    "residual",
    "rms_norm",
    "scale",
    "silu",
    "softmax",
]

FusibleKind = Literal["bias", "dequantise", "gelu", "quantise", "relu", "scale", "silu"]
"""One value in, one value out, nothing else needed: what can be done to a result on its way."""
