"""Times of passes on the CUDA cores, of copies and of launches; ``python3 -m benchmarks.gpu.passes RESULTS BUILD``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from .library import load
from .results import append, attempt
from .shapes import PASS_SIZES, PASSES
from .timing import DEVICE, Timer, Work

COLD_BYTES = 192 << 20
MOST_SETS = 64
COPIES_MIB = (1, 4, 16, 32, 64, 256, 1024, 4096)


def kernel(name: str, cols: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """One pass over FP16 (rows, cols), one kernel each."""
    weight, bias = torch.randn(2, cols, dtype=torch.float16, device=DEVICE)
    return {
        "softmax": lambda x: torch.softmax(x, -1),
        "layer_norm": lambda x: F.layer_norm(x, (cols,), weight, bias),
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "rms_norm": lambda x: F.rms_norm(x, (cols,), weight),
        "bias": lambda x: x + bias,
        "row_maximum": lambda x: torch.amax(x, -1),
        "to_fp8": lambda x: x.to(torch.float8_e4m3fn),
        "to_int8": lambda x: x.to(torch.int8),
        "copy": torch.clone,
    }[name]


def works_of(name: str, rows: int, cols: int) -> list[Work]:
    """The pass on as many tensors as a cold measurement needs."""
    sets = min(MOST_SETS, max(1, -(-COLD_BYTES // (2 * rows * cols))))
    tensors = [torch.randn(rows, cols, dtype=torch.float16, device=DEVICE) for _ in range(sets)]
    if name == "residual":
        others = [torch.randn_like(x) for x in tensors]
        return [lambda x=x, y=y: x + y for x, y in zip(tensors, others, strict=True)]
    if name in ("from_fp8", "from_int8"):
        kind = torch.float8_e4m3fn if name == "from_fp8" else torch.int8
        codes = [x.to(kind) for x in tensors]
        return [lambda c=c: c.to(torch.float16) for c in codes]
    if name in ("quantise", "dequantise"):
        return _row_scales(name, tensors)
    run = kernel(name, cols)
    return [lambda x=x: run(x) for x in tensors]


def _row_scales(name: str, tensors: list[torch.Tensor]) -> list[Work]:
    """Kernels of our own, in Triton: int8 with a scale per row, and back."""
    from .row_scales import dequantise, quantise

    if name == "quantise":
        return [lambda x=x: quantise(x) for x in tensors]
    quantised = [quantise(x) for x in tensors]
    return [lambda q=q, s=s: dequantise(q, s) for q, s in quantised]


def times(timer: Timer, name: str, rows: int, cols: int) -> dict[str, Any]:
    """Warm, cold and flushed."""
    works = works_of(name, rows, cols)
    estimate = timer.estimate_us(works[0])
    found: dict[str, Any] = {"sets": len(works), "warm": timer.graph_us(works[:1], estimate)}
    if len(works) > 1:
        found["cold"] = timer.graph_us(works, estimate)
    return found


def copy_times(timer: Timer, mib: int) -> dict[str, Any]:
    """A device-to-device copy, both ways over."""
    source = torch.empty(mib << 20, dtype=torch.uint8, device=DEVICE).random_()
    target = torch.empty_like(source)
    found = timer.graph_us([lambda: target.copy_(source)], timer.estimate_us(lambda: target.copy_(source)))
    return {**found, "gb_s": 2 * (mib << 20) / found["us"] / 1e3}


def launch_times() -> dict[str, Any]:
    """What the caller sees: microseconds per small kernel in a stream, and from a call to the end of a wait for it."""
    x = torch.zeros(1, device=DEVICE)
    a = torch.zeros(16, 16, dtype=torch.float16, device=DEVICE)
    found = {}
    for name, work in (("add", lambda: x.add_(1)), ("mm", lambda: torch.mm(a, a))):
        for _ in range(100):
            work()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(2000):
            work()
        torch.cuda.synchronize()
        found[f"{name}_stream_us"] = 1e6 * (time.perf_counter() - start) / 2000
        waits = []
        for _ in range(300):
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            waits.append(1e6 * (time.perf_counter() - start))
        found[f"{name}_waited_us"] = sorted(waits)[150]
    return found


OTHERS = ("gelu_tanh", "silu", "rms_norm", "bias", "row_maximum", "to_fp8", "to_int8", "from_fp8", "from_int8", "copy")


def main(out: Path, build: Path, seconds: float) -> None:
    """All sizes of the predicted passes first."""
    until = time.monotonic() + seconds
    torch.manual_seed(0)
    timer = Timer(load(build, "clock") if (build / "clock.so").exists() else None)
    attempt(out, "launch", {}, launch_times)
    for mib in COPIES_MIB:
        attempt(out, "copy", {"mib": mib}, lambda mib=mib: copy_times(timer, mib))
    for name in (*PASSES, *OTHERS):
        for rows, cols in PASS_SIZES:
            fields = {"pass": name, "rows": rows, "cols": cols}
            if time.monotonic() > until:
                append(out, "pass", {**fields, "error": "no time left"})
                continue
            attempt(out, "pass", fields, lambda name=name, r=rows, c=cols: times(timer, name, r, c))
            torch.cuda.empty_cache()
        print(name, "done, seconds left:", round(until - time.monotonic(), 1), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
