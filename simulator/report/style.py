"""One look for every figure: colours, sizes, and settings that make two drawings of the same numbers the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

__all__ = [
    "AREA_COLOURS",
    "GRID",
    "INK",
    "MUTED",
    "PAPER",
    "PART_COLOURS",
    "STYLE",
    "THEME",
    "WIDTH_IN",
    "design_colours",
    "figure_style",
    "part_colour",
    "styled",
]

WIDTH_IN = 7.2  # two columns of a conference paper

# Used for nothing but text, rules and background: the page swaps them for its own, so that figures follow its theme.
INK, MUTED, GRID, PAPER = "#1b1f24", "#59626e", "#dfe3e8", "#ffffff"
THEME = {INK: "--ink", MUTED: "--muted", GRID: "--rule", PAPER: "--paper"}

# Okabe and Ito's colour-blind-safe palette, with a grey that shows on black paper too in place of its black.
_DESIGNS = ("#8b929c", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b8a90f")
_HATCHES = ("", "////", "....", "xxxx")

# What a bar is made of. The same thing has the same colour in every figure: work blue, DRAM orange, waiting for nothing
# grey. Neighbours also differ in lightness, for a black-and-white print.
PART_COLOURS = {
    "core": "#2b6a99",
    "buffer": "#8fc1e3",
    "dram": "#dd8a3c",
    "static": "#c3c9d1",
    "const": "#8a929d",
    "dram_l2": "#dd8a3c",
    "l1_reg": "#8fc1e3",
    "compute": "#2b6a99",
    "streaming": "#2b6a99",
    "fill_drain": "#8fc1e3",
    "stall_dram_read": "#dd8a3c",
    "stall_dram_write": "#f2c894",
    "stall_bank": "#7d6bb0",
    "stall_outlier": "#a23b72",
    "stall_vector": "#6a994e",
}
# Paul Tol's "light" scheme, for parts of any name.
AREA_COLOURS = ("#77aadd", "#ee8866", "#eedd88", "#44bb99", "#ffaabb", "#99ddff", "#bbcc33", "#c3c9d1", "#aaaa00")

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.dpi": 100,
    "figure.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.color": PAPER,
    "hatch.linewidth": 0.8,
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.4,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handleheight": 0.9,
    "legend.handlelength": 1.1,
    "legend.handletextpad": 0.5,
    "path.simplify": True,
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",  # text stays text: searchable, selectable, and themed by the page
    "svg.hashsalt": "olivine",
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a name is a dollar
    "text.usetex": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}

_P = ParamSpec("_P")
_R = TypeVar("_R")


_is_on: ContextVar[bool] = ContextVar("_is_on", default=False)


@contextmanager
def figure_style() -> Iterator[None]:
    """matplotlib's defaults with this style over them, whatever the user's own settings are, until the block ends. A
    block inside another changes nothing: setting hundreds of fields takes as long as drawing a small figure.
    """
    if _is_on.get():
        yield
        return
    import matplotlib

    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    for name in ("backend", "interactive", "toolbar"):
        settings.pop(name, None)
    with matplotlib.rc_context(settings | STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names in any script; SVG keeps them
        before = _is_on.set(True)
        try:
            yield
        finally:
            _is_on.reset(before)


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorator: runs a drawing function in the house style."""

    @wraps(draw)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with figure_style():
            return draw(*args, **kwargs)

    return inside


def design_colours(designs: Sequence[str]) -> dict[str, dict[str, str]]:
    """Design -> facecolor and hatch, fixed by its place in the study; hatches tell the ninth from the first."""
    n = len(_DESIGNS)
    return {
        design: {"facecolor": _DESIGNS[i % n], "hatch": _HATCHES[i // n % len(_HATCHES)]}
        for i, design in enumerate(designs)
    }


def part_colour(name: str, place: int = 0) -> str:
    """Colour of a component or cause; unknown ones take their place in the light scheme."""
    return PART_COLOURS.get(name, AREA_COLOURS[place % len(AREA_COLOURS)])
