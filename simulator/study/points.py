"""Points of a study, found by number and built when they are asked for: designs x workloads x combinations of axes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from simulator.config import Design, Source, Study, named_at
from simulator.config.catalogue import Reference, read_design
from simulator.config.conditions import Condition, parse_condition
from simulator.config.once import Memory, remembering
from simulator.config.overlays import Overlay, lay
from simulator.config.sweep import axes_of
from simulator.config.yaml_nodes import place
from simulator.errors import ConfigError, CostError
from simulator.study.building import build
from simulator.study.conditioned import Conditioned, conditioned
from simulator.study.hardware import Hardware, require_datapaths
from simulator.study.held import held
from simulator.study.keys import FILE_FIELDS, content_key, files_content, run_content
from simulator.study.members import Member, keeps_its_size, resized
from simulator.study.point import WORKLOAD_PREFIX, Point, label_of, split_axes
from simulator.study.setup import StudySetup
from simulator.study.space import Choices, Space
from simulator.study.variants import Variants
from simulator.study.workloads import Workload, resolve_workload

__all__ = ["Points", "open_points"]

_KEPT = 64
"""Designs with their hardware, and workloads, that are held at a time."""
_KEPT_HASHES = 1 << 16
_MOST_POINTS = 1 << 62
_MOST_RUN = 1 << 24
"""Of a study that runs them all: days on any machine, and tens of gigabytes."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Points:
    """The points of a study. A point is a number: designs as written, workloads within, combinations of axes within.

    Everything is read once and built when it is asked for; of what is built little is held, so that memory does not
    grow with the points.
    """

    setup: StudySetup
    space: Space
    memory: Memory
    recent: dict[str, dict[Hashable, Any]]

    @property
    def study(self) -> Study:
        """The study, checked."""
        return self.setup.study

    def remembering(self) -> AbstractContextManager[None]:
        """Inside, files are read once for all points."""
        return remembering(self.memory)

    # Numbers

    @property
    def total(self) -> int:
        """Numbers of points, those that conditions deny included."""
        return len(self.study.designs) * len(self.study.workloads) * self.space.size

    def split(self, index: int) -> tuple[int, int, int]:
        """Places of the design and the workload in the study, and the number of the combination."""
        rest, combination = divmod(index, self.space.size)
        design, workload = divmod(rest, len(self.study.workloads))
        return design, workload, combination

    def index_of(self, design: int, workload: int, combination: int) -> int:
        """The inverse of ``split``."""
        return (design * len(self.study.workloads) + workload) * self.space.size + combination

    def axes(self, index: int) -> dict[str, Any]:
        """Values of the sweep axes by path."""
        return self.space.combination(self.split(index)[2])

    def exists(self, index: int) -> bool:
        """Whether no condition of the study denies the point. Raises: ConfigError."""
        if not self.conditions:
            return True
        design, workload, combination = self.split(index)
        choices = self.space.choices(combination)

        def values() -> dict[str, Any]:
            names = {"design": self.design_names[design], "workload": self.workload_names[workload]}
            return self.space.at(choices) | names

        return all(each.holds((design, workload, *choices), values) for each in self._conditioned)

    def indices(self) -> Iterator[int]:
        """Numbers of all points that exist, in the order of the results."""
        return filter(self.exists, range(self.total))

    def label(self, index: int) -> str:
        """What progress and messages call a point; nothing is built."""
        design, workload, combination = self.split(index)
        return label_of(self.design_names[design], self.workload_names[workload], self.space.combination(combination))

    # Designs and workloads

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Of the key ``where``."""
        known, source = [*self.space.paths, "design", "workload"], self.setup.source
        return tuple(
            parse_condition(text, known, source.where(("where", i))) for i, text in enumerate(self.study.where)
        )

    @cached_property
    def _conditioned(self) -> tuple[Conditioned, ...]:
        return conditioned(self.conditions, self.space)

    @cached_property
    def designs(self) -> tuple[Source, ...]:
        """The documents of the designs, what ``set`` and ``--set`` say laid over. Raises: ConfigError."""
        with self.remembering():
            return tuple(self._design(i) for i in range(len(self.study.designs)))

    def _design(self, place: int) -> Source:
        make = lambda ref: lay(read_design(ref, near=self.setup.near), self._set(0))  # noqa: E731
        return _placed(self.setup.source, ("designs", place), make)

    @cached_property
    def design_names(self) -> tuple[str, ...]:
        """As written."""
        return tuple(str(source.data.get("name", "")) for source in self.designs)

    @cached_property
    def workload_names(self) -> tuple[str, ...]:
        """As they are at the first combination of the axes. Raises: ConfigError."""
        return tuple(self.workload(i, self.space.choices(0)).name for i in range(len(self.study.workloads)))

    @cached_property
    def place_of_baseline(self) -> int:
        """Of the design that gives others their size; the first where the study has no baseline."""
        return self.design_names.index(self.study.baseline) if self.study.baseline else 0

    def _set(self, which: int) -> list[Overlay]:
        """What the study and the command line set in the designs (``which`` 0) or the workloads (1)."""
        set_ = self.setup.source.where(("set",))
        return [(set_, split_axes(self.study.set)[which]), ("--set", split_axes(self.setup.overrides)[which])]

    @cached_property
    def _axis_places(self) -> dict[str, str]:
        """Where the axis of each swept field is written."""
        keys = zip(self.study.sweep, self.space.axes, strict=True)
        places = {key: place(*self.setup.source.origin(("sweep", key)), ("sweep",)) for key in self.study.sweep}
        return {path: places[key] for key, axis in keys for path in axis.paths}

    @cached_property
    def _split(self) -> list[list[tuple[dict[str, Any], ...]]]:
        """For each axis what it sets of designs (0) and of workloads (1) at each of its places."""
        parted = [[split_axes(values) for values in axis] for axis in self.space.values]
        return [[tuple(own[which] for own in axis) if axis[0][which] else () for axis in parted] for which in (0, 1)]

    @cached_property
    def _variants(self) -> list[Variants]:
        return [Variants(document, self._axis_places, tuple(self._split[0]), FILE_FIELDS) for document in self.designs]

    @cached_property
    def _own_axes(self) -> list[tuple[int, ...]]:
        """The axes of designs (0) and of workloads (1)."""
        return [tuple(axis for axis, own in enumerate(which) if own) for which in self._split]

    def own(self, choices: Choices, which: int = 0) -> Choices:
        """Of the places of all axes those of the axes of designs (``which`` 0) or of workloads (1)."""
        return tuple([choices[axis] for axis in self._own_axes[which]])

    def workload(self, place: int, choices: Choices) -> Workload:
        """A workload at the places ``choices`` of the axes. Raises: ConfigError, TraceError or WorkloadError."""

        def make(ref: Reference) -> Workload:
            places = {path.removeprefix(WORKLOAD_PREFIX): where for path, where in self._axis_places.items()}
            own = places, split_axes(self.space.at(choices))[1]
            whole = resolve_workload(ref, self.setup.near, [*self._set(1), own])
            return whole.only(self.study.steps).with_values(self.study.values)

        key = place, self.own(choices, 1)
        return self._kept("workload", key, lambda: _placed(self.setup.source, ("workloads", place), make))

    def design(self, place: int, choices: Choices, *more: Overlay) -> Design:
        """A design at the places ``choices`` of the axes, without sizing. Raises: ConfigError."""
        return self._variants[place].design(choices, *more)

    def member(self, place: int, choices: Choices) -> Member:
        """A design at the places ``choices`` of the axes, to be built."""

        def make(*more: Overlay) -> Hardware:
            design = self.design(place, choices, *more)
            return _placed(self.setup.source, ("designs", place), lambda _: build(design))

        return self._kept(
            "member",
            (place, self.own(choices)),
            lambda: Member(make),
        )

    def sized(self, place: int, choices: Choices) -> Member:
        """The same with its array sized. Raises: ConfigError."""
        member = self.member(place, choices)
        if keeps_its_size(self.study, place == self.place_of_baseline):
            return member
        reference = self.member(self.place_of_baseline, choices)
        make = lambda: resized(self.study, self.setup.source, member, reference.hardware)  # noqa: E731
        return self._kept("sized", (place, self.own(choices)), make)

    # Points

    def point(self, index: int) -> Point:
        """A point, built. Raises: OlivineError if it cannot be."""
        place, which, combination = self.split(index)
        choices = self.space.choices(combination)
        with self.remembering():
            workload, member = self.workload(which, choices), self.sized(place, choices)
            axes = self.space.at(choices)
            return Point(member.hardware.on(workload.name), workload, axes, member.size)

    def key(self, index: int) -> str:
        """The address of a point's result, without building it; looks at all that can be wrong of its fields, prices,
        DRAM part and datapath. Raises: OlivineError.
        """
        place, which, combination = self.split(index)
        choices = self.space.choices(combination)
        with self.remembering():
            run = self._kept("run", (which, self.own(choices, 1)), lambda: self._run(which, choices))
            content: dict[str, Any] = {"kind": "point", "design": self._content(place, choices), "run": run}
            if not keeps_its_size(self.study, place == self.place_of_baseline):
                sizing = self.study.sizing.model_dump(mode="json")
                reference = self._content(self.place_of_baseline, choices)
                content["sizing"] = {"by": self.study.normalise, "how": sizing, "reference": reference}
        return content_key(content)

    def _run(self, which: int, choices: Choices) -> str:
        """Hash of what is run, and how."""
        workload = self.workload(which, choices)
        run = run_content(workload, self.study.fidelity, self.study.seed)
        return content_key(run | {"workload_name": workload.name})

    def _content(self, place: int, choices: Choices) -> str:
        """Hashes of all that the results of a design depend on: of its fields, and of what they name."""

        def make() -> str:
            variants = self._variants[place]
            fields = variants.fields_sha256(choices)
            key = place, variants.places_of_watched(choices)
            files = self._kept("files", key, lambda: self._files(place, choices), _KEPT_HASHES)
            return f"{fields} {files}"

        return self._kept("content", (place, self.own(choices)), make, _KEPT_HASHES)

    def _files(self, place: int, choices: Choices) -> str:
        """Hash of all that a design's files hold; looks whether its datapaths exist. Raises: ConfigError."""
        design = self.design(place, choices)
        require_datapaths(design)
        try:
            return content_key(files_content(design))
        except CostError as error:
            raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None

    def _kept(self, kind: str, key: Hashable, make: Callable[[], _T], most: int = _KEPT) -> _T:
        """``make``, unless it is among the last that were made of this kind."""
        known = self.recent.setdefault(kind, {})
        if key in known:
            found: _T = known[key]
            return found
        return held(known, key, make(), most)


