"""What a datapath says about itself so that nothing about the same tensors is worked out twice."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from simulator.formats import Encoded

__all__ = ["Remembered", "lists_of"]


class Remembered:
    """Defaults that hold for every datapath: all options may decide values, and costs may look at all of an operand.
    A datapath that says less is asked less often; the contract tests hold it to what it says.
    """

    timing_options: ClassVar[frozenset[str]] = frozenset()
    """Options on which no code and no result depends: cycles, counts and draws alone."""
    costs_know_bandwidth: ClassVar[bool] = True
    """Whether ``tile_costs`` looks at ``Job.dram_bytes_per_cycle``."""

    looks_at: ClassVar[tuple[tuple[str, ...], tuple[str, ...]] | None] = None
    """Names of the ``Encoded.extras`` of activations and of weights that costs look at, beside shapes. None: at all."""

    def value_options(self) -> Hashable:
        """Equal for datapaths that make the same codes and results of the same tensors."""
        options: Any = self
        names = (field.name for field in fields(options) if field.name not in self.timing_options)
        return type(self), *((name, getattr(self, name)) for name in names)

    def seen_by_costs(self, act: Encoded, weight: Encoded) -> tuple[Encoded, Encoded]:
        """What costs and counts look at of both operands, to be kept in place of them."""
        if self.looks_at is None:
            return act, weight
        return lists_of(act, *self.looks_at[0]), lists_of(weight, *self.looks_at[1])


def lists_of(encoded: Encoded, *names: str) -> Encoded:
    """An operand without codes and scales: its shape and some of its extras."""
    extras = {name: np.array(encoded.extras[name]) for name in names}
    empty = np.zeros((len(encoded.codes), 0), np.uint8)
    return Encoded(empty, np.ones((), np.float32), encoded.length, extras)
