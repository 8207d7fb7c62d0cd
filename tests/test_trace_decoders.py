"""Decoders with drawn weights, against their formulas written out: LLaMA with rotary halves, GPT-2, OPT."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from simulator.errors import TraceError
from simulator.tracing.model import open_model
from simulator.tracing.products import multiply

HEADS, KV, WIDTH, FFN, VOCAB, LAYERS, EPS, THETA = 4, 2, 6, 20, 13, 2, 1e-5, 500.0
D = HEADS * WIDTH
CONFIG = {
    "model_type": "llama", "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV,
    "hidden_size": D, "intermediate_size": FFN, "max_position_embeddings": 64, "vocab_size": VOCAB,
    "rms_norm_eps": EPS, "rope_theta": THETA,
}  # fmt: skip


def drawn_llama() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"self_attn.q_proj": (D, D), "self_attn.k_proj": (KV * WIDTH, D), "self_attn.v_proj": (KV * WIDTH, D),
             "self_attn.o_proj": (D, D), "mlp.gate_proj": (FFN, D), "mlp.up_proj": (FFN, D),
             "mlp.down_proj": (D, FFN), "input_layernorm": (D,), "post_attention_layernorm": (D,)}  # fmt: skip
    shapes = {f"model.layers.{i}.{name}": shape for i in range(LAYERS) for name, shape in sizes.items()}
    shapes |= {"model.embed_tokens": (VOCAB, D), "lm_head": (VOCAB, D), "model.norm": (D,)}
    return {
        f"{name}.weight": (rng.standard_normal(s) / 3 + (len(s) == 1)).astype(np.float32) for name, s in shapes.items()
    }


def by_hand(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Logits in float64, head by head and token by token.

    Su et al., arXiv:2104.09864, equation 13: pair i at position m is turned by ``m theta^(-2i/d)``, here as complex
    numbers; Hugging Face pairs value i with value i + d/2.
    """
    w = {name: x.astype(np.float64) for name, x in w.items()}
    x = w["model.embed_tokens.weight"][ids]
    half = WIDTH // 2

    def norm(z: np.ndarray, name: str) -> np.ndarray:
        return np.array([row / np.sqrt((row**2).sum() / D + EPS) for row in z]) * w[f"{name}.weight"]

    def turned(z: np.ndarray, position: int) -> np.ndarray:
        pairs = (z[:half] + 1j * z[half:]) * np.exp(1j * position * THETA ** (-np.arange(half) / half))
        return np.concatenate([pairs.real, pairs.imag])

    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        z = norm(x, f"{p}input_layernorm")
        q, k, v = (z @ w[f"{p}self_attn.{n}_proj.weight"].T for n in "qkv")
        out = np.zeros_like(x)
        for head in range(HEADS):
            own, shared = slice(head * WIDTH, (head + 1) * WIDTH), head // (HEADS // KV)
            kv = slice(shared * WIDTH, (shared + 1) * WIDTH)
            for t in range(len(ids)):
                scores = [turned(q[t, own], t) @ turned(k[s, kv], s) / np.sqrt(WIDTH) for s in range(t + 1)]
                weights = np.exp(scores) / np.exp(scores).sum()
                out[t, own] = sum(p_s * v[s, kv] for s, p_s in enumerate(weights))
        x = x + out @ w[f"{p}self_attn.o_proj.weight"].T
        z = norm(x, f"{p}post_attention_layernorm")
        gate = z @ w[f"{p}mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (z @ w[f"{p}mlp.up_proj.weight"].T)) @ w[f"{p}mlp.down_proj.weight"].T
    return norm(x, "model.norm") @ w["lm_head.weight"].T


def folder_of(folder: Path, config: dict[str, object], weights: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder


IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]


def test_rotary_halves_and_grouped_heads(tmp_path: Path) -> None:
    weights = drawn_llama()
    logits = open_model(folder_of(tmp_path / "hf", CONFIG, weights)).run(np.array(IDS))
    want = by_hand(weights, IDS)
    assert np.abs(logits - want).max() <= 2e-6 * np.abs(want).max()
    unturned = open_model(folder_of(tmp_path / "flat", CONFIG | {"rope_theta": 1e30}, weights)).run(np.array(IDS))
    assert np.abs(unturned - want).max() > 0.01 * np.abs(want).max(), "the angles matter"


def test_both_orders_of_pairs_are_one_model(tmp_path: Path) -> None:
    """Meta's checkpoint of the same weights: rows of each query and key head interleaved, its own names and keys."""
    weights = drawn_llama()
    order = np.arange(WIDTH).reshape(2, -1).T.ravel()
    names = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
             "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
             "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
             "post_attention_layernorm": "ffn_norm", "embed_tokens": "tok_embeddings", "lm_head": "output"}  # fmt: skip
    meta = {}
    for name, x in weights.items():
        if "q_proj" in name or "k_proj" in name:
            x = np.ascontiguousarray(x.reshape(-1, WIDTH, D)[:, order].reshape(-1, D))
        new = name.removeprefix("model.")
        for old, short in names.items():
            new = new.replace(old, short)
        meta[new] = x
    config = {"arch": "llama", "dim": D, "n_layers": LAYERS, "n_heads": HEADS, "n_kv_heads": KV, "hidden_dim": FFN,
              "max_seq_len": 64, "vocab_size": VOCAB, "norm_eps": EPS, "rope_theta": THETA}  # fmt: skip
    one = open_model(folder_of(tmp_path / "hf", CONFIG, weights)).run(np.array(IDS))
    other = open_model(folder_of(tmp_path / "meta", config, meta)).run(np.array(IDS))
    assert np.abs(one - other).max() <= 2e-6 * np.abs(one).max()


