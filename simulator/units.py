"""Conversions, done once at the edge. Every name carries its unit."""

from __future__ import annotations

from simulator.elementwise import whole

__all__ = [
    "bits_to_bytes",
    "cycles_to_s",
    "gb_s_to_bytes_per_cycle",
    "kib_to_bits",
    "mw_to_pj_per_cycle",
    "ns_to_cycles",
    "short",
]


def kib_to_bits(kib: float) -> int:
    """KiB (1024 bytes) to bits, rounded down."""
    return int(kib * 1024 * 8)


def bits_to_bytes(bits: float) -> int:
    """Bits to whole bytes, rounded up: sub-byte data is rounded once per transfer."""
    return whole(-(-bits // 8))


def gb_s_to_bytes_per_cycle(gb_s: float, clock_mhz: float) -> float:
    """GB/s (10^9 bytes) to bytes per clock cycle."""
    return gb_s * 1e3 / clock_mhz


def ns_to_cycles(ns: float, clock_mhz: float) -> int:
    """Nanoseconds to whole clock cycles, rounded up (a millionth of a cycle is forgiven as rounding noise)."""
    return -int(-(ns * clock_mhz * 1e-3 - 1e-6) // 1)


def cycles_to_s(cycles: int, clock_mhz: float) -> float:
    """Clock cycles to seconds."""
    return cycles / (clock_mhz * 1e6)


def mw_to_pj_per_cycle(mw: float, clock_mhz: float) -> float:
    """Milliwatts to picojoules per clock cycle: 1 mW at 1 MHz is 1000 pJ per cycle."""
    return mw * 1e3 / clock_mhz


def short(count: float) -> str:
    """A count in four significant digits with k, M, G or T: ``6.738 G``."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.4g} {letter}"
    return f"{count:.4g}"
