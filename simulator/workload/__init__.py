"""Workloads: ordered ops and passes with shapes, listed one by one or from a model's configuration."""

from simulator.config.pass_kinds import PassKind
from simulator.workload.load import load_workload
from simulator.workload.models import listed, written_out
from simulator.workload.operations import WORK, Work, work_of
from simulator.workload.ops import OP_KINDS, Op
from simulator.workload.passes import PASS_KINDS, Pass
from simulator.workload.spec import steps_of

__all__ = [
    "OP_KINDS",
    "PASS_KINDS",
    "WORK",
    "Op",
    "Pass",
    "PassKind",
    "Work",
    "listed",
    "load_workload",
    "steps_of",
    "work_of",
    "written_out",
]
