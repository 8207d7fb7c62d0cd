"""Text to token ids, with the model's own tokeniser."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import TraceError
from simulator.tracing.messages import one_line

__all__ = ["DEFAULT_TOKENS", "VOCABULARY_FILE", "TokenisedText", "byte_tokens", "tokenise", "tokenise_all"]

DEFAULT_TOKENS = 128
VOCABULARY_FILE = "vocab.txt"
_START, _END, _UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
_START_ID, _BYTE_IDS = 1, 3  # of llama2.c's vocabulary: <s>, and <0x00> of the bytes


@dataclass(frozen=True, slots=True)
class TokenisedText:
    """Ids and their spellings, special tokens included, and the piece of the text that they cover."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    text: str


def tokenise(tokenizer_file: Path, text: str, tokens: int | None, positions: int) -> TokenisedText:
    """The first ``tokens`` tokens of ``text``; a cut sentence keeps its final [SEP], as the model expects one.

    Args:
        tokenizer_file: a ``tokenizer.json`` of Hugging Face, or llama2.c's pieces and scores as JSON.
        tokens: tokens wanted, special ones included; default: what there is, up to ``DEFAULT_TOKENS`` and
            ``positions``.
    Raises: TraceError if ``tokenizers`` is not installed, the tokeniser is unreadable, or the text or the model
        cannot give that many tokens.
    """
    return _cut(_load_tokenizer(tokenizer_file), text, tokens, positions, DEFAULT_TOKENS)


def tokenise_all(tokenizer_file: Path, texts: Sequence[str], most: int, positions: int) -> list[TokenisedText]:
    """The first ``most`` tokens of each text, or all where it has fewer. Raises: as ``tokenise``."""
    tokenizer = _load_tokenizer(tokenizer_file)
    return [_cut(tokenizer, text, None, positions, most) for text in texts]


def _cut(tokenizer: Any, text: str, tokens: int | None, positions: int, most: int) -> TokenisedText:
    """``tokens`` of a text, or what there is up to ``most``."""
    encoding = tokenizer.encode(text)
    ids, spellings, spans = list(encoding.ids), list(encoding.tokens), list(encoding.offsets)
    available = len(ids)
    closed = bool(spellings) and spellings[-1] == _END
    wanted = min(available, most, positions) if tokens is None else tokens
    _check_count(wanted, available, positions, 2 if closed else 1)
    keep = list(range(wanted))
    if wanted < available and closed:
        keep[-1] = available - 1
    covered = max(spans[i][1] for i in keep) if wanted < available else len(text)
    return TokenisedText(tuple(ids[i] for i in keep), tuple(spellings[i] for i in keep), text[:covered])


def byte_tokens(text: str, tokens: int | None, utf16: bool, most: int = DEFAULT_TOKENS) -> TokenisedText:
    """The first ``tokens`` bytes of the text in UTF-8, or in UTF-16-BE; default: up to ``most``."""
    encoding = "utf-16-be" if utf16 else "utf-8"
    data = text.encode(encoding)
    wanted = min(len(data), most) if tokens is None else tokens
    _check_count(wanted, len(data), len(data), 1)
    kept = data[:wanted]
    return TokenisedText(tuple(kept), tuple(f"0x{b:02x}" for b in kept), kept.decode(encoding, errors="ignore"))


def _load_tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise TraceError("reading text needs the 'text' extra: pip install 'olivine[text]'") from None
    try:
        data = path.read_text(encoding="utf-8")
        if path.name == VOCABULARY_FILE:
            return _of_vocabulary(data.splitlines())
        pieces = _pieces(data)
        tokenizer = _of_pieces(*pieces) if pieces else Tokenizer.from_str(data)
    except OSError as exc:
        raise TraceError(f"{path}: cannot read the tokeniser: {one_line(exc)}") from None
    except Exception as exc:  # tokenizers raises plain Exception
        raise TraceError(f"{path}: not a readable tokeniser: {one_line(exc)}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _of_vocabulary(words: Sequence[str]) -> Any:
    """Text as the longest words of a list, one after another, between [CLS] and [SEP]: atoms and bonds of SMILES."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    special = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]")
    longest = sorted((word for word in words if word and not special.fullmatch(word)), key=len, reverse=True)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=_UNKNOWN))
    pattern = Regex("|".join(re.escape(word) for word in longest))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(pattern, "isolated")]
    )
    ends = [(word, words.index(word)) for word in (_START, _END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{_START} $A {_END}", special_tokens=ends)
    return tokenizer


def _pieces(data: str) -> tuple[list[str], list[float]] | None:
    """Pieces and scores of llama2.c's vocabulary, or None if it is another kind of tokeniser."""
    found = json.loads(data)
    return (found["pieces"], found["scores"]) if isinstance(found, dict) and "pieces" in found else None


def _of_pieces(pieces: Sequence[str], scores: Sequence[float]) -> Any:
    """SentencePiece's BPE: the neighbours whose union has the best score are merged first; a space goes before all.

    Source: Kudo and Richardson, EMNLP 2018 (demos).
    """
    from tokenizers import Tokenizer, models, normalizers, processors

    ids: dict[str, int] = {}
    for i, piece in enumerate(pieces):
        ids.setdefault(piece, i)
    merges = []
    for piece in sorted(ids, key=lambda piece: -scores[ids[piece]]):
        if ids[piece] >= _BYTE_IDS + 256:
            halves = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
            merges += [pair for pair in halves if pair[0] in ids and pair[1] in ids]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, byte_fallback=True, unk_token=pieces[0]))
    tokenizer.normalizer = normalizers.Prepend(" ")
    start = [("<s>", _START_ID)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=start)
    return tokenizer


def _check_count(wanted: int, available: int, positions: int, least: int) -> None:
    if wanted < least:
        special = " ([CLS] and [SEP])" if least > 1 else ""
        raise TraceError(f"tokens must be at least {least}{special}, got {wanted}")
    if wanted > positions:
        raise TraceError(f"{wanted} tokens asked for, the model has {positions} positions")
    if wanted > available:
        raise TraceError(f"{wanted} tokens asked for, the text gives {available}; use a longer text")
