"""Writes the C++ header with one function per matrix instruction: ``mma.sync`` and ``wgmma`` of sm_90a (PTX ISA)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["KINDS", "SIZES", "Kind", "write_header"]


class Kind(NamedTuple):
    """Types of an instruction's sums and operands, and how many operands along K fill its 32 bytes."""

    name: str
    sums: str
    operands: str
    K: int

    @property
    def registers(self) -> str:
        """Constraint of one register of sums."""
        return "f" if self.sums == "f32" else "r"


KINDS = (
    Kind("f16_f32", "f32", "f16", 16),
    Kind("f16_f16", "f16", "f16", 16),
    Kind("bf16_f32", "f32", "bf16", 16),
    Kind("tf32_f32", "f32", "tf32", 8),
    Kind("s8_s32", "s32", "s8", 32),
    Kind("e4m3_f32", "f32", "e4m3", 32),
    Kind("e5m2_f32", "f32", "e5m2", 32),
)
"""In the order of the enumeration in the header."""
SIZES = (8, 16, 32, 64, 128, 256)
"""Columns of ``wgmma``."""


def _numbered(first: int, count: int) -> str:
    return "{" + ", ".join(f"%{n}" for n in range(first, first + count)) + "}"


def _call(text: str, kind: Kind, sums: int, inputs: str) -> str:
    outputs = ", ".join(f'"+{kind.registers}"(d[{n}])' for n in range(sums))
    return f'    asm volatile("{text}" : {outputs} : {inputs});\n'


def _mma(kind: Kind) -> str:
    sums = 2 if kind.sums == "f16" else 4
    name = f"mma.sync.aligned.m16n8k{kind.K}.row.col.{kind.sums}.{kind.operands}.{kind.operands}.{kind.sums}"
    d, a, b = _numbered(0, sums), _numbered(sums, 4), _numbered(sums + 4, 2)
    inputs = ", ".join(f'"r"({x}[{n}])' for x, count in (("a", 4), ("b", 2)) for n in range(count))
    return (
        f"template <> struct Mma<{kind.name}> {{\n  using Sum = {_ctype(kind)};\n"
        f"  static constexpr int sums = {sums};\n"
        "  static __device__ __forceinline__ void run"
        "(Sum (&d)[sums], const uint32_t (&a)[4], const uint32_t (&b)[2]) {\n"
        + _call(f"{name} {d}, {a}, {b}, {d};", kind, sums, inputs)
        + "  }\n};\n"
    )


def _wgmma(kind: Kind, columns: int) -> str:
    sums = columns // (4 if kind.sums == "f16" else 2)
    head = f"wgmma.mma_async.sync.aligned.m64n{columns}k{kind.K}.{kind.sums}.{kind.operands}.{kind.operands}"
    signs = "" if kind.sums == "s32" else ", 1, 1"
    shared = signs + (", 0, 0" if kind.K == 16 else "")
    held = signs + (", 0" if kind.K == 16 else "")
    begin, end = "{.reg .pred p; setp.eq.u32 p, 0, 0; ", ";}"
    d = _numbered(0, sums)
    of_shared = f"{begin}{head} {d}, %{sums}, %{sums + 1}, p{shared}{end}"
    of_held = f"{begin}{head} {d}, {_numbered(sums, 4)}, %{sums + 4}, p{held}{end}"
    registers = ", ".join(f'"r"(a[{n}])' for n in range(4))
    return (
        f"template <> struct Wgmma<{kind.name}, {columns}> {{\n  using Sum = {_ctype(kind)};\n"
        f"  static constexpr int sums = {sums};\n"
        "  static __device__ __forceinline__ void run(Sum (&d)[sums], uint64_t a, uint64_t b) {\n"
        + _call(of_shared, kind, sums, '"l"(a), "l"(b)')
        + "  }\n  static __device__ __forceinline__ void run(Sum (&d)[sums], const uint32_t (&a)[4], uint64_t b) {\n"
        + _call(of_held, kind, sums, f'{registers}, "l"(b)')
        + "  }\n};\n"
    )


def _ctype(kind: Kind) -> str:
    return "float" if kind.sums == "f32" else "uint32_t"


def write_header(path: Path) -> None:
    """The header ``instructions.cuh``."""
    path.write_text(
        "#pragma once\n#include <cstdint>\n"
        f"enum Kind {{ {', '.join(kind.name for kind in KINDS)}, kinds }};\n"
        "template <Kind kind> struct Mma;\ntemplate <Kind kind, int columns> struct Wgmma;\n"
        + "".join(map(_mma, KINDS))
        + "".join(_wgmma(kind, columns) for kind in KINDS for columns in SIZES),
        encoding="utf-8",
    )
