"""Tensors through a format: codes to disk, and what the encoding did to the values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from simulator import formats
from simulator.errors import OlivineError, TraceError, UnknownNameError
from simulator.formats import Encoded, Granularity, TensorEncoding
from simulator.formats.base import Calibration
from simulator.reference import sqnr_db
from simulator.report.atomic import write_bytes
from simulator.report.quantisation import write_quantisation
from simulator.study.workloads import resolve_workload
from simulator.tracing import Trace

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "HISTOGRAM_SIGMAS",
    "NamedTensor",
    "TensorStatistics",
    "encode_statistics",
    "named_tensors",
    "quantise_to_folder",
    "save_codes",
]

HISTOGRAM_SIGMAS = np.linspace(-8.0, 8.0, 161)
"""Bin edges of the histograms, in standard deviations; what lies beyond is counted in the last bins."""


@dataclass(frozen=True)
class NamedTensor:
    """A tensor to encode: ``load`` gives it as (count, rows, K), float32."""

    name: str
    load: Callable[[], NDArray[np.float32]]
    granularity: Granularity


@dataclass(frozen=True)
class TensorStatistics:
    """What one format did to one tensor.

    Attributes:
        outlier_share: values beyond 3 standard deviations; pair shares are of (even, odd) neighbours along K.
        bits_per_value: everything stored, scales and lists and padding included.
        sqnr_db: power of the values over power of the error; max_abs_error_sigma: in standard deviations.
        census: what the format itself counts (victims, outliers in its list ...), if it does.
        histogram, decoded_histogram: values per bin of ``HISTOGRAM_SIGMAS``, before and after.
    """

    tensor: str
    format: str
    values: int
    sigma: float
    outlier_share: float
    pairs_normal_normal: float
    pairs_outlier_normal: float
    pairs_outlier_outlier: float
    bits_per_value: float
    sqnr_db: float
    max_abs_error_sigma: float
    census: dict[str, int]
    histogram: list[int]
    decoded_histogram: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an infinite SQNR becomes None."""
        return asdict(self) | {"sqnr_db": None if math.isinf(self.sqnr_db) else self.sqnr_db}


def named_tensors(source: str, pattern: str | None = None) -> list[NamedTensor]:
    """Tensors of a safetensors file (rows share nothing: one scale each), or both operands of every op of a trace.

    A trace's weights get a scale per row (output channel), its activations one per tensor, as in the OliVe quantiser.
    Raises: OlivineError if the source cannot be read or no tensor matches ``pattern`` (shell wildcards).
    """
    found = list(_of_file(Path(source)) if source.endswith(".safetensors") else _of_trace(source))
    if pattern is None:
        return found
    from fnmatch import fnmatchcase

    chosen = [t for t in found if fnmatchcase(t.name, pattern)]
    if not chosen:
        raise UnknownNameError("tensor", pattern, [t.name for t in found])
    return chosen


def _of_file(path: Path) -> Iterator[NamedTensor]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise TraceError(f"{path}: no such file")

    def load(name: str) -> NDArray[np.float32]:
        try:
            with safe_open(path, framework="numpy") as file:
                tensor = file.get_tensor(name)
        except (OSError, SafetensorError, TypeError) as error:
            raise TraceError(f"{path}: tensor '{name}': cannot read it: {' '.join(str(error).split())}") from None
        return np.ascontiguousarray(tensor, np.float32).reshape(1, -1, tensor.shape[-1] if tensor.ndim else 1)

    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except (OSError, SafetensorError) as error:
        raise TraceError(f"{path}: not a safetensors file: {' '.join(str(error).split())}") from None
    for name in names:
        yield NamedTensor(name, partial(load, name), "row")


def _of_trace(source: str) -> Iterator[NamedTensor]:
    workload = resolve_workload(source)
    trace = workload.trace
    if trace is None:
        raise OlivineError(f"{source}: a workload of shapes has no tensors; name a trace or a .safetensors file")
    for op in workload.ops:
        yield NamedTensor(f"{op.name}.a", partial(_operand, trace, op.name, 0), "tensor")
        yield NamedTensor(f"{op.name}.w", partial(_operand, trace, op.name, 1), "row")


def _operand(trace: Trace, op: str, side: int) -> NDArray[np.float32]:
    return trace.load(op)[side]


