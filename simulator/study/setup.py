"""A study as a process needs it to run points: small, picklable, without hardware or tensors."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.config import Source, Study, apply_overrides, validate
from simulator.config.catalogue import Reference, read_study_source
from simulator.config.yaml_nodes import Steps

__all__ = ["StudySetup", "read_study"]

STUDY_PREFIX = "study."
"""Beginning of the path of a field of the study itself in ``--set``."""
_AXIS = "study.sweep."


@dataclass(frozen=True)
class StudySetup:
    """What was asked for. Designs, workloads, traces and price lists are opened from it, once in each process.

    Attributes:
        source: the study's document, which knows where each field was written; ``study`` is it, checked.
        overrides: ``--set`` of the command line; win over the study's ``set``, lose to its axes.
        keep_layers: whether rows of ops and passes are kept, beside those of points.
        token: of one run; what a process opened for another run, when files may have been others, is not used again.
    """

    study: Study
    source: Source
    overrides: Mapping[str, Any]
    keep_layers: bool = True
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def near(self) -> Path:
        """Folder in which relative paths are looked for first."""
        return Path(self.source.label).parent


def read_study(ref: Reference, overrides: Mapping[str, Any]) -> tuple[Study, Source, dict[str, Any]]:
    """A study with its own fields as ``--set study.FIELD`` has them (``study.sweep.PATH``: one axis), and the overrides
    that are of designs and workloads. Raises: ConfigError.
    """
    own = {path: value for path, value in overrides.items() if path.startswith(STUDY_PREFIX)}
    steps: dict[Steps, Any] = {_steps(path): value for path, value in own.items()}
    source = read_study_source(ref)
    for path, value in steps.items():
        source = apply_overrides(source, {path: value})
    study = validate(source, Study)
    return study, source, {path: value for path, value in overrides.items() if path not in own}


def _steps(path: str) -> Steps:
    """Where a field lies; the dots of an axis are its own."""
    if path.startswith(_AXIS):
        return "sweep", path.removeprefix(_AXIS)
    return tuple(path.removeprefix(STUDY_PREFIX).split("."))
