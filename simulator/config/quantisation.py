"""How a design finds the scales of its operands."""

from __future__ import annotations

from typing import Literal

from simulator.config.record import Record

__all__ = ["Quantisation"]


class OperandQuantisation(Record):
    """Which elements share a scale, and how the scale is found."""

    granularity: Literal["tensor", "token", "channel"] = "tensor"
    """Which elements share a scale."""
    calibration: Literal["mse", "absmax", "three_sigma"] = "mse"
    """How the scale is found: least squares, the largest magnitude, or three sigmas."""


class ActQuantisation(OperandQuantisation):
    """Activations: one scale per tensor, or per token (row of A)."""

    granularity: Literal["tensor", "token"] = "tensor"
    """One scale per tensor, or per token (row of A)."""


class WeightQuantisation(OperandQuantisation):
    """Weights: one scale per tensor, or per output channel (column of W)."""

    granularity: Literal["tensor", "channel"] = "channel"
    """One scale per tensor, or per output channel (column of W)."""


class Quantisation(Record):
    """Scales of both operands."""

    activations: ActQuantisation = ActQuantisation()
    """Scales of activations."""
    weights: WeightQuantisation = WeightQuantisation()
    """Scales of weights."""