# GPT-2 and OPT

GPT2 = {"model_type": "gpt2", "n_layer": LAYERS, "n_head": HEADS, "n_embd": D, "vocab_size": VOCAB, "n_positions": 32,
        "layer_norm_epsilon": EPS, "activation_function": "gelu_new"}  # fmt: skip
OPT = {"model_type": "opt", "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_size": D, "ffn_dim": FFN,
       "max_position_embeddings": 32, "vocab_size": VOCAB, "activation_function": "relu"}  # fmt: skip


def drawn_gpt(kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    if kind == "gpt2":
        parts = {"attn.c_attn": (D, 3 * D), "attn.c_proj": (D, D), "mlp.c_fc": (D, 4 * D), "mlp.c_proj": (4 * D, D)}
        layer, norms, last, tables = "h.", ("ln_1", "ln_2"), "ln_f", {"wte": (VOCAB, D), "wpe": (32, D)}
    else:
        parts = {f"self_attn.{n}": (D, D) for n in ("q_proj", "k_proj", "v_proj", "out_proj")}
        parts |= {"fc1": (FFN, D), "fc2": (D, FFN)}
        layer, norms, last = "decoder.layers.", ("self_attn_layer_norm", "final_layer_norm"), "decoder.final_layer_norm"
        tables = {"decoder.embed_tokens": (VOCAB, D), "decoder.embed_positions": (34, D)}
    found = {f"{name}.weight": rng.standard_normal(shape) for name, shape in tables.items()}
    for i in range(LAYERS):
        for name, shape in parts.items():
            found[f"{layer}{i}.{name}.weight"] = rng.standard_normal(shape) / 4
            out = shape[1] if kind == "gpt2" else shape[0]
            found[f"{layer}{i}.{name}.bias"] = rng.standard_normal(out) / 4
        for name in norms:
            found |= {
                f"{layer}{i}.{name}.{p}": rng.standard_normal(D) / 4 + (p == "weight") for p in ("weight", "bias")
            }
    found |= {f"{last}.{p}": rng.standard_normal(D) / 4 + (p == "weight") for p in ("weight", "bias")}
    return {name: x.astype(np.float32) for name, x in found.items()}


def gpt_by_hand(kind: str, w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Logits in float64, token by token: each looks back at those before it."""
    w = {name: x.astype(np.float64) for name, x in w.items()}
    gpt2 = kind == "gpt2"
    table = w["wte.weight" if gpt2 else "decoder.embed_tokens.weight"]
    places = w["wpe.weight"] if gpt2 else w["decoder.embed_positions.weight"][2:]
    x = [table[i] + places[t] for t, i in enumerate(ids)]

    def norm(z: np.ndarray, name: str) -> np.ndarray:
        return (z - z.mean()) / np.sqrt(z.var() + EPS) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def layer(z: np.ndarray, name: str) -> np.ndarray:
        weight = w[f"{name}.weight"]
        return (z @ weight if gpt2 else weight @ z) + w[f"{name}.bias"]

    def act(z: np.ndarray) -> np.ndarray:
        return z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) if gpt2 else np.maximum(z, 0)

    for i in range(LAYERS):
        p = f"h.{i}." if gpt2 else f"decoder.layers.{i}."
        first, second = ("ln_1", "ln_2") if gpt2 else ("self_attn_layer_norm", "final_layer_norm")
        made = []
        for z in x:
            z = norm(z, p + first)
            parts = layer(z, f"{p}attn.c_attn") if gpt2 else [layer(z, f"{p}self_attn.{n}_proj") for n in "qkv"]
            made.append(np.reshape(parts, (3, HEADS, WIDTH)))
        for t in range(len(ids)):
            context = []
            for h in range(HEADS):
                scores = np.array([made[t][0, h] @ made[s][1, h] for s in range(t + 1)]) / np.sqrt(WIDTH)
                weights = np.exp(scores) / np.exp(scores).sum()
                context.append(sum(p_s * made[s][2, h] for s, p_s in enumerate(weights)))
            x[t] = x[t] + layer(np.concatenate(context), f"{p}attn.c_proj" if gpt2 else f"{p}self_attn.out_proj")
        up, down = ("mlp.c_fc", "mlp.c_proj") if gpt2 else ("fc1", "fc2")
        x = [z + layer(act(layer(norm(z, p + second), p + up)), p + down) for z in x]
    return np.array([table @ norm(z, "ln_f" if gpt2 else "decoder.final_layer_norm") for z in x])


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_decoders_with_learned_positions(kind: str, prefix: bool, tmp_path: Path) -> None:
    """Logits, and the count of products and of their multiply-accumulates by the sizes of the paper."""
    weights = drawn_gpt(kind)
    start = {"gpt2": "transformer.", "opt": "model."}[kind] if prefix else ""
    stored = {start + name: x for name, x in weights.items()}
    model = open_model(folder_of(tmp_path / kind, GPT2 if kind == "gpt2" else OPT, stored))
    seen = []
    logits = model.run(np.array(IDS), lambda product: (seen.append(product.op), multiply(product))[1])
    want = gpt_by_hand(kind, weights, IDS)
    assert np.abs(logits - want).max() <= 3e-6 * np.abs(want).max()
    assert [op.name for op in seen] == model.op_names
    tokens, ffn = len(IDS), 4 * D if kind == "gpt2" else FFN
    per_layer = tokens * (4 * D * D + 2 * D * ffn + 2 * tokens * D)
    assert sum(op.macs for op in seen) == LAYERS * per_layer + tokens * D * VOCAB


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (GPT2, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True is not supported"),
        (GPT2, {"n_head": 5}, "5 heads do not divide the hidden size 24"),
        (GPT2, {"activation_function": "swish"}, "activation_function 'swish' is not supported; known: gelu, "),
        (OPT, {"do_layer_norm_before": False}, "do_layer_norm_before False is not supported; known: True"),
        (OPT, {"ffn_dim": None}, "ffn_dim must be a positive integer, got None"),
    ],
)
def test_other_variants_are_refused(config: dict, change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(TraceError) as caught:
        open_model(folder_of(tmp_path / "m", config | change, {"x": np.zeros(1, np.float32)}))
    assert message in str(caught.value)


# BLOOM


def drawn_bloom(heads: int, d: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    parts = {"self_attention.query_key_value": (3 * d, d), "self_attention.dense": (d, d),
             "mlp.dense_h_to_4h": (4 * d, d), "mlp.dense_4h_to_h": (d, 4 * d)}  # fmt: skip
    names = [f"h.{i}.{name}" for i in range(LAYERS) for name in ("input_layernorm", "post_attention_layernorm")]
    weights = {
        f"{name}.weight": 1 + rng.standard_normal(d) / 3 for name in [*names, "ln_f", "word_embeddings_layernorm"]
    }
    weights |= {f"h.{i}.{name}.weight": rng.standard_normal(s) / 3 for i in range(LAYERS) for name, s in parts.items()}
    weights |= {
        name.removesuffix("weight") + "bias": rng.standard_normal(x.shape[0]) / 3 for name, x in weights.items()
    }
    weights["word_embeddings.weight"] = rng.standard_normal((VOCAB, d))
    return {f"transformer.{name}": x.astype(np.float32) for name, x in weights.items()}


def bloom_by_hand(w: dict[str, np.ndarray], ids: list[int], heads: int, steepness: list[float]) -> np.ndarray:
    """Logits in float64, head by head and pair by pair; the bias of a pair is its distance times the head's slope."""
    w = {name.removeprefix("transformer."): x.astype(np.float64) for name, x in w.items()}
    d = w["ln_f.weight"].size
    width = d // heads

    def norm(z: np.ndarray, name: str) -> np.ndarray:
        rows = [(row - row.mean()) / np.sqrt(row.var() + EPS) for row in z]
        return np.array(rows) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def layer(z: np.ndarray, name: str) -> np.ndarray:
        return z @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = norm(w["word_embeddings.weight"][ids], "word_embeddings_layernorm")
    for i in range(LAYERS):
        fused = layer(norm(x, f"h.{i}.input_layernorm"), f"h.{i}.self_attention.query_key_value")
        out = np.zeros_like(x)
        for head in range(heads):
            start = 3 * head * width
            q, k, v = (fused[:, start + j * width : start + (j + 1) * width] for j in range(3))
            for t in range(len(ids)):
                scores = [q[t] @ k[s] / np.sqrt(width) - steepness[head] * (t - s) for s in range(t + 1)]
                shares = np.exp(scores) / np.exp(scores).sum()
                out[t, head * width : (head + 1) * width] = shares @ v[: t + 1]
        x = x + layer(out, f"h.{i}.self_attention.dense")
        up = layer(norm(x, f"h.{i}.post_attention_layernorm"), f"h.{i}.mlp.dense_h_to_4h")
        gelu = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        x = x + layer(gelu, f"h.{i}.mlp.dense_4h_to_h")
    return norm(x, "ln_f") @ w["word_embeddings.weight"].T


@pytest.mark.parametrize(
    ("heads", "steepness"),
    [(4, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]), (6, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3])],
)
def test_bloom_is_its_formulas(heads: int, steepness: list[float], tmp_path: Path) -> None:
    d = heads * WIDTH
    weights = drawn_bloom(heads, d)
    sizes = {"n_layer": LAYERS, "vocab_size": VOCAB, "layer_norm_epsilon": EPS}
    new = {"model_type": "bloom", "n_head": heads, "hidden_size": d} | sizes
    old = {"model_type": "bloom", "num_attention_heads": heads, "n_embed": d} | sizes
    want = bloom_by_hand(weights, IDS, heads, steepness)
    for name, config in (("new", new), ("old", old)):
        model = open_model(folder_of(tmp_path / name, config, weights))
        seen = []
        logits = model.run(np.array(IDS), lambda product, seen=seen: seen.append(product.op) or multiply(product))
        assert np.abs(logits - want).max() <= 4e-6 * np.abs(want).max()
        assert [op.name for op in seen] == model.architecture.op_names(model.config)
        macs = LAYERS * len(IDS) * (12 * d * d + 2 * len(IDS) * d) + len(IDS) * d * VOCAB
        assert sum(op.macs for op in seen) == macs


def test_variants_of_bloom_that_are_not_known_are_refused(tmp_path: Path) -> None:
    config = {"model_type": "bloom", "n_layer": 1, "n_head": 4, "hidden_size": 10, "vocab_size": VOCAB}
    with pytest.raises(TraceError, match="4 heads do not divide the hidden size 10"):
        open_model(folder_of(tmp_path / "a", config, drawn_bloom(4, 24)))
    odd = config | {"hidden_size": 24, "apply_residual_connection_post_layernorm": True}
    with pytest.raises(
        TraceError, match="apply_residual_connection_post_layernorm True is not supported; known: False"
    ):
        open_model(folder_of(tmp_path / "b", odd, drawn_bloom(4, 24)))
