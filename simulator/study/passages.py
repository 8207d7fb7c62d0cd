"""What a model is calibrated and judged on: passages of a text, or images; the two sets share nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator.errors import TraceError
from simulator.resources import shipped_dir
from simulator.tracing.model import Input, Model, read_utf8

__all__ = ["SHIPPED_TEXTS", "InputSets", "read_inputs"]

SHIPPED_TEXTS = ("calibration", "evaluation")
_FEWEST_WORDS = 8
"""Shorter paragraphs are headings, names and verses cut short."""
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".npy")


@dataclass(frozen=True)
class InputSets:
    """Inputs that scales are found on, and others that the model is judged on.

    Raises: TraceError if an input is in both.
    """

    calibration: tuple[Input, ...]
    evaluation: tuple[Input, ...]

    def __post_init__(self) -> None:
        seen = {_content(given): given for given in self.calibration}
        for given in self.evaluation:
            if _content(given) in seen:
                where = given.record.text_file or given.record.image_file
                what = f"'{(given.record.text or '')[:40]}...'" if given.record.text else "an image"
                raise TraceError(
                    f"{where}: {what} is in the calibration set, too; what a model is judged on must not be in it"
                )


def _content(given: Input) -> bytes:
    return given.values.tobytes()


def read_inputs(
    model: Model, evaluation: Path | None, calibration: Path | None, passages: int, tokens: int
) -> InputSets:
    """Both sets of a model.

    Args:
        evaluation, calibration: a UTF-8 text, whose paragraphs are the passages, or a folder of images (or one image);
            default: the shipped texts.
        passages: of each set at most; tokens: of each passage at most, special ones included.
    Raises: TraceError for files that are not there, not fit for the model, or in both sets.
    """
    if model.architecture.reads == "image" and (evaluation is None or calibration is None):
        raise TraceError(
            f"{model.source.name} reads images; name a folder of them to judge it on and another to calibrate it on"
        )
    folder = shipped_dir("configs/texts")
    chosen = (calibration or folder / "calibration.txt", evaluation or folder / "evaluation.txt")
    return InputSets(*(_read(model, path, passages, tokens) for path in chosen))


def _read(model: Model, path: Path, passages: int, tokens: int) -> tuple[Input, ...]:
    if model.architecture.reads == "image":
        return tuple(model.read_image(image) for image in _images(path)[:passages])
    texts = _paragraphs(read_utf8(path))[:passages]
    if not texts:
        raise TraceError(f"{path}: no paragraph of {_FEWEST_WORDS} words or more; paragraphs end at an empty line")
    return tuple(model.read_texts(texts, path, tokens))


def _paragraphs(text: str) -> list[str]:
    """Paragraphs with their lines joined, each once."""
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return list(dict.fromkeys(part for part in found if len(part.split()) >= _FEWEST_WORDS))


def _images(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGES)
    if not found:
        raise TraceError(f"{path}: holds no image; known: {', '.join(_IMAGES)}")
    return found
