"""Attention: query times key, softmax, times value; with a KV cache, and with heads that share keys and values.

``group`` query heads share one key and value head (grouped-query attention; all heads: multi-query). Their rows are
stacked, so that a head's keys and values are read once for all of them: ``M = group * new tokens``.

A causal mask costs nothing and saves nothing: scores of places that it drops are computed. A sliding window bounds what
one decoded token attends to; prefill is charged whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simulator.workload.models.fields import Fields
from simulator.workload.models.listing import Around, Listing

__all__ = ["Heads", "attend", "head_names", "heads_of", "within_window"]

head_names = ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads")


@dataclass(frozen=True)
class Heads:
    """Query heads, key and value heads, and the values of one."""

    count: int
    kv: int
    width: int

    @property
    def query(self) -> int:
        """Values of all query heads of a token."""
        return self.count * self.width

    @property
    def shared(self) -> int:
        """Values of all key heads of a token."""
        return self.kv * self.width


def heads_of(fields: Fields, hidden: int, kv: int | None = None) -> Heads:
    """The heads of a model of that width. Raises: ConfigError if they do not divide it, or each other."""
    count = fields.count(*head_names)
    kv = kv or fields.count("num_key_value_heads", default=count)
    fields.divides("num_key_value_heads", kv, "the query heads", count)
    if fields.config.get("head_dim") is not None:
        return Heads(count, kv, fields.count("head_dim"))
    name = next(n for n in head_names if fields.config.get(n) is not None)
    return Heads(count, kv, fields.divides(name, count, "the hidden size", hidden))


def within_window(listing: Listing, window: int | None) -> int:
    """Tokens that a step attends to, if no token sees further back than a window."""
    attended = listing.run.attended
    return min(attended, window) if window and listing.run.decode else attended


def attend(
    listing: Listing,
    prefix: str,
    heads: Heads,
    layers: int,
    attended: int,
    fresh: int,
    scored: Iterable[Around] = (),
) -> None:
    """``qk`` and ``pv`` of all heads, layers and sequences.

    Args:
        attended: keys that each query meets.
        fresh: keys and values that are new, and so quantised in this step; the others lie in the cache as they are.
        scored: passes on the scores before the softmax.
    """
    run = listing.run
    group, count = heads.count // heads.kv, layers * heads.kv * run.batch
    whole = fresh == attended
    keys: Around = {"kind": "quantise", "operand": "weight"}
    values = keys
    if not whole:
        keys = {"kind": "quantise", "operand": "weight", "rows": fresh, "cols": heads.width}
        values = keys
    own = [] if not fresh else [keys]
    listing.product(
        f"{prefix}.qk",
        (group * run.new, heads.width, attended),
        count,
        before=["quantise", *own],
        after=[*scored, "softmax"],
    )
    listing.product(
        f"{prefix}.pv",
        (group * run.new, attended, heads.width),
        count,
        before=["quantise", *([values] if fresh else [])],
    )
