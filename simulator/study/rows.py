"""Results as rows: one per point, one per op, in the contract's columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator import units
from simulator.config import Design, kind_of
from simulator.config.design import SystolicDesign
from simulator.config.tensor_core import TensorCoreDesign
from simulator.cost import by_category, by_group, total
from simulator.counts import Counts, summed_counts
from simulator.elementwise import everywhere, is_close, ratio
from simulator.engine import STALL_CAUSES, shown
from simulator.errors import ConservationError
from simulator.reference import sqnr_db
from simulator.study.drams import dram_charged
from simulator.study.hardware import Hardware
from simulator.study.passes import PassResult
from simulator.study.point import Point
from simulator.study.quality import Quality
from simulator.study.simulate import OpResult
from simulator.study.workloads import Workload
from simulator.workload import Op

__all__ = [
    "CONTRACT_COLUMNS",
    "SHAPE_COLUMNS",
    "Subject",
    "geometry",
    "layer_row",
    "point_row",
    "sizes_of",
    "subject_row",
    "with_axes",
]

Row = dict[str, Any]
Result = OpResult | PassResult

CONTRACT_COLUMNS = (
    "design",
    "workload",
    "array_kind",
    "datapath",
    "dataflow",
    "total_cycles",
    "compute_cycles",
    "latency_s",
    "macs",
    "mapping_util",
    "compute_util",
    "dram_read_bytes",
    "dram_write_bytes",
    "energy_total_pj",
    "energy_static_pj",
    "energy_dram_pj",
    "energy_buffer_pj",
    "energy_core_pj",
    "area_total_um2",
    "edp_js",
    "sqnr_db",
    "exact",
)


SHAPE_COLUMNS = ("M", "N", "K", "rows", "cols")
"""Columns of ``layers.parquet`` that are empty where they do not apply: shapes of an op, and of a pass."""
_ERRORS = {"sqnr_quantisation_db": "quantisation_noise", "sqnr_arithmetic_db": "arithmetic_noise"}
"""Columns of the two parts of the error: of the encoding, and of sums that round."""


def with_axes(row: Row, axes: Mapping[str, Any]) -> Row:
    """A point's or a layer's row with the sweep axes: after the contract's columns, or after design and workload."""
    before = "fidelity" if "fidelity" in row else "op"
    columns = {f"axis:{path}": value for path, value in axes.items()}
    placed: Row = {}
    for name, value in row.items():
        if name == before:
            placed |= columns
        placed[name] = value
    return placed


def layer_row(point: Point, result: Result) -> Row:
    """One op or pass of a point, without axes; cycles, bytes and energy cover all of its GEMMs or repetitions."""
    op, timing = result.op, result.timing
    quality = result.quality if isinstance(result, OpResult) else None
    return {
        "design": point.hardware.design.name,
        "workload": point.workload.name,
        "op": op.name,
        "kind": op.kind,
        **{column: getattr(op, column, None) for column in SHAPE_COLUMNS},
        "count": op.count,
        "tiles": result.tiles * op.count,
        "partition": result.partition if isinstance(result, OpResult) else "",
        "total_cycles": timing.total_cycles,
        "compute_cycles": timing.compute_cycles,
        "fill_drain_cycles": timing.fill_drain_cycles,
        **_stalls(timing.stalls),
        "macs": result.counts.macs,
        **_dram_bytes(result.counts),
        **_banks([result]),
        **_count_columns(result.counts),
        "mapping_util": point.hardware.mapping_util(op) if isinstance(op, Op) else math.nan,
        "peak_tops": point.hardware.for_op(op).peak_tops if isinstance(op, Op) else math.nan,
        "compute_util": _compute_util(point.hardware, [result]) if isinstance(op, Op) else math.nan,
        **_energy(op.name, result.energy),
        "sqnr_db": quality.sqnr_db if quality else math.nan,
        **{column: _sqnr([quality], kind) if quality else math.nan for column, kind in _ERRORS.items()},
        "exact": quality.exact if quality else None,
    }


def point_row(point: Point, results: Sequence[Result], fidelity: str, seed: int) -> Row:
    """One point, without axes: the sum of its ops and passes. Raises: as ``subject_row``."""
    return subject_row(subject_of(point), results, fidelity, seed)


@dataclass(frozen=True)
class Subject:
    """What a row is of: a point, or many points that are alike (``study.alike``), with arrays for numbers.

    Attributes:
        sizes: columns of the design alone, ``dram_gb_s`` and those of ``geometry``.
    """

    label: str
    hardware: Hardware
    workload: Workload
    sizes: Row


