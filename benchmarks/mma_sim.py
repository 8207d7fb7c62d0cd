"""Records what MMA-Sim gives for random products: ``python -m benchmarks.mma_sim OUT.csv``.

MMA-Sim (Xie et al., arXiv 2511.10909; PyPI ``mmasim`` 2.1.1, which needs PyTorch) is bit for bit what
NVIDIA's tensor cores give, by its authors' tests on them. ``tests/test_edp_recorded.py`` holds us to the recording.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmasim.arithmetic import fdpa
from numpy.typing import NDArray

from simulator import formats
from simulator.formats.blocks import pack_blocks

FLOATS = [
    ("fp16", 4, 0, 23),
    ("fp16", 8, 1, 23),
    ("fp16", 16, 2, 23),
    ("fp8_e4m3", 32, -10, 13),
    ("fp8_e5m2", 32, -10, 13),
]
"""Format, group, extra bits, fraction bits: Volta, Turing and Ampere, Hopper."""
BLOCKS = [("mxfp8", 32, 2, 1), ("mxfp6_e3m2", 32, 2, 1), ("mxfp4", 64, 12, 16), ("nvfp4", 64, 12, 16)]
"""Format, group, extra bits, exact: Blackwell."""
TYPES = {"fp16": torch.float16, "fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}
ROWS, LENGTHS, BLOCK_LENGTHS = 3, (64, 128, 64, 64), (64, 256, 512, 512)
SUBNORMAL = {"mxfp8": -6, "mxfp6_e3m2": -2}


def float_codes(rng: np.random.Generator, name: str, K: int, alike: bool) -> NDArray[np.uint8]:
    """Packed rows: any finite codes, or codes of numbers of about one size."""
    encoding = formats.get(name)
    if alike:
        return np.asarray(encoding.encode(rng.standard_normal((ROWS, K)), np.ones(())))
    every = np.arange(1 << encoding.bits).astype("<u2" if encoding.bits == 16 else np.uint8)
    finite = every[np.isfinite(encoding.decode(every.view(np.uint8), len(every)))]
    return rng.choice(finite, (ROWS, K)).view(np.uint8)


def floats(rng: np.random.Generator) -> Iterator[list[Any]]:
    for name, group, extra, fraction in FLOATS:
        rho = "RZ-FP32" if fraction == 23 else "RZ-E8M13"
        kind = name.removeprefix("fp8_").replace("fp16", "f16")
        unit = fdpa.MMA_T_FDPA(23 + extra, rho, group, -133, kind, kind)
        for i, K in enumerate(LENGTHS):
            codes = [float_codes(rng, name, K, alike=i % 2 == 0) for _ in range(2)]
            a, w = (torch.from_numpy(formats.get(name).decode(c, K)).to(TYPES[name]).float() for c in codes)
            left, right = (x.to(TYPES[name]) for x in (a.repeat_interleave(ROWS, 0), w.repeat(ROWS, 1)))
            out = unit.dpa(left, right, torch.zeros(ROWS * ROWS))
            yield [name, group, extra, fraction, 1, K, *(c.tobytes().hex() for c in codes), hexadecimal(out)]


def block_codes(rng: np.random.Generator, encoding: Any, K: int, far: bool) -> tuple[NDArray[Any], ...]:
    """Elements (R, K), scales (R, B) and packed rows; half of the elements are 0."""
    legal = np.flatnonzero(np.isfinite(encoding.element_values))
    blocks = K // encoding.values_per_group
    elements = rng.choice(legal, (ROWS, blocks, encoding.values_per_group)).astype(np.uint8)
    elements[rng.random(elements.shape) < 0.5] = 0
    low, high = (0, 127) if encoding.name == "nvfp4" else (20, 140) if far else (112, 142)
    scales = rng.integers(low, high, (ROWS, blocks)).astype(np.uint8)
    packed = pack_blocks(scales, elements, encoding.bits, np.zeros((ROWS, encoding.packed_bytes(K)), np.uint8))
    return encoding.element_values[elements].reshape(ROWS, K), scales, packed


def blocks(rng: np.random.Generator) -> Iterator[list[Any]]:
    for name, group, extra, exact in BLOCKS:
        encoding = formats.get(name)
        scale_type = torch.float8_e4m3fn if name == "nvfp4" else torch.float8_e8m0fnu
        for i, K in enumerate(BLOCK_LENGTHS):
            operands = [block_codes(rng, encoding, K, far=i == 1) for _ in range(2)]
            (a, sa, _), (w, sw, _) = operands
            a, sa = (torch.from_numpy(x).repeat_interleave(ROWS, 0) for x in (a, sa))
            w, sw = (torch.from_numpy(x).repeat(ROWS, 1) for x in (w, sw))
            out = torch.zeros(ROWS * ROWS)
            scales = sa.view(scale_type), sw.view(scale_type)
            if exact > 1:
                out = fdpa.MMA_GST_FDPA(exact, 23 + extra, "RZ-FP32", group, -139).dpa(a, w, out, *scales)
            for k in range(0, K if exact == 1 else 0, group):
                block = [s[:, k // 32 : k // 32 + 1] for s in scales]
                subnormal = [SUBNORMAL[name]] * 2
                part = a[:, k : k + group], w[:, k : k + group], out
                out = fdpa.st_fdpa(*part, *block, 23 + extra, "RZ-FP32", -133, *subnormal)
            yield [name, group, extra, 23, exact, K, *(x[2].tobytes().hex() for x in operands), hexadecimal(out)]


def hexadecimal(out: torch.Tensor) -> str:
    return np.asarray(out.numpy(), "<f4").tobytes().hex()


def main(path: str) -> None:
    rng = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        file.write("# MMA-Sim 2.1.1 (Xie et al., arXiv 2511.10909): 3 x 3 products, little-endian hexadecimal. ")
        file.write("Made by: python -m benchmarks.mma_sim\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["format", "group", "extra_bits", "fraction_bits", "exact", "K", "act", "weight", "result"])
        table.writerows([*floats(rng), *blocks(rng)])


if __name__ == "__main__":
    main(sys.argv[1])
