"""Which points can be run at once, and which are alike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress

from simulator.config.study import Fidelity
from simulator.datapath import Datapath
from simulator.engine import IdealDram
from simulator.errors import WorkloadError
from simulator.study.judged import numbers_of
from simulator.study.planning import require_feasible_op
from simulator.study.point import Point
from simulator.study.programs import program_hardware
from simulator.study.systolic import SystolicHardware
from simulator.study.workloads import Workload
from simulator.workload import Op

__all__ = ["costs_follow_from_shapes", "distinct", "groups_of", "kind_of_passes", "systolic"]

_MOST_MACS = 1 << 48
"""Of a workload: sums of its bits stay exact as integers of 64 bits."""


def groups_of(points: Mapping[int, Point], fidelity: Fidelity) -> list[list[int]]:
    """Names of points in groups of those that are alike; those that have to be run alone are in none."""
    groups: dict[Hashable, list[int]] = {}
    fit: dict[int, bool] = {}
    for name, point in points.items():
        workload = point.workload
        if id(workload) not in fit:
            fit[id(workload)] = _is_plain(workload)
        if fidelity == "pipeline" and fit[id(workload)] and _is_plain_hardware(point):
            with suppress(TypeError):  # options of a datapath from elsewhere without a hash
                groups.setdefault(kind_of(point), []).append(name)
    return list(groups.values())


def systolic(point: Point) -> SystolicHardware:
    """The hardware of a point that is in a group."""
    hardware = point.hardware
    assert isinstance(hardware, SystolicHardware), "groups are of systolic arrays"
    return hardware


def _is_plain(workload: Workload) -> bool:
    """Whether its counts are exact as integers of 64 bits, and no op is refused for its size."""
    ops = workload.ops
    return 0 < sum(op.macs for op in ops) <= _MOST_MACS and all(map(_is_feasible, ops))


def _is_feasible(op: Op) -> bool:
    with suppress(WorkloadError):
        require_feasible_op(op)
        return True
    return False


def _is_plain_hardware(point: Point) -> bool:
    """Whether nothing asks for its tiles one by one, and no values have to be drawn."""
    hardware = point.hardware
    if not isinstance(hardware, SystolicHardware) or hardware.layers or program_hardware(hardware):
        return False
    known = point.workload.has_tensors or costs_follow_from_shapes(hardware.datapath)
    alone = hardware.cores == 1 and hardware.global_buffer is None and not hardware.launch_cycles
    ideal = isinstance(hardware.dram, IdealDram) and hardware.limits is not None
    return alone and ideal and known and not hardware.memories.bank_conflicts


def costs_follow_from_shapes(datapath: Datapath) -> bool:
    """Whether values decide no cycle and no count."""
    return type(datapath).tile_costs is Datapath.tile_costs and not datapath.assumed_distribution


def kind_of(point: Point) -> Hashable:
    """What alike points share: all but the sizes of the array and its scratchpads, and the speed of DRAM; of tensors
    also their codes.
    """
    hardware = systolic(point)
    design, array, bill = hardware.design, hardware.array, hardware.bill
    return (
        kind_of_passes(point),
        (design.name, point.workload.name, point.workload.tokens, design.clock_mhz),
        (array.dataflow, array.overlap, array.cycles_per_step, array.result_words, hardware.bits),
        (hardware.pinned, hardware.tolerance),
        (point.workload.fingerprint, numbers_of(hardware)) if point.workload.has_tensors else None,
        (id(bill.library), bill.dram_standard, tuple(bill.parts), tuple(bill.buffers)),
    )


def kind_of_passes(point: Point) -> Hashable:
    """What of it, beside array and memory, passes depend on. What is named by ``id`` must live as long."""
    hardware = systolic(point)
    how, unit, bits = hardware.design.quantisation, hardware.design.vector_unit, hardware.bits
    return (
        (id(point.workload.steps), id(hardware.datapath)),
        (bits.act, bits.weight, bits.output, hardware.depths, hardware.memories),
        (unit.lanes, unit.special_cycles, tuple(unit.fused)),
        (how.activations.granularity, how.weights.granularity),
    )


def distinct(keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """The first place of each distinct key, and for each key which of them it is."""
    known: dict[Hashable, int] = {}
    firsts: list[int] = []
    which = []
    for place, key in enumerate(keys):
        number = known.get(key)
        if number is None:
            number = known[key] = len(firsts)
            firsts.append(place)
        which.append(number)
    return firsts, which
