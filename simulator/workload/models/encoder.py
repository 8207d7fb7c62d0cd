"""BERT, RoBERTa and DistilBERT: encoders with normalisation behind each block. Devlin et al., NAACL 2019."""

from __future__ import annotations

from simulator.workload.models.attention import attend, heads_of
from simulator.workload.models.fields import Fields
from simulator.workload.models.listing import Listing

__all__ = ["ACTIVATIONS", "bert"]

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "quick_gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Names of activation functions in configurations -> the pass that they are."""


def bert(fields: Fields, listing: Listing) -> None:
    """The encoder, with its embeddings; the pooler's parameters, and its product with ``head: last``."""
    run, hidden = listing.run, fields.count("hidden_size", "dim")
    layers, inner = fields.count("num_hidden_layers", "n_layers"), fields.count("intermediate_size", "hidden_dim")
    act = ACTIVATIONS[fields.one_of(list(ACTIVATIONS), "hidden_act", "activation", default="gelu")]
    heads, rows, distilled = heads_of(fields, hidden), run.rows, fields.text("model_type") == "distilbert"
    if run.head == "all":
        raise fields.wrong(
            "model_type", "an encoder has no vocabulary head here; set head: none, or last for the pooler"
        )
    listing.table("embeddings.word", fields.count("vocab_size"), hidden)
    listing.table("embeddings.position", fields.count("max_position_embeddings"), hidden)
    if not distilled:
        listing.table("embeddings.type", fields.count("type_vocab_size", default=2), hidden)
    listing.beforehand("layer_norm", "embeddings.layer_norm", hidden)
    listing.linear("attention.self.query", (rows, hidden, hidden), layers)
    listing.linear("attention.self.key", (rows, hidden, hidden), layers, before=())
    listing.linear("attention.self.value", (rows, hidden, hidden), layers, before=())
    attend(listing, "attention", heads, layers, run.tokens, run.tokens)
    ends = ("residual", "layer_norm")
    listing.linear("attention.output.dense", (rows, hidden, hidden), layers, after=ends)
    listing.linear("intermediate.dense", (rows, hidden, inner), layers, after=[act])
    listing.linear("output.dense", (rows, inner, hidden), layers, after=ends)
    if not distilled:
        listing.tensor("pooler.dense.weight", hidden, hidden)
        listing.tensor("pooler.dense.bias", hidden)
        if run.head == "last":
            listing.linear("pooler.dense", (run.batch, hidden, hidden), weights=False)