def subject_of(point: Point) -> Subject:
    """A point as what a row is of."""
    return Subject(point.label, point.hardware, point.workload, sizes_of(point.hardware.design))


def sizes_of(design: Design) -> Row:
    """Columns of a design alone."""
    return {"dram_gb_s": _dram_gb_s(design), **geometry(design)}


def subject_row(subject: Subject, results: Sequence[Result], fidelity: str, seed: int) -> Row:
    """The sum of ops and passes.

    Raises: ConservationError if MACs, cycles by cause or energy by part do not add up.
    """
    hardware = subject.hardware
    counts = summed_counts(r.counts for r in results)
    gemms = [r for r in results if isinstance(r, OpResult)]
    stalls = {cause: sum(r.timing.stalls[cause] for r in results) for cause in STALL_CAUSES}
    compute = sum(r.timing.compute_cycles for r in results)
    energy = _summed([r.energy for r in results])
    area = hardware.area
    design = hardware.design
    latency_s = units.cycles_to_s(counts.cycles, design.clock_mhz)
    _require_conserved(subject, counts, compute + sum(stalls.values()), energy)
    return {
        "design": design.name,
        "workload": subject.workload.name,
        "array_kind": kind_of(design),
        "datapath": design.datapath.name,
        "dataflow": hardware.dataflow,
        "total_cycles": counts.cycles,
        "compute_cycles": compute,
        "latency_s": latency_s,
        "macs": counts.macs,
        "mapping_util": sum(hardware.mapping_util(r.op) * r.op.macs for r in gemms) / counts.macs,
        "compute_util": _compute_util(hardware, results),
        **_dram_bytes(counts),
        **_energy(subject.label, energy),
        "area_total_um2": total(area) if area else math.nan,
        "edp_js": total(energy) * 1e-12 * latency_s if energy else math.nan,
        **_quality(gemms),
        "fidelity": fidelity,
        "seed": seed,
        "clock_mhz": design.clock_mhz,
        "peak_tops": hardware.peak_tops,
        **subject.sizes,
        "fill_drain_cycles": sum(r.timing.fill_drain_cycles for r in results),
        **_stalls(stalls),
        **_banks(results),
        **{f"energy_part_{part}_pj": pj for part, pj in energy.items()},
        **{f"area_part_{part}_um2": um2 for part, um2 in area.items()},
        **_bits_per_value(gemms),
        **_per_token(subject, gemms, counts, latency_s, total(energy)),
    }


def _dram_gb_s(design: Design) -> float:
    """Peak bandwidth of DRAM [10^9 bytes/s]; NaN where nothing limits it."""
    limited = not isinstance(design, SystolicDesign) or design.memory.dram.model != "none"
    return dram_charged(design)[1] if limited else math.nan


def geometry(design: Design) -> Row:
    """What there is of it; other kinds of array leave these columns empty."""
    if isinstance(design, TensorCoreDesign):
        return {"sms": design.array.sms}
    assert isinstance(design, SystolicDesign), "a design has one of the kinds of array"
    return {"rows": design.array.rows, "cols": design.array.cols, "cores": design.cores.count}


def _require_conserved(subject: Subject, counts: Counts, cycles: int, energy: Row) -> None:
    macs = sum(step.macs for step in subject.workload.steps)
    at_once = total(subject.hardware.energy(counts))
    if not everywhere(counts.macs == macs):
        raise ConservationError(f"{subject.label}: {counts.macs} MACs were run, the workload has {macs}")
    if not everywhere(cycles == counts.cycles):
        raise ConservationError(f"{subject.label}: cycles by cause sum to {cycles}, the total is {counts.cycles}")
    if not is_close(at_once, total(energy), 1e-9):
        why = f"ops sum to {total(energy)} pJ, all counts priced at once to {at_once}"
        raise ConservationError(f"{subject.label}: {why}")


def _stalls(stalls: dict[str, int]) -> Row:
    return {f"{cause}_cycles": cycles for cause, cycles in shown(stalls).items()}


def _dram_bytes(counts: Counts) -> Row:
    moved = counts.level("dram")
    return {
        "dram_read_bytes": units.bits_to_bytes(moved.read_bits),
        "dram_write_bytes": units.bits_to_bytes(moved.write_bits),
    }


def _banks(results: Sequence[Result]) -> Row:
    """What banked DRAM did; nothing for others."""
    names = {name: None for r in results for name in r.timing.dram}
    return {f"dram_{name}": sum(r.timing.dram.get(name, 0) for r in results) for name in names}


