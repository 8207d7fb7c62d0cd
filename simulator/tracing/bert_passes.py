"""What a BERT-style layer does around each of its matrix products, from the structure of the model alone.

The layer's input is quantised once for query, key and value, before the first of them. The scores' factor 1/sqrt(d)
goes into the query's scale; a whole sentence has no mask. Embeddings and their LayerNorm come before the first layer
and are left out.
"""

from __future__ import annotations

from simulator.workload import Op, Pass

__all__ = ["passes_around"]

_KIND_OF_ACTIVATION = {"gelu": "gelu", "gelu_new": "gelu", "relu": "relu"}


def passes_around(op: Op, activation: str) -> tuple[Pass, ...]:
    """Passes before and after one op that ``bert.capture`` gives; those that make an operand run before it.

    Args:
        activation: the model's ``hidden_act``.
    """
    if op.name.endswith((".attention.self.key", ".attention.self.value")):
        return _behind(op, "dequantise", "bias")
    if op.kind == "bmm":
        scores = ("softmax",) if op.name.endswith(".qk") else ()
        return (_operand(op, "act"), _operand(op, "weight"), *_behind(op, "dequantise", *scores))
    last: tuple[str, ...] = ()
    if op.name.endswith("intermediate.dense"):
        last = (_KIND_OF_ACTIVATION[activation],)
    elif op.name.endswith("output.dense"):
        last = ("residual", "layer_norm")
    return (_operand(op, "act"), *_behind(op, "dequantise", "bias", *last))


def _operand(op: Op, side: str) -> Pass:
    """Quantising of one operand: the activation (M, K), or the second one of a product of two (N, K)."""
    rows, name = (op.M, op.name) if side == "act" else (op.N, f"{op.name}.weight")
    return Pass(f"{name}.quantise", "quantise", rows, op.K, op.count, op.name, True, side)


def _behind(op: Op, *kinds: str) -> tuple[Pass, ...]:
    """Passes over the result (M, N)."""
    return tuple(Pass(f"{op.name}.{kind}", kind, op.M, op.N, op.count, op.name) for kind in kinds)
