"""Shapes that are measured and predicted: ``A[M,K] x W[N,K]^T``, and passes over rows x cols of FP16."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BATCHED", "GEMMS", "NUMBERS", "PASSES", "PASS_SIZES", "Shape"]


class Shape(NamedTuple):
    """One product, ``count`` times in one kernel."""

    group: str
    M: int
    N: int
    K: int
    count: int = 1


NUMBERS = ("fp16", "int8", "fp8", "bf16")
"""Kinds of operands; all but the last are predicted, bf16 is measured for a few shapes."""

_SQUARES = [Shape("square", n, n, n) for n in (256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384)]
_SKINNY = [Shape("skinny", M, N, K) for M in (1, 16, 64, 128) for N, K in ((4096, 4096), (11008, 4096), (4096, 11008))]
_SMALL = [
    Shape("small", M, N, N) for M, N in ((1, 512), (16, 64), (64, 64), (64, 256), (64, 512), (16, 512), (8192, 512))
]
_LLMCOMPASS = [Shape("llmcompass", M, N, N) for M, N in ((128, 12288), (1024, 12288), (8192, 12288), (8192, 4096))]
_LAYERS = [
    *(Shape("bert_base", 512, N, K) for N, K in ((768, 768), (3072, 768), (768, 3072))),
    *(Shape("bert_large", 6144, N, K) for N, K in ((1024, 1024), (4096, 1024), (1024, 4096))),
    *(Shape("gpt2_xl", 1024, N, K) for N, K in ((4800, 1600), (6400, 1600), (1600, 6400))),
    *(Shape("llama_7b", 2048, N, K) for N, K in ((12288, 4096), (11008, 4096), (4096, 11008))),
    *(Shape("llama_70b", 2048, N, K) for N, K in ((28672, 8192), (8192, 28672))),
]
_LLM_INT8 = [Shape("llm_int8", 2048, 4 * K, K) for K in (768, 1024, 1536, 2048, 2560, 4096, 5140, 12288)]
_RAGGED = [
    Shape("ragged", *sizes)
    for sizes in (
        (1000, 1000, 1000),
        (2080, 2080, 2080),
        (5140, 5140, 5140),
        (4097, 4096, 4096),
        (4096, 4100, 4096),
        (4096, 4096, 4100),
        (4096, 4096, 4097),
        (4096, 4096, 4104),
    )
]
_DEPTHS = [
    Shape("depth", *sizes)
    for sizes in (
        (4096, 4096, 64),
        (4096, 4096, 256),
        (8192, 8192, 128),
        (128, 128, 65536),
        (512, 512, 16384),
        (64, 64, 65536),
        (256, 1024, 32768),
    )
]
GEMMS: list[Shape] = [*_SQUARES, *_SKINNY, *_SMALL, *_LLMCOMPASS, *_LAYERS, *_LLM_INT8, *_RAGGED, *_DEPTHS]

BATCHED = [
    Shape("bert_base_scores", 384, 384, 64, 192),
    Shape("bert_base_mix", 384, 64, 384, 192),
    Shape("llama_7b_scores", 2048, 2048, 128, 32),
    Shape("llama_7b_mix", 2048, 128, 2048, 32),
]
"""Products of attention, FP16."""

PASSES = ("softmax", "layer_norm", "gelu", "residual", "quantise", "dequantise")
PASS_SIZES = [(512, 768), (6144, 1024), (2048, 4096), (8192, 4096), (2048, 11008), (65536, 1024), (1024, 32768)]
