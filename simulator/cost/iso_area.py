"""How large an array may be: the largest that fits an area or a bandwidth, the smallest that reaches a throughput."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import Literal, NamedTuple

from simulator.errors import CostError

__all__ = ["MOST", "Shapes", "largest_array", "smallest_array"]

Array = tuple[int, int]

MOST = 65536
"""Rows or columns of an array, as in a design."""


class _Line(NamedTuple):
    """Arrays each of which holds the one before: ``at(0)``, ``at(1)`` ..., ``length`` of them."""

    length: int
    at: Callable[[int], Array]


@dataclass(frozen=True)
class Shapes:
    """Which arrays may be chosen, from the one that a design has.

    Attributes:
        rows, cols: of the design.
        keep: ``aspect``, the same ratio of rows to columns; ``rows``, the same rows; ``powers_of_two``, square or twice
            as wide as high; ``any``, up to twice as wide as high or as high as wide. The last two forget the design's.
        step: both sides (under ``rows`` the columns) are multiples of it; nothing under ``powers_of_two``.
    """

    rows: int
    cols: int
    keep: Literal["aspect", "rows", "powers_of_two", "any"] = "aspect"
    step: int = 1

    def lines(self) -> Iterator[_Line]:
        """Families that together are all candidates; each begins no smaller than the one before."""
        step, common = self.step, gcd(self.rows, self.cols)
        if self.keep == "aspect":
            down, across = self.rows // common, self.cols // common
            whole = next(k for k in range(1, step + 1) if down * k % step == across * k % step == 0)
            yield _Line(
                MOST // (max(down, across) * whole), lambda i: (down * whole * (i + 1), across * whole * (i + 1))
            )
        elif self.keep == "rows":
            yield _Line(MOST // step, lambda i: (self.rows, step * (i + 1)))
        elif self.keep == "powers_of_two":
            yield _Line(2 * MOST.bit_length() - 1, lambda i: (1 << i // 2, 1 << (i + 1) // 2))
        else:
            for rows in range(step, MOST + 1, step):
                least, most = -(-rows // (2 * step)), min(2 * rows, MOST) // step
                yield _Line(most - least + 1, lambda i, rows=rows, least=least: (rows, step * (least + i)))  # type: ignore[misc]


def _square_mm(um2: float) -> str:
    return f"{um2 * 1e-6:.4g} mm2"


def largest_array(
    takes: Callable[[int, int], float], budget: float, shapes: Shapes, told: Callable[[float], str] = _square_mm
) -> Array:
    """The array of most PEs that takes no more than the budget; of equals the squarest, then the widest.

    Args:
        takes: area [um2], or another quantity, of rows and columns; never falls as either grows.
        told: such a quantity in words.
    Raises: CostError if no array of these shapes fits.
    """
    found = []
    for line in shapes.lines():
        fitting = _how_many(line, lambda array: takes(*array) <= budget)
        if not fitting:
            break
        found.append(line.at(fitting - 1))
    if not found:
        rows, cols = next(shapes.lines()).at(0)
        least = f"the smallest, {rows} x {cols}, takes {told(takes(rows, cols))}"
        raise CostError(f"no array fits {told(budget)}; {least}")
    return max(found, key=lambda array: (array[0] * array[1], *_preference(array)))


def smallest_array(peak: Callable[[int, int], float], least: float, shapes: Shapes) -> Array:
    """The array of fewest PEs whose peak throughput is at least ``least``; of equals the squarest, then the widest.

    Args:
        peak: of rows and columns; never falls as either grows.
    Raises: CostError if no array of these shapes reaches it.
    """
    found = []
    for line in shapes.lines():
        slower = _how_many(line, lambda array: peak(*array) < least)
        if slower < line.length:
            found.append(line.at(slower))
        if not slower:
            break
    if not found:
        raise CostError(f"no array of at most {MOST} rows and columns reaches a peak of {least:.4g}")
    return min(found, key=lambda array: (array[0] * array[1], *(-p for p in _preference(array))))


def _preference(array: Array) -> Array:
    return -abs(array[0] - array[1]), array[1]


def _how_many(line: _Line, within: Callable[[Array], bool]) -> int:
    """How many arrays of a line are within, from its first."""
    return bisect_left(range(line.length), True, key=lambda i: not within(line.at(i)))
