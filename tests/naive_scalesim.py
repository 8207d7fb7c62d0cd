"""SCALE-Sim's own reading of a layer, by its published rules. Imports nothing from the simulator."""

from __future__ import annotations

import math
from fractions import Fraction


def conv_gemms(name, ifmap_h, ifmap_w, filt_h, filt_w, channels, filters, stride_h, stride_w):
    """(M, N, K) of a convolution's row, once for each GEMM that SCALE-Sim runs: of a depthwise one, per channel."""
    if "DP" in name:
        return channels * conv_gemms("", ifmap_h, ifmap_w, filt_h, filt_w, 1, filters, stride_h, stride_w)
    out_h = math.ceil(Fraction(ifmap_h - filt_h + stride_h, stride_h))
    out_w = math.ceil(Fraction(ifmap_w - filt_w + stride_w, stride_w))
    return [(out_h * out_w, filters, filt_h * filt_w * channels)]


def total_cycles(M, N, K, rows, cols, dataflow):
    """SCALE-Sim v3's Total Cycles of one GEMM without stalls."""
    down, across, streamed = {"os": (M, N, K), "ws": (K, N, M), "is": (K, M, N)}[dataflow]
    folds = math.ceil(down / rows) * math.ceil(across / cols)
    return folds * (streamed + (rows if dataflow == "os" else 2 * rows) + cols - 2) - 1
