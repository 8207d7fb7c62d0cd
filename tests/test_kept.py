"""What a process keeps of a design: nothing that a file has overtaken."""

from __future__ import annotations

import shutil

import pytest

import simulator as sim
from simulator.errors import ConfigError
from simulator.resources import shipped_dir
from simulator.study import kept


@pytest.fixture
def priced(tmp_path):
    """A design with price lists and tables of its own."""
    shutil.copytree(shipped_dir("configs/cost"), tmp_path / "cost")
    return sim.load_design("int8_systolic", set={"cost": str(tmp_path / "cost" / "open.yaml")}), tmp_path / "cost"


def shape(design):
    return sim.simulate_gemm(design, M=8, N=8, K=8)


def test_the_same_design_is_built_once(priced, monkeypatch):
    design, _ = priced
    built = []
    original = kept.build
    monkeypatch.setattr(kept, "build", lambda d: built.append(d) or original(d))
    first, second = shape(design), shape(design)
    assert (len(built), first) == (1, second)
    assert shape(sim.load_design("int8_systolic")).cycles == first.cycles
    assert len(built) == 2, "another object is another design"


def test_a_changed_price_is_read_again(priced):
    design, folder = priced
    before = shape(design).energy_pj["total"]
    text = (folder / "open.yaml").read_text()
    assert "{component: register, energy_pj: 0.0089995," in text
    (folder / "open.yaml").write_text(text.replace("energy_pj: 0.0089995,", "energy_pj: 10.0089995,"))
    assert shape(design).energy_pj["total"] > before


def test_a_changed_table_is_read_again(priced):
    design, folder = priced
    shape(design)
    next(folder.glob("*.csv")).write_text("nonsense\n")
    with pytest.raises(ConfigError, match="columns must be"):
        shape(design)


def test_a_file_that_is_gone_is_missed(priced):
    design, folder = priced
    shape(design)
    (folder / "open.yaml").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        shape(design)


def test_relative_paths_are_those_of_the_folder_one_is_in(tmp_path, monkeypatch):
    for name in ("here", "there"):
        shutil.copytree(shipped_dir("configs/cost"), tmp_path / name)
    monkeypatch.chdir(tmp_path / "here")
    design = sim.load_design("int8_systolic", set={"cost": "./open.yaml"})
    assert shape(design).energy_pj["total"] > 0
    (tmp_path / "there" / "open.yaml").unlink()
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(ConfigError, match="no such file"):
        shape(design)


def test_few_are_kept(monkeypatch):
    monkeypatch.setattr(kept, "_kept", type(kept._kept)())
    monkeypatch.setattr(kept, "_MOST", 2)
    designs = [sim.load_design("int8_systolic") for _ in range(3)]
    for design in designs:
        shape(design)
    assert [entry[0] is design for entry, design in zip(kept._kept.values(), designs[1:], strict=True)] == [True, True]
