"""Decoders with drawn weights, against their formulas written out: rotary positions as Hugging Face orders them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from simulator.tracing.model import open_model

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
