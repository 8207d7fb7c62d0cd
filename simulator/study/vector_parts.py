"""What a vector unit is made of."""

from __future__ import annotations

from simulator.config.design import VectorUnit

__all__ = ["vector_parts"]


def vector_parts(unit: VectorUnit) -> dict[str, int]:
    """Priced parts: the lanes, and as many special units as take them all in ``special_cycles``."""
    return {"vector_lane_fp32": unit.lanes, "special_unit_fp32": -(-unit.lanes // unit.special_cycles)}
