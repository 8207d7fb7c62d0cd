"""Workloads: ordered ops and passes with shapes."""

from simulator.config.pass_kinds import PassKind
from simulator.workload.load import load_workload
from simulator.workload.operations import WORK, Work, work_of
from simulator.workload.ops import OP_KINDS, Op
from simulator.workload.passes import PASS_KINDS, Pass
from simulator.workload.spec import steps_of

__all__ = ["OP_KINDS", "PASS_KINDS", "WORK", "Op", "Pass", "PassKind", "Work", "load_workload", "steps_of", "work_of"]
