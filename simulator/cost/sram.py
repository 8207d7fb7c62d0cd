"""Energy, leakage and area of a scratchpad, interpolated between the macros of the price list."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulator.config.cost import SramMacro, SramTable
from simulator.errors import CostError

__all__ = ["SramPrice", "price_sram"]


@dataclass(frozen=True)
class SramPrice:
    """One scratchpad, or that of each core: energy per bit accessed (whole words), leakage and area of all banks."""

    read_pj_per_bit: float
    write_pj_per_bit: float
    leakage_mw: float
    area_um2: float


def price_sram(table: SramTable, capacity_bytes: float, word_bits: int, banks: int) -> SramPrice:
    """Price of ``banks`` equal macros that hold ``capacity_bytes`` together.

    Between two sizes of one word width, logarithms are interpolated linearly over the logarithm of the size.
    Raises: CostError if the word width is not in the table or a bank lies outside its sizes.
    """
    same_width = sorted((m for m in table.macros if m.word_bits == word_bits), key=lambda m: m.size_bytes)
    if not same_width:
        widths = sorted({m.word_bits for m in table.macros})
        message = f"no SRAM of {word_bits}-bit words is priced; priced widths: {', '.join(map(str, widths))}"
        raise CostError(message, field=("word_bits",))
    bank_bytes = capacity_bytes / banks
    smallest, largest = same_width[0].size_bytes, same_width[-1].size_bytes
    if not smallest <= bank_bytes <= largest:
        raise CostError(
            f"no SRAM bank of {bank_bytes / 1024:g} KiB is priced; "
            f"{word_bits}-bit banks from {smallest / 1024:g} to {largest / 1024:g} KiB are",
            field=("capacity_kib",),
        )
    below = max((m for m in same_width if m.size_bytes <= bank_bytes), key=lambda m: m.size_bytes)
    above = min((m for m in same_width if m.size_bytes >= bank_bytes), key=lambda m: m.size_bytes)
    return SramPrice(
        _between(below, above, bank_bytes, "read_pj") / word_bits,
        _between(below, above, bank_bytes, "write_pj") / word_bits,
        _between(below, above, bank_bytes, "leakage_mw") * banks,
        _between(below, above, bank_bytes, "area_mm2") * banks * 1e6,
    )


def _between(below: SramMacro, above: SramMacro, size: float, field: str) -> float:
    low, high = float(getattr(below, field)), float(getattr(above, field))
    if below.size_bytes == above.size_bytes or low == high:
        return low
    share = math.log(size / below.size_bytes) / math.log(above.size_bytes / below.size_bytes)
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
