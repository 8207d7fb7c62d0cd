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
    """``count`` products ``A[M,K] x W[K,N]``: of an activation and a weight, or (``bmm``) of two activations."""

    name: str = Field(min_length=1)
    M: PositiveInt
    N: PositiveInt
    K: PositiveInt
    count: PositiveInt = 1
    kind: Literal["linear", "bmm"] = "linear"


class Conv(Record):
    """``count`` convolutions of a feature map ``(batch, in_channels, height, width)`` into ``out_channels``.

    ``kernel``, ``stride``, ``padding`` and ``dilation`` hold for both axes, or are [height, width]; padding may also be
    [top, left, bottom, right]. ``groups`` splits the channels; as many groups as ``in_channels`` make it depthwise. The
    size of the result is rounded down, or up with ``ceil``.
    """

    name: str = Field(min_length=1)
    in_channels: PositiveInt
    height: PositiveInt
    width: PositiveInt
    out_channels: PositiveInt
    kernel: Size
    stride: Size = 1
    padding: Pads = 0
    dilation: Size = 1
    groups: PositiveInt = 1
    batch: PositiveInt = 1
    count: PositiveInt = 1
    ceil: bool = False

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
    """One kind of pass behind each GEMM or convolution of ``after``, or on an operand of each of ``before``: names, or
    patterns with shell wildcards.

    ``rows`` and ``cols`` are those of the result (M x N) for ``after``, of the operand (M x K; N x K for the operand
    ``weight``) for ``before``, and ``count`` is the op's, unless they are given. ``block``: values along a row that a
    ``hadamard`` mixes, or the values of a pool's window; a pool says its ``rows`` too, its results per column.
    """

    kind: PassKind
    after: Names = Field(default=[])
    before: Names = Field(default=[])
    operand: Literal["act", "weight"] = "act"
    name: str = ""
    rows: PositiveInt | None = None
    cols: PositiveInt | None = None
    count: PositiveInt | None = None
    block: PositiveInt | None = None

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
    weights: str | None = None
    seed: NonNegativeInt = 0


class WorkloadSpec(Record):
    """Convolutions in order, then GEMMs in order, each with its passes around it in the order of ``passes``.

    ``batch`` inputs run at once: their rows share a linear layer's weights, products of two activations (``bmm``) are
    as many more. Sizes in ``convs``, ``gemms`` and ``passes`` are those of one input.

    Or ``model``: the fields of a ``config.json``, or a path to one, from which all of these follow. Then ``phase`` is
    ``prefill``, ``tokens`` of each sequence at once, or ``decode``, one more token of each. ``context``: tokens that
    these attend to, themselves included; ``tokens`` if absent. ``head``: for which places a vocabulary head runs.
    ``image``: height and width in pixels, if not the model's own. ``embeddings``: whether tables are looked up.

    ``statistics``: both operands of every product are drawn from them; results are then called synthetic.
    """

    name: str = Field(min_length=1)
    description: str = ""
    source: str = ""
    batch: PositiveInt = 1
    model: dict[str, Any] | str | None = None
    phase: Literal["prefill", "decode"] = "prefill"
    tokens: PositiveInt | None = None
    context: PositiveInt | None = None
    head: Literal["none", "last", "all"] | None = None
    image: PositiveInt | None = None
    embeddings: bool = True
    convs: list[Conv] = Field(default=[], min_length=1)
    gemms: list[Gemm] = Field(default=[], min_length=1)
    passes: list[PassSpec] = Field(default=[])
    statistics: Statistics | None = None

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
