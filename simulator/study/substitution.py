"""A design's numbers in the place of a model's: both operands of its products encoded as the hardware has them.

Fake quantisation: what the codes stand for is multiplied in float32, so that errors of accumulators are not in it
(``sums: datapath`` puts them in). Weights are calibrated on themselves. Activations that share one scale per tensor
are calibrated once per tensor on other inputs; those with a scale per token, and formats that take their parameters
from the values at hand (blocks of MX, columns of LLM.int8()), are encoded at run time, as the datapath does it.
Products of two activations stay in float32, as in OliVe's released code, unless they are asked for; then both operands
are encoded at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.datapath import Datapath
from simulator.formats import Encoded
from simulator.study.hardware import Hardware
from simulator.study.operands import encode, shares_scale
from simulator.tracing.products import F32, Product, multiply

__all__ = ["Products", "Quantised", "Sums", "is_replaced"]

Products = Literal["layers", "all"]
"""Products with weights, or those of two activations as well."""
Sums = Literal["float32", "datapath"]


def is_replaced(product: Product, products: Products) -> bool:
    """Whether a product is one of those that are computed with other numbers."""
    return products == "all" or product.op.kind != "bmm"


@dataclass(frozen=True)
class _Weight:
    """An encoded weight, of each GEMM, and what it stands for, of the weight's shape."""

    encoded: tuple[Encoded, ...]
    real: F32


class Quantised:
    """Computes products with the operands that a design's datapath would have.

    Args:
        seen: name of an activation -> all its rows, (R, K) or (count, R, K), on the calibration inputs.
    """

    def __init__(
        self, hardware: Hardware, seen: Mapping[str, F32], products: Products = "layers", sums: Sums = "float32"
    ) -> None:
        self._hardware, self._seen, self._products, self._sums = hardware, seen, products, sums
        self._weights: dict[tuple[Datapath, str], _Weight] = {}
        self._scales: dict[tuple[Datapath, str], Encoded] = {}

    def __call__(self, product: Product) -> F32:
        """The product, (M, N) or (count, M, N)."""
        if not is_replaced(product, self._products):
            return multiply(product)
        if self._sums == "float32":
            a, w = self.operands(product)
            return multiply(replace(product, a=a, w=w))
        datapath = self._hardware.named(product.op.name).datapath
        pairs = self.encoded(product)
        results = [datapath.real(datapath.matmul(*pair), *pair).astype(np.float32) for pair in pairs]
        return np.stack(results).reshape(*product.a.shape[:-1], product.w.shape[-2])

    def operands(self, product: Product) -> tuple[F32, F32]:
        """What the codes of both operands stand for, of the shapes of the operands."""
        hardware = self._hardware.named(product.op.name)
        if self._is_static(hardware, product):
            acts = [_real(hardware.datapath.act_format.decode_operand(x), x) for x in self._static(hardware, product)]
            return np.stack(acts).reshape(product.a.shape), self._weight(hardware, product).real
        real = [hardware.datapath.real_operands(*pair) for pair in self._at_run_time(hardware, product)]
        a, w = (np.stack(side).astype(np.float32) for side in zip(*real, strict=True))
        return a.reshape(product.a.shape), w.reshape(product.w.shape)

    def encoded(self, product: Product) -> list[tuple[Encoded, Encoded]]:
        """Both operands of each GEMM."""
        hardware = self._hardware.named(product.op.name)
        if self._is_static(hardware, product):
            weight = self._weight(hardware, product).encoded
            return list(zip(self._static(hardware, product), weight, strict=True))
        return self._at_run_time(hardware, product)

    def _is_static(self, hardware: Hardware, product: Product) -> bool:
        per_tensor = hardware.design.quantisation.activations.granularity == "tensor"
        return per_tensor and hardware.datapath.act_format.static and product.op.kind != "bmm"

    def _static(self, hardware: Hardware, product: Product) -> list[Encoded]:
        encoding, key = hardware.datapath.act_format, (hardware.datapath, product.a_name)
        if key not in self._scales:
            method = hardware.design.quantisation.activations.calibration
            found, *_ = encoding.encode_operand(_gemms(self._seen[product.a_name]), "tensor", method)
            self._scales[key] = replace(found, codes=found.codes[:0])  # the codes have served
        return encoding.encode_like(_gemms(product.a), self._scales[key])

    def _weight(self, hardware: Hardware, product: Product) -> _Weight:
        key = (hardware.datapath, product.w_name)
        if key not in self._weights:
            how, encoding = hardware.design.quantisation.weights, hardware.datapath.weight_format
            found = encoding.encode_operand(_gemms(product.w), shares_scale(how.granularity), how.calibration)
            real = np.stack([_real(encoding.decode_operand(x), x) for x in found])
            self._weights[key] = _Weight(tuple(found), real.reshape(product.w.shape))
        return self._weights[key]

    @staticmethod
    def _at_run_time(hardware: Hardware, product: Product) -> list[tuple[Encoded, Encoded]]:
        return encode(hardware.design, hardware.datapath, _gemms(product.a), _gemms(product.w))


def _gemms(x: F32) -> F32:
    """An operand (rows, K) or (count, rows, K) as (count, rows, K)."""
    return x if x.ndim == 3 else x[None]


def _real(decoded: NDArray[Any], operand: Encoded) -> F32:
    return np.asarray(decoded * operand.row_scale, np.float32)
