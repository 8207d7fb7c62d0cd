"""All points of a small study at once, each mapped, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.config import Source, Study
from simulator.study.checks import require_sound
from simulator.study.point import Point, require_runnable
from simulator.study.points import open_points
from simulator.study.setup import StudySetup

__all__ = ["expand"]


def expand(study: Study, source: Source, overrides: Mapping[str, Any]) -> list[Point]:
    """All points of a study: every design built, every workload opened, every op and pass mapped, nothing run. For
    studies of few points; ``points.open_points`` builds them one by one.

    Args:
        overrides: ``--set`` of the command line; wins over the study's ``set``, loses to its axes.
    Raises: ConfigError and its like, one line with file, line and field.
    """
    points = open_points(StudySetup(study, source, overrides))
    require_sound(points)
    built = [points.point(index) for index in points.indices()]
    for point in built:
        require_runnable(point)
    return built
