"""GOBO (Zadeh et al., MICRO 2020, Algorithm 1): a dictionary of a few centroids, and outliers kept as they are.

Per operand of one GEMM, in this order:

1. Mean and standard deviation (over N) of all values: float64 sums in memory order.
2. Outliers: values whose natural logarithm of the Gaussian density is below ``log_probability``. The default of -4 is
   recalled, not read in the paper: ``assumed``. It is a density, so it depends on the unit: from a standard deviation
   of 21.8 on every value is an outlier.
3. The rest, sorted, in 8 or 16 bins of equal population: bin i holds positions ``[i*n // bins, (i+1)*n // bins)``;
   a centroid is the mean of its bin (float64 sum in ascending order, rounded to float32); an empty bin takes the value
   at its start.
4. Reassign each value to the nearest centroid (to the lower one half way), recompute the means (an empty bin keeps its
   centroid) and the total L1 distance; repeat while the distance does not increase. The first increase is discarded;
   the loop also ends where nothing moves, and after ``_MAX_ROUNDS``.
5. Dictionary = centroids, ascending, rounded to half precision if asked; index = the nearest entry, the lower one half
   way (of equal entries, the one that the count of midpoints below the value gives).

Layout (contract, section 4): indices LSB first, each row padded to whole bytes. Outliers are ``uint32`` coordinate
``row * K + k`` and ``float32`` value, ascending. Every position has an index; at an outlier it is 0 and means nothing.
Outliers may be rounded to half precision, for hardware that computes in it; they are stored as before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats.base import (
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
from simulator.formats.streamed import Streamed, Whole, beyond, unread
from simulator.kernels import njit

__all__ = ["DictionaryFormat", "Gobo3", "Gobo4", "OutlierFormat"]

DictionaryFormat = Literal["fp32", "fp16"]
OutlierFormat = Literal["fp32", "fp16"]
_DICTIONARY_DTYPE = {"fp32": np.float32, "fp16": np.float16}
_HALF_MAX = 65504
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_INFINITY = 0x7F800000
"""Place of infinity among the float32 numbers in ascending order."""
_MAX_ROUNDS = 1000
"""Guard against a cycle of equal distances through rounding; the published loop takes about ten rounds."""


@njit(cache=True, nogil=True)
def _add(values, total):
    """``total`` and all values, float64, in order."""
    for v in values:
        total += np.float64(v)
    return total


@njit(cache=True, nogil=True)
def _add_squares(values, mean, total):
    """``total`` and the squares of all distances from the mean, likewise."""
    for v in values:
        total += (np.float64(v) - mean) * (np.float64(v) - mean)
    return total


@njit(cache=True)
def _is_outlier(value, mean, sigma, peak, limit):
    """Whether the log density ``peak - z^2 / 2`` is below ``limit``."""
    z = (np.float64(value) - mean) / sigma
    return peak - 0.5 * z * z < limit


@njit(cache=True)
def _float32(place):
    """Float32 numbers in ascending order, by place: 0 is 0, -1 and 1 are the subnormals beside it."""
    word = np.empty(1, np.uint32)
    word[0] = abs(place)
    value = word.view(np.float32)[0]
    return -value if place < 0 else value


@njit(cache=True)
def _bounds(mean, sigma, peak, limit):
    """Least and largest float32 that are no outliers; above all numbers and below them, if all are."""
    word = np.empty(1, np.float32)
    word[0] = mean
    near = np.int64(word.view(np.uint32)[0] & np.uint32(0x7FFFFFFF))
    near = -near if word[0] < 0 else near
    if _is_outlier(word[0], mean, sigma, peak, limit):
        return np.inf, -np.inf
    ends = np.empty(2)
    for side in range(2):
        inside, outside = near, _INFINITY if side else -_INFINITY
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            if _is_outlier(_float32(middle), mean, sigma, peak, limit):
                outside = middle
            else:
                inside = middle
        ends[side] = _float32(inside)
    return ends[0], ends[1]


@njit(cache=True)
def _midpoints(centroids):
    """Half way between neighbours, in float64: exact unless their magnitudes are 2^29 apart."""
    out = np.empty(centroids.size - 1)
    for i in range(out.size):
        out[i] = 0.5 * (np.float64(centroids[i]) + np.float64(centroids[i + 1]))
    return out


@njit(cache=True)
def _set_means(ordered, edges, centroids):
    """Centroids of non-empty bins."""
    for i in range(centroids.size):
        if edges[i + 1] > edges[i]:
            total = 0.0
            for k in range(edges[i], edges[i + 1]):
                total += np.float64(ordered[k])
            centroids[i] = np.float32(total / (edges[i + 1] - edges[i]))


@njit(cache=True)
def _distance(ordered, edges, centroids):
    """Total L1 distance, in ascending order."""
    total = 0.0
    for i in range(centroids.size):
        c = np.float64(centroids[i])
        for k in range(edges[i], edges[i + 1]):
            total += abs(np.float64(ordered[k]) - c)
    return total


@njit(cache=True)
def _cluster(ordered, bins, max_rounds):
    """Centroids (bins,) of sorted values, and how many rounds were kept."""
    n = ordered.size
    edges = np.empty(bins + 1, np.int64)
    centroids = np.zeros(bins, np.float32)
    for i in range(bins + 1):
        edges[i] = i * n // bins
    if n == 0:
        return centroids, 0
    for i in range(bins):
        centroids[i] = ordered[min(edges[i], n - 1)]
    _set_means(ordered, edges, centroids)
    best = _distance(ordered, edges, centroids)
    for kept in range(max_rounds):
        moved = edges.copy()
        moved[1:-1] = np.searchsorted(ordered, _midpoints(centroids), side="right")
        if np.array_equal(moved, edges):
            return centroids, kept
        means = centroids.copy()
        _set_means(ordered, moved, means)
        distance = _distance(ordered, moved, means)
        if distance > best:
            return centroids, kept
        edges, centroids, best = moved, means, distance
    return centroids, max_rounds


@njit(cache=True)
def _encode(rows, low, high, midpoints, bits, codes, position, value):
    """Pack the indices of rows (R, K); values outside [low, high] go to the outlier list instead."""
    found = 0
    for r in range(rows.shape[0]):
        word, held, at = 0, 0, 0
        for k in range(rows.shape[1]):
            x = rows[r, k]
            index = 0
            if low <= x <= high:
                half = 1 << (bits - 1)
                while half:  # count the midpoints below x
                    if np.float64(x) > midpoints[index + half - 1]:
                        index += half
                    half >>= 1
            else:
                position[found], value[found] = r * rows.shape[1] + k, x
                found += 1
            word |= index << held
            held += bits
            if held >= 8:
                codes[r, at] = word & 0xFF
                word >>= 8
                held -= 8
                at += 1
        if held:
            codes[r, at] = word


@njit(cache=True)
def _decode(codes, bits, dictionary, out):
    """Fill ``out`` (R, K) with the dictionary entries of all indices."""
    mask = (1 << bits) - 1
    for r in range(out.shape[0]):
        word, held, at = 0, 0, 0
        for k in range(out.shape[1]):
            if held < bits:
                word |= int(codes[r, at]) << held
                held += 8
                at += 1
            out[r, k] = dictionary[word & mask]
            word >>= bits
            held -= bits


def _moments(x: Streamed) -> list[tuple[float, float]]:
    """Mean and standard deviation (over N) of each GEMM's operand, float64 sums in memory order; two readings."""
    count, rows, K = x.shape
    mean, spread = [0.0] * count, [0.0] * count
    for gemm, _, values in x.blocks():
        mean[gemm] = _add(values.reshape(-1), mean[gemm])
    mean = [total / (rows * K) for total in mean]
    for gemm, _, values in x.blocks():
        spread[gemm] = _add_squares(values.reshape(-1), mean[gemm], spread[gemm])
    return [(at, math.sqrt(total / (rows * K))) for at, total in zip(mean, spread, strict=True)]


