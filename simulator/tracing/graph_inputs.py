"""Inputs of a model that is a graph of tensors: files, a text, an image; what nobody gives is drawn, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError, UnknownNameError
from simulator.tracing.images import read_image
from simulator.tracing.manifest import InputRecord
from simulator.tracing.messages import one_line
from simulator.tracing.model import default_text, read_utf8
from simulator.tracing.source import TOKENIZER_FILE
from simulator.tracing.tokens import tokenise

__all__ = ["PIXELS", "Asked", "Given", "Slot", "read_given"]

PIXELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "signed": ((0.5,) * 3, (0.5,) * 3),
    "byte": ((0.0,) * 3, (1 / 255,) * 3),
}
"""What a pixel's 0 to 255 become: less ImageNet's mean, over its deviation; 0 to 1; -1 to 1; as they are. As mean and
deviation of colours of 0 to 1."""
_UNBOUNDED = 1 << 30  # positions of a graph that does not say


@dataclass(frozen=True, slots=True)
class Slot:
    """One input of a model.

    Attributes:
        shape: sizes, or names of those that are open.
        rows: of the table that its integers are looked up in, where that is known.
        scale, zero: of its integers, if they stand for something: ``(code - zero) * scale``.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]
    rows: int | None = None
    scale: float | None = None
    zero: int = 0

    def coded(self, real: NDArray[Any]) -> NDArray[Any]:
        """Real values of the type that the model takes."""
        if self.scale is None or real.dtype.kind != "f":
            return real.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(real / self.scale) + self.zero, limits.min, limits.max).astype(self.dtype)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to run a model on.

    Attributes:
        files: name of an input -> a ``.npy`` file; the empty name is the only input there is.
        pixels: one of ``PIXELS``.
        dims: sizes of open dimensions by name.
        seed: of what is drawn.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    text: Path | None = None
    image: Path | None = None
    pixels: str = "imagenet"
    tokens: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """Inputs that are known before the sizes of all others are.

    Attributes:
        dims: sizes of open dimensions, those that follow from the values among them.
    """

    slots: Sequence[Slot]
    values: Mapping[str, NDArray[Any]]
    dims: Mapping[str, int]
    record: InputRecord
    said: tuple[str, ...]
    seed: int

    def filled(self) -> tuple[dict[str, NDArray[Any]], InputRecord]:
        """All inputs, and their record, which says what was drawn."""
        rng = np.random.default_rng(self.seed)
        values, drawn = dict(self.values), []
        for slot in self.slots:
            if slot.name not in values:
                shape = tuple(size if isinstance(size, int) else self.dims[size] for size in slot.shape)
                values[slot.name], how = _made(slot, shape, rng)
                drawn.append(f"{slot.name} {slot.dtype.name} {list(shape)}: {how}")
        if any("drawn" in one for one in drawn):
            drawn.append(f"seed {self.seed}; the activations are those of no real input")
        note = "; ".join((*self.said, *drawn))
        return values, self.record.model_copy(update={"note": note or None})


def read_given(path: Path, slots: Sequence[Slot], asked: Asked) -> Given:
    """Inputs from files, a text and an image.

    Args:
        path: of the model; a tokeniser lies beside it, or in the folder above.
    Raises: TraceError for what does not fit.
    """
    values = {_slot_of(path, slots, name).name: file for name, file in asked.files.items()}
    arrays = {name: _array(file, next(s for s in slots if s.name == name)) for name, file in values.items()}
    said = [f"{name} from {file.name}" for name, file in values.items()]
    record, dims = InputRecord(), dict(asked.dims)
    if asked.text is not None or (asked.image is None and not arrays and _can_read(path, slots)):
        slot, ids, record = _text(path, slots, asked)
        arrays[slot.name] = ids
    if asked.image is not None:
        slot, image, record = _image(path, slots, asked, record)
        arrays[slot.name] = image
        said.append(f"{slot.name} from {asked.image.name}, pixels {asked.pixels}")
    for slot in slots:
        if slot.name in arrays:
            _fit(path, slot, arrays[slot.name].shape, dims)
    if asked.tokens is not None and record.token_ids == ():
        _set_tokens(path, slots, asked.tokens, dims)
    known = {size for slot in slots for size in slot.shape if isinstance(size, str)}
    used = {name: size for name, size in dims.items() if name in known or name in asked.dims}
    return Given(slots, arrays, used, record, tuple(said), asked.seed)


def _slot_of(path: Path, slots: Sequence[Slot], name: str) -> Slot:
    if not name and len(slots) == 1:
        return slots[0]
    found = next((slot for slot in slots if slot.name == name), None)
    if found is None and not name:
        raise TraceError(f"{path}: has {len(slots)} inputs; write --input NAME=FILE: {_listed(slots)}")
    if found is None:
        raise UnknownNameError("input", name, [slot.name for slot in slots])
    return found


def _listed(slots: Sequence[Slot]) -> str:
    return ", ".join(f"{slot.name} {slot.dtype.name} [{', '.join(map(str, slot.shape))}]" for slot in slots)


