"""One GEMM of a workload: its name and its shape."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.errors import WorkloadError

__all__ = ["OP_KINDS", "Op"]

OP_KINDS = ("linear", "bmm", "conv")


@dataclass(frozen=True, slots=True)
class Op:
    """``count`` GEMMs of one shape, ``A[M,K] x W[K,N] -> C[M,N]``.

    ``linear`` is an activation times a weight; ``bmm`` is a batch of products of two activations, one per head;
    ``conv`` is a convolution through im2col, one GEMM per group (``simulator/workload/convolution.py``).

    Args:
        name: the op's name in the model, such as ``encoder.layer.0.attention.self.query``.
        M, N, K: tokens, output features, reduction [count], >= 1.
        count: GEMMs of this shape, for instance attention heads [count], >= 1.
        kind: one of ``OP_KINDS``.
    Raises: WorkloadError naming the op, the field and the value.
    """

    name: str
    M: int
    N: int
    K: int
    count: int = 1
    kind: str = "linear"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise WorkloadError(f"an op's name must be a non-empty string, got {self.name!r}")
        for field in ("M", "N", "K", "count"):
            _check_positive(self.name, field, getattr(self, field))
        if self.kind not in OP_KINDS:
            raise WorkloadError(f"op '{self.name}': kind must be one of {', '.join(OP_KINDS)}, got {self.kind!r}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all ``count`` GEMMs [count]."""
        return self.M * self.N * self.K * self.count


def _check_positive(op: str, field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WorkloadError(f"op '{op}': {field} must be a positive integer, got {value!r}")
