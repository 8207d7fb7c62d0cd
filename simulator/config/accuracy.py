"""What a study says of the model whose accuracy it shows beside the costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.config.record import Record

__all__ = ["Accuracy"]

Count = Annotated[int, Field(ge=1, le=1 << 20)]


class Accuracy(Record):
    """A real model that every design of the study is tried on.

    Args:
        model: a folder or an installed package.
        evaluation, calibration: a text or a folder of images, which share nothing; default: the texts in configs/texts.
        passages, tokens: of each set, and of each passage, at most.
        products: those with weights, or those of two activations as well.
        sums: in float32, or as the datapath adds.
    """

    model: str = Field(min_length=1)
    evaluation: str | None = None
    calibration: str | None = None
    passages: Count = 16
    tokens: Annotated[int, Field(ge=3, le=1 << 20)] = 64
    products: Literal["layers", "all"] = "layers"
    sums: Literal["float32", "datapath"] = "float32"
