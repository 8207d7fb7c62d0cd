"""LLM.int8() (Dettmers et al., NeurIPS 2022, section 3): int8 with a half-precision path for outlier columns.

A column k of A (M, K) is an outlier column if ``|A[m, k]| >= threshold`` in any row. Its entries are zeroed in the int8
operand, left out of the row maxima, and kept in half precision. The others: ``q = round(127 * x / a)`` with ``a`` the
row's largest remaining magnitude, exactly rounded, ties to even; scale ``a / 127`` in float32 (1 for a row of zeros,
never subnormal). W is int8 per output channel over all of K: it is quantised before the columns are known. Values
beyond half precision saturate at +-65504.

The released code (bitsandbytes, commit dada530) leaves out of the row maxima only the outlier *entries*, not whole
outlier columns; here a row's maximum sees just what is quantised, as in the paper's formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats.base import (
    SCALE_BITS,
    Calibration,
    Encoded,
    Granularity,
    Storage,
    TensorEncoding,
    checked_codes,
    checked_tensor,
    operand_tensor,
    require_known_calibration,
)
from simulator.formats.streamed import Streamed, unread
from simulator.kernels import njit

__all__ = ["LlmInt8", "OutlierWeights", "Split", "encode_split", "split_columns"]

OutlierWeights = Literal["fp16", "int8"]
_TINY = float(np.finfo(np.float32).tiny)
_HALF_MAX = 65504


class Split(NamedTuple):
    """Both operands of a GEMM whose columns were split at run time.

    Attributes:
        act: an ``llm_int8`` operand of M rows; extras ``row_scale`` float32 (M, 1), ``outlier_column`` uint32 (O,),
            ``outlier_value`` float16 (M, O).
        weight: an ``int8`` operand of N rows with its scales (N, 1), nothing zeroed; extras ``outlier_weight`` float16
            (N, O): the rows of W that meet the outlier columns of A.
    """

    act: Encoded
    weight: Encoded


@njit(cache=True, nogil=True)
def _outlier_columns(rows, threshold):
    """Whether each column (K,) of rows (R, K) holds a magnitude of at least ``threshold``."""
    found = np.zeros(rows.shape[1], np.bool_)
    for r in range(rows.shape[0]):
        for k in range(rows.shape[1]):  # without a branch: many at once
            found[k] |= abs(np.float64(rows[r, k])) >= threshold
    return found


@njit(cache=True)
def _quantise(rows, skip, tiny):
    """Codes (R, K) and scales (R,) of rows, 0 in the columns to skip."""
    R, K = rows.shape
    codes = np.zeros((R, K), np.int8)
    scales = np.ones(R, np.float32)
    for r in range(R):
        largest = 0.0
        for k in range(K):
            if not skip[k]:
                largest = max(largest, abs(np.float64(rows[r, k])))
        if largest == 0.0:
            continue
        largest = max(largest, 127 * tiny)
        scales[r] = largest / 127
        for k in range(K):
            if not skip[k]:
                # 127 * x is exact and float64 tells any quotient of float32 numbers from a tie
                codes[r, k] = np.rint(127 * np.float64(rows[r, k]) / largest)
    return codes, scales


def split_columns(act: ArrayLike, threshold: float = 6.0) -> NDArray[np.uint32]:
    """Ascending outlier columns of A (M, K): those with a magnitude of at least ``threshold`` in any row.

    Raises: EncodingError on NaN, infinity or another shape; ConfigError if the threshold is not positive.
    """
    _require_positive(threshold)
    return _columns(_matrix(act, "activations"), threshold)


def encode_split(act: ArrayLike, weight: ArrayLike, threshold: float = 6.0, weights: OutlierWeights = "fp16") -> Split:
    """Split and encode A (M, K) and W (N, K) of one GEMM.

    Args:
        weights: rows of W for the outlier columns come from ``fp16``: W itself, as in the paper; or from ``int8``: its
            codes times their scale, as in the released code, for which W is stored once. Both rounded to half.
    Raises: EncodingError on NaN, infinity or other shapes; ConfigError for a threshold or ``weights`` that is unknown.
    """
    if weights not in get_args(OutlierWeights):
        raise UnknownNameError("outlier weights", str(weights), get_args(OutlierWeights))
    _require_positive(threshold)
    a, w = _matrix(act, "activations"), _matrix(weight, "weights")
    if a.shape[1] != w.shape[1]:
        raise EncodingError(f"llm_int8: activations {a.shape} and weights {w.shape} differ in K")
    split = _encode(a, threshold)
    codes, scales = _quantise(w, np.zeros(w.shape[1], np.bool_), _TINY)
    column = split.extras["outlier_column"]
    rows = w[:, column] if weights == "fp16" else codes[:, column] * scales[:, None].astype(np.float64)
    extras = {"outlier_weight": _half(rows)}
    return Split(split, Encoded(codes.view(np.uint8), scales[:, None], w.shape[1], extras))


@dataclass(frozen=True)
class LlmInt8(TensorEncoding):
    """LLM.int8() activations: int8 with a scale per row, and outlier columns in half precision."""

    threshold: float = 6.0
    """Magnitude that makes its column an outlier column (6.0 in the paper); infinity: none."""

    name: ClassVar[str] = "llm_int8"
    bits: ClassVar[int] = 8
    has_scale: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _require_positive(self.threshold)

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``; one scale per row, absmax, whatever granularity and calibration."""
        require_known_calibration(None, method)
        return [_encode(rows, self.threshold) for rows in checked_tensor(operand_tensor(x, self.name))]

    def marks_operand(self, x: Streamed, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.marks_operand``; one reading, a block in memory."""
        require_known_calibration(None, method)
        count, rows, K = x.shape
        found = np.zeros((count, K), np.bool_)
        for gemm, _, values in x.blocks():
            found[gemm] |= _outlier_columns(values, float(self.threshold))
        columns = [np.flatnonzero(gemm).astype(np.uint32) for gemm in found]
        return [Encoded(unread(rows, K), np.ones((), np.float32), K, {"outlier_column": c}) for c in columns]

    def decode_operand(self, operand: Encoded) -> NDArray[np.float64]:
        """Real values (rows, K), exact in float64: code * row scale, or the half-precision value.

        Raises: EncodingError if codes or outlier columns do not fit the operand.
        """
        codes = checked_codes(operand.codes, operand.length, self.name)
        column = np.asarray(operand.extras["outlier_column"], np.int64)
        bad = (column >= operand.length) | (np.diff(column, prepend=-1) <= 0)
        if bad.any():
            at = int(np.argmax(bad))
            raise EncodingError(
                f"llm_int8: outlier column {at} is {column[at]}; columns must ascend and stay below {operand.length}"
            )
        out = codes.view(np.int8) * operand.extras["row_scale"].astype(np.float64)
        out[:, column] = operand.extras["outlier_value"]
        return np.asarray(out)

    def stored(self, operand: Encoded) -> Storage:
        """All int8 codes (the zeros of outlier columns too), row scales, column ids, half-precision columns."""
        rows, columns = len(operand.codes), len(operand.extras["outlier_column"])
        values = rows * operand.length
        return Storage(values * 8, 0, rows * SCALE_BITS, values, columns * (32 + 16 * rows))


def _encode(rows: NDArray[np.float32], threshold: float) -> Encoded:
    """The ``llm_int8`` operand of rows (M, K)."""
    column = _columns(rows, threshold)
    skip = np.zeros(rows.shape[1], np.bool_)
    skip[column] = True
    codes, scales = _quantise(rows, skip, _TINY)
    extras: dict[str, NDArray[Any]] = {
        "row_scale": scales[:, None],
        "outlier_column": column,
        "outlier_value": _half(rows[:, column]),
    }
    return Encoded(codes.view(np.uint8), np.ones((), np.float32), rows.shape[1], extras)


def _columns(rows: NDArray[np.float32], threshold: float) -> NDArray[np.uint32]:
    return np.flatnonzero(_outlier_columns(rows, float(threshold))).astype(np.uint32)


def _half(values: NDArray[Any]) -> NDArray[np.float16]:
    return np.clip(values, -_HALF_MAX, _HALF_MAX).astype(np.float16)


def _matrix(x: ArrayLike, what: str) -> NDArray[np.float32]:
    matrix = np.asarray(x)
    if matrix.ndim != 2:
        raise EncodingError(f"llm_int8: expected {what} of shape (rows, K), got {matrix.shape}")
    return checked_tensor(matrix)


def _require_positive(threshold: float) -> None:
    if not isinstance(threshold, int | float) or not threshold > 0:
        raise ConfigError(f"llm_int8: the threshold must be a positive number, got {threshold!r}")
