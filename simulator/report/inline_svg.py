"""Makes a written SVG part of a page: no prologue, no style sheet, its own ids, and the page's ink and paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from simulator.report.style import THEME, WIDTH_IN

__all__ = ["inline_svg"]

_REM_PER_PT = 60 / (72 * WIDTH_IN)


def inline_svg(svg: str, name: str, title: str, notes: Mapping[str, str] | None = None) -> str:
    """The ``<svg>`` element of a matplotlib SVG, fit to stand inside an HTML page beside others.

    Args:
        name: prefix of every id, distinct on the page.
        title: what a screen reader says.
        notes: id of a group in the SVG -> what is shown where a mouse rests on it.
    """
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", body, flags=re.DOTALL)
    head, rest = body.split(">", 1)
    width = re.search(r'\bwidth="([0-9.]+)pt"', head)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    head += f' role="img" aria-label="{escape(title)}"'
    if width:  # every figure is enlarged alike, so that text has one size down the page
        head += f' style="max-width: {float(width[1]) * _REM_PER_PT:.2f}rem"'
    for place, text in (notes or {}).items():
        rest = rest.replace(f'<g id="{place}">', f'<g id="{place}" class="told"><title>{escape(text)}</title>', 1)
    return _retint(_rename(f"{head}>{rest}", f"{name}-"))


def _rename(svg: str, prefix: str) -> str:
    """Prefixes every id and every reference to one, inside tags only: a name drawn as text stays as it is."""

    def rename(tag: re.Match[str]) -> str:
        text = re.sub(r'(\sid=")', rf"\g<1>{prefix}", tag[0])
        text = re.sub(r"url\(#", f"url(#{prefix}", text)
        return re.sub(r'\s(?:xlink:)?href="#', f' href="#{prefix}', text)

    return re.sub(r"<[^<>]+>", rename, svg)


def _retint(svg: str) -> str:
    """Swaps the theme's colours, in style attributes only, for the page's variables."""

    def retint(style: re.Match[str]) -> str:
        text = style[0]
        for colour, variable in THEME.items():
            text = text.replace(colour, f"var({variable}, {colour})")
        return text

    return re.sub(r'\sstyle="[^"]*"', retint, svg)
