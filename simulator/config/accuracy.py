"""What a study says of the model whose accuracy it shows beside the costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.config.record import Record

__all__ = ["Accuracy"]

Count = Annotated[int, Field(ge=1, le=1 << 20)]


class Accuracy(Record):
    """A real model that every design of the study is tried on."""

    model: str = Field(min_length=1)
    """A model folder, or an installed package that carries one."""
    evaluation: str | None = None
    """Text, or folder of images, that the model is judged on; null: the text shipped in `configs/texts`."""
    calibration: str | None = None
    """Another text or folder, that scales are found on, sharing nothing with `evaluation`; null: the shipped one."""
    passages: Count = 16
    """Paragraphs or images of each set, at most."""
    tokens: Annotated[int, Field(ge=3, le=1 << 20)] = 64
    """Tokens of a passage, at most."""
    products: Literal["layers", "all"] = "layers"
    """Which products take the design's numbers: those with weights (`layers`), or those of two activations as well
    (`all`).
    """
    sums: Literal["float32", "datapath"] = "float32"
    """How products are added: in float32, or as the datapath adds."""
