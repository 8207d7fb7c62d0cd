"""From a design to its hardware, by its kind of array."""

from __future__ import annotations

from typing import overload

from simulator.config import Design
from simulator.config.design import SystolicDesign
from simulator.config.tensor_core import TensorCoreDesign
from simulator.errors import ConfigError
from simulator.study.gpu import GpuHardware, build_gpu
from simulator.study.hardware import Hardware
from simulator.study.systolic import SystolicHardware, build_systolic

__all__ = ["build", "require_systolic"]


@overload
def build(design: SystolicDesign) -> SystolicHardware: ...
@overload
def build(design: TensorCoreDesign) -> GpuHardware: ...
@overload
def build(design: Design) -> Hardware: ...
def build(design: Design) -> Hardware:
    """Resolve a design's datapath and prices. Raises: ConfigError, one line with file, line and field."""
    if isinstance(design, TensorCoreDesign):
        return build_gpu(design)
    assert isinstance(design, SystolicDesign), "a design has one of the kinds of array"
    return build_systolic(design)


def require_systolic(hardware: Hardware, what: str) -> SystolicHardware:
    """The hardware, if it has a systolic array. Raises: ConfigError saying what needs one."""
    if isinstance(hardware, SystolicHardware):
        return hardware
    design = hardware.design
    raise ConfigError(f"{design.where('array', 'kind')}: {what}, found tensor_core ('{design.name}')")