def encode_statistics(
    tensor: NamedTensor, format_name: str, calibration: str = "best"
) -> tuple[TensorStatistics, list[Encoded]]:
    """Encode one tensor and compare what comes back with what went in.

    Args:
        calibration: ``mse``, ``absmax``, ``three_sigma``, or ``best``: the less noisy one of ``mse`` and ``absmax``.
    Raises: EncodingError.
    """
    values = tensor.load()
    encoding: TensorEncoding = formats.get(format_name)
    methods: tuple[Any, ...] = ("mse", "absmax") if calibration == "best" else (calibration,)
    candidates = [encoding.encode_operand(values, tensor.granularity, method) for method in methods]
    noises = [_noise(encoding, values, encoded) for encoded in candidates]
    encoded = candidates[noises.index(min(noises))]
    sigma = float(values.std(dtype=np.float64)) or 1.0
    largest = 0.0
    decoded_counts = np.zeros(len(HISTOGRAM_SIGMAS) - 1, np.int64)
    for block, operand in zip(values, encoded, strict=True):
        decoded = _decoded(encoding, operand)
        largest = max(largest, float(np.abs(block - decoded).max()))
        decoded_counts += _histogram(decoded / sigma)
    signal = float(np.vdot(values.astype(np.float64), values))
    storage = [encoding.stored(operand) for operand in encoded]
    pairs = _pair_shares(values, sigma)
    return TensorStatistics(
        tensor=tensor.name,
        format=format_name,
        values=values.size,
        sigma=sigma,
        outlier_share=float((np.abs(values - values.mean(dtype=np.float64)) > 3 * sigma).mean()),
        pairs_normal_normal=pairs[0],
        pairs_outlier_normal=pairs[1],
        pairs_outlier_outlier=pairs[2],
        bits_per_value=sum(s.total_bits for s in storage) / values.size,
        sqnr_db=sqnr_db(signal, min(noises)),
        max_abs_error_sigma=largest / sigma,
        census=_summed_census(encoding, encoded),
        histogram=_histogram(values / sigma).tolist(),
        decoded_histogram=decoded_counts.tolist(),
    ), encoded


def _decoded(encoding: TensorEncoding, operand: Encoded) -> NDArray[np.float64]:
    """Real values (rows, K) that an operand stands for."""
    return encoding.decode_operand(operand).astype(np.float64) * operand.value_scale


def _noise(encoding: TensorEncoding, values: NDArray[np.float32], encoded: list[Encoded]) -> float:
    """Energy of the error of an encoded tensor (count, rows, K)."""
    errors = (block - _decoded(encoding, operand) for block, operand in zip(values, encoded, strict=True))
    return sum(float(np.vdot(error, error)) for error in errors)


def _histogram(sigmas: NDArray[Any]) -> NDArray[np.int64]:
    inside = np.clip(sigmas, HISTOGRAM_SIGMAS[0], HISTOGRAM_SIGMAS[-1])
    return np.histogram(inside, HISTOGRAM_SIGMAS)[0]


def _pair_shares(values: NDArray[np.float32], sigma: float) -> tuple[float, float, float]:
    """Shares of pairs with no, one and two values beyond 3 sigma; a last odd value pairs with a normal zero."""
    outlier = np.abs(values - values.mean(dtype=np.float64)) > 3 * sigma
    left, right = outlier[..., 0::2], outlier[..., 1::2]
    if right.shape[-1] < left.shape[-1]:
        right = np.concatenate([right, np.zeros((*right.shape[:-1], 1), np.bool_)], axis=-1)
    both = left.astype(np.int8) + right
    shares = [float((both == n).mean()) for n in (0, 1, 2)]
    return shares[0], shares[1], shares[2]


def _summed_census(encoding: TensorEncoding, encoded: list[Encoded]) -> dict[str, int]:
    total: dict[str, int] = {}
    for operand in encoded:
        for what, count in encoding.census(operand).items():
            total[what] = total.get(what, 0) + count
    return total


def quantise_to_folder(
    source: str,
    format_names: str,
    out: Path,
    pattern: str | None = None,
    calibration: str = "best",
    write_codes: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """Encode every tensor in every format and write ``statistics.json``, tables, figures and, if asked, codes.

    Args:
        format_names: comma-separated, or ``all``.
    Returns: one row per format (``report.quantisation.format_table``).
    Raises: OlivineError, one line, before anything is written for what can be known then.
    """
    chosen = formats.names() if format_names == "all" else [f.strip() for f in format_names.split(",")]
    for name in chosen:
        formats.get(name)
    if calibration not in (known := ("best", *get_args(Calibration))):
        raise UnknownNameError("calibration", calibration, known)
    tensors = named_tensors(source, pattern)
    work = [(tensor, name) for tensor in tensors for name in chosen]
    statistics = []
    for done, (tensor, name) in enumerate(work, start=1):
        found, encoded = encode_statistics(tensor, name, calibration)
        statistics.append(found.to_dict())
        if write_codes:
            save_codes(out / "codes" / name / f"{tensor.name}.safetensors", encoded)
        if progress:
            progress(done, len(work), f"{tensor.name} in {name}")
    return write_quantisation(out, statistics, HISTOGRAM_SIGMAS.tolist())


def save_codes(path: Path, encoded: list[Encoded]) -> None:
    """Codes, scales and all else that is stored, one set of tensors per GEMM, as safetensors."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for index, operand in enumerate(encoded):
        prefix = f"{index}." if len(encoded) > 1 else ""
        tensors[f"{prefix}codes"] = operand.codes
        tensors[f"{prefix}scale"] = np.atleast_1d(operand.scale)
        tensors |= {f"{prefix}{name}": np.atleast_1d(extra) for name, extra in operand.extras.items()}
    write_bytes(path, save({name: np.ascontiguousarray(t) for name, t in tensors.items()}))
