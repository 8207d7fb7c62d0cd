"""A GEMM on tensor cores, block by block and step by step: every block listed, every byte of every step added.

Imports nothing of the product: the plainest way to the numbers that ``mapping/tensor_core`` has formulas for.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What the blocks did; bits."""

    sets: int = 0
    busiest: list[int] = field(default_factory=list)  # blocks of the busiest SM, set by set
    blocks: int = 0
    macs: int = 0
    issued_macs: int = 0
    l2_bits: dict[str, int] = field(default_factory=lambda: {"act": 0, "weight": 0})
    shared_read_bits: dict[str, int] = field(default_factory=lambda: {"act": 0, "weight": 0})
    dram_bits: dict[str, int] = field(default_factory=lambda: {"act": 0, "weight": 0})


def numbered(rows: int, cols: int, width: int, along_n: bool) -> list[tuple[int, int]]:
    """Blocks in the order of their numbers: band after band, along each band ``width`` side by side."""
    out = []
    across, along = (cols, rows) if along_n else (rows, cols)
    for band in range(0, across, width):
        for i in range(along):
            for j in range(band, min(band + width, across)):
                out.append((i, j) if along_n else (j, i))
    return out


def run(shape, tile, warps, splits, sms, resident, bits, numbering, l2_capacity_bits=None, batch=1):
    """One GEMM, or ``batch`` of them with operands of their own; ``numbering``: (width, along_n). Without a capacity L2
    holds everything.
    """
    M, N, K = shape
    m, n, k = tile
    wm, wn = m // warps[0], n // warps[1]
    rows, cols, all_steps = -(-M // m), -(-N // n), -(-K // k)
    steps = -(-all_steps // splits)
    parts = [(product, part) for product in range(batch) for part in range(splits)]
    order = [(*of, i, j) for of in parts for i, j in numbered(rows, cols, *numbering)]
    tally = Tally(blocks=len(order))
    together = min(resident, -(-len(order) // sms))
    cache: OrderedDict[tuple[str, int, int], int] = OrderedDict()
    for first in range(0, len(order), sms * together):
        running = order[first : first + sms * together]
        on_sm = [0] * sms
        for place in range(len(running)):
            on_sm[place % sms] += 1
        tally.sets += 1
        tally.busiest.append(max(on_sm))
        for step in range(steps):  # all of them step along K together
            for product, part, i, j in running:
                index = part * steps + step
                a, w = min(m, M - i * m), min(n, N - j * n)
                depth = max(min(k, K - index * k), 0)
                tally.macs += a * w * depth
                tally.issued_macs += m * n * k
                for side, lines, panel in (("act", a, i), ("weight", w, j)):
                    size = lines * depth * bits
                    tally.l2_bits[side] += size
                    _ask(cache, tally, side, (side, product, panel, index), size, l2_capacity_bits)
                for _ in range(warps[0] * warps[1]):
                    tally.shared_read_bits["act"] += wm * k * bits
                    tally.shared_read_bits["weight"] += wn * k * bits
    return tally


def _ask(cache, tally, side, name, size, capacity):
    """Least recently used data make room."""
    if name in cache:
        cache.move_to_end(name)
        return
    tally.dram_bits[side] += size
    cache[name] = size
    while capacity is not None and sum(cache.values()) > capacity and len(cache) > 1:
        cache.popitem(last=False)
