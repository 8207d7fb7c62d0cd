"""Points on tensors run at once against each of them run alone: the same rows, bit for bit, whatever values decide."""

from __future__ import annotations

import pytest

from tests.test_alike import AXES, PADS, SYSTOLIC, compared, opened

TRACE = "minilm-l6-sample"
SOME = 9
"""Points of each design that are run alone, too."""
FLOWS = {"gobo_array": ["os"], "olaccel_systolic": ["os", "ws"], "biscaled_systolic": ["os", "ws", "is"]}


@pytest.mark.parametrize("design", sorted(SYSTOLIC))
def test_rows_of_every_systolic_design_on_a_trace(design):
    axes = AXES | {"array.rows": [6, 16, 33], PADS: [[32, 64, 16], [96, 256, 64]]}
    ran, failed = compared(opened(designs=[design], workloads=[TRACE], sweep=axes), SOME)
    assert ran == SOME - failed
    assert ran
