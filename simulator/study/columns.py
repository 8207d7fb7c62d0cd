"""Which columns a results table can have, to tell a slip of the pen before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.config import Source, Study
from simulator.errors import ConfigError, did_you_mean
from simulator.report.columns import COLUMNS, described_column
from simulator.study.rows import CONTRACT_COLUMNS

__all__ = ["NAMED_COLUMNS", "is_column", "require_drawable"]

NAMED_COLUMNS = tuple(c.name for c in COLUMNS if "results" in c.tables and "<" not in c.name)
"""Columns of known name; some are only there for some designs or workloads."""


def is_column(name: str) -> bool:
    """May a results table have this column?"""
    return described_column(name) is not None


def require_drawable(study: Study, source: Source, axes: Sequence[str]) -> None:
    """Figures are of columns that results can have, or of swept fields; a map is over two of those.

    Raises: ConfigError naming file, line, field and the nearest name.
    """
    for path, name in study.figures.columns() if study.figures else ():
        if name in ("speedup", "energy_ratio") and study.baseline is None:
            raise ConfigError(f"{source.where(('figures', *path))}: '{name}' needs a baseline; name one of the designs")
        swept_only = path[0] == "heatmaps" and path[-1] != "value"
        if name in axes or (not swept_only and is_column(name)):
            continue
        known = [*axes, *(() if swept_only else NAMED_COLUMNS)]
        what = "swept field" if swept_only else "column of the results and no swept field"
        shown = f"; swept: {', '.join(axes) or 'nothing'}"
        hint = did_you_mean(name, known) or (
            shown if swept_only else f"; columns: {', '.join(CONTRACT_COLUMNS[:12])} ..."
        )
        raise ConfigError(f"{source.where(('figures', *path))}: '{name}' is no {what}{hint}")
