"""Int8 with a scale per row, and back: one Triton kernel each, a row per program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

__all__ = ["dequantise", "quantise"]


@triton.jit
def _quantise(x, codes, scales, cols, width: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, width)
    values = tl.load(x + row * cols + at, mask=at < cols, other=0.0).to(tl.float32)
    largest = tl.max(tl.abs(values), axis=0)
    scaled = values * (127.0 / largest)
    rounded = tl.where(scaled >= 0, scaled + 0.5, scaled - 0.5).to(tl.int32)
    tl.store(codes + row * cols + at, rounded.to(tl.int8), mask=at < cols)
    tl.store(scales + row, largest / 127.0)


@triton.jit
def _dequantise(codes, scales, x, cols, width: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, width)
    values = tl.load(codes + row * cols + at, mask=at < cols, other=0).to(tl.float32) * tl.load(scales + row)
    tl.store(x + row * cols + at, values.to(tl.float16), mask=at < cols)


def _width(cols: int) -> tuple[int, int]:
    width = triton.next_power_of_2(cols)
    return width, max(4, min(16, width // 512))


def quantise(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """FP16 (rows, cols) -> int8 codes, FP32 scales (rows)."""
    rows, cols = x.shape
    codes = torch.empty_like(x, dtype=torch.int8)
    scales = torch.empty(rows, dtype=torch.float32, device=x.device)
    width, warps = _width(cols)
    _quantise[(rows,)](x, codes, scales, cols, width, num_warps=warps)
    return codes, scales


def dequantise(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """And back to FP16."""
    rows, cols = codes.shape
    x = torch.empty_like(codes, dtype=torch.float16)
    width, warps = _width(cols)
    _dequantise[(rows,)](codes, scales, x, cols, width, num_warps=warps)
    return x
