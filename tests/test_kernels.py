"""Kernels: interpreted or compiled, the same comes out; and a short command imports no compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import kernels
from simulator.kernels import Kernel, kernel, njit
from simulator.study.planning import _best_plan

pytestmark = pytest.mark.kernels

GEMM = ["gemm", "int8_systolic", "-m", "100", "-n", "70", "-k", "50", "--json"]


@pytest.fixture
def budget(monkeypatch):
    """Sets the seconds that are left for interpreting."""

    def left(seconds: float) -> None:
        monkeypatch.setattr(kernels._interpreter, "left_s", seconds)

    return left


@kernel
def _added(a, b):
    """Sums, and what NumPy counts."""
    return a[0] + b, (len(a), a.sum() > 3), a


@njit
def _doubled(x):
    return 2 * x


@njit(error_model="numpy")
def _caller(x):
    return _doubled(x) // 0


def test_a_kernel_is_interpreted_until_its_time_is_up(budget):
    fresh = Kernel(_added.py_func, lambda function: "compiled".join)
    array = np.arange(4)
    budget(1)
    total, (length, more), same = fresh(array, 3)
    assert (total, length, more) == (3, 4, True)
    assert [type(x) for x in (total, length, more)] == [int, int, bool], "as numba returns them"
    assert same is array
    assert 0 < kernels._interpreter.left_s < 1
    budget(0)
    assert fresh(["x", "y"]) == "xcompiledy"
    budget(1)
    assert fresh(["x", "y"]) == "xcompiledy", "once compiled, always"


def test_an_error_in_a_kernel_leaves_interpreting_as_it_was(budget):
    budget(1)
    with pytest.raises(IndexError):
        Kernel(_added.py_func, lambda function: function)(np.arange(0), 1)
    assert not kernels._interpreter.busy


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_compiled_functions_call_each_other():
    assert _doubled(21) == 42
    assert _caller(3) == 0, "with the error model that was asked for"
    assert _doubled.__name__ == "_doubled"


@kernel
def _larger(a, b):
    return max(a[0], b) if a[1] else b


@njit
def _of_constants(n):
    return _larger((n, True), 3) + _larger((2, False), n) + _larger((2, True), 1)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_a_kernel_is_compiled_once_whatever_constants_others_give_it():
    assert _of_constants(7) == 7 + 7 + 2
    assert len(_larger.inner.signatures) == 1


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["os", "ws", "is"]),
    st.tuples(*[st.integers(1, 400)] * 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["ideal", "none"]),
)
def test_interpreted_and_compiled_agree(dataflow, shape, rows, cols, memory):
    design = sim.load_design(
        "int8_systolic",
        set={"array.dataflow": dataflow, "array.rows": rows, "array.cols": cols, "memory.dram.model": memory},
    )
    found = []
    for seconds in (1e9, 0.0):
        kernels._interpreter.left_s = seconds
        _best_plan.cache_clear()
        kept = _uncompiled() if seconds else []
        found.append(json.dumps(sim.simulate_gemm(design, *shape).to_dict()))
        for one, call in kept:
            one._call = call
    assert found[0] == found[1]


def _uncompiled() -> list[tuple[Kernel, object]]:
    """Makes every kernel interpreted once more; what each was called by."""
    kept = []
    for module in [m for name, m in sys.modules.items() if name.startswith("simulator.")]:
        for one in vars(module).values():
            if isinstance(one, Kernel):
                kept.append((one, one._call))
    for one, _ in kept:
        one._call = one._first
    return kept


def test_a_short_command_compiles_nothing_and_says_the_same():
    """Neither numba nor tables, figures or events are imported for one GEMM."""
    heavy = ("numba", "llvmlite", "pandas", "matplotlib", "pyarrow", "scipy", "simpy", "torch")
    script = (
        "import sys\nfrom simulator.cli import main\nmain(sys.argv[1:])\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    argv = [sys.executable, "-c", script, *GEMM]
    quick, compiled = (
        subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=120, env={**os.environ, "OLIVINE_INTERPRET_S": s}
        )
        for s in ("1000", "0")
    )
    assert quick.stderr.strip() == "[]"
    assert quick.stdout == compiled.stdout
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        assert "numba" in compiled.stderr
