"""GPT-2, OPT, BLOOM, GPT-NeoX, Falcon and Phi: decoders with layer normalisation and two matrices per FFN.

Sources: Radford et al., 2019; Zhang et al., arXiv 2205.01068; BigScience, arXiv 2211.05100; Black et al., arXiv
2204.06745; Almazrouei et al., arXiv 2311.16867; Microsoft's model cards. Names of layers are those of the released
checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.workload.models.attention import Heads, attend, heads_of
from simulator.workload.models.encoder import ACTIVATIONS
from simulator.workload.models.fields import Fields
from simulator.workload.models.heads import tied, vocabulary
from simulator.workload.models.listing import Around, Listing

__all__ = ["bloom", "falcon", "gpt2", "gpt_neox", "opt", "phi"]

_INPUT = ("layer_norm", "quantise")


@dataclass(frozen=True)
class _Names:
    """What a family calls its layers: one fused projection, or query, key and value."""

    qkv: tuple[str, ...]
    scores: str
    out: str
    up: str
    down: str
    last_norm: str


@dataclass(frozen=True)
class _Decoder:
    """What all of these families are made of.

    Attributes:
        parallel: attention and FFN read the same normalised input and are added together.
        norms: normalisations of a layer's input: with ``parallel``, one that both share, or one each.
        attention_bias, ffn_bias: whether their linear layers have one.
        rotary, alibi: how places are told.
        post: normalisation stands behind each block instead of before it.
    """

    names: _Names
    heads: Heads
    layers: int
    hidden: int
    inner: int
    act: str = "gelu"
    attention_bias: bool = True
    ffn_bias: bool = True
    parallel: bool = False
    norms: int = 2
    rotary: bool = False
    alibi: bool = False
    post: bool = False


def _decoder(listing: Listing, d: _Decoder) -> None:
    """All layers."""
    run, names = listing.run, d.names
    before: tuple[str, ...] = ("quantise",) if d.post else _INPUT
    after: list[Around] = ["residual", "layer_norm"] if d.post else ["residual"]
    _projections(listing, d, before)
    alibi: list[Around] = [{"kind": "bias", "name": "alibi"}] if d.alibi else []
    attend(listing, names.scores, d.heads, d.layers, run.attended, run.new, alibi)
    listing.cache = 2 * d.heads.shared * d.layers
    shape = run.rows, d.heads.query, d.hidden
    listing.linear(names.out, shape, d.layers, bias=d.attention_bias, after=[] if d.parallel else after)
    if d.parallel:
        before = _INPUT if d.norms == 2 else ()
        both: Around = {"kind": "residual", "name": f"{names.out}.residual"}
        after = [both, "residual"]
    listing.linear(names.up, (run.rows, d.hidden, d.inner), d.layers, bias=d.ffn_bias, before=before, after=[d.act])
    last: list[Around] = [] if d.post else [{"kind": "layer_norm", "name": names.last_norm, "count": 1}]
    listing.linear(names.down, (run.rows, d.inner, d.hidden), d.layers, bias=d.ffn_bias, after=[*after, *last])


def _projections(listing: Listing, d: _Decoder, before: tuple[str, ...]) -> None:
    """Query, key and value: one product, or three that share an input."""
    run, heads, turned = listing.run, d.heads, ["rotary"] if d.rotary else []
    if len(d.names.qkv) == 1:
        width = heads.query + 2 * heads.shared
        turn: list[Around] = [{"kind": "rotary", "cols": heads.query + heads.shared}] if d.rotary else []
        shape = run.rows, d.hidden, width
        listing.linear(d.names.qkv[0], shape, d.layers, bias=d.attention_bias, before=before, after=turn)
        return
    widths = (heads.query, heads.shared, heads.shared)
    for i, (name, width) in enumerate(zip(d.names.qkv, widths, strict=True)):
        first, last = i == 0, i == 2
        listing.linear(name, (run.rows, d.hidden, width), d.layers, bias=d.attention_bias,
                       before=before if first else (), after=[] if last else turned)  # fmt: skip


def _act(fields: Fields, name: str, default: str) -> str:
    return ACTIVATIONS[fields.one_of(list(ACTIVATIONS), name, default=default)]


def gpt2(fields: Fields, listing: Listing) -> None:
    """GPT-2: learned positions, head tied to the embeddings."""
    hidden, vocab = fields.count("n_embd", "hidden_size"), fields.count("vocab_size")
    listing.table("wte", vocab, hidden)
    listing.table("wpe", fields.count("n_positions", "n_ctx", "max_position_embeddings"), hidden)
    names = _Names(("attn.c_attn",), "attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "ln_f")
    layers, inner = fields.count("n_layer", "num_hidden_layers"), fields.count("n_inner", default=4 * hidden)
    act = _act(fields, "activation_function", "gelu_new")
    _decoder(listing, _Decoder(names, heads_of(fields, hidden), layers, hidden, inner, act))
    vocabulary(listing, "lm_head", hidden, vocab, shared=tied(fields, True))


def opt(fields: Fields, listing: Listing) -> None:
    """OPT: learned positions (two rows more than places), ReLU, head tied to the embeddings; 350M projects them."""
    hidden, vocab, rows = fields.count("hidden_size"), fields.count("vocab_size"), listing.run.rows
    width = fields.count("word_embed_proj_dim", default=hidden)
    listing.table("embed_tokens", vocab, width)
    if width != hidden:
        listing.linear("project_in", (rows, width, hidden), bias=False)
    listing.table("embed_positions", fields.count("max_position_embeddings") + 2, hidden)
    qkv = tuple(f"self_attn.{side}_proj" for side in "qkv")
    names = _Names(qkv, "self_attn", "self_attn.out_proj", "fc1", "fc2", "final_layer_norm")
    layers, inner = fields.count("num_hidden_layers"), fields.count("ffn_dim")
    act, bias = _act(fields, "activation_function", "relu"), fields.flag("enable_bias", True)
    post = not fields.flag("do_layer_norm_before", True)
    made = _Decoder(names, heads_of(fields, hidden), layers, hidden, inner, act, bias, bias, post=post)
    _decoder(listing, made)
    if width != hidden:
        listing.linear("project_out", (rows, hidden, width), bias=False)
    vocabulary(listing, "lm_head", width, vocab, shared=tied(fields, True))


def bloom(fields: Fields, listing: Listing) -> None:
    """BLOOM: a bias by distance on the scores (ALiBi), a normalisation behind the embeddings."""
    hidden, vocab = fields.count("hidden_size", "n_embed"), fields.count("vocab_size")
    listing.table("word_embeddings", vocab, hidden)
    listing.beforehand("layer_norm", "word_embeddings_layernorm", hidden)
    at = "self_attention"
    names = _Names((f"{at}.query_key_value",), at, f"{at}.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "ln_f")
    layers = fields.count("n_layer", "num_hidden_layers")
    _decoder(listing, _Decoder(names, heads_of(fields, hidden), layers, hidden, 4 * hidden, alibi=True))
    vocabulary(listing, "lm_head", hidden, vocab, shared=tied(fields, True))


def gpt_neox(fields: Fields, listing: Listing) -> None:
    """GPT-NeoX and Pythia: rotary positions on a part of each head (charged whole), attention beside the FFN."""
    hidden, vocab = fields.count("hidden_size"), fields.count("vocab_size")
    listing.table("embed_in", vocab, hidden)
    names = _Names(("attention.query_key_value",), "attention", "attention.dense", "mlp.dense_h_to_4h",
                   "mlp.dense_4h_to_h", "final_layer_norm")  # fmt: skip
    layers, inner = fields.count("num_hidden_layers"), fields.count("intermediate_size")
    bias, parallel = fields.flag("attention_bias", True), fields.flag("use_parallel_residual", True)
    act = _act(fields, "hidden_act", "gelu")
    heads = heads_of(fields, hidden)
    made = _Decoder(names, heads, layers, hidden, inner, act, bias, parallel=parallel, rotary=True)
    _decoder(listing, made)
    vocabulary(listing, "embed_out", hidden, vocab, shared=tied(fields, False))


def falcon(fields: Fields, listing: Listing) -> None:
    """Falcon: one key and value head for all (7B) or for groups (40B), attention beside the FFN."""
    hidden, vocab = fields.count("hidden_size"), fields.count("vocab_size")
    new, multi = fields.flag("new_decoder_architecture", False), fields.flag("multi_query", True)
    count = fields.count("num_attention_heads", "n_head")
    kv = fields.count("num_kv_heads", "n_head_kv", default=count) if new else 1 if multi else count
    listing.table("word_embeddings", vocab, hidden)
    at = "self_attention"
    names = _Names((f"{at}.query_key_value",), at, f"{at}.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "ln_f")
    layers, inner = fields.count("num_hidden_layers", "n_layer"), fields.count("ffn_hidden_size", default=4 * hidden)
    bias, alibi = fields.flag("bias", False), fields.flag("alibi", False)
    parallel = new or fields.flag("parallel_attn", True)
    norms = 2 if new and fields.count("num_ln_in_parallel_attn", default=2) == 2 else 1
    heads = heads_of(fields, hidden, kv)
    made = _Decoder(names, heads, layers, hidden, inner, "gelu", bias, bias, parallel, norms, not alibi, alibi)
    _decoder(listing, made)
    vocabulary(listing, "lm_head", hidden, vocab, shared=tied(fields, True))


def phi(fields: Fields, listing: Listing) -> None:
    """Phi-1, 1.5 and 2: rotary positions on a part of each head (charged whole), one normalisation per layer."""
    hidden, vocab = fields.count("hidden_size"), fields.count("vocab_size")
    listing.table("embed_tokens", vocab, hidden)
    qkv = tuple(f"self_attn.{side}_proj" for side in "qkv")
    names = _Names(qkv, "self_attn", "self_attn.dense", "mlp.fc1", "mlp.fc2", "final_layernorm")
    layers, inner = fields.count("num_hidden_layers"), fields.count("intermediate_size")
    act = _act(fields, "hidden_act", "gelu_new")
    heads = heads_of(fields, hidden)
    _decoder(listing, _Decoder(names, heads, layers, hidden, inner, act, parallel=True, norms=1, rotary=True))
    vocabulary(listing, "lm_head", hidden, vocab, shared=tied(fields, False), bias=True)
