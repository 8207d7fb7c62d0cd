"""One pass of a vector unit over a matrix: what a layer does besides its matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from simulator.config.pass_kinds import PassKind
from simulator.errors import WorkloadError, did_you_mean

__all__ = ["PASS_KINDS", "TAPPED", "WINDOWED", "Pass"]

PASS_KINDS: tuple[str, ...] = get_args(PassKind)
WINDOWED = ("max_pool", "mean_pool")
TAPPED = {"conv1d": "the taps of its filter", "selective_scan": "the values of its state per column"}
"""Kinds that take rows one after another and keep something of each column; what ``block`` means to them."""
_SIDES = ("act", "weight")


@dataclass(frozen=True, slots=True)
class Pass:
    """``count`` passes of one kind over ``rows x cols`` values each; a reduction is along a row.

    Args:
        name: the pass's name in the model, such as ``encoder.layer.0.attention.qk.softmax``.
        kind: one of ``PASS_KINDS``.
        rows, cols: of the result [count], >= 1.
        count: passes of this shape, for instance attention heads [count], >= 1.
        gemm: the op whose result it works on or whose operand it makes; empty if there is none.
        makes_operand: it makes an operand of ``gemm`` and runs before it.
        operand: which one ``quantise`` makes: ``act``, or ``weight`` for the second activation of a ``bmm``.
        block: values along a row that a ``hadamard`` mixes, or the window of a pool: values per result; 0: a whole row.
            For those of ``TAPPED``, what they keep of each column.
    Raises: WorkloadError naming the pass, the field and the value.
    """

    name: str
    kind: str
    rows: int
    cols: int
    count: int = 1
    gemm: str = ""
    makes_operand: bool = False
    operand: str = "act"
    block: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise WorkloadError(f"a pass's name must be a non-empty string, got {self.name!r}")
        if self.kind not in PASS_KINDS:
            near = did_you_mean(str(self.kind), PASS_KINDS)
            allowed = ", ".join(PASS_KINDS)
            raise WorkloadError(f"pass '{self.name}': kind must be one of {allowed}, got {self.kind!r}{near}")
        for field in ("rows", "cols", "count"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise WorkloadError(f"pass '{self.name}': {field} must be a positive integer, got {value!r}")
        if self.operand not in _SIDES:
            raise WorkloadError(f"pass '{self.name}': operand must be act or weight, got {self.operand!r}")
        _check_block(self)

    @property
    def mixed(self) -> int:
        """Values along a row that a ``hadamard`` mixes."""
        return self.block or self.cols

    @property
    def macs(self) -> int:
        """None: a pass is no matrix product."""
        return 0


def _check_block(work: Pass) -> None:
    if not isinstance(work.block, int) or isinstance(work.block, bool) or work.block < 0:
        raise WorkloadError(f"pass '{work.name}': block must be an integer of at least 0, got {work.block!r}")
    if work.kind == "hadamard" and (work.mixed & (work.mixed - 1) or work.cols % work.mixed):
        raise WorkloadError(
            f"pass '{work.name}': a hadamard mixes a power of two of values that divides its columns; "
            f"found {work.mixed} of {work.cols}; set block"
        )
    if work.kind in WINDOWED and not work.block:
        raise WorkloadError(f"pass '{work.name}': a {work.kind} needs block, the values of its window")
    if work.kind in TAPPED and not work.block:
        raise WorkloadError(f"pass '{work.name}': a {work.kind} needs block, {TAPPED[work.kind]}")
    have_one = ("hadamard", *WINDOWED, *TAPPED)
    if work.block and work.kind not in have_one:
        raise WorkloadError(f"pass '{work.name}': a {work.kind} has no block; only {', '.join(have_one)} have one")