def _array(file: Path, slot: Slot) -> NDArray[Any]:
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TraceError(f"{file}: not a readable .npy file of numbers: {one_line(error)}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise TraceError(f"{file}: not a readable .npy file of numbers")
    fits = values.dtype.kind == "f" if slot.dtype.kind == "f" else values.dtype.kind in "iub"
    if not fits and (slot.scale is None or values.dtype.kind != "f"):
        raise TraceError(f"{file}: holds {values.dtype}, input '{slot.name}' takes {slot.dtype.name}")
    made = slot.coded(values)
    if values.dtype.kind in "iu" and (made != values).any():
        raise TraceError(f"{file}: holds a value that {slot.dtype.name} of input '{slot.name}' cannot")
    return made


def _fit(path: Path, slot: Slot, shape: tuple[int, ...], dims: dict[str, int]) -> None:
    """An array's sizes against the input's; open ones get theirs."""
    wrong = len(shape) != len(slot.shape) or 0 in shape
    for asked, size in zip(slot.shape, shape, strict=False):
        wrong = wrong or (dims.setdefault(asked, size) if isinstance(asked, str) else asked) != size
    if wrong:
        sizes = ", ".join(f"{size} = {dims[size]}" if size in dims else str(size) for size in slot.shape)
        raise TraceError(f"{path}: input '{slot.name}' is [{sizes}], but what is given is {list(shape)}")


# Text


def _ids_slot(slots: Sequence[Slot]) -> Slot | None:
    """The input that token ids go to."""
    integers = [slot for slot in slots if slot.dtype.kind in "iu" and len(slot.shape) == 2]
    named = [slot for slot in integers if slot.name.lower().endswith("input_ids") or slot.name == "ids"]
    return (named or integers)[0] if len(named or integers) == 1 else None


def _tokenizer(path: Path) -> Path | None:
    places = (folder / TOKENIZER_FILE for folder in (path.parent, path.resolve().parent.parent))
    return next((place for place in places if place.is_file()), None)


def _can_read(path: Path, slots: Sequence[Slot]) -> bool:
    return _ids_slot(slots) is not None and _tokenizer(path) is not None


def _text(path: Path, slots: Sequence[Slot], asked: Asked) -> tuple[Slot, NDArray[Any], InputRecord]:
    slot, tokenizer = _ids_slot(slots), _tokenizer(path)
    if slot is None:
        raise TraceError(f"{path}: no input takes token ids; its inputs: {_listed(slots)}; give --input NAME=FILE")
    if tokenizer is None:
        raise TraceError(f"{path}: no {TOKENIZER_FILE} beside it to read a text with; give --input {slot.name}=FILE")
    size = slot.shape[1]
    wanted = size if isinstance(size, int) else asked.tokens or asked.dims.get(size)
    text = asked.text or default_text()
    piece = tokenise(tokenizer, read_utf8(text), wanted, _UNBOUNDED)
    if slot.rows is not None and max(piece.ids) >= slot.rows:
        raise TraceError(f"{path}: token id {max(piece.ids)} is outside the model's vocabulary of {slot.rows}")
    record = InputRecord(token_ids=piece.ids, tokens=piece.tokens, text_file=text.name, text=piece.text)
    return slot, np.array([piece.ids], slot.dtype), record


def _set_tokens(path: Path, slots: Sequence[Slot], tokens: int, dims: dict[str, int]) -> None:
    slot = _ids_slot(slots)
    if slot is None:
        raise TraceError(f"{path}: --tokens goes with an input of token ids; its inputs: {_listed(slots)}")
    size = slot.shape[1]
    if isinstance(size, int) and size != tokens:
        raise TraceError(f"{path}: input '{slot.name}' takes {size} tokens, not {tokens}")
    if isinstance(size, str):
        dims.setdefault(size, tokens)


# Images


def _image(
    path: Path, slots: Sequence[Slot], asked: Asked, record: InputRecord
) -> tuple[Slot, NDArray[Any], InputRecord]:
    assert asked.image is not None
    if asked.pixels not in PIXELS:
        raise UnknownNameError("choice of --pixels", asked.pixels, PIXELS)
    fitting = [slot for slot in slots if len(slot.shape) == 4 and 3 in (slot.shape[1], slot.shape[3])]
    if len(fitting) != 1:
        raise TraceError(f"{path}: no input takes an image of three colours; its inputs: {_listed(slots)}")
    slot = fitting[0]
    first = slot.shape[1] == 3
    height, width = slot.shape[2:] if first else slot.shape[1:3]
    sizes = {asked.dims.get(size) if isinstance(size, str) else size for size in (height, width)}
    if len(sizes) != 1:
        raise TraceError(f"{path}: input '{slot.name}' takes images of {height} x {width}, which --image does not make")
    mean, deviation = PIXELS[asked.pixels]
    image = read_image(asked.image, sizes.pop(), mean, deviation)
    coded = slot.coded(image if first else image.transpose(0, 2, 3, 1))
    return slot, coded, record.model_copy(update={"image_file": asked.image.name, "image_shape": coded.shape})


# What nobody gives


def _made(slot: Slot, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    """Values for an input, and how they came about: masks are open, positions count, other values are drawn."""
    if slot.dtype.kind == "f" or slot.scale is not None:
        return slot.coded(rng.standard_normal(shape, dtype=np.float32)), "drawn, standard normal"
    name = slot.name.lower()
    if slot.dtype.kind == "b" or "mask" in name:
        return np.ones(shape, slot.dtype), "ones"
    if "type" in name:
        return np.zeros(shape, slot.dtype), "zeros"
    if "position" in name:
        return np.broadcast_to(np.arange(shape[-1], dtype=slot.dtype), shape).copy(), "counted"
    if slot.rows is None:
        return np.ones(shape, slot.dtype), "ones"
    return rng.integers(0, slot.rows, shape).astype(slot.dtype), f"drawn below {slot.rows}"
