"""How well a model still does its work: what its outputs say, against the float model and against the truth.

Perplexity is that of the next token, over all passages; bits per character are its logarithm by what was read. An
embedding is the mean of the last hidden states of a passage's tokens (Reimers and Gurevych, EMNLP 2019); its cosine is
to the float model's, and the rank correlation (Spearman's) is over the similarities of all pairs of passages. Top-1
agreement is the share of images, or of tokens, whose first class is the float model's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.reference import noise_energy, sqnr_db
from simulator.tracing.model import Input
from simulator.tracing.products import F32

__all__ = [
    *("FITNESS_COLUMNS", "MERITS", "Merit", "bits_per_character", "embedding", "fitness", "perplexity"),
    "rank_correlation",
]


class Merit(NamedTuple):
    """The figure that a kind of model is judged by first: its column, what to call it, and whether more is better."""

    column: str
    text: str
    more_is_better: bool


MERITS = {
    "embeddings": Merit("cosine", "cosine to the float model's embedding", True),
    "next_token": Merit("perplexity", "perplexity", False),
    "tokens": Merit("top1_agreement", "top-1 agreement with the float model, over all tokens", True),
    "classes": Merit("top1_agreement", "top-1 agreement with the float model", True),
    "image": Merit("output_sqnr_db", "output SQNR (dB)", True),
}
FITNESS_COLUMNS = (
    *("cosine", "worst_cosine", "rank_correlation", "perplexity", "bits_per_character", "top1_agreement"),
    "output_sqnr_db",
)
"""What ``fitness`` gives, for one kind of model or another."""
Outputs = Sequence[F32]


def fitness(gives: str, inputs: Sequence[Input], outputs: Outputs, float_outputs: Outputs) -> dict[str, float]:
    """Columns for what a model gives: ``embeddings``, ``next_token``, ``tokens``, ``classes`` or ``image``.

    ``output_sqnr_db`` is of all outputs against the float model's; infinite where they are equal.
    """
    pairs = ((f.astype(np.float64), q.astype(np.float64)) for f, q in zip(float_outputs, outputs, strict=True))
    energies = np.array([noise_energy(*pair) for pair in pairs]).sum(axis=0)
    own = _FITNESS[gives](inputs, outputs, float_outputs)
    return own | {"output_sqnr_db": sqnr_db(*energies.tolist())}


def _of_embeddings(inputs: Sequence[Input], outputs: Outputs, float_outputs: Outputs) -> dict[str, float]:
    ours, theirs = (np.stack([embedding(x) for x in each]) for each in (outputs, float_outputs))
    cosines = (ours * theirs).sum(axis=1)
    return {
        "cosine": float(cosines.mean()),
        "worst_cosine": float(cosines.min()),
        "rank_correlation": rank_correlation(_similarities(ours), _similarities(theirs)),
    }


def embedding(hidden: F32) -> NDArray[np.float64]:
    """Mean over the tokens of the last hidden state (T, features), of length 1."""
    mean = hidden.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / np.linalg.norm(mean))


def _similarities(embeddings: NDArray[np.float64]) -> list[float]:
    """Cosines of all pairs."""
    return [float(a @ b) for a, b in itertools.combinations(embeddings, 2)]


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's; equal values share their mean rank. NaN of fewer than two values."""
    import pandas as pd

    return float(pd.DataFrame({"x": x, "y": y}).corr("spearman").to_numpy()[0, 1]) if len(x) > 1 else math.nan


def _of_next_token(inputs: Sequence[Input], outputs: Outputs, float_outputs: Outputs) -> dict[str, float]:
    return {"perplexity": perplexity(inputs, outputs), "bits_per_character": bits_per_character(inputs, outputs)}


def _surprise(given: Input, logits: F32) -> float:
    """Negative log-likelihood of all tokens of an input but the first [nat], from logits (T, vocab)."""
    z = logits[:-1].astype(np.float64)
    top = z.max(axis=1)
    log_sum = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return float((log_sum - z[np.arange(len(z)), given.values[1:]]).sum())


def perplexity(inputs: Sequence[Input], outputs: Outputs) -> float:
    """Of every token given those before it."""
    total = math.fsum(_surprise(given, x) for given, x in zip(inputs, outputs, strict=True))
    return math.exp(total / sum(len(given.values) - 1 for given in inputs))


def bits_per_character(inputs: Sequence[Input], outputs: Outputs) -> float:
    """Of the text that was predicted: all of it after a token that begins it, else all but the first token's share."""
    total = math.fsum(_surprise(given, x) for given, x in zip(inputs, outputs, strict=True))
    return total / math.log(2) / math.fsum(_characters(given) for given in inputs)


def _characters(given: Input) -> float:
    text, tokens = given.record.text or "", given.record.tokens or ()
    begun = bool(tokens) and tokens[0] == "<s>"
    return len(text) * (1.0 if begun else (len(tokens) - 1) / len(tokens))


def _of_classes(inputs: Sequence[Input], outputs: Outputs, float_outputs: Outputs) -> dict[str, float]:
    """Of one image each, or of a text's tokens: rows of logits."""
    pairs = zip(outputs, float_outputs, strict=True)
    same = np.concatenate([q.argmax(axis=-1).ravel() == f.argmax(axis=-1).ravel() for q, f in pairs])
    return {"top1_agreement": float(same.mean())}


def _of_images(inputs: Sequence[Input], outputs: Outputs, float_outputs: Outputs) -> dict[str, float]:
    return {}


_FITNESS: Mapping[str, Callable[[Sequence[Input], Outputs, Outputs], dict[str, float]]] = {
    "embeddings": _of_embeddings,
    "next_token": _of_next_token,
    "tokens": _of_classes,
    "classes": _of_classes,
    "image": _of_images,
}
