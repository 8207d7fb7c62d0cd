"""From a workload's YAML record to its ops and passes, in the order in which they run."""

from __future__ import annotations

from collections import Counter

from simulator.config.workload import Conv, Gemm, PassSpec, WorkloadSpec
from simulator.errors import WorkloadError
from simulator.workload.convolution import Convolution
from simulator.workload.models import written_out
from simulator.workload.ops import Op
from simulator.workload.passes import Pass

__all__ = ["steps_of"]


def steps_of(spec: WorkloadSpec) -> tuple[Op | Pass, ...]:
    """Convolutions, then GEMMs; around each its passes, in the order in which they are written.

    Raises: WorkloadError for a pass that makes no sense, or two of one name; ConfigError for a model that is not known.
    """
    spec = written_out(spec)
    steps: list[Op | Pass] = []
    for op in (*(_conv(conv, spec.batch) for conv in spec.convs), *(_gemm(gemm, spec.batch) for gemm in spec.gemms)):
        steps += [_pass(work, op, spec.batch) for work in spec.passes if work.before and work.is_at(op.name)]
        steps.append(op)
        steps += [_pass(work, op, spec.batch) for work in spec.passes if work.after and work.is_at(op.name)]
    names = Counter(step.name for step in steps)
    twice = [step.name for step in steps if isinstance(step, Pass) and names[step.name] > 1]
    if twice:
        raise WorkloadError(
            f"{spec.name}: {names[twice[0]]} steps are named '{twice[0]}'; give passes names of their own"
        )
    return tuple(steps)


def _gemm(spec: Gemm, batch: int) -> Op:
    if spec.kind == "bmm":
        return Op(spec.name, spec.M, spec.N, spec.K, spec.count * batch, spec.kind)
    return Op(spec.name, spec.M * batch, spec.N, spec.K, spec.count, spec.kind)


def _conv(spec: Conv, batch: int) -> Op:
    return Convolution(**spec.sizes | {"batch": spec.batch * batch}).op(spec.name, spec.count)


def _pass(spec: PassSpec, op: Op, batch: int) -> Pass:
    """One pass at one op; its shape follows from the op unless it is given, for one input."""
    more_rows, more = (1, batch) if op.kind == "bmm" else (batch, 1)
    rows = op.N if spec.operand == "weight" else op.M
    cols = op.N if spec.after else op.K
    side = ".weight" if spec.operand == "weight" else ""
    return Pass(
        spec.name or f"{op.name}{side}.{spec.kind}",
        spec.kind,
        spec.rows * more_rows if spec.rows else rows,
        spec.cols or cols,
        spec.count * more if spec.count else op.count,
        op.name,
        bool(spec.before),
        spec.operand,
        spec.block or 0,
    )
