"""A mixture of experts: a router sends each token to ``k`` of ``E`` gated FFNs. Mixtral, arXiv 2401.04088.

Which experts is not known from shapes. Assumed: each token draws k of E at random, independent of the others. Then T
tokens touch ``E (1 - (1 - k/E)^T)`` different experts on average, and only the weights of these are read. Over all
layers that many experts, rounded to whole ones, share the ``T k`` visits per layer as equally as they can: no
multiply-accumulate is lost, and the first of the two products of a name has one row more than the second.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulator.workload.models.fields import Fields
from simulator.workload.models.listing import Around, Listing

__all__ = ["expected_experts", "mixture", "visits"]


def expected_experts(tokens: int, experts: int, chosen: int) -> float:
    """Different experts of a layer that so many tokens touch on average."""
    return experts * (1 - (1 - chosen / experts) ** tokens)


def visits(tokens: int, experts: int, chosen: int, layers: int) -> list[tuple[int, int]]:
    """(rows, experts) of all layers together: whose rows sum to all visits, one or two sizes, larger first."""
    touched = max(layers * chosen, round(layers * expected_experts(tokens, experts, chosen)))
    each, more = divmod(tokens * chosen * layers, touched)
    return [(rows, count) for rows, count in ((each + 1, more), (each, touched - more)) if count]


def mixture(fields: Fields, listing: Listing, hidden: int, layers: int, after: Iterable[Around]) -> None:
    """Router, experts and their weighted sum, in all layers."""
    run, inner = listing.run, fields.count("intermediate_size")
    experts, chosen = fields.count("num_local_experts"), fields.count("num_experts_per_tok", default=2)
    if chosen > experts:
        raise fields.wrong("num_experts_per_tok", f"must be at most num_local_experts, {experts}; found {chosen}")
    before = ("rms_norm", "quantise")
    listing.linear("moe.gate", (run.rows, hidden, experts), layers, bias=False, before=before, after=["softmax"])
    sizes = visits(run.rows, experts, chosen, layers)
    each = sum(count for _, count in sizes) / layers
    listing.assumed.append(
        f"each of {run.rows} tokens draws {chosen} of {experts} experts at random (assumed), so that the weights of "
        f"{each:.4g} experts per layer are read on average; their tokens are shared as equally as they can be."
    )
    for name, shape in (("w1", (inner, hidden)), ("w3", (inner, hidden)), ("w2", (hidden, inner))):
        listing.tensor(f"moe.experts.{name}.weight", *shape, count=layers * experts, used=layers * chosen)
    for i, (rows, count) in enumerate(sizes):
        part = "moe.experts" if i == 0 else "moe.experts.rest"
        into, out = (rows, hidden, inner), (rows, inner, hidden)
        listing.linear(f"{part}.w1", into, count, bias=False, before=(), after=["silu"], weights=False)
        listing.linear(f"{part}.w3", into, count, bias=False, before=(), after=["multiply"], weights=False)
        whole = i == len(sizes) - 1
        summed: list[Around] = [
            {"kind": "scale", "name": "moe.weighted", "rows": run.rows * chosen, "cols": hidden, "count": layers},
            *({"kind": "residual", "name": f"moe.sum.{j}", "rows": run.rows, "cols": hidden, "count": layers}
              for j in range(1, chosen)),
            *(_whole(each, run.rows, layers) for each in after),
        ]  # fmt: skip
        listing.linear(f"{part}.w2", out, count, bias=False, after=summed if whole else [], weights=False)


def _whole(each: Around, rows: int, layers: int) -> Around:
    """A pass over the tokens, not over the rows of one expert."""
    fields = {"kind": each} if isinstance(each, str) else each
    return {"rows": rows, "count": layers} | fields
