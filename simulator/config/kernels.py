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
    """A host program that asks for kernels without waiting for each, over and over, as a benchmark's loop does."""

    operation_us: Microseconds
    """Of a call into framework or library, with the launch of one kernel [us]."""
    launch_us: Microseconds
    """Of each further kernel of a call [us]."""
    gap_us: Microseconds
    """Between two kernels on the GPU [us]."""
    wait_us: Microseconds
    """From the end of a kernel whose answer the host needs until it goes on [us]."""


class TensorUse(Record):
    """A tensor that a kernel reads or writes."""

    tensor: str = Field(min_length=1)
    """A name that tells it from others."""
    shape: Shape
    """Its sides: letters of the GEMM, or numbers."""
    bits: Literal[4, 8, 16, 32, 64]
    """Width of an element [bits]."""


class Product(Record):
    """The matrix product of a kernel on the tensor cores, ``m x k`` times ``k x n``."""

    datapath: str
    """Datapath that multiplies."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of that datapath."""
    m: Dimension
    """Rows of the first operand and of the result."""
    n: Dimension
    """Columns of the second operand and of the result."""
    k: Dimension
    """Length of the reduction."""


class Kernel(Record):
    """One step of the host's program: calls, of which the last launches equal kernels."""

    name: str = Field(min_length=1)
    """What reports call it."""
    reads: list[TensorUse] = Field(default=[])
    """Tensors that it reads."""
    writes: list[TensorUse] = Field(default=[])
    """Tensors that it writes."""
    product: Product | None = None
    """Its matrix product; null: it has none."""
    adds: NonNegativeInt = 0
    """Additions per element of the largest tensor; a conversion, comparison or rounding is one."""
    muls: NonNegativeInt = 0
    """Multiplications per element of the largest tensor."""
    specials: NonNegativeInt = 0
    """Special functions (exponential, reciprocal, tanh) per element of the largest tensor."""
    operations: PositiveInt = 1
    """Calls into framework or library."""
    launches: NonNegativeInt = 1
    """Equal kernels that the last call launches."""
    waits: bool = False
    """Whether the host needs an answer of the GPU before it goes on."""
    needs_outliers: bool = False
    """Whether it is left out where A has no outlier column."""

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
    """The kernels of one layer, in order; exactly one multiplies all of A by all of W."""

    name: str = Field(min_length=1)
    """What reports call it."""
    description: str = ""
    """One line for `olivine list kernels`."""
    datapath: str = ""
    """Whose values the layer gives; by default that of the product of all of A and W."""
    source: str = Field(min_length=1)
    """Program that has these kernels, and its version."""
    kernels: list[Kernel] = Field(min_length=1, max_length=1000)
    """The kernels in the order in which the host asks for them."""

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