class _Gobo(TensorEncoding):
    """What the two widths share."""

    has_scale: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    log_probability: float
    dictionary: DictionaryFormat
    outliers: OutlierFormat

    def __post_init__(self) -> None:
        for option, known in (("dictionary", DictionaryFormat), ("outliers", OutlierFormat)):
            if getattr(self, option) not in get_args(known):
                raise UnknownNameError(option, str(getattr(self, option)), get_args(known))
        if not isinstance(self.log_probability, int | float) or not math.isfinite(self.log_probability):
            raise ConfigError(f"{self.name}: log_probability must be a finite number, got {self.log_probability!r}")

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``; one dictionary per GEMM whatever the granularity and calibration."""
        require_known_calibration(None, method)
        tensor = operand_tensor(x, self.name)
        self._require_coordinates(tensor.shape[1] * tensor.shape[2])
        return [self._encode(rows) for rows in checked_tensor(tensor)]

    def marks_operand(self, x: Streamed, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.marks_operand``; three readings, a block in memory."""
        require_known_calibration(None, method)
        count, rows, K = x.shape
        self._require_coordinates(rows * K)
        bounds = [self._bounds(*moments) for moments in _moments(x)]
        found: list[list[NDArray[np.uint32]]] = [[] for _ in range(count)]
        for gemm, first, values in x.blocks():
            found[gemm].append((beyond(values, *bounds[gemm]) + first * K).astype(np.uint32))
        return [self._marked(np.concatenate(parts), rows, K) for parts in found]

    def _marked(self, position: NDArray[np.uint32], rows: int, K: int) -> Encoded:
        return Encoded(unread(rows, self._packed_bytes(K)), np.ones((), np.float32), K, {"outlier_position": position})

    def _bounds(self, mean: float, sigma: float) -> tuple[float, float]:
        """Least and largest float32 that are no outliers: the density falls on both sides of the mean."""
        if sigma == 0:
            return -np.inf, np.inf
        return _bounds(mean, sigma, *self._density(sigma))

    def _density(self, sigma: float) -> tuple[float, float]:
        """Largest log density, and that below which a value is an outlier."""
        return -math.log(sigma) - _HALF_LOG_2PI, float(self.log_probability)

    def _require_coordinates(self, values: int) -> None:
        if values > 1 << 32:
            raise EncodingError(f"{self.name}: {values} values in one operand; outlier coordinates have 32 bits")

    def _encode(self, rows: NDArray[np.float32]) -> Encoded:
        ordered = np.sort(rows, axis=None)
        inner = self._inner(rows, ordered)
        centroids, _ = _cluster(inner, 1 << self.bits, _MAX_ROUNDS)
        largest = np.finfo(self._dtype).max
        dictionary = np.clip(centroids, -largest, largest).astype(self._dtype)
        outliers = ordered.size - inner.size
        least, most = (inner[0], inner[-1]) if inner.size else (np.float32(np.inf), np.float32(-np.inf))
        codes = np.empty((len(rows), self._packed_bytes(rows.shape[1])), np.uint8)
        position, value = np.empty(outliers, np.uint32), np.empty(outliers, np.float32)
        midpoints = _midpoints(dictionary.astype(np.float32))
        _encode(rows, least, most, midpoints, self.bits, codes, position, value)
        if self.outliers == "fp16":
            value = np.clip(value, -_HALF_MAX, _HALF_MAX).astype(np.float16).astype(np.float32)
        extras = {"dictionary": dictionary, "outlier_position": position, "outlier_value": value}
        return Encoded(codes, np.ones((), np.float32), rows.shape[1], extras)

    def _inner(self, rows: NDArray[np.float32], ordered: NDArray[np.float32]) -> NDArray[np.float32]:
        """Those of the sorted values that are no outliers; a constant tensor has none."""
        (moments,) = _moments(Whole(rows[None]))
        low, high = self._bounds(*moments)
        return ordered[np.searchsorted(ordered, np.float32(low)) : np.searchsorted(ordered, np.float32(high), "right")]

    def decode_operand(self, operand: Encoded) -> NDArray[np.float32]:
        """Centroids and outliers, exact float32 (rows, K).

        Raises: EncodingError if codes, dictionary or outlier list do not fit the operand.
        """
        codes = checked_codes(operand.codes, self._packed_bytes(operand.length), self.name)
        dictionary = np.asarray(operand.extras["dictionary"])
        if dictionary.shape != (1 << self.bits,):
            raise EncodingError(f"{self.name}: expected {1 << self.bits} dictionary entries, got {dictionary.shape}")
        out = np.empty((len(codes), operand.length), np.float32)
        _decode(codes, self.bits, dictionary.astype(np.float32), out)
        position = np.asarray(operand.extras["outlier_position"], np.int64)
        bad = (position >= out.size) | (np.diff(position, prepend=-1) <= 0)
        if bad.any():
            at = int(np.argmax(bad))
            raise EncodingError(
                f"{self.name}: outlier {at} at coordinate {position[at]}; "
                f"coordinates must ascend and stay below {out.size}"
            )
        out.reshape(-1)[position] = operand.extras["outlier_value"]
        return out

    def stored(self, operand: Encoded) -> Storage:
        """Indices of all positions (outliers' too), row padding, dictionary, 64 bits per outlier; no scale."""
        values = len(operand.codes) * operand.length
        payload = values * self.bits
        outliers = len(operand.extras["outlier_position"])
        index_bits = (1 << self.bits) * self._dtype.itemsize * 8 + outliers * (32 + 32)
        return Storage(payload, operand.codes.size * 8 - payload, 0, values, index_bits)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(_DICTIONARY_DTYPE[self.dictionary])

    def _packed_bytes(self, length: int) -> int:
        return -(-length * self.bits // 8)


@dataclass(frozen=True)
class Gobo3(_Gobo):
    """GOBO with 3-bit indices into 8 centroids, and a list of outliers."""

    log_probability: float = -4.0
    """Natural log of the Gaussian density below which a value is an outlier (-4 is `assumed`)."""
    dictionary: DictionaryFormat = "fp32"
    """`fp32`, or `fp16`: centroids are rounded to half precision before indices are chosen."""
    outliers: OutlierFormat = "fp32"
    """`fp32`: as they are, or `fp16`: rounded to half precision, at most 65504 in magnitude."""

    name: ClassVar[str] = "gobo3"
    bits: ClassVar[int] = 3


@dataclass(frozen=True)
class Gobo4(_Gobo):
    """GOBO with 4-bit indices into 16 centroids, and a list of outliers."""

    log_probability: float = -4.0
    """Density below which a value is an outlier, as in `gobo3`."""
    dictionary: DictionaryFormat = "fp32"
    """Precision of the centroids, as in `gobo3`."""
    outliers: OutlierFormat = "fp32"
    """Precision of the outliers, as in `gobo3`."""

    name: ClassVar[str] = "gobo4"
    bits: ClassVar[int] = 4
