"""Designs of a study as its axes set them, built when they are asked for, with arrays sized as ``normalise`` has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from simulator.config import Source, Study
from simulator.errors import ConfigError, CostError
from simulator.study.building import require_systolic
from simulator.study.hardware import Hardware
from simulator.study.sizing import describe, sized

__all__ = ["Member", "keeps_its_size", "resized"]

Build = Callable[..., Hardware]
"""From further overlays, which win, to hardware."""


@dataclass(frozen=True)
class Member:
    """One design at one combination of the sweep axes that are a design's.

    ``build`` makes it anew with further overlays; ``size``: how its array was sized, as one sentence.
    """

    build: Build
    size: str = ""

    @cached_property
    def hardware(self) -> Hardware:
        """Built at first use. Raises: ConfigError."""
        return self.build()

    def make(self, *more: tuple[str, Mapping[str, Any]]) -> Hardware:
        """With further overlays, each distinct one built once. Raises: ConfigError."""
        key = json.dumps([settings for _, settings in more], sort_keys=True)
        if key not in self._built:
            self._built[key] = self.build(*more) if more else self.hardware
        return self._built[key]

    @cached_property
    def _built(self) -> dict[str, Hardware]:
        return {}


def keeps_its_size(study: Study, is_reference: bool) -> bool:
    """Whether a design's array is as written: without ``normalise``, and the one that gives the size."""
    budgets = study.sizing.budget_mm2, study.sizing.budget_gb_s
    return study.normalise == "none" or (is_reference and budgets == (None, None))


def resized(study: Study, source: Source, member: Member, reference: Hardware) -> Member:
    """A design with an array as large as the baseline's at the same axes. Raises: ConfigError."""
    where = source.where(("normalise",))
    why = f"normalise: {study.normalise} sizes systolic arrays"
    mine, theirs = require_systolic(member.hardware, why), require_systolic(reference, why)
    try:
        rows, cols = sized(mine, theirs, study.normalise, study.sizing)
    except CostError as error:
        raise ConfigError(f"{where}: {member.hardware.design.name}: {error}") from None
    chosen = (where, {"array.rows": rows, "array.cols": cols})
    hardware = require_systolic(member.make(chosen), why)
    size = describe(hardware, theirs, study.normalise, study.sizing)
    return replace(member, build=lambda *more: member.make(chosen, *more), size=size)
