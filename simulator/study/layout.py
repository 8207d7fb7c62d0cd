"""A study with every design built and every workload opened at once: what an analysis that changes them starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.config import Source, Study
from simulator.study.checks import require_sound
from simulator.study.members import Member, keeps_its_size, resized
from simulator.study.point import Point, split_axes
from simulator.study.points import Points, open_points
from simulator.study.setup import StudySetup
from simulator.study.workloads import Workload

__all__ = ["Layout", "lay_out"]


@dataclass(frozen=True)
class Layout:
    """Arrays have the sizes that the designs say, unless it is ``sized``.

    Attributes:
        runs: per workload, what it is at each combination of the axes.
        families: per design, a member for each combination of those axes that are a design's, by their values.
    """

    points_of: Points
    runs: list[list[Workload]]
    families: list[dict[str, Member]]

    @property
    def study(self) -> Study:
        """The study, checked."""
        return self.points_of.study

    def sized(self) -> Layout:
        """Arrays as ``normalise`` has them. Raises: ConfigError."""
        place, source = self.points_of.place_of_baseline, self.points_of.setup.source
        references = self.families[place]
        return replace(
            self,
            families=[
                family
                if keeps_its_size(self.study, i == place)
                else {at: resized(self.study, source, member, references[at].hardware) for at, member in family.items()}
                for i, family in enumerate(self.families)
            ],
        )

    def points(self) -> list[Point]:
        """In the order of the results."""
        return [self._point(*self.points_of.split(index)) for index in self.points_of.indices()]

    def _point(self, design: int, workload: int, combination: int) -> Point:
        axes = self.points_of.space.combination(combination)
        member, ran = self.families[design][_at(axes)], self.runs[workload][combination]
        return Point(member.hardware.on(ran.name), ran, axes, member.size)


def lay_out(study: Study, source: Source, overrides: Mapping[str, Any]) -> Layout:
    """The layout of a study. Raises: ConfigError and its like, one line with file, line and field."""
    points = open_points(StudySetup(study, source, overrides))
    require_sound(points)
    with points.remembering():
        runs = [[points.workload(i, axes) for axes in points.space] for i in range(len(study.workloads))]
        own = {_at(axes): split_axes(axes)[0] for axes in points.space}
        families = [{at: points.member(i, values) for at, values in own.items()} for i in range(len(study.designs))]
        for member in (member for family in families for member in family.values()):
            member.make()  # what is wrong is said at once
    return Layout(points, runs, families)


def _at(axes: Mapping[str, Any]) -> str:
    """What tells combinations apart for a design."""
    return json.dumps(split_axes(axes)[0])
