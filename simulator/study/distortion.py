"""What a tensor is like and what an encoding did to it, gathered a block of rows at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.formats import Encoded, TensorEncoding
from simulator.kernels import njit
from simulator.reference import sqnr_db
from simulator.study.tensors import Block, NamedTensor
from simulator.tracing.outliers import SIGMAS, pair_kinds

__all__ = ["HISTOGRAM_SIGMAS", "Distortion", "Profile", "TensorStatistics", "profile"]

HISTOGRAM_SIGMAS = np.linspace(-8.0, 8.0, 161)
"""Bin edges of the histograms, in standard deviations; what lies beyond is counted in the last bins."""
_LOWEST, _WIDTH = float(HISTOGRAM_SIGMAS[0]), float(HISTOGRAM_SIGMAS[1] - HISTOGRAM_SIGMAS[0])


@dataclass(frozen=True)
class Profile:
    """A tensor before any encoding.

    Attributes:
        energy: sum of squares; sigma: standard deviation (over N), 1 for a constant tensor.
        outliers: values further than 3 sigma from the mean.
        pairs: (even, odd) neighbours along K of which none, one, both are outliers; none is beside a last odd one.
        histogram: values per bin of ``HISTOGRAM_SIGMAS``.
    """

    values: int
    energy: float
    sigma: float
    outliers: int
    pairs: tuple[int, int, int]
    histogram: NDArray[np.int64]


@dataclass(frozen=True)
class TensorStatistics:
    """What one format did to one tensor.

    Attributes:
        granularity: what shares a scale; calibration: the method used, of ``best`` the one that was.
        outlier_share: values beyond 3 standard deviations; pair shares are of (even, odd) neighbours along K.
        victims: values other than zero that were given up for an outlier beside them.
        stored_bits: everything stored, scales and lists and padding included; bits_per_value is that over the values.
        sqnr_db: power of the values over power of the error; max_abs_error_sigma: in standard deviations.
        census: what the format itself counts (outliers in its list ...), if it does.
        histogram, decoded_histogram: values per bin of ``HISTOGRAM_SIGMAS``, before and after.
    """

    tensor: str
    format: str
    granularity: str
    calibration: str
    values: int
    sigma: float
    outlier_share: float
    pairs_normal_normal: float
    pairs_outlier_normal: float
    pairs_outlier_outlier: float
    victims: int
    stored_bits: int
    bits_per_value: float
    sqnr_db: float
    max_abs_error: float
    max_abs_error_sigma: float
    census: dict[str, int]
    histogram: list[int]
    decoded_histogram: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an infinite SQNR becomes None."""
        return asdict(self) | {"sqnr_db": None if math.isinf(self.sqnr_db) else self.sqnr_db}


def profile(tensor: NamedTensor, advance: Callable[[int], None]) -> Profile:
    """Two passes over a tensor; ``advance`` is told the bytes of each block, as float32, when it is done.

    Raises: TraceError with the position of the first value that is not finite in float32.
    """
    mean, spread, energy, seen = 0.0, 0.0, 0.0, 0
    for block in tensor.blocks():
        _require_finite(tensor, block, seen)
        x = block.values.astype(np.float64)
        here, shift = float(x.mean()), float(x.mean()) - mean
        energy += float(np.vdot(x, x))
        spread += float(((x - here) ** 2).sum()) + shift**2 * seen * x.size / (seen + x.size)  # Chan et al., 1979
        seen += x.size
        mean += shift * x.size / seen
        advance(block.values.nbytes)
    sigma = math.sqrt(spread / seen)
    pairs, histogram = np.zeros(3, np.int64), np.zeros(len(HISTOGRAM_SIGMAS) - 1, np.int64)
    for block in tensor.blocks():
        pairs += pair_kinds(np.abs(block.values - mean) > SIGMAS * sigma)
        _count(block.values, sigma or 1.0, _LOWEST, _WIDTH, histogram)
        advance(block.values.nbytes)
    kinds = (int(pairs[0]), int(pairs[1]), int(pairs[2]))
    return Profile(seen, energy, sigma or 1.0, kinds[1] + 2 * kinds[2], kinds, histogram)


