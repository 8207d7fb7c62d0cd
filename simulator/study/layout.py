"""A study with every design built and every workload opened at once: what an analysis that changes them starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.config import Source, Study
from simulator.study.checks import require_sound
from simulator.study.members import Member, keeps_its_size, resized
from simulator.study.point import Point
from simulator.study.points import Points, open_points
from simulator.study.setup import StudySetup
from simulator.study.space import Choices
from simulator.study.workloads import Workload

__all__ = ["Layout", "lay_out"]


@dataclass(frozen=True)
class Layout:
    """Arrays have the sizes that the designs say, unless it is ``sized``.

    Attributes:
        runs: per workload, what it is at each combination of the axes.
        families: per design, a member for each combination of those axes that are a design's, by the places of
            their values.
    """

    points_of: Points
    runs: list[list[Workload]]
    families: list[dict[Choices, Member]]

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
        points, ran = self.points_of, self.runs[workload][combination]
        choices = points.space.choices(combination)
        member = self.families[design][points.own(choices)]
        return Point(member.hardware.on(ran.name), ran, points.space.at(choices), member.size)


def lay_out(study: Study, source: Source, overrides: Mapping[str, Any]) -> Layout:
    """The layout of a study. Raises: ConfigError and its like, one line with file, line and field."""
    points = open_points(StudySetup(study, source, overrides))
    require_sound(points)
    with points.remembering():
        every = [points.space.choices(combination) for combination in range(points.space.size)]
        runs = [[points.workload(i, choices) for choices in every] for i in range(len(study.workloads))]
        own = {points.own(choices): choices for choices in every}
        families = [{at: points.member(i, choices) for at, choices in own.items()} for i in range(len(study.designs))]
        for member in (member for family in families for member in family.values()):
            member.make()  # what is wrong is said at once
    return Layout(points, runs, families)
