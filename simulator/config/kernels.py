"""How software runs one layer on a GPU: which kernels, in which order, around and beside its matrix product."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["Dimension", "Host", "Kernel", "KernelList", "Product", "TensorUse"]

Dimension = Literal["M", "N", "K", "K32", "K256", "O"] | PositiveInt
"""Rows of A, columns of W, steps of K, K rounded up to 32s, blocks of 256 along K, outlier columns of A;
or a number."""

Shape = Annotated[list[Dimension], Field(min_length=1, max_length=4)]


Microseconds = Annotated[float, Field(ge=0, le=1e6)]


class Host(Record):
    """A host program that asks for kernels without waiting for each, over and over, as a benchmark's loop does.

    ``operation_us``: of a call into framework or library, with the launch of one kernel. ``launch_us``: of each further
    kernel of a call. ``gap_us``: between two kernels on the GPU. ``wait_us``: from the end of a kernel whose answer the
    host needs until it goes on.
    """

    operation_us: Microseconds
    launch_us: Microseconds
    gap_us: Microseconds
    wait_us: Microseconds


class TensorUse(Record):
    """A tensor that a kernel reads or writes, by a name that tells it from others, with its shape and element width."""

    tensor: str = Field(min_length=1)
    shape: Shape
    bits: Literal[4, 8, 16, 32, 64]


class Product(Record):
    """The matrix product of a kernel on the tensor cores: ``m x k`` times ``k x n``, by the datapath of that name."""

    datapath: str
    options: dict[str, Any] = Field(default_factory=dict)
    m: Dimension
    n: Dimension
    k: Dimension


class Kernel(Record):
    """One step of the host's program: ``operations`` calls, of which the last launches ``launches`` equal kernels.

    ``adds``, ``muls``, ``specials``: per element of the largest tensor; a conversion, comparison or rounding is an add.
    ``waits``: the host needs an answer of the GPU before it goes on. ``needs_outliers``: left out where A has none.
    """

    name: str = Field(min_length=1)
    reads: list[TensorUse] = Field(default=[])
    writes: list[TensorUse] = Field(default=[])
    product: Product | None = None
    adds: NonNegativeInt = 0
    muls: NonNegativeInt = 0
    specials: NonNegativeInt = 0
    operations: PositiveInt = 1
    launches: NonNegativeInt = 1
    waits: bool = False
    needs_outliers: bool = False

    @model_validator(mode="after")
    def _does_something(self) -> Kernel:
        moves = bool(self.reads or self.writes)
        if self.product is not None and (self.adds or self.muls or self.specials or self.launches != 1):
            raise FieldError(
                ("product",), "is one kernel on the tensor cores; give what else is done a kernel of its own"
            )
        if self.product is not None and len(self.writes) != 1:
            raise FieldError(("writes",), f"a product writes one tensor, its result; found {len(self.writes)}")
        if self.launches and self.product is None and not moves:
            raise FieldError(("launches",), "moves nothing; say what it reads and writes, or launches: 0")
        if not self.launches and (moves or self.product):
            raise FieldError(("launches",), "0 launches neither move nor multiply anything")
        return self


class KernelList(Record):
    """The kernels of one layer, in order; exactly one multiplies all of A by all of W.

    ``datapath``: whose values the layer gives; by default that of this product.
    """

    name: str = Field(min_length=1)
    description: str = ""
    datapath: str = ""
    source: str = Field(min_length=1)
    kernels: list[Kernel] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _has_the_product(self) -> KernelList:
        whole = self._whole
        if len(whole) != 1:
            raise FieldError(("kernels",), f"{len(whole)} of them multiply all of A by all of W; exactly one must")
        return self

    @property
    def _whole(self) -> list[Product]:
        return [k.product for k in self.kernels if k.product and k.product.k in ("K", "K32")]

    @property
    def gives(self) -> str:
        """The datapath whose values the layer gives."""
        return self.datapath or self._whole[0].datapath
