"""Which columns a results table can have, to tell a slip of the pen before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.config import Source, Study
from simulator.engine import STALL_CAUSES
from simulator.errors import ConfigError, did_you_mean
from simulator.study.rows import CONTRACT_COLUMNS

__all__ = ["MORE_COLUMNS", "is_column", "require_drawable"]

MORE_COLUMNS = (
    *(f"stall_{cause}_cycles" for cause in STALL_CAUSES),
    *(f"energy_gpu_{part}_pj" for part in ("const", "static", "dram_l2", "l1_reg", "core")),
    *("speedup", "energy_ratio", "clock_mhz", "peak_tops", "dram_gb_s", "rows", "cols", "cores", "sms"),
    *("fidelity", "seed", "fill_drain_cycles", "sqnr_quantisation_db", "sqnr_arithmetic_db"),
    *("act_bits_per_value", "weight_bits_per_value", "tokens", "tokens_per_s", "dram_bound_tokens_per_s"),
    *("pj_per_token", "weight_read_bytes", "kv_read_bytes"),
)
"""Columns besides the contract's; some are only there for some designs or workloads."""

_FAMILIES = ("energy_part_", "area_part_", "stall_", "dram_", "accuracy_")
"""Beginnings of columns whose names a design's parts and actions, its DRAM or a model's judges make."""


def is_column(name: str) -> bool:
    """May a results table have this column?"""
    return name in CONTRACT_COLUMNS or name in MORE_COLUMNS or name.startswith(_FAMILIES)


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
        known = [*axes, *(() if swept_only else (*CONTRACT_COLUMNS, *MORE_COLUMNS))]
        what = "swept field" if swept_only else "column of the results and no swept field"
        shown = f"; swept: {', '.join(axes) or 'nothing'}"
        hint = did_you_mean(name, known) or (
            shown if swept_only else f"; columns: {', '.join(CONTRACT_COLUMNS[:12])} ..."
        )
        raise ConfigError(f"{source.where(('figures', *path))}: '{name}' is no {what}{hint}")
