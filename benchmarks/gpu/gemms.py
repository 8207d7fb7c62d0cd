"""Times of matrix products by cuBLAS through PyTorch; ``python3 -m benchmarks.gpu.gemms RESULTS BUILD SECONDS``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from .library import load
from .results import append, attempt
from .shapes import BATCHED, GEMMS, Shape
from .timing import DEVICE, Timer, Work

COLD_BYTES = 192 << 20
"""Of the tensors that a cold measurement goes round, at least; the L2 of an H200 holds 60 MB."""
MOST_SETS = 192
BF16_GROUPS = ("square", "llmcompass")
ZERO_SIZES = (1024, 4096, 8192, 16384)

Pair = tuple[torch.Tensor, torch.Tensor]


def draw(numbers: str, rows: int, cols: int, zeros: bool) -> torch.Tensor:
    """Random operand (rows, cols): standard normal floats, any int8."""
    if zeros:
        types = {"fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}
        return torch.zeros(rows, cols, dtype=types.get(numbers, torch.float8_e4m3fn), device=DEVICE)
    if numbers == "int8":
        return torch.randint(-128, 128, (rows, cols), dtype=torch.int8, device=DEVICE)
    x = torch.randn(rows, cols, dtype=torch.bfloat16 if numbers == "bf16" else torch.float16, device=DEVICE)
    return x if numbers in ("fp16", "bf16") else x.to(torch.float8_e4m3fn)


def product(numbers: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A (M, K) times W (N, K), transposed: as linear layers hold their weights, and as FP8 asks for."""
    if numbers == "int8":
        return lambda a, w: torch._int_mm(a, w.t())
    if numbers in ("fp8", "fp8_exact"):
        one = torch.ones((), device=DEVICE)
        fast = numbers == "fp8"
        return lambda a, w: torch._scaled_mm(
            a, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=fast
        )
    return lambda a, w: torch.mm(a, w.t())


