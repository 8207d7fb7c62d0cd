"""What a workload of shapes adds up to: parameters, multiply-accumulates, cache; `olivine show` and `list` print it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.config import Source, WorkloadSpec, find_file, is_path, read_yaml
from simulator.config.catalogue import Reference
from simulator.config.foreign import FOREIGN
from simulator.config.workload import RUN_FIELDS
from simulator.resources import shipped_names
from simulator.workload import Op, Pass, listed, load_workload, steps_of

__all__ = ["Totals", "describe_workload", "is_workload", "totals_of"]

_GAINS = {"bias": 1, "layer_norm": 2, "rms_norm": 1}
"""Parameters of a pass per column."""


@dataclass(frozen=True)
class Totals:
    """Sums over a workload.

    Attributes:
        parameters: of the whole model, tables, biases and gains included; of a list of ops, those of its layers.
        used: parameters that one token meets: of a mixture of experts, those of the chosen ones.
        macs: of one run, products of two activations included; attention: of these alone.
        places: new tokens of all sequences, or images.
        cache: values of the KV cache per token of a sequence; state: kept per sequence, whatever its length.
    """

    parameters: int
    used: int
    macs: int
    attention: int
    places: int
    cache: int = 0
    state: int = 0

    @property
    def macs_per_place(self) -> float:
        """Multiply-accumulates per token or image."""
        return self.macs / self.places


def totals_of(spec: WorkloadSpec) -> Totals:
    """Totals of a workload as it is set. Raises: ConfigError or WorkloadError."""
    steps = steps_of(spec)
    ops = [step for step in steps if isinstance(step, Op)]
    macs, attention = sum(op.macs for op in ops), sum(op.macs for op in ops if op.kind == "bmm")
    if spec.model is None:
        weights = sum(op.N * op.K * op.count for op in ops if op.kind != "bmm")
        of_bmm = {op.name for op in ops if op.kind == "bmm"}
        added = [p for p in steps if isinstance(p, Pass) and p.gemm not in of_bmm]
        parameters = weights + sum(_GAINS.get(p.kind, 0) * p.cols * p.count for p in added)
        return Totals(parameters, parameters, macs, attention, spec.batch)
    model = listed(spec)
    parameters, used = (sum(getattr(t, size) for t in model.tensors) for size in ("size", "used_size"))
    return Totals(parameters, used, macs, attention, model.run.rows, model.cache, model.state)


def is_workload(ref: str) -> bool:
    """Whether a reference names a workload of shapes, and not a design."""
    if not is_path(ref):
        return ref in shipped_names("workloads")
    path = find_file(ref)
    if path.suffix.lower() in FOREIGN:
        return FOREIGN[path.suffix.lower()][0] == "workload"
    return path.is_file() and not {"model", "gemms", "convs"}.isdisjoint(read_yaml(path).data)


def describe_workload(ref: Reference | Source, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What a workload runs and is made of, as plain data. Raises: ConfigError or WorkloadError."""
    spec = load_workload(ref, overlays=[("--set", overrides)])
    totals, steps = totals_of(spec), steps_of(spec)
    ops = [step for step in steps if isinstance(step, Op)]
    kinds = Counter(step.kind for step in steps if isinstance(step, Pass))
    return {
        "name": spec.name,
        "description": " ".join(spec.description.split()),
        "source": spec.source or "not given",
        "run": _run(spec),
        "totals": {
            "parameters": totals.parameters,
            "parameters per token": totals.used,
            "macs": totals.macs,
            "macs of attention": totals.attention,
            "tokens or images": totals.places,
            "macs per token or image": totals.macs_per_place,
            "cache values per token": totals.cache,
            "state values": totals.state,
        },
        "parameters": _tensors(spec),
        "ops": [{"name": op.name, "kind": op.kind, "M": op.M, "N": op.N, "K": op.K, "count": op.count, "macs": op.macs}
                for op in ops],
        "passes": dict(kinds),
    }  # fmt: skip


def _run(spec: WorkloadSpec) -> dict[str, Any]:
    """The parameters of the run that are set."""
    return spec.model_dump(include=set(RUN_FIELDS if spec.model else RUN_FIELDS[:1]), exclude_none=True)


def _tensors(spec: WorkloadSpec) -> list[dict[str, Any]]:
    if spec.model is None:
        return []
    return [
        {"name": t.name, "shape": " x ".join(map(str, t.shape)), "count": t.count, "values": t.size}
        for t in listed(spec).tensors
    ]
