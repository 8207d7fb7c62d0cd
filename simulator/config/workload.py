"""A workload as YAML: convolutions and GEMMs in the order in which they run, and passes among them; or a model."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, PrivateAttr, model_validator

from simulator.config.conv_geometry import ConvGeometry, ShapeError
from simulator.config.load import FieldError, Source
from simulator.config.pass_kinds import PassKind
from simulator.config.record import Record
from simulator.errors import did_you_mean

__all__ = ["RUN_FIELDS", "Conv", "Gemm", "PassSpec", "Statistics", "WorkloadSpec"]

Names = str | list[str]
RUN_FIELDS = ("batch", "phase", "tokens", "context", "head", "image", "embeddings")
"""What one run of a model is asked to do; of a list of ops only the batch."""
Size = PositiveInt | tuple[PositiveInt, PositiveInt]
Pads = (
    NonNegativeInt
    | tuple[NonNegativeInt, NonNegativeInt]
    | tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
)


class Gemm(Record):
    """Products ``A[M,K] x W[K,N]``."""

    name: str = Field(min_length=1)
    """What reports call it; patterns of `layers` and `passes` match it."""
    M: PositiveInt
    """Rows of A: tokens."""
    N: PositiveInt
    """Columns of W: output features."""
    K: PositiveInt
    """Length of the reduction."""
    count: PositiveInt = 1
    """How many equal products: attention heads, say."""
    kind: Literal["linear", "bmm"] = "linear"
    """Of an activation and a weight, or of two activations (`bmm`)."""


class Conv(Record):
    """Convolutions of a feature map ``(batch, in_channels, height, width)`` into ``out_channels``.

    What holds for both axes may also be [height, width].
    """

    name: str = Field(min_length=1)
    """What reports call it; patterns of `layers` and `passes` match it."""
    in_channels: PositiveInt
    """Channels of the map."""
    height: PositiveInt
    """Rows of the map."""
    width: PositiveInt
    """Columns of the map."""
    out_channels: PositiveInt
    """Channels of the result."""
    kernel: Size
    """Size of the window, for both axes or [height, width]."""
    stride: Size = 1
    """Step of the window, for both axes or [height, width]."""
    padding: Pads = 0
    """Zeros around the map, for both axes, [height, width], or [top, left, bottom, right]."""
    dilation: Size = 1
    """Distance of neighbours in the window, for both axes or [height, width]."""
    groups: PositiveInt = 1
    """Into which the channels are split; as many as `in_channels` make it depthwise."""
    batch: PositiveInt = 1
    """Maps at once."""
    count: PositiveInt = 1
    """How many equal convolutions."""
    ceil: bool = False
    """Whether the size of the result is rounded up, not down."""

    @model_validator(mode="after")
    def _makes_a_result(self) -> Self:
        try:
            ConvGeometry(**self.sizes)
        except ShapeError as error:
            raise FieldError((error.field,), error.complaint) from None
        return self

    @property
    def geometry(self) -> ConvGeometry:
        """Its sizes along both axes."""
        return ConvGeometry(**self.sizes)

    @property
    def sizes(self) -> dict[str, Any]:
        """All that decides its shape: the arguments of a ``ConvGeometry``."""
        return self.model_dump(exclude={"name", "count"})


class PassSpec(Record):
    """One kind of pass behind each GEMM or convolution of ``after``, or on an operand of each of ``before``."""

    kind: PassKind
    """What it does to each value."""
    after: Names = Field(default=[])
    """Names of the ops whose results it works on, or patterns with shell wildcards."""
    before: Names = Field(default=[])
    """Names of the ops whose operand it makes, or patterns with shell wildcards."""
    operand: Literal["act", "weight"] = "act"
    """Which operand it makes, with `before`."""
    name: str = ""
    """What reports call it, if it is at one op only; else it is named after op and kind."""
    rows: PositiveInt | None = None
    """Rows of values; null: of the result (M), or of the operand (M; N for `weight`). A pool's results per column."""
    cols: PositiveInt | None = None
    """Values of a row; null: of the result (N), or of the operand (K)."""
    count: PositiveInt | None = None
    """How many equal passes; null: the op's."""
    block: PositiveInt | None = None
    """Values along a row that a `hadamard` mixes, the values of a pool's window, taps of a `conv1d`, or states of a
    `selective_scan`.
    """

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if bool(self.after) == bool(self.before):
            raise FieldError((), "give after or before, names of GEMMs or convolutions, and not both")
        if self.operand == "weight" and not self.before:
            raise FieldError(("operand",), "goes with before: it is the operand that the pass makes")
        if self.kind in ("max_pool", "mean_pool"):
            for field, meaning in (("block", "the values of its window"), ("rows", "its results per column")):
                if getattr(self, field) is None:
                    raise FieldError((), f"a {self.kind} needs {field}: {meaning}")
        return self

    @property
    def places(self) -> list[str]:
        """Names or patterns of the ops that it stands before or after."""
        names = self.after or self.before
        return [names] if isinstance(names, str) else names

    def is_at(self, op: str) -> bool:
        """Whether it stands before or after the op of that name."""
        return any(fnmatchcase(op, pattern) for pattern in self.places)


