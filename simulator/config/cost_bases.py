"""What a cost library takes from those that it extends: never half of a table, never prices of two conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simulator.config.load import Source
from simulator.errors import ConfigError

__all__ = ["beneath", "require_same_conventions"]


def beneath(top: Mapping[str, Any], base: Source) -> Source:
    """``base`` without what ``top`` brings whole: its conventions, and macros of SRAM or the table of them."""
    data = dict(base.data)
    if "conventions" in top:
        data.pop("conventions", None)
    given, sram = top.get("sram"), data.get("sram")
    if isinstance(given, Mapping) and isinstance(sram, Mapping):
        other = {"table", "variant"} if "macros" in given else {"macros"} if "table" in given else set()
        data["sram"] = {key: value for key, value in sram.items() if key not in other}
    return replace(base, data=data)


def require_same_conventions(source: Source, parents: Sequence[Source]) -> None:
    """Prices of several libraries mean one thing only if they are charged alike. Raises: ConfigError naming two.

    A library that states ``conventions`` of its own has said which; one that states none takes those of its bases.
    """
    if "conventions" in source.data:
        return
    stated = [parent for parent in parents if "conventions" in parent.data]
    for other in stated[1:]:
        ours, theirs = stated[0].data["conventions"], other.data["conventions"]
        if ours != theirs:
            keys = sorted(k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k))
            names = " and ".join(f"'{parent.data.get('name', parent.label)}'" for parent in (stated[0], other))
            what = f"{names} have other conventions ({', '.join(keys)})"
            raise ConfigError(f"{source.where(('extends',))}: {what}; state conventions here")
