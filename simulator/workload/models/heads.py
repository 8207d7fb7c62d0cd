"""What stands at a model's end: logits of a vocabulary, or of classes."""

from __future__ import annotations

from simulator.workload.models.fields import Fields
from simulator.workload.models.listing import Listing

__all__ = ["classifier", "tied", "vocabulary"]


def tied(fields: Fields, default: bool) -> bool:
    """Whether the head's weights are those of the embedding table."""
    return fields.flag("tie_word_embeddings", default)


def vocabulary(listing: Listing, name: str, hidden: int, words: int, *, shared: bool, bias: bool = False) -> None:
    """The vocabulary head, for the last place of each sequence (the default) or for all."""
    if not shared:
        listing.tensor(f"{name}.weight", words, hidden)
        if bias:
            listing.tensor(f"{name}.bias", words)
    places = {"none": 0, "all": listing.run.new}.get(listing.run.head, 1)
    if places:
        listing.linear(name, (listing.run.batch * places, hidden, words), bias=bias, weights=False)


def classifier(listing: Listing, name: str, width: int, classes: int) -> None:
    """One row of classes per image."""
    if listing.run.head == "none":
        listing.tensor(f"{name}.weight", classes, width)
        listing.tensor(f"{name}.bias", classes)
        return
    listing.linear(name, (listing.run.batch, width, classes))
