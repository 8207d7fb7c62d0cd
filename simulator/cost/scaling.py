"""A price list taken from its technology node to another by published factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.config.cost import Action, CostLibrary, Part, ScalingTable, SramMacro, SramTable
from simulator.errors import CostError

__all__ = ["Factors", "factors", "scale_library"]


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
            "parts": _parts(library.parts, by, said),
            "sram": sram or _sram(library.sram, by, said),
        }
    )


def _actions(actions: Mapping[str, Action], by: Factors, said: str) -> dict[str, Action]:
    return {
        name: a.model_copy(update={"energy_pj": a.energy_pj * by.energy, "source": a.source + said})
        for name, a in actions.items()
    }


def _parts(parts: Mapping[str, Part], by: Factors, said: str) -> dict[str, Part]:
    return {
        name: part.model_copy(
            update={
                "area_um2": part.area_um2 * by.area,
                "leakage_nw": part.leakage_nw * by.leakage,
                "dynamic_pj_per_cycle": _times(part.dynamic_pj_per_cycle, by.energy),
                "source": part.source + said,
            }
        )
        for name, part in parts.items()
    }


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