def _require_finite(tensor: NamedTensor, block: Block, seen: int) -> None:
    finite = np.isfinite(block.values)
    if not finite.all():
        at = int(np.argmin(finite))
        where = [int(i) for i in np.unravel_index(seen + at, tensor.stored.shape)]
        raise TraceError(
            f"{tensor.stored.path}: tensor '{tensor.name}' holds {block.values.flat[at]} at {where}; "
            "all values must be finite in float32"
        )


@njit(cache=True)
def _bin(sigmas, low, width, bins):
    """Which bin holds a value; the last ones hold all beyond."""
    return int(min(max((sigmas - low) / width, 0.0), bins - 1.0))


@njit(cache=True)
def _count(values, sigma, low, width, counts):
    """Add values (R, K), in standard deviations, to the ``counts`` of their bins."""
    for r in range(values.shape[0]):
        for k in range(values.shape[1]):
            counts[_bin(np.float64(values[r, k]) / sigma, low, width, counts.size)] += 1


@njit(cache=True)
def _compare(values, decoded, scale, sigma, low, width, counts):
    """Add decoded (R, K) * scale (R, 1 or K) to ``counts`` as above; energy and largest magnitude of its error."""
    energy, largest = 0.0, 0.0
    step = 1 if scale.shape[1] > 1 else 0
    for r in range(values.shape[0]):
        for k in range(values.shape[1]):
            back = np.float64(decoded[r, k]) * scale[r, k * step]
            counts[_bin(back / sigma, low, width, counts.size)] += 1
            error = np.float64(values[r, k]) - back
            energy += error * error
            largest = max(largest, abs(error))
    return energy, largest


class Distortion:
    """What comes back of an encoded tensor against what went in; ``add`` one block after another, then ask.

    Attributes:
        noise: energy of the error so far.
        stored_bits: of all arrays that are stored, so far.
    """

    def __init__(self, encoding: TensorEncoding, sigma: float) -> None:
        self._encoding, self._sigma = encoding, sigma
        self.noise, self.largest, self.victims, self.stored_bits = 0.0, 0.0, 0, 0
        self.census: Counter[str] = Counter()
        self.histogram = np.zeros(len(HISTOGRAM_SIGMAS) - 1, np.int64)

    def add(self, values: NDArray[np.float32], operand: Encoded) -> None:
        """Rows (R, K) and what they were encoded as."""
        self.stored_bits += self._encoding.stored(operand).total_bits
        self.victims += self._encoding.victims(operand, values)
        self.census.update(self._encoding.census(operand))
        decoded = self._encoding.decode_operand(operand)
        noise, largest = _compare(values, decoded, operand.value_scale, self._sigma, _LOWEST, _WIDTH, self.histogram)
        self.noise += noise
        self.largest = max(self.largest, largest)

    def statistics(self, tensor: NamedTensor, calibration: str, before: Profile) -> TensorStatistics:
        """All of it, after the last block."""
        pairs = sum(before.pairs)
        return TensorStatistics(
            tensor=tensor.name,
            format=self._encoding.name,
            granularity=tensor.granularity,
            calibration=calibration,
            values=before.values,
            sigma=before.sigma,
            outlier_share=before.outliers / before.values,
            pairs_normal_normal=before.pairs[0] / pairs,
            pairs_outlier_normal=before.pairs[1] / pairs,
            pairs_outlier_outlier=before.pairs[2] / pairs,
            victims=self.victims,
            stored_bits=self.stored_bits,
            bits_per_value=self.stored_bits / before.values,
            sqnr_db=sqnr_db(before.energy, self.noise) if self.noise else math.inf,
            max_abs_error=self.largest,
            max_abs_error_sigma=self.largest / before.sigma,
            census=dict(self.census),
            histogram=before.histogram.tolist(),
            decoded_histogram=self.histogram.tolist(),
        )
