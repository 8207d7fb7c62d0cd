"""Vision transformers: ViT (Dosovitskiy et al., ICLR 2021) and DeiT (Touvron et al., ICML 2021).

Patches through a convolution whose stride is its kernel, a class token (DeiT with distillation: one more), layers with
normalisation before each block.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.config.workload import Conv
from simulator.workload.models.attention import attend, heads_of
from simulator.workload.models.encoder import ACTIVATIONS
from simulator.workload.models.fields import Fields
from simulator.workload.models.heads import classifier
from simulator.workload.models.listing import Around, Listing

__all__ = ["vit"]


def vit(fields: Fields, listing: Listing) -> None:
    """The whole classifier."""
    hidden, layers = fields.count("hidden_size"), fields.count("num_hidden_layers")
    inner = fields.count("intermediate_size")
    act = ACTIVATIONS[fields.one_of(list(ACTIVATIONS), "hidden_act", default="gelu")]
    extra = 2 if fields.text("model_type") == "deit" else 1
    tokens, batch = _patches(fields, listing, hidden, extra) + extra, listing.run.batch
    heads, rows, bias = heads_of(fields, hidden), batch * tokens, fields.flag("qkv_bias", True)
    before = ("layer_norm", "quantise")
    for name, own in (("query", before), ("key", ()), ("value", ())):
        listing.linear(f"attention.{name}", (rows, hidden, hidden), layers, bias=bias, before=own)
    attend(_of(listing, tokens), "attention", heads, layers, tokens, tokens)
    listing.linear("attention.output.dense", (rows, hidden, hidden), layers, after=["residual"])
    listing.linear("intermediate.dense", (rows, hidden, inner), layers, before=before, after=[act])
    last: Around = {"kind": "layer_norm", "name": "layernorm", "count": 1}
    listing.linear("output.dense", (rows, inner, hidden), layers, after=["residual", last])
    classifier(listing, "classifier", hidden, fields.labels())
    if extra == 2 and "DeiTForImageClassificationWithTeacher" in (fields.config.get("architectures") or []):
        classifier(listing, "distillation_classifier", hidden, fields.labels())


def _patches(fields: Fields, listing: Listing, hidden: int, extra: int) -> int:
    """Patch embedding, class token and positions; returns the patches of an image."""
    own, patch = fields.count("image_size", default=224), fields.count("patch_size", default=16)
    image = listing.run.image or own
    across = fields.divides("patch_size", patch, "the image", image)
    channels, batch = fields.count("num_channels", default=3), listing.run.batch
    conv = Conv(name="patch_embeddings", in_channels=channels, height=image, width=image, out_channels=hidden,
                kernel=patch, stride=patch, batch=batch)  # fmt: skip
    rows = batch * (across * across + extra)
    pixels: Around = {"kind": "quantise", "rows": batch * image * image, "cols": channels}
    placed: Around = {"kind": "residual", "name": "positions", "rows": rows, "cols": hidden}
    listing.conv(conv, bias=True, normed=False, before=[pixels], after=[placed])
    listing.tensor("class_token", extra, hidden)
    listing.tensor("position_embeddings", (own // patch) ** 2 + extra, hidden)
    return across * across


def _of(listing: Listing, tokens: int) -> Listing:
    """The same listing, with as many tokens as an image has."""
    return replace(listing, run=replace(listing.run, tokens=tokens))
