"""The records of a trace's ``manifest.json``: strict, closed and frozen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
)

from simulator.errors import TraceError, WorkloadError
from simulator.json_text import parse_json
from simulator.workload import Op, Pass, PassKind

__all__ = [
    "DTYPES",
    "FORMAT",
    "MANIFEST_BYTES",
    "MANIFEST_NAME",
    "READABLE_VERSIONS",
    "VERSION",
    "Created",
    "InputRecord",
    "Manifest",
    "ModelRecord",
    "OpRecord",
    "OpStats",
    "Operand",
    "OperandStats",
    "PassRecord",
    "Shard",
    "SyntheticRecord",
    "parse_manifest",
]

MANIFEST_NAME = "manifest.json"
FORMAT: Literal["olivine-trace"] = "olivine-trace"
VERSION: Literal[2] = 2
READABLE_VERSIONS = (1, 2)  # 1 has no kurtosis, pairs and feature dimensions, nor anything else marked "since 2"
MANIFEST_BYTES = 64 << 20  # a model of 10,000 ops takes a third of it
DTYPES = {
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "int8": "I8",
}  # the manifest's word -> the safetensors header's

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]  # no control
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]  # never leaves the folder
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelRecord(_Record):
    """Where the weights came from; ``sha256`` is that of the weight file."""

    name: Name
    source: Name
    licence: str
    sha256: Sha256
    model_type: str | None = None


class InputRecord(_Record):
    """What the model was run on; ``text`` is the part that the tokens cover, ``image_shape`` that of its input.

    ``note`` says in words what neither of them can (since 2, as are images).
    """

    token_ids: tuple[NonNegativeInt, ...] = ()
    tokens: tuple[str, ...] = ()
    text_file: str | None = None
    text: str | None = None
    image_file: str | None = None
    image_shape: tuple[PositiveInt, ...] | None = None
    note: str | None = None


class SyntheticRecord(_Record):
    """Tensors that were drawn, not captured: from which statistics, their sources, with which seed (since 2)."""

    activations: Name
    weights: Name
    source: str
    seed: NonNegativeInt


class Created(_Record):
    """The command that makes the trace again, and the version that made it."""

    command: str
    olivine_version: str


class Shard(_Record):
    """One safetensors file of the folder, size in bytes."""

    file: FileName
    bytes: NonNegativeInt
    sha256: Sha256


class Operand(_Record):
    """Where one operand lies. K is the last axis of every layout; ``[M,K]`` and ``[N,K]`` mean count 1.

    ``rows_kept``: only so many rows of each GEMM are stored, those of ``outliers.kept_rows``; all, if there is none
    (since 2).
    ``scale`` names a float32 tensor of the same shard, of one value or one per row: what is stored is then codes, which
    stand for ``(code - zero) * scale``; ``zero`` without a scale: integers that stand for ``code - zero`` (since 2).
    """

    tensor: Name
    shard: FileName
    dtype: Literal["float16", "bfloat16", "float32", "int8"]
    layout: Literal["[M,K]", "[count,M,K]", "[N,K]", "[count,N,K]"]
    rows_kept: PositiveInt | None = None
    scale: Name | None = None
    zero: Annotated[int, Field(ge=-128, le=127)] | None = None

    @property
    def has_codes(self) -> bool:
        """Whether what is stored stands for something else."""
        return self.scale is not None or bool(self.zero)


class OperandStats(_Record):
    """Of the operand's values, also of rows that were not kept; see ``outliers.TensorStats``.

    ``kurtosis``, ``pairs`` and ``feature_dims`` are there since 2.
    """

    mean: FiniteFloat
    sigma: FiniteFloat
    absmax: FiniteFloat
    share_3sigma: FiniteFloat
    kurtosis: FiniteFloat | None = None
    pairs: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] | None = None
    feature_dims: NonNegativeInt | None = None


class OpStats(_Record):
    """Statistics of both operands."""

    a: OperandStats
    w: OperandStats


class OpRecord(_Record):
    """One op: shape, operands, statistics. The stored weight is [N,K], the transpose of the GEMM's W[K,N]."""

    name: Name
    kind: Literal["linear", "bmm", "conv"]
    M: PositiveInt
    N: PositiveInt
    K: PositiveInt
    count: PositiveInt
    a: Operand
    w: Operand
    stats: OpStats

    @property
    def op(self) -> Op:
        """The shape alone."""
        return Op(self.name, self.M, self.N, self.K, self.count, self.kind)

    def operand(self, side: Literal["a", "w"]) -> Operand:
        """The record of one operand."""
        return self.a if side == "a" else self.w

    def stored_shape(self, side: Literal["a", "w"]) -> tuple[int, ...]:
        """Shape the layout promises for one operand as stored, K last."""
        rows = self.operand(side).rows_kept or (self.M if side == "a" else self.N)
        batched = self.operand(side).layout.startswith("[count,")
        return (self.count, rows, self.K) if batched else (rows, self.K)

    def scale_shapes(self, side: Literal["a", "w"]) -> tuple[tuple[int, ...], ...]:
        """Shapes that an operand's scales may have: one for all, or one per row."""
        stored = self.stored_shape(side)
        return ((1,) * len(stored), (*stored[:-1], 1))


