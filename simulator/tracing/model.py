"""A model folder that can be run: its forward pass, its weights, its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.resources import shipped_dir
from simulator.tracing.images import read_image
from simulator.tracing.manifest import InputRecord
from simulator.tracing.messages import one_line
from simulator.tracing.models import ARCHITECTURES, Architecture
from simulator.tracing.net import Net
from simulator.tracing.products import F32, Multiply, multiply
from simulator.tracing.source import CONFIG_FILE, TOKENIZER_FILE, ModelSource, find_model
from simulator.tracing.tokens import VOCABULARY_FILE, TokenisedText, byte_tokens, tokenise, tokenise_all
from simulator.tracing.weights import ModelWeights, weight_files

__all__ = ["Input", "Model", "default_text", "open_model", "read_utf8"]


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model, token ids (T,) or an image (1, 3, H, W), and its record for a manifest."""

    values: NDArray[Any]
    record: InputRecord


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder with the forward pass that runs it."""

    source: ModelSource
    architecture: Architecture
    config: Any

    @property
    def op_names(self) -> list[str]:
        """The names of all ops, in the order in which they are computed."""
        return self.architecture.op_names(self.config)

    def weights(self) -> ModelWeights:
        """Its weight files, opened. Raises: TraceError."""
        return ModelWeights(*weight_files(self.source.folder), prefix=self.architecture.prefix)

    def run(self, values: NDArray[Any], multiply: Multiply = multiply, weights: ModelWeights | None = None) -> F32:
        """The model's outputs: last hidden state or logits (T, features), or logits (1, classes), or an image.

        Args:
            values: of an ``Input``.
            multiply: computes every matrix product; to record operands, or to replace them by quantised ones.
        Raises: TraceError if a weight is missing or of another shape.
        """
        return self.architecture.forward(Net(weights or self.weights(), multiply), self.config, values)

    def read_text(self, path: Path, tokens: int | None = None) -> Input:
        """The first ``tokens`` tokens of a UTF-8 file. Raises: TraceError if the model reads images, or cannot."""
        self._require_text()
        return self._input(self._tokenised(read_utf8(path), tokens), path)

    def read_texts(self, texts: Sequence[str], path: Path, most: int) -> list[Input]:
        """The first ``most`` tokens of each text, all of which come from a file. Raises: as ``read_text``."""
        self._require_text()
        if self.architecture.reads == "bytes":
            return [self._input(byte_tokens(text, None, self.config.utf16, most), path) for text in texts]
        return [self._input(p, path) for p in tokenise_all(self._tokenizer(), texts, most, self.config.positions)]

    def _require_text(self) -> None:
        if self.architecture.reads == "image":
            raise TraceError(f"{self.source.name} reads images, not text; give it --image FILE")

    def _input(self, piece: TokenisedText, path: Path) -> Input:
        limit = getattr(self.config, "vocab", None)
        if limit is not None and max(piece.ids) >= limit:
            raise TraceError(f"token id {max(piece.ids)} is outside the model's vocabulary of {limit}")
        record = InputRecord(token_ids=piece.ids, tokens=piece.tokens, text_file=path.name, text=piece.text)
        return Input(np.asarray(piece.ids), record)

    def read_image(self, path: Path) -> Input:
        """An image file as the model takes it. Raises: TraceError if the model reads text, or it is no image."""
        image = self.architecture.image
        if image is None:
            raise TraceError(f"{self.source.name} reads text, not images; give it --text FILE")
        values = read_image(path, image.side(self.config), image.mean, image.deviation)
        return Input(values, InputRecord(image_file=path.name, image_shape=values.shape))

    def _tokenised(self, text: str, tokens: int | None) -> TokenisedText:
        if self.architecture.reads == "bytes":
            return byte_tokens(text, tokens, self.config.utf16)
        return tokenise(self._tokenizer(), text, tokens, self.config.positions)

    def _tokenizer(self) -> Path:
        path, words = (self.source.folder / name for name in (TOKENIZER_FILE, VOCABULARY_FILE))
        if path.is_file():
            return path
        if self.source.model_type == "albert" and words.is_file():  # of whole tokens, as RXNMapper has it
            return words
        raise TraceError(f"{self.source.folder}: not a model folder: {TOKENIZER_FILE} missing")


def open_model(source: str | Path) -> Model:
    """A model folder, or an installed package that carries one.

    Raises: TraceError if there is none, or it is of an architecture that is not known here.
    """
    found = find_model(str(source))
    path = found.folder / CONFIG_FILE
    architecture = ARCHITECTURES.get(found.model_type)
    if architecture is None:
        known = ", ".join(ARCHITECTURES)
        graphs = sorted(file for file in found.folder.iterdir() if file.suffix in (".onnx", ".tflite"))
        hint = f"; trace its graph, {' or '.join(map(str, graphs))}" if graphs else f"; known: {known}"
        raise TraceError(f"{path}: model_type '{found.model_type}' is not supported{hint}")
    return Model(found, architecture, architecture.read_config(path, found.config))


def default_text() -> Path:
    """The passage that the shipped sample was made from."""
    return shipped_dir("traces") / "minilm-l6-sample" / "input.txt"


def read_utf8(path: Path) -> str:
    """All of a text file. Raises: TraceError, one line."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as exc:
        raise TraceError(f"{path}: cannot read the text: {one_line(exc)}") from None
    except UnicodeDecodeError as exc:
        raise TraceError(f"{path}: not UTF-8 text: byte {exc.start} is 0x{exc.object[exc.start]:02x}") from None
