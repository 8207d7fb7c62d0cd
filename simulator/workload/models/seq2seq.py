"""Encoder-decoders: BART (Lewis et al., ACL 2020) and T5 (Raffel et al., JMLR 2020).

``tokens`` go into the encoder and as many into the decoder. A decoded token runs the decoder alone: the encoder's keys
and values of the cross-attention lie in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.workload.models.attention import Heads, attend
from simulator.workload.models.encoder import ACTIVATIONS
from simulator.workload.models.fields import Fields
from simulator.workload.models.heads import tied, vocabulary
from simulator.workload.models.listing import Around, Listing

__all__ = ["bart", "t5"]


def bart(fields: Fields, listing: Listing) -> None:
    """BART and mBART-like: learned positions, normalisation behind each block."""
    run, hidden, vocab = listing.run, fields.count("d_model"), fields.count("vocab_size")
    positions = fields.count("max_position_embeddings") + 2  # two rows more than places, as released
    act = ACTIVATIONS[fields.one_of(list(ACTIVATIONS), "activation_function", default="gelu")]
    ends = ("residual", "layer_norm")
    for side in ("encoder", "decoder"):
        layers, inner = fields.count(f"{side}_layers"), fields.count(f"{side}_ffn_dim")
        count = fields.count(f"{side}_attention_heads")
        heads = Heads(count, count, fields.divides(f"{side}_attention_heads", count, "d_model", hidden))
        part = Listing(run)
        if side == "encoder":
            part.table("shared", vocab, hidden)
        else:
            part.beforehand("lookup", "decoder.shared", hidden)
        part.table(f"{side}.positions", positions, hidden)
        part.beforehand("layer_norm", f"{side}.layernorm_embedding", hidden)
        block = _Block(heads, layers, hidden, ("q_proj", "k_proj", "v_proj", "out_proj"), True, ("quantise",), ends)
        _self_attention(part, f"{side}.self_attn", block)
        if side == "decoder":
            _cross_attention(part, "decoder.encoder_attn", block)
        part.linear(f"{side}.fc1", (run.rows, hidden, inner), layers, after=[act])
        part.linear(f"{side}.fc2", (run.rows, inner, hidden), layers, after=ends)
        _join(listing, part, skipped=run.decode and side == "encoder")
    vocabulary(listing, "lm_head", hidden, vocab, shared=True)


def t5(fields: Fields, listing: Listing) -> None:
    """T5 and its v1.1: RMS normalisation before each block, no biases, a learned bias per distance of two places."""
    run, hidden, vocab = listing.run, fields.count("d_model"), fields.count("vocab_size")
    inner, count = fields.count("d_ff"), fields.count("num_heads")
    heads = Heads(count, count, fields.count("d_kv"))
    gated = fields.text("feed_forward_proj", default="relu").startswith("gated-")
    act = "gelu" if gated else "relu"
    buckets = fields.count("relative_attention_num_buckets", default=32)
    for side in ("encoder", "decoder"):
        layers = fields.count("num_layers")
        layers = fields.count("num_decoder_layers", default=layers) if side == "decoder" else layers
        part = Listing(run)
        if side == "encoder":
            part.table("shared", vocab, hidden)
        else:
            part.beforehand("lookup", "decoder.shared", hidden)
        part.tensor(f"{side}.relative_attention_bias", buckets, count)
        before = ("rms_norm", "quantise")
        block = _Block(heads, layers, hidden, ("q", "k", "v", "o"), False, before, ("residual",), ("residual",))
        _self_attention(part, f"{side}.self_attn", block)
        if side == "decoder":
            _cross_attention(part, "decoder.cross_attn", replace(block, scored=()))
        into = (run.rows, hidden, inner)
        first = f"{side}.wi_0" if gated else f"{side}.wi"
        part.linear(first, into, layers, bias=False, before=before, after=[act])
        if gated:
            part.linear(f"{side}.wi_1", into, layers, bias=False, before=(), after=["multiply"])
        last: Around = {"kind": "rms_norm", "name": f"{side}.final_layer_norm", "count": 1}
        part.linear(f"{side}.wo", (run.rows, inner, hidden), layers, bias=False, after=["residual", last])
        _join(listing, part, skipped=run.decode and side == "encoder")
    vocabulary(listing, "lm_head", hidden, vocab, shared=tied(fields, True))


@dataclass(frozen=True)
class _Block:
    """What the attention blocks of one side have in common."""

    heads: Heads
    layers: int
    hidden: int
    names: tuple[str, str, str, str]
    bias: bool
    before: tuple[str, ...]
    after: tuple[str, ...]
    scored: tuple[str, ...] = ()


def _self_attention(listing: Listing, prefix: str, block: _Block) -> None:
    run, h = listing.run, block.heads
    into = (run.rows, block.hidden, h.query)
    q, k, v, _ = (f"{prefix}.{name}" for name in block.names)
    listing.linear(q, into, block.layers, bias=block.bias, before=block.before)
    for name in (k, v):
        listing.linear(name, into, block.layers, bias=block.bias, before=())
    attended = run.attended if prefix.startswith("decoder") else run.tokens
    listing.cache += 2 * h.shared * block.layers if prefix.startswith("decoder") else 0
    attend(listing, prefix, h, block.layers, attended, run.new, block.scored)
    _projection(listing, prefix, block)


def _cross_attention(listing: Listing, prefix: str, block: _Block) -> None:
    """Queries of the decoder meet keys and values of the encoder's result, which are made once."""
    run, h = listing.run, block.heads
    q, k, v, _ = (f"{prefix}.{name}" for name in block.names)
    listing.linear(q, (run.rows, block.hidden, h.query), block.layers, bias=block.bias, before=block.before)
    made = Listing(run)
    for name, before in ((k, ("quantise",)), (v, ())):
        made.linear(name, (run.batch * run.tokens, block.hidden, h.query), block.layers, bias=block.bias, before=before)
    _join(listing, made, skipped=run.decode)
    attend(listing, prefix, h, block.layers, run.tokens, 0 if run.decode else run.tokens)
    _projection(listing, prefix, block)


def _projection(listing: Listing, prefix: str, block: _Block) -> None:
    shape = listing.run.rows, block.heads.query, block.hidden
    listing.linear(f"{prefix}.{block.names[3]}", shape, block.layers, bias=block.bias, after=block.after)


def _join(listing: Listing, part: Listing, *, skipped: bool) -> None:
    """All of ``part``, or its parameters alone."""
    listing.tensors += part.tensors
    listing.cache += part.cache
    if not skipped:
        listing.gemms += part.gemms
        listing.passes += part.passes