class Statistics(Record):
    """From which outlier statistics tensors are drawn, such as ``K(3076)`` (``docs/traces.md``), with which seed; where
    none are given, from the published ones of the workload's name.
    """

    activations: str | None = None
    """Of the values of activations, such as `K(3076)`; null: the published ones of the workload's name."""
    weights: str | None = None
    """Of the values of weights; null: the published ones of the workload's name."""
    seed: NonNegativeInt = 0
    """For what is drawn."""


class WorkloadSpec(Record):
    """Convolutions in order, then GEMMs in order, each with its passes around it in the order of ``passes``; or a
    model.
    """

    name: str = Field(min_length=1)
    """What reports call it."""
    description: str = ""
    """One line for `olivine list workloads`."""
    source: str = ""
    """Where the shapes are from."""
    batch: PositiveInt = 1
    """Inputs at once: their rows share a linear layer's weights, products of two activations are as many more. Sizes in
    `convs`, `gemms` and `passes` are those of one input.
    """
    model: dict[str, Any] | str | None = None
    """Fields of a `config.json`, or a path to one, from which all ops and passes follow."""
    phase: Literal["prefill", "decode"] = "prefill"
    """Of a model: `tokens` of each sequence at once (`prefill`), or one more token of each (`decode`)."""
    tokens: PositiveInt | None = None
    """Of a model: length of each sequence."""
    context: PositiveInt | None = None
    """Of a model: tokens that these attend to, themselves included; null: `tokens`."""
    head: Literal["none", "last", "all"] | None = None
    """Of a model: for which places the vocabulary head runs; null: the last."""
    image: PositiveInt | None = None
    """Of a model: height and width [pixels]; null: the model's own."""
    embeddings: bool = True
    """Of a model: whether tables are looked up."""
    convs: list[Conv] = Field(default=[], min_length=1)
    """Convolutions, in order."""
    gemms: list[Gemm] = Field(default=[], min_length=1)
    """Matrix products, in order, after the convolutions."""
    passes: list[PassSpec] = Field(default=[])
    """What else is done, around the ops that they name."""
    statistics: Statistics | None = None
    """From which both operands of every product are drawn; results are then called synthetic."""

    _source: Source | None = PrivateAttr(default=None)

    def where(self, *path: str | int) -> str:
        """Where a field was written (``file:line: dotted.path``), for messages."""
        return self._source.where(path) if self._source else ".".join(map(str, path))

    @model_validator(mode="after")
    def _is_a_model_or_a_list(self) -> Self:
        written = self.model_fields_set
        if self.model is not None:
            for field in ("convs", "gemms", "passes"):
                if field in written:
                    raise FieldError((field,), "follows from model; remove one of them")
            return self
        for field in RUN_FIELDS[1:]:
            if field in written:
                raise FieldError((field,), "goes with model: a list of ops says its own sizes")
        return self

    @model_validator(mode="after")
    def _has_ops_for_its_passes(self) -> Self:
        names = [*(conv.name for conv in self.convs), *(gemm.name for gemm in self.gemms)]
        if self.model is not None:
            return self
        if not names:
            raise FieldError(("gemms",), "missing key 'gemms'; a workload has gemms, convs or both, or a model")
        for i, work in enumerate(self.passes):
            field = "after" if work.after else "before"
            for j, place in enumerate(work.places):
                if not any(fnmatchcase(name, place) for name in names):
                    path = ("passes", i, field) if isinstance(getattr(work, field), str) else ("passes", i, field, j)
                    raise FieldError(path, f"'{place}' matches no op{did_you_mean(place, names)}")
            found = sum(map(work.is_at, names))
            if work.name and found > 1:
                raise FieldError(("passes", i, "name"), f"names one pass, but this one is at {found} ops; leave it out")
        return self
