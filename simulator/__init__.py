"""Olivine: does a number encoding compute what you think, and what does it cost in cycles, picojoules and square
millimetres?

    import simulator as sim
    design = sim.load_design("olive_systolic", set={"array.rows": 32, "array.cols": 32})
    result = sim.simulate_gemm(design, M=512, N=768, K=768)

Everything here loads on first use: ``import simulator`` is cheap.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator import datapath, formats
    from simulator.config import Design, load_design
    from simulator.errors import OlivineError
    from simulator.study.gemm import GemmResult, simulate_gemm
    from simulator.study.run import run_study
    from simulator.study.sensitivity import sensitivity
    from simulator.tracing import open_trace
    from simulator.tracing.torch_capture import trace
    from simulator.workload import load_workload

    __version__: str

__all__ = [
    "Design",
    "GemmResult",
    "OlivineError",
    "__version__",
    "datapath",
    "formats",
    "load_design",
    "load_workload",
    "open_trace",
    "run_study",
    "sensitivity",
    "simulate_gemm",
    "trace",
]

_HOME = {
    "Design": "simulator.config",
    "GemmResult": "simulator.study.gemm",
    "OlivineError": "simulator.errors",
    "load_design": "simulator.config",
    "load_workload": "simulator.workload",
    "open_trace": "simulator.tracing",
    "run_study": "simulator.study.run",
    "sensitivity": "simulator.study.sensitivity",
    "simulate_gemm": "simulator.study.gemm",
    "trace": "simulator.tracing.torch_capture",
}


def __getattr__(name: str) -> Any:
    if name in ("datapath", "formats"):
        return import_module(f"simulator.{name}")
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module 'simulator' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


@cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("olivine")
    except PackageNotFoundError:  # imported from a checkout that was never installed
        return "0+unknown"
