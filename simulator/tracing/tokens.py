"""Text to token ids, with the model's own tokeniser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import TraceError
from simulator.tracing.messages import one_line

__all__ = ["DEFAULT_TOKENS", "TokenisedText", "tokenise"]

DEFAULT_TOKENS = 128
_END = "[SEP]"


@dataclass(frozen=True, slots=True)
class TokenisedText:
    """Ids and their spellings, special tokens included, and the piece of the text that they cover."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    text: str


def tokenise(tokenizer_file: Path, text: str, tokens: int | None, max_positions: int) -> TokenisedText:
    """The first ``tokens`` tokens of ``text``; a cut sentence keeps its final [SEP], as the model expects one.

    Args:
        tokens: tokens wanted, special ones included; default: what there is, up to ``DEFAULT_TOKENS`` and
            ``max_positions``.
    Raises: TraceError if ``tokenizers`` is not installed, the tokeniser is unreadable, or the text or the model
        cannot give that many tokens.
    """
    encoding = _load_tokenizer(tokenizer_file).encode(text)
    available = len(encoding.ids)
    wanted = min(available, DEFAULT_TOKENS, max_positions) if tokens is None else tokens
    _check_count(wanted, available, max_positions)
    ids, spellings, spans = list(encoding.ids), list(encoding.tokens), list(encoding.offsets)
    keep = list(range(wanted))
    if wanted < available and spellings[-1] == _END:
        keep[-1] = available - 1
    covered = max(spans[i][1] for i in keep) if wanted < available else len(text)
    return TokenisedText(tuple(ids[i] for i in keep), tuple(spellings[i] for i in keep), text[:covered])


def _load_tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise TraceError("reading text needs the 'text' extra: pip install 'olivine[text]'") from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # tokenizers raises plain Exception
        raise TraceError(f"{path}: not a readable tokeniser: {one_line(exc)}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _check_count(wanted: int, available: int, max_positions: int) -> None:
    if wanted < 2:
        raise TraceError(f"tokens must be at least 2 ([CLS] and [SEP]), got {wanted}")
    if wanted > max_positions:
        raise TraceError(f"{wanted} tokens asked for, the model has {max_positions} positions")
    if wanted > available:
        raise TraceError(f"{wanted} tokens asked for, the text gives {available}; use a longer text")
