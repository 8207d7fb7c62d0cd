"""What the matrix instructions give for the inputs of ``inputs``.

``python3 -m benchmarks.gpu.numerics OUT.npz RESULTS BUILD``. Of random products the file holds results alone,
``WIDTH_KIND_CASE``, and the results' lines the SHA-256 of what went in; of crafted ones it holds all.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .inputs import COLUMNS, FORMATS, Case, Codes, crafted, decode, encode, random_cases
from .instructions import KINDS, Kind
from .library import load
from .results import append

__all__ = ["COUNTS", "ROWS", "digest", "packed"]

ROWS = {"mma": 16, "wgmma": 64}
COUNTS = {("mma", "f16_f32"): 512, ("wgmma", "f16_f32"): 128, ("wgmma", "e4m3_f32"): 128}
"""Products of each of the four ways to draw; of others 256 of mma, 64 of wgmma."""


def packed(codes: Codes, kind: Kind) -> NDArray[Any]:
    """Operands in the bytes that a GPU reads."""
    bits = 8 if kind.operands == "s8" else FORMATS[kind.operands].word_bits
    return np.ascontiguousarray(codes.astype(f"<u{bits // 8}"))


def digest(case: Case) -> str:
    """SHA-256 of all that goes in."""
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(x, "<u4").tobytes() for x in (case.a, case.w, case.c))
    ).hexdigest()


class Device:
    """The instructions of the GPU, through the library."""

    def __init__(self, build: Path) -> None:
        self._library = load(build, "numerics")
        self.swapped = False

    def products(self, width: str, kind: Kind, case: Case) -> Codes:
        """Results (count, rows, 8). Raises: RuntimeError on a CUDA error."""
        a, w, c = packed(case.a, kind), packed(case.w, kind), np.ascontiguousarray(case.c, "<u4")
        out = np.zeros_like(c)
        pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (a, w, c, out)]
        steps = case.a.shape[-1] // kind.K
        numbers = KINDS.index(kind), int(width == "wgmma"), len(case.a), steps, int(self.swapped)
        error = self._library.products(*map(ctypes.c_int, numbers), *pointers)
        if error:
            raise RuntimeError(self._library.error_text(error).decode())
        return out


def exact_case(kind: Kind, rows: int) -> Case:
    """Small integers, whose sums are exact in any order; every product along K another one."""
    a, w = (np.arange(2 * n * kind.K).reshape(2, n, kind.K) * 7 % 5 - 2.0 for n in (rows, COLUMNS))
    w[:, :, ::3] *= -1
    before = np.arange(2 * rows * COLUMNS).reshape(2, rows, COLUMNS) % 9 - 4.0
    if kind.operands == "s8":
        return Case(
            "exact",
            *(x.astype(np.int8).view(np.uint8).astype(np.uint32) for x in (a, w)),
            before.astype(np.int32).view(np.uint32),
        )
    return Case("exact", encode(a, kind.operands), encode(w, kind.operands), encode(before, kind.sums))


def is_right(device: Device, width: str, kind: Kind) -> bool:
    """Whether the instruction multiplies what we think that it does."""
    case = exact_case(kind, ROWS[width])
    a, w, c = decode(case.a, kind.operands), decode(case.w, kind.operands), decode(case.c, kind.sums)
    return bool((decode(device.products(width, kind, case), kind.sums) == a @ w.transpose(0, 2, 1) + c).all())


def measure(device: Device, width: str, kind: Kind) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Results by name, and what is to be said of them."""
    right = is_right(device, width, kind)
    if not right and width == "wgmma":
        device.swapped = not device.swapped
        right = is_right(device, width, kind)
    name, said = f"{width}_{kind.name}", {"exact_sums_right": right, "swapped": device.swapped, "sha256": {}}
    arrays: dict[str, NDArray[Any]] = {}
    store = np.uint16 if kind.sums == "f16" else np.uint32
    for case in random_cases(kind, ROWS[width], COUNTS.get((width, kind.name), 256 if width == "mma" else 64)):
        arrays[f"{name}_{case.name}"] = device.products(width, kind, case).astype(store)
        said["sha256"][case.name] = digest(case)
    if kind.operands != "s8":
        names, a, w, c = crafted(kind)
        out = device.products(width, kind, spread_out(a, w, c, ROWS[width]))
        said["crafted_alike"] = bool((out == out[:, :1, :1]).all())
        arrays |= {f"{name}_crafted": out[:, 0, 0].astype(store), f"{name}_crafted_names": np.array(names, "S")}
        arrays |= {f"{name}_crafted_a": packed(a, kind), f"{name}_crafted_w": packed(w, kind), f"{name}_crafted_c": c}
    return arrays, said


def spread_out(a: Codes, w: Codes, c: Codes, rows: int) -> Case:
    """Each crafted sum in all places of one product."""
    left, right = (np.repeat(x[:, None, :], n, axis=1) for x, n in ((a, rows), (w, COLUMNS)))
    return Case("crafted", left, right, np.broadcast_to(c[:, None, None], (len(c), rows, COLUMNS)))


def main(out: Path, results: Path, build: Path) -> None:
    """All kinds, those of single warps first; written after each."""
    device, arrays = Device(build), {}
    for width in ROWS:
        for kind in KINDS:
            try:
                found, said = measure(device, width, kind)
            except RuntimeError as error:
                found, said = {}, {"error": str(error)}
            arrays |= found
            append(results, "numerics", {"instruction": width, "kind": kind.name, **said})
        np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