class PassRecord(_Record):
    """One pass of the traced model, which has no tensors of its own; its fields are those of ``Pass``."""

    name: Name
    kind: PassKind
    rows: PositiveInt
    cols: PositiveInt
    count: PositiveInt
    gemm: Name
    makes_operand: bool = False
    operand: Literal["act", "weight"] = "act"
    block: NonNegativeInt = 0

    @property
    def step(self) -> Pass:
        """The pass. Raises: WorkloadError if its kind cannot have its block."""
        return Pass(**self.model_dump())


class Manifest(_Record):
    """The whole manifest of a trace; ``passes`` stand before or after the ops that they name, in their order."""

    format: Literal["olivine-trace"]
    version: Literal[1, 2]
    name: Name
    model: ModelRecord
    synthetic: SyntheticRecord | None = None
    input: InputRecord
    created: Created
    shards: tuple[Shard, ...]
    ops: tuple[OpRecord, ...]
    passes: tuple[PassRecord, ...] = ()


def parse_manifest(raw: bytes, path: Path) -> Manifest:
    """Validate the bytes of a manifest; ``path`` is only for messages.

    Raises: TraceError, one line with the file and the dotted path of the first complaint.
    """
    _check_version(_json_object(raw, path), path)
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TraceError(f"{path}: {where}: {first['msg']}") from None
    for record in manifest.ops:
        _check_layouts(record, path)
    _check_references(manifest, path)
    _check_passes(manifest, path)
    return manifest


def _json_object(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        data = parse_json(raw)
    except RecursionError:
        raise TraceError(f"{path}: not JSON of a trace: too deeply nested") from None
    except ValueError as exc:
        raise TraceError(f"{path}: not JSON: {exc}") from None
    if not isinstance(data, dict):
        raise TraceError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def _check_version(data: dict[str, Any], path: Path) -> None:
    if data.get("format") != FORMAT:
        raise TraceError(f"{path}: format is {data.get('format')!r}, expected '{FORMAT}'")
    if data.get("version") not in READABLE_VERSIONS:
        readable = ", ".join(str(v) for v in READABLE_VERSIONS)
        raise TraceError(
            f"{path}: trace version {data.get('version')!r} is not readable; readable versions: {readable}"
        )


def _check_layouts(record: OpRecord, path: Path) -> None:
    for side, operand, rows in (("a", record.a, "M"), ("w", record.w, "N")):
        allowed = {f"[count,{rows},K]"} | ({f"[{rows},K]"} if record.count == 1 else set())
        if operand.layout not in allowed:
            raise TraceError(
                f"{path}: op '{record.name}': layout of {side} is {operand.layout} with count {record.count}; "
                f"allowed: {' or '.join(sorted(allowed))}"
            )
        rows_kept, most = operand.rows_kept, record.M if side == "a" else record.N
        if rows_kept is not None and rows_kept > most:
            raise TraceError(f"{path}: op '{record.name}': {rows_kept} rows of {side} kept, it has {most}")
        if operand.has_codes and operand.dtype != "int8":
            raise TraceError(
                f"{path}: op '{record.name}': {side} has a scale or a zero; only int8 has, not {operand.dtype}"
            )


def _check_references(manifest: Manifest, path: Path) -> None:
    for name, times in Counter(record.name for record in manifest.ops).items():
        if times > 1:
            raise TraceError(f"{path}: op '{name}' occurs {times} times; names must be unique")
    files = Counter(shard.file for shard in manifest.shards)
    for name, times in files.items():
        if times > 1:
            raise TraceError(f"{path}: shard '{name}' is listed {times} times")
    for record in manifest.ops:
        for operand in (record.a, record.w):
            if operand.shard not in files:
                raise TraceError(f"{path}: op '{record.name}': shard '{operand.shard}' is not in the list of shards")


def _check_passes(manifest: Manifest, path: Path) -> None:
    ops = {record.name for record in manifest.ops}
    names = Counter([*ops, *(record.name for record in manifest.passes)])
    for record in manifest.passes:
        if record.gemm not in ops:
            raise TraceError(f"{path}: pass '{record.name}': no op is named '{record.gemm}'")
        if names[record.name] > 1:
            raise TraceError(f"{path}: '{record.name}' occurs {names[record.name]} times; names must be unique")
        try:
            _ = record.step
        except WorkloadError as error:
            raise TraceError(f"{path}: {error}") from None
