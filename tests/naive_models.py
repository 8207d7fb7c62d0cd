"""Parameters and multiply-accumulates of models by the formulas of their papers. Imports nothing from the simulator."""

from __future__ import annotations

from fractions import Fraction


def transformer(layers, hidden, ffn, *, matrices=2, kv=None, biases=True, norm=2, qkv_bias=False):
    """Parameters of all layers and the last normalisation of a pre-norm decoder; ``kv``: values of all key heads."""
    kv = hidden if kv is None else kv
    attention = 2 * hidden * hidden + 2 * hidden * kv
    weights = attention + matrices * hidden * ffn
    added = (2 * hidden + 2 * kv) + ffn + hidden if biases else hidden + 2 * kv if qkv_bias else 0
    return layers * (weights + added + 2 * norm * hidden) + norm * hidden


def decoder_macs(layers, hidden, ffn, new, attended, *, matrices=2, kv=None):
    """Multiply-accumulates of ``new`` tokens that each attend to ``attended``, without the vocabulary head."""
    kv = hidden if kv is None else kv
    per_token = 2 * hidden * hidden + 2 * hidden * kv + matrices * hidden * ffn
    return layers * new * (per_token + 2 * attended * hidden)


def mamba(layers, d, vocab, states=16, taps=4):
    """Parameters of a Mamba language model with a tied head, layer by layer as Gu and Dao write them."""
    inner, rank = 2 * d, -(-d // 16)
    each = 0
    each += d * 2 * inner  # in_proj
    each += inner * taps + inner  # conv1d
    each += inner * (rank + 2 * states)  # x_proj
    each += rank * inner + inner  # dt_proj
    each += inner * states + inner  # A, D
    each += inner * d + d  # out_proj, norm
    return layers * each + d + vocab * d


def touched_exactly(tokens, experts, chosen):
    """Expected number of different experts, by walking over tokens: each new token finds one untouched with k/E."""
    untouched = Fraction(experts)
    for _ in range(tokens):
        untouched *= Fraction(experts - chosen, experts)
    return Fraction(experts) - untouched