def _placed(source: Source, path: tuple[str, int], make: Callable[[Reference], _T]) -> _T:
    """``make`` of the reference at ``path``; a name or file that does not exist is a complaint about that line."""
    ref = source.data[path[0]][path[1]]
    with named_at(lambda: source.where(path)):
        return make(source.part(path) if isinstance(ref, dict) else ref)


@lru_cache(maxsize=4)
def _opened(token: str) -> dict[bool, Points]:
    """Points of a run, by whether rows of layers are kept: those of other runs are forgotten in time."""
    return {}


def open_points(setup: StudySetup) -> Points:
    """The points of a setup, opened once in each process. Raises: ConfigError."""
    known = _opened(setup.token)
    if setup.keep_layers not in known:
        same = next(iter(known.values()), None)  # what was found of a point does not depend on what is kept of it
        space = same.space if same else Space(axes_of(setup.study.sweep, setup.source))
        _require_countable(setup, space)
        known[setup.keep_layers] = Points(setup, space, *((same.memory, same.recent) if same else ({}, {})))
    return known[setup.keep_layers]


def _require_countable(setup: StudySetup, space: Space) -> None:
    points = space.size * len(setup.study.designs) * len(setup.study.workloads)
    most = _MOST_RUN if setup.study.search is None else _MOST_POINTS
    if points > most:
        what = "is run point by point, at most" if setup.study.search is None else "has at most"
        hint = "; narrow the axes, or add a `search` of some of them" if setup.study.search is None else ""
        raise ConfigError(f"{setup.source.where(('sweep',))}: {points} points; a study {what} {most}{hint}")
