"""A model being written down: its parameters, and the products and passes that one run of it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

from simulator.config.workload import Conv, Gemm, PassSpec

__all__ = ["Around", "Listing", "Run", "Tensor"]

Around = str | dict[str, Any]
"""A pass around an op: its kind, or the fields of a ``PassSpec`` but for its place."""
_NORMS = {"layer_norm": 2, "rms_norm": 1}
"""Parameters of a normalisation per column: gain and offset, or gain alone."""


@dataclass(frozen=True)
class Run:
    """What a model is asked to do.

    Attributes:
        batch: sequences or images at once.
        tokens: of a prompt, or of each side of an encoder-decoder; None where the model has none.
        context: tokens that a step attends to, its own included; 0: its own alone.
        decode: one new token per sequence, all before it in the cache.
        head: for which places the vocabulary or classifier head runs: none, last or all; empty: as the family does.
        embeddings: whether tables are looked up.
        image: height and width of an image in pixels; 0: the model's own.
    """

    batch: int = 1
    tokens: int = 1
    context: int = 0
    decode: bool = False
    head: str = ""
    embeddings: bool = True
    image: int = 0

    @property
    def new(self) -> int:
        """New tokens of each sequence."""
        return 1 if self.decode else self.tokens

    @property
    def rows(self) -> int:
        """New tokens of all sequences: rows of A of a linear layer."""
        return self.batch * self.new

    @property
    def attended(self) -> int:
        """Tokens that each sequence attends to."""
        return self.context or self.tokens


@dataclass(frozen=True)
class Tensor:
    """``count`` parameter tensors of one shape; a token uses ``used`` of them (experts of a mixture are not all)."""

    name: str
    shape: tuple[int, ...]
    count: int = 1
    used: int | None = None

    @property
    def size(self) -> int:
        """Values of all of them."""
        return prod(self.shape) * self.count

    @property
    def used_size(self) -> int:
        """Values that one token meets."""
        return prod(self.shape) * (self.count if self.used is None else self.used)


@dataclass
class Listing:
    """Products and passes in order, and parameters. Families of models fill it; sizes are those of the whole batch."""

    run: Run
    convs: list[Conv] = field(default_factory=list)
    gemms: list[Gemm] = field(default_factory=list)
    passes: list[PassSpec] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    waiting: list[Around] = field(default_factory=list)
    """Passes that stand before whatever product comes next."""
    cache: int = 0
    """Values of the KV cache per token of a sequence."""
    state: int = 0
    """Values that a recurrent model keeps per sequence."""
    assumed: list[str] = field(default_factory=list)
    """What was taken for granted, as sentences for the report."""

    def tensor(self, name: str, *shape: int, count: int = 1, used: int | None = None) -> None:
        """Parameters that no product or pass below adds by itself."""
        self.tensors.append(Tensor(name, shape, count, used))

    def linear(
        self,
        name: str,
        shape: tuple[int, int, int],
        count: int = 1,
        *,
        bias: bool = True,
        before: Iterable[Around] = ("quantise",),
        after: Iterable[Around] = (),
        weights: bool = True,
    ) -> None:
        """``count`` linear layers of (rows, inputs, outputs): weight, bias, product, passes.

        Args:
            before: passes on the input; none if it shares its input with the layer before.
            after: passes on the result, behind scaling back and bias.
            weights: whether its parameters are its own, and not a table's or listed elsewhere.
        """
        M, K, N = shape
        if weights:
            self.tensor(f"{name}.weight", N, K, count=count)
            if bias:
                self.tensor(f"{name}.bias", N, count=count)
        self.gemms.append(Gemm(name=name, M=M, N=N, K=K, count=count))
        self._around(name, before, ["dequantise", *(["bias"] if bias else []), *after], (K, N), count)

    def product(
        self,
        name: str,
        shape: tuple[int, int, int],
        count: int,
        before: Iterable[Around],
        after: Iterable[Around] = (),
    ) -> None:
        """``count`` products (M, K, N) of two activations."""
        M, K, N = shape
        self.gemms.append(Gemm(name=name, M=M, N=N, K=K, count=count, kind="bmm"))
        self._around(name, before, ["dequantise", *after], (K, N), count)

    def conv(self, conv: Conv, *, bias: bool, normed: bool, before: Iterable[Around], after: Iterable[Around]) -> None:
        """A convolution with a bias, or a batch normalisation whose factors are in its weights and bias."""
        size = conv.in_channels // conv.groups, *conv.geometry.kernels
        self.tensor(f"{conv.name}.weight", conv.out_channels, *size)
        if bias:
            self.tensor(f"{conv.name}.bias", conv.out_channels)
        if normed:
            self.tensor(f"{conv.name}.norm.weight", conv.out_channels)
            self.tensor(f"{conv.name}.norm.bias", conv.out_channels)
        self.convs.append(conv)
        added = ["bias"] if bias or normed else []
        self._around(conv.name, before, ["dequantise", *added, *after], (0, conv.out_channels), 1)

    def table(self, name: str, rows: int, width: int) -> None:
        """A table of embeddings, looked up once per new token, before the next product. All but the first are added."""
        self.tensor(f"{name}.weight", rows, width)
        first = not any(isinstance(p, dict) and p["kind"] == "lookup" for p in self.waiting)
        self.beforehand("lookup", name, width)
        if not first:
            self.beforehand("residual", f"{name}.add", width)

    def beforehand(self, kind: str, name: str, width: int) -> None:
        """A pass over all new tokens, once, before the next product, if embeddings run; a norm has its parameters."""
        if kind in _NORMS:
            self._norm(name, kind, width, 1)
        if self.run.embeddings:
            more = {"name": name, "rows": self.run.rows, "cols": width, "count": 1, "own": False}
            self.waiting.append({"kind": kind, **more})

    def _around(
        self, op: str, before: Iterable[Around], after: Iterable[Around], widths: tuple[int, int], count: int
    ) -> None:
        for place, passes, width in (("before", [*self.waiting, *before], widths[0]), ("after", after, widths[1])):
            for each in passes:
                fields: dict[str, Any] = {"kind": each} if isinstance(each, str) else dict(each)
                if fields.pop("own", True) and fields["kind"] in _NORMS:
                    name, times = fields.get("name", f"{op}.{fields['kind']}"), fields.get("count", count)
                    self._norm(name, fields["kind"], fields.get("cols", width), times)
                self.passes.append(PassSpec(**fields | {place: [op]}))
        self.waiting = []

    def _norm(self, name: str, kind: str, width: int, count: int) -> None:
        for suffix in ("weight", "bias")[: _NORMS[kind]]:
            self.tensor(f"{name}.{suffix}", width, count=count)
