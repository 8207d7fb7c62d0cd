"""Every shipped file runs: studies, workloads, DRAM parts, kernel lists, price lists; of what is large, a slice."""

from __future__ import annotations

import pytest

import simulator as sim
from simulator.config import kind_of, load_design, load_study, price_lists
from simulator.resources import shipped_names
from simulator.study.building import build
from simulator.study.passes import simulate_step
from simulator.study.workloads import resolve_workload

ABOUT_ALL = ("published", "measured", "beside", "accuracy")
"""Keys about designs and workloads that a slice leaves out."""
STEPS = 3
PROBE = {
    "name": "probe",
    "gemms": [{"name": "fc", "M": 48, "N": 64, "K": 96}, {"name": "up", "M": 48, "N": 80, "K": 32}],
}
"""In place of a trace: README's commands run the studies of the shipped one."""
BANKS = {"memory.act_buffer.banks": 32, "memory.weight_buffer.banks": 32, "memory.out_buffer.banks": 1024,
         "memory.out_buffer.word_bits": 32}  # fmt: skip


def reduced(design):
    """Without options for layers of workloads that are left out."""
    return {k: v for k, v in design.items() if k != "layers"} if isinstance(design, dict) else design


def name_of(design):
    return design if isinstance(design, str) else design.get("name", design["extends"])


def slice_of(name):
    """Two designs and the baseline of a study, on its first workload of shapes, at the first value of each axis."""
    study = dict(load_study(name)[1].data)
    designs = study["designs"]
    kept = [d for i, d in enumerate(designs) if i < 2 or name_of(d) == study.get("baseline")]
    axes = {
        path: values[:1] if isinstance(values, list) else [values["from"]]
        for path, values in study.get("sweep", {}).items()
    }
    shapes = [w for w in study["workloads"] if not (isinstance(w, str) and w.startswith("traces/"))]
    study |= {"designs": [reduced(d) for d in kept], "workloads": shapes[:1] or [PROBE], "sweep": axes}
    return {key: value for key, value in study.items() if key not in ABOUT_ALL}


@pytest.mark.parametrize("name", shipped_names("configs/studies"))
def test_a_slice_of_a_study_runs(name, tmp_path):
    study = slice_of(name)
    table = sim.run_study(study, out=tmp_path)
    assert len(table) == len(study["designs"])
    assert (table["total_cycles"] > 0).all()
    assert table["exact"].dropna().all()


@pytest.mark.parametrize("name", shipped_names("workloads"))
def test_the_first_steps_of_a_workload_run(name):
    hardware = build(load_design("int8_systolic"))
    steps = resolve_workload(name).steps[:STEPS]
    for index in range(len(steps)):
        result = simulate_step(hardware, steps, index, fidelity="bound")
        assert result.timing.total_cycles > 0


@pytest.mark.parametrize("name", shipped_names("configs/dram"))
def test_a_dram_part_runs(name):
    design = load_design("int8_systolic", set={"memory.dram.model": "banked", "memory.dram.part": name})
    assert sim.simulate_gemm(design, M=32, N=32, K=64).dram


@pytest.mark.parametrize("name", shipped_names("configs/kernels"))
def test_a_kernel_list_runs(name):
    numbers = {"matmul": {}, "llm_int8": {"datapath.name": "mixed_int8_fp16", "datapath.outlier_weights": "int8"}}
    design = load_design("a100", set={"kernels": name} | numbers.get(name, {"datapath.name": "int_mac"}))
    assert sim.simulate_gemm(design, M=64, N=64, K=64).cycles["total"] > 0


@pytest.mark.parametrize("name", price_lists())
def test_a_price_list_prices_a_product(name):
    host = "rtx2080ti_fp16" if name.startswith("gpu_") else "olive_systolic"
    banks = BANKS if name == "olive_isca23" else {}  # it prices small ones only
    design = load_design(host, set={"cost": name} | banks)
    assert kind_of(design) == ("tensor_core" if name.startswith("gpu_") else "systolic")
    assert sim.simulate_gemm(design, M=32, N=32, K=64).energy_pj["total"] > 0