def pairs(numbers: str, shape: Shape, zeros: bool = False) -> list[Pair]:
    """As many pairs of operands as a cold measurement needs."""
    size = (shape.M + shape.N) * shape.K * (2 if numbers in ("fp16", "bf16") else 1)
    sets = min(MOST_SETS, max(1, -(-COLD_BYTES // size)))
    return [(draw(numbers, shape.M, shape.K, zeros), draw(numbers, shape.N, shape.K, zeros)) for _ in range(sets)]


def times(timer: Timer, shape: Shape, numbers: str) -> dict[str, Any]:
    """Warm, cold and flushed."""
    multiply = product(numbers)
    operands = pairs(numbers, shape)
    works: list[Work] = [lambda a=a, w=w: multiply(a, w) for a, w in operands]
    estimate = timer.estimate_us(works[0])
    warm = timer.graph_us(works[:1], estimate)
    found: dict[str, Any] = {"sets": len(works), "warm": warm}
    if len(works) > 1:
        found["cold"] = timer.graph_us(works, estimate)
    if numbers == "fp16":
        found["flushed"] = timer.flushed_us(works[0])
    return found


def batched_times(timer: Timer, shape: Shape) -> dict[str, Any]:
    """Products of attention, the second operand transposed where it holds keys."""
    a = torch.randn(shape.count, shape.M, shape.K, dtype=torch.float16, device=DEVICE)
    w = torch.randn(shape.count, shape.K, shape.N, dtype=torch.float16, device=DEVICE)
    if shape.group.endswith("scores"):
        w = w.transpose(1, 2).contiguous().transpose(1, 2)
    estimate = timer.estimate_us(lambda: torch.bmm(a, w))
    return {
        "warm": timer.graph_us([lambda: torch.bmm(a, w)], estimate),
        "flushed": timer.flushed_us(lambda: torch.bmm(a, w)),
    }


def zero_times(timer: Timer, n: int, numbers: str) -> dict[str, Any]:
    """A square product of zeros, which takes little power, then of random numbers."""
    multiply = product(numbers)
    found = {}
    for name, zeros in (("zeros", True), ("random", False)):
        a, w = pairs(numbers, Shape("square", n, n, n), zeros)[0]
        found[name] = timer.graph_us(
            [lambda a=a, w=w: multiply(a, w)], timer.estimate_us(lambda a=a, w=w: multiply(a, w))
        )
    return found


def sustained(timer: Timer, numbers: str, seconds: float) -> dict[str, Any]:
    """A large product again and again for a while: the clock that is left under its power."""
    multiply = product(numbers)
    a, w = pairs(numbers, Shape("square", 8192, 8192, 8192))[0]
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    count, stop = 0, time.monotonic() + seconds
    begin.record()
    with timer.sampler:
        while time.monotonic() < stop:
            for _ in range(20):
                multiply(a, w)
            count += 20
            torch.cuda.synchronize()
    end.record()
    torch.cuda.synchronize()
    return {"us": 1e3 * begin.elapsed_time(end) / count, "count": count, **timer.sampler.summary(), **timer.clock()}


def kernels(cases: list[tuple[Shape, str]]) -> Iterator[dict[str, Any]]:
    """Which kernels run for each case, and for how long by the profiler; a short spin stands between cases."""
    ready = [(shape, numbers, product(numbers), *pairs(numbers, shape)[0]) for shape, numbers in cases]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _, _, multiply, a, w in ready:
            torch.cuda._sleep(1000)
            multiply(a, w)
        torch.cuda.synchronize()
    events = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    events.sort(key=lambda e: e.time_range.start)
    at = -1
    ran: list[list[list[Any]]] = [[] for _ in ready]
    for event in events:
        if "spin" in event.name:
            at += 1
        elif at >= 0:
            ran[at].append([event.name[:200], round(event.time_range.elapsed_us(), 3)])
    for (shape, numbers, *_), found in zip(ready, ran, strict=True):
        yield {"numbers": numbers, **shape._asdict(), "kernels": found}


def profile_all(out: Path, cases: list[tuple[Shape, str]]) -> None:
    """Kernel names of all cases, a few cases at a time."""
    for first in range(0, len(cases), 12):
        try:
            for line in kernels(cases[first : first + 12]):
                append(out, "kernels", line)
        except Exception as error:
            append(out, "kernels", {"cases": first, "error": str(error)[:300]})
        torch.cuda.empty_cache()


def cases_of(numbers: str) -> list[Shape]:
    """The shapes measured with that kind of operands."""
    if numbers == "bf16":
        return [shape for shape in GEMMS if shape.group in BF16_GROUPS]
    return GEMMS


def run(out: Path, timer: Timer, until: float) -> None:
    """All products, FP16 first; what there is no time for is said."""
    measured: list[tuple[Shape, str]] = []
    for numbers in ("fp16", "int8", "fp8", "bf16", "fp8_exact"):
        for shape in cases_of(numbers):
            fields = {"numbers": numbers, **shape._asdict()}
            if time.monotonic() > until:
                append(out, "gemm", {**fields, "error": "no time left"})
                continue
            attempt(out, "gemm", fields, lambda shape=shape, numbers=numbers: times(timer, shape, numbers))
            measured.append((shape, numbers))
            torch.cuda.empty_cache()
        if numbers == "fp16":
            for shape in BATCHED:
                attempt(
                    out, "bmm", {"numbers": "fp16", **shape._asdict()}, lambda shape=shape: batched_times(timer, shape)
                )
            for n in ZERO_SIZES:
                attempt(out, "zeros", {"numbers": "fp16", "n": n}, lambda n=n: zero_times(timer, n, "fp16"))
            attempt(out, "sustained", {"numbers": "fp16"}, lambda: sustained(timer, "fp16", 3.0))
        print(numbers, "done, seconds left:", round(until - time.monotonic(), 1), flush=True)
    ok = [case for case in measured if case[1] in ("fp16", "int8", "fp8") and runs(*case)]
    profile_all(out, ok)


def runs(shape: Shape, numbers: str) -> bool:
    """Whether the library takes that shape."""
    if numbers == "int8":
        return shape.M > 16 and not shape.N % 8 and not shape.K % 8
    return numbers == "fp16" or not (shape.N % 16 or shape.K % 16)


def main(out: Path, build: Path, seconds: float) -> None:
    """Measure for at most about that long."""
    until = time.monotonic() + seconds
    torch.manual_seed(0)
    try:
        clock = load(build, "clock")
    except OSError as error:
        append(out, "clock", {"error": str(error)})
        clock = None
    timer = Timer(clock)
    attempt(out, "nothing", {"what": "two events and no kernel between"}, lambda: timer.flushed_us(lambda: None))
    small = torch.zeros(1, device=DEVICE)
    attempt(
        out, "nothing", {"what": "one value to which one is added"}, lambda: timer.flushed_us(lambda: small.add_(1))
    )
    run(out, timer, until)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
