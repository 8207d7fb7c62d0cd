"""Points of a sweep that differ in numbers alone, run at once: every quantity is an array with an entry for each point.

The rules are those of a point alone (``simulate_op``, ``simulate_pass``, ``point_row``), written for numbers and for
arrays alike, so that a row has the same bits either way (tests/test_alike.py, tests/test_alike_traces.py). Of a trace,
values are judged once for all points, and where they decide costs, those are found for each way of cutting a product
that any of the points has. What needs tiles one by one is not run here: values that are drawn point by point, several
cores, banked DRAM, a global buffer, layers at their own precision, other engines than the pipeline.
"""

from simulator.study.alike.rows import alike_rows

__all__ = ["alike_rows"]