def _count_columns(counts: Counts) -> Row:
    """Accesses and bytes of each level and operand; one-way traffic has no columns for the other way."""
    ways = {"read": ("reads", "read_bytes"), "write": ("writes", "write_bytes")}
    return {
        f"count_{record['level']}_{record['operand']}_{what}": record[what]
        for record in counts.records()
        if record["level"] != "pe"  # MACs have a column of their own
        for way, names in ways.items()
        if _ONE_WAY.get((record["level"], record["operand"]), way) == way
        for what in names
    }


_ONE_WAY = {
    **{("dram", operand): "read" for operand in ("act", "weight")},
    **{("edge", operand): "write" for operand in ("act", "weight")},
    **{("registers", operand): "write" for operand in ("act", "weight", "out")},
}


def _energy(name: str, energy: Row) -> Row:
    """The total, its four groups and, of a GPU, its five categories; nothing is known without prices.

    Raises: ConservationError if either do not sum to the total.
    """
    whole, groups, categories = total(energy), by_group(energy), by_category(energy)
    if not energy:
        return {"energy_total_pj": math.nan, **{f"energy_{group}_pj": math.nan for group in groups}}
    for split in (groups, categories):
        if split and not is_close(total(split), whole, 1e-9):
            raise ConservationError(f"{name}: {', '.join(split)} sum to {total(split)} pJ, the total is {whole}")
    row = {"energy_total_pj": whole, **{f"energy_{group}_pj": pj for group, pj in groups.items()}}
    return row | {f"energy_gpu_{category}_pj": pj for category, pj in categories.items()}


def _compute_util(hardware: Hardware, results: Sequence[Result]) -> float:
    """Useful MACs over what the array could have done in the time, each op at its own precision."""
    own = (hardware.for_op(r.op) if isinstance(r.op, Op) else hardware for r in results)
    places = sum(its.macs_per_cycle * r.counts.cycles for its, r in zip(own, results, strict=True))
    util: float = ratio(sum(r.counts.macs for r in results), places, 0.0)
    return util


def _summed(breakdowns: Sequence[dict[str, float]]) -> dict[str, float]:
    parts = {part: None for breakdown in breakdowns for part in breakdown}
    return {part: sum(b.get(part, 0.0) for b in breakdowns) for part in parts}


def _quality(results: Sequence[OpResult]) -> Row:
    """SQNRs of the mean relative noise power over ops, and whether every value of every op is exact."""
    checked = [r.quality for r in results if r.quality]
    if len(checked) < len(results):
        return {"sqnr_db": math.nan, **dict.fromkeys(_ERRORS, math.nan), "exact": None}
    errors = {column: _sqnr(checked, kind) for column, kind in _ERRORS.items()}
    return {"sqnr_db": _sqnr(checked, "noise"), **errors, "exact": all(q.exact for q in checked)}


def _sqnr(checked: Sequence[Quality], kind: str) -> float:
    """Signal over mean relative noise of one kind [dB]; infinite without noise, NaN without signal."""
    noise = [n for q in checked if not math.isnan(n := q.relative(kind))]
    return sqnr_db(1.0, sum(noise) / len(noise)) if noise else math.nan


def _per_token(
    subject: Subject, results: Sequence[OpResult], counts: Counts, latency_s: float, energy_pj: float
) -> Row:
    """Throughput and energy of a token, what DRAM alone would allow, and bytes of second operands: of weights, and of
    keys and values. Nothing where the workload does not say how many tokens it runs.
    """
    tokens, hardware = subject.workload.tokens, subject.hardware
    if tokens is None:
        return {}
    read = {
        kv: sum(r.counts.traffic["dram", "weight"].read_bits for r in results if (r.op.kind == "bmm") == kv)
        for kv in (False, True)
    }
    moved, rate = counts.level("dram"), hardware.search_dram.bytes_per_cycle
    dram_s = units.cycles_to_s(1, hardware.design.clock_mhz) * (moved.read_bits + moved.write_bits) / 8 / rate
    return {
        "tokens": tokens,
        "tokens_per_s": ratio(tokens, latency_s, math.nan),
        "dram_bound_tokens_per_s": ratio(tokens, dram_s, math.nan),
        "pj_per_token": energy_pj / tokens,
        "weight_read_bytes": units.bits_to_bytes(read[False]),
        "kv_read_bytes": units.bits_to_bytes(read[True]),
    }


def _bits_per_value(results: Sequence[OpResult]) -> Row:
    """Stored bits per value of both operands, scales, padding and lists included; NaN where values decide."""
    row = {}
    for operand in ("act", "weight"):
        known = [s for r in results if (s := r.storage[operand])]
        whole = len(known) == len(results)
        bits, values = sum(s.total_bits for s in known), sum(s.values for s in known)
        row[f"{operand}_bits_per_value"] = bits / values if whole else math.nan
    return row
