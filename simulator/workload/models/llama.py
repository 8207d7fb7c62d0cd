"""LLaMA and its kin: Mistral, Qwen2, Qwen3, Gemma, Phi-3, LLaDA; Mixtral's mixture of experts.

RMS normalisation before each block, rotary positions, a gated FFN of three matrices. Touvron et al., arXiv 2302.13971
and 2307.09288; Jiang et al., arXiv 2310.06825 and 2401.04088. Names of layers are those of the released checkpoints.
"""

from __future__ import annotations

from simulator.workload.models.attention import Heads, attend, heads_of, within_window
from simulator.workload.models.encoder import ACTIVATIONS
from simulator.workload.models.experts import mixture
from simulator.workload.models.fields import Fields
from simulator.workload.models.heads import vocabulary
from simulator.workload.models.listing import Around, Listing

__all__ = ["llada", "llama", "mixtral"]

_INPUT = ("rms_norm", "quantise")
_LAST: Around = {"kind": "rms_norm", "name": "norm", "count": 1}


def llama(fields: Fields, listing: Listing) -> None:
    """A dense decoder."""
    kind, hidden = fields.text("model_type"), fields.count("hidden_size")
    layers, inner, rows = fields.count("num_hidden_layers"), fields.count("intermediate_size"), listing.run.rows
    act = ACTIVATIONS[fields.one_of(list(ACTIVATIONS), "hidden_activation", "hidden_act", default="silu")]
    _attention(fields, listing, layers, hidden)
    bias, into = fields.flag("mlp_bias", False), (rows, hidden, inner)
    if kind == "phi3":  # gate and up are one product
        _fused(listing, into, layers, act)
    else:
        listing.linear("mlp.gate_proj", into, layers, bias=bias, before=_INPUT, after=[act])
        listing.linear("mlp.up_proj", into, layers, bias=bias, before=(), after=["multiply"])
    listing.linear("mlp.down_proj", (rows, inner, hidden), layers, bias=bias, after=["residual", _LAST])
    _head(fields, listing, hidden, kind == "gemma")


def mixtral(fields: Fields, listing: Listing) -> None:
    """A decoder whose FFN is a mixture of experts."""
    hidden, layers = fields.count("hidden_size"), fields.count("num_hidden_layers")
    _attention(fields, listing, layers, hidden)
    mixture(fields, listing, hidden, layers, ["residual", _LAST])
    _head(fields, listing, hidden, False)


def llada(fields: Fields, listing: Listing) -> None:
    """LLaDA: LLaMA's layers without a causal mask; each step of its diffusion is a pass over all tokens, no cache."""
    if listing.run.decode:
        raise fields.wrong("model_type", "a diffusion model has no decode phase: each step is a prefill of all tokens")
    hidden, layers = fields.count("hidden_size", "d_model"), fields.count("num_hidden_layers", "n_layers")
    inner, rows = fields.count("intermediate_size", "mlp_hidden_size"), listing.run.rows
    _attention(fields, listing, layers, hidden)
    listing.cache = 0
    listing.linear("mlp.gate_proj", (rows, hidden, inner), layers, bias=False, before=_INPUT, after=["silu"])
    listing.linear("mlp.up_proj", (rows, hidden, inner), layers, bias=False, before=(), after=["multiply"])
    listing.linear("mlp.down_proj", (rows, inner, hidden), layers, bias=False, after=["residual", _LAST])
    _head(fields, listing, hidden, False)


def _words(fields: Fields) -> int:
    return (
        fields.count("embedding_size", "vocab_size")
        if fields.text("model_type") == "llada"
        else fields.count("vocab_size")
    )


def _head(fields: Fields, listing: Listing, hidden: int, default: bool) -> None:
    name = "weight_tying" if fields.text("model_type") == "llada" else "tie_word_embeddings"
    vocabulary(listing, "lm_head", hidden, _words(fields), shared=fields.flag(name, default))


def _attention(fields: Fields, listing: Listing, layers: int, hidden: int) -> None:
    """Embeddings, projections, attention; query and key heads of Qwen3 are normalised one by one."""
    kind, run = fields.text("model_type"), listing.run
    heads = heads_of(fields, hidden)
    listing.table("embed_tokens", _words(fields), hidden)
    bias = fields.flag("attention_bias", kind == "qwen2")
    normed = kind == "qwen3"
    if kind == "phi3":
        turn: Around = {"kind": "rotary", "cols": heads.query + heads.shared}
        width = heads.query + 2 * heads.shared
        listing.linear("self_attn.qkv_proj", (run.rows, hidden, width), layers, bias=False, before=_INPUT, after=[turn])
    else:
        for side, width in (("q", heads.query), ("k", heads.shared), ("v", heads.shared)):
            after = _turned(run.rows, heads, width, normed) if side != "v" else []
            before = _INPUT if side == "q" else ()
            shape = (run.rows, hidden, width)
            listing.linear(f"self_attn.{side}_proj", shape, layers, bias=bias, before=before, after=after)
            if side != "v" and normed:
                listing.tensor(f"self_attn.{side}_norm.weight", heads.width, count=layers)
    attended = within_window(listing, _window(fields))
    attend(listing, "self_attn", heads, layers, attended, run.new)
    listing.cache = 2 * heads.shared * layers
    out_bias = bias and kind != "qwen2"
    listing.linear("self_attn.o_proj", (run.rows, heads.query, hidden), layers, bias=out_bias, after=["residual"])


def _turned(rows: int, heads: Heads, width: int, normed: bool) -> list[Around]:
    """Passes on queries or keys; a normalisation per head has rows of a head's width, and one gain for all heads."""
    per_head: Around = {"kind": "rms_norm", "rows": rows * width // heads.width, "cols": heads.width, "own": False}
    return [per_head, "rotary"] if normed else ["rotary"]


def _window(fields: Fields) -> int | None:
    """Qwen's configurations name a window that they do not use, unless they say so."""
    if not fields.flag("use_sliding_window", not fields.text("model_type").startswith("qwen")):
        return None
    return fields.count("sliding_window") if fields.config.get("sliding_window") is not None else None


def _fused(listing: Listing, into: tuple[int, int, int], layers: int, act: str) -> None:
    """Gate and up as one product of twice the width; half of it goes through the activation and times the other."""
    rows, hidden, inner = into
    passes: list[Around] = [{"kind": act, "cols": inner}, {"kind": "multiply", "cols": inner}]
    shape = (rows, hidden, 2 * inner)
    listing.linear("mlp.gate_up_proj", shape, layers, bias=False, before=_INPUT, after=passes)
