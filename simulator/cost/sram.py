"""Energy, leakage and area of a scratchpad, interpolated between the macros of the price list."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from simulator.config.cost import SramMacro, SramTable
from simulator.config.once import Same
from simulator.errors import CostError

__all__ = ["SramPrice", "macros_used", "price_sram"]

_FIGURES = ("read_pj", "write_pj", "leakage_mw", "area_mm2")


@dataclass(frozen=True)
class SramPrice:
    """One scratchpad, or that of each core: energy per bit accessed (whole words), leakage and area of all banks."""

    read_pj_per_bit: float
    write_pj_per_bit: float
    leakage_mw: float
    area_um2: float
    banks: int = 1

    def times(self, count: int) -> SramPrice:
        """That many such scratchpads."""
        if count == 1:
            return self
        grown = {name: getattr(self, name) * count for name in ("leakage_mw", "area_um2", "banks")}
        return replace(self, **grown)


def price_sram(table: SramTable, capacity_bytes: float, word_bits: int, banks: int) -> SramPrice:
    """Price of ``banks`` equal macros that hold ``capacity_bytes`` together.

    Logarithms are interpolated linearly over the logarithm of the size, then over that of the word width, so that a
    tabulated macro has its tabulated price, and along size or width a price never leaves the range of the macros next
    to it and changes in one direction between two of them. Where the table itself steps back as size or width grows
    (CACTI searches the organisation of each macro anew; leakage and area never do with size), so does the price:
    nothing is smoothed.
    Raises: CostError if width or size of a bank lies outside the table.
    """
    return _price(Same(table), capacity_bytes, word_bits, banks)


@lru_cache(maxsize=128)
def _price(same: Same[SramTable], capacity_bytes: float, word_bits: int, banks: int) -> SramPrice:
    table = same.it
    widths = sorted({m.word_bits for m in table.macros})
    if not widths[0] <= word_bits <= widths[-1]:
        span = f"words from {widths[0]} to {widths[-1]} bits are" if len(widths) > 1 else f"{widths[0]}-bit words are"
        raise CostError(f"no SRAM of {word_bits}-bit words is priced; {span}", field=("word_bits",))
    below, above, share = _between(widths, word_bits)
    narrow, wide = (_of_width(table, width, capacity_bytes / banks) for width in (below, above))
    read, write, leakage, area = (_mixed(low, high, share) for low, high in zip(narrow, wide, strict=True))
    return SramPrice(read / word_bits, write / word_bits, leakage * banks, area * banks * 1e6, banks)


def macros_used(table: SramTable, capacity_bytes: float, word_bits: int, banks: int) -> list[SramMacro]:
    """The macros that ``price_sram`` interpolates between: one, two or four. Raises: as ``price_sram``."""
    price_sram(table, capacity_bytes, word_bits, banks)
    widths = set(_between(sorted({m.word_bits for m in table.macros}), word_bits)[:2])
    used = []
    for width in sorted(widths):
        macros = {m.size_bytes: m for m in table.macros if m.word_bits == width}
        used += [macros[size] for size in sorted(set(_between(sorted(macros), capacity_bytes / banks)[:2]))]
    return used


def _of_width(table: SramTable, word_bits: int, bank_bytes: float) -> list[float]:
    """Figures of a bank of a tabulated width."""
    macros = {m.size_bytes: m for m in table.macros if m.word_bits == word_bits}
    sizes = sorted(macros)
    if not sizes[0] <= bank_bytes <= sizes[-1]:
        raise CostError(
            f"no SRAM bank of {bank_bytes / 1024:g} KiB is priced; "
            f"{word_bits}-bit banks from {sizes[0] / 1024:g} to {sizes[-1] / 1024:g} KiB are",
            field=("capacity_kib",),
        )
    below, above, share = _between(sizes, bank_bytes)
    low, high = _figures(macros[below]), _figures(macros[above])
    return [_mixed(a, b, share) for a, b in zip(low, high, strict=True)]


def _figures(macro: SramMacro) -> list[float]:
    return [float(getattr(macro, name)) for name in _FIGURES]


def _between(known: Sequence[int], value: float) -> tuple[int, int, float]:
    """The neighbours of ``value`` among sorted numbers, and how far it is from the lower one on a logarithmic scale."""
    above = known[bisect_left(known, value)]
    if above == value:
        return above, above, 0.0
    below = known[bisect_left(known, value) - 1]
    return below, above, math.log(value / below) / math.log(above / below)


def _mixed(low: float, high: float, share: float) -> float:
    if low == high or share == 0:
        return low
    if min(low, high) == 0:
        return low + share * (high - low)  # has no logarithm: something that does not leak, beside something that does
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
