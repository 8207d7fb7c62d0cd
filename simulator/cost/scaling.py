"""A price list taken from its technology node to another by published factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.config.cost import Action, CostLibrary, Part, ScalingTable, SramMacro, SramTable
from simulator.errors import CostError

__all__ = ["Factors", "factors", "parts_at", "scale_library"]


@dataclass(frozen=True)
class Factors:
    """What figures of logic are multiplied with on the way from one node to another.

    ``delay`` is told, not used: a design's clock is what it says. ``leakage`` is the tool's factor of power: assumed.
    """

    from_nm: float
    to_nm: float
    area: float
    energy: float
    leakage: float
    delay: float

    def __str__(self) -> str:
        shown = ", ".join(f"{name} x {getattr(self, name):.4g}" for name in ("area", "energy", "leakage"))
        return f"from {self.from_nm:g} to {self.to_nm:g} nm ({shown}; gates take {self.delay:.4g} of the time)"


def factors(table: ScalingTable, from_nm: float, to_nm: float) -> Factors:
    """Factors between two of the table's nodes. Raises: CostError naming the nodes that there are."""
    nodes = {row.node_nm: row for row in table.nodes}
    for node in (from_nm, to_nm):
        if node not in nodes:
            known = ", ".join(f"{known:g}" for known in sorted(nodes, reverse=True))
            raise CostError(f"no scaling from or to {node:g} nm is published; nodes: {known}", ("node_nm",))
    old, new = nodes[from_nm], nodes[to_nm]
    return Factors(
        from_nm, to_nm, new.area / old.area, new.energy / old.energy, new.power / old.power, new.delay / old.delay
    )


def scale_library(library: CostLibrary, by: Factors, sram: SramTable | None) -> CostLibrary:
    """The library at another node; each scaled price says so in its source. DRAM stays as it is.

    Args:
        sram: macros made for that node; None to scale the library's own.
    Raises: CostError if the library's prices are of several nodes.
    """
    if library.conventions.nodes != "one":
        raise CostError(
            f"cost library '{library.name}' has prices of several nodes: they cannot be scaled", ("node_nm",)
        )
    said = f"; scaled from {by.from_nm:g} to {by.to_nm:g} nm"
    return library.model_copy(
        update={
            "name": f"{library.name}@{by.to_nm:g}nm",
            "node_nm": by.to_nm,
            "actions": _actions(library.actions, by, said),
            "parts": {name: _part(part, by, said) for name, part in library.parts.items()},
            "sram": sram or _sram(library.sram, by, said),
        }
    )


def _actions(actions: Mapping[str, Action], by: Factors, said: str) -> dict[str, Action]:
    return {
        name: a.model_copy(update={"energy_pj": a.energy_pj * by.energy, "source": a.source + said})
        for name, a in actions.items()
    }


def parts_at(library: CostLibrary, table: ScalingTable, node_nm: float) -> CostLibrary:
    """The library, which is at that node, with those parts whose prices are of nodes of their own taken there too.

    Raises: CostError if a node is not among the published ones.
    """
    own = {name: part for name, part in library.parts.items() if part.node_nm is not None}
    moved = {}
    for name, part in own.items():
        by = factors(table, part.node_nm or node_nm, node_nm)
        moved[name] = _part(
            part.model_copy(update={"node_nm": None}), by, f"; scaled from {by.from_nm:g} to {by.to_nm:g} nm"
        )
    return library.model_copy(update={"parts": library.parts | moved})


def _part(part: Part, by: Factors, said: str) -> Part:
    """A part at another node; one whose price is of a node of its own stays for ``parts_at``."""
    if part.node_nm is not None:
        return part
    return part.model_copy(
        update={
            "area_um2": part.area_um2 * by.area,
            "leakage_nw": part.leakage_nw * by.leakage,
            "dynamic_pj_per_cycle": _times(part.dynamic_pj_per_cycle, by.energy),
            "source": part.source + said,
        }
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _sram(table: SramTable, by: Factors, said: str) -> SramTable:
    macros = [_macro(macro, by) for macro in table.macros]
    return table.model_copy(update={"macros": macros, "node_nm": by.to_nm, "source": table.source + said})


def _macro(macro: SramMacro, by: Factors) -> SramMacro:
    return macro.model_copy(
        update={
            "read_pj": macro.read_pj * by.energy,
            "write_pj": macro.write_pj * by.energy,
            "leakage_mw": macro.leakage_mw * by.leakage,
            "area_mm2": macro.area_mm2 * by.area,
        }
    )
