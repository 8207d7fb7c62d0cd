"""Designs of a sweep, put together from parts: equal to those that are checked as a whole, and as wrong as they are."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import load_design, load_study
from simulator.config.catalogue import design_of, read_design
from simulator.config.design import SystolicDesign
from simulator.config.once import remembering
from simulator.config.overlays import lay
from simulator.config.parts import part_of, texts_of
from simulator.errors import CostError, OlivineError
from simulator.study.building import build
from simulator.study.hardware import require_datapaths
from simulator.study.keys import FILE_FIELDS, files_content
from simulator.study.points import open_points
from simulator.study.setup import StudySetup

BANKED = {"extends": "int8_systolic", "name": "banked", "memory": {"dram": {"model": "banked", "part": "ddr4_3200"}}}
PARTIAL = {
    "name": "partial", "array": {"cols": 8}, "datapath": {"name": "int_mac"}, "clock_mhz": 500,
    "memory": {"act_buffer": {}, "weight_buffer": {"capacity_kib": 32}, "out_buffer": {"capacity_kib": 32}},
}  # fmt: skip
LAYERED = {"extends": "olive_systolic", "name": "layered", "layers": [{"ops": "*", "datapath": {"bits": 8}}]}
DESIGNS = ["int8_systolic", "olive_systolic", "gobo_array", "rtx2080ti_olive", BANKED, PARTIAL, LAYERED]
PAD = {"capacity_kib": 24, "word_bits": 256}
VALUES = {
    "array.rows": [8, 16, 1, 0, "x", 8.5, 70000, True],
    "array.cols": [8, 32, -1, None],
    "array.dataflow": ["os", "ws", "is", "xs"],
    "array.kind": ["systolic", "tensor_core", "cube"],
    "array.rowz": [1],
    "array.rows.deep": [1],
    "array": [{"rows": 4, "cols": 4}, {"rows": 4}, 3],
    "clock_mhz": [500, 250.5, 0],
    "name": ["a", "b", ""],
    "node_nm": [None, 45, 22, 7],
    "cost": ["open", "gpu_turing", "nothing"],
    "datapath.name": ["int_mac", "ovp", "nothing"],
    "datapath.bits": [4, 8, 5],
    "datapath.act_bits": [8, 4, "x"],
    "layers": [[], [{"ops": "*", "datapath": {}}], [{"ops": "*", "datapath": {"bits": 3}}], [{"ops": ""}]],
    "tiling.m": [None, 16, 0],
    "tiling.order": ["mnk", "abc"],
    "cores.count": [1, 2, 0],
    "vector_unit.lanes": [16, 64],
    "vector_unit.fused": [[], ["bias"], ["nothing"]],
    "quantisation.weights.granularity": ["tensor", "channel", "x"],
    "memory": [{}, 1],
    "memory.act_buffer": [PAD, {"word_bits": 64}, None],
    "memory.act_buffer.capacity_kib": [8, 64, -1, "x", 1e8],
    "memory.act_buffer.layout": ["k_major", "line_major", "x"],
    "memory.weight_buffer.banks": [1, 2, 0],
    "memory.out_buffer.double_buffer": [True, False, 1],
    "memory.output_bits": [8, 32, 7],
    "memory.global_buffer": [None, PAD | {"bandwidth_gb_s": 100}, PAD],
    "memory.global_buffer.capacity_kib": [64, 0],
    "memory.dram": [{"model": "none"}, {"model": "banked", "part": "ddr4_3200"}, {"model": "x"}],
    "memory.dram.model": ["none", "ideal", "banked"],
    "memory.dram.part": ["ddr4_3200", "nothing"],
    "memory.dram.bandwidth_gb_s": [8, 64, 0],
    "memory.dram.standard": [None, "hbm2e", "x"],
    "memory.dram.queue_depth": [1, 8],
    "launch_us": [0, 2.5, -1],
    "memory.l2.capacity_kib": [512, 0],
}  # fmt: skip
PROBE = {"name": "probe", "gemms": [{"name": "up", "M": 20, "N": 30, "K": 40}]}


@st.composite
def sweeps(draw):
    """Axes that do not set the same, some of two fields that change together."""
    paths: list[str] = []
    for path in draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5)):
        if not any(f"{a}.".startswith(f"{b}.") for known in paths for a, b in ((path, known), (known, path))):
            paths.append(path)
    sweep = {path: draw(st.permutations(VALUES[path]))[:3] for path in paths}
    if len(paths) > 1 and draw(st.booleans()):
        one, other = paths[:2]
        together = [list(pair) for pair in zip(sweep.pop(one), sweep.pop(other), strict=False)]
        sweep = {f"{one}, {other}": together} | sweep
    return sweep


def outcome(make, *args):
    """What a call gives, or what it complains of."""
    try:
        return make(*args)
    except OlivineError as error:
        return str(error)


def whole(points, index):
    """The design of a point, checked as a whole."""
    label = points.setup.source.where(("sweep",))
    return design_of(lay(points.designs[points.split(index)[0]], [(label, points.axes(index))]))


def variant(points, index):
    place, _, combination = points.split(index)
    return points.design(place, points.space.choices(combination))


def dependencies(design):
    """All that its results depend on, as text; what is wrong with its files and datapaths."""
    require_datapaths(design)
    try:
        return repr((design.model_dump(mode="json"), files_content(design)))
    except CostError as error:
        raise OlivineError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None


def hardware(design):
    return repr(build(design).on("probe"))


def pointed(points, index):
    return repr(points.point(index).hardware)


@settings(max_examples=60, deadline=None)
@given(sweep=sweeps(), designs=st.lists(st.sampled_from(DESIGNS), min_size=1, max_size=2, unique_by=str),
       order=st.randoms(use_true_random=False))  # fmt: skip
def test_a_combination_is_what_it_is_as_a_whole(sweep, designs, order):
    points = open_points(
        StudySetup(*load_study({"name": "s", "designs": designs, "workloads": [PROBE], "sweep": sweep}), {})
    )
    contents = {}
    with remembering({}):
        for index in order.sample(range(points.total), min(points.total, 24)):
            expected, found = outcome(whole, points, index), outcome(variant, points, index)
            key = outcome(points.key, index)
            if isinstance(expected, str):
                assert expected == found == key == outcome(pointed, points, index)
                continue
            assert (type(found), repr(found)) == (type(expected), repr(expected))
            assert [found.where(*part) for part in texts_of(found)] == [expected.where(*p) for p in texts_of(expected)]
            assert outcome(pointed, points, index) == outcome(hardware, expected)
            content = outcome(dependencies, expected)
            assert key == content if "{" not in content else contents.setdefault(key, content) == content
    assert len(set(contents.values())) == len(contents), "one content has two keys"


def test_files_follow_from_the_fields_that_are_said_to_name_them():
    """What a change of any other field leaves as it is."""
    for name in (BANKED, "int8_systolic", "rtx2080ti_olive"):
        source = read_design(name)
        before = files_content(design_of(source))
        changed = 0
        for path, values in VALUES.items():
            steps = tuple(path.split("."))
            if any(steps[: len(f)] == f or f[: len(steps)] == steps for f in FILE_FIELDS) or steps == ("array", "kind"):
                continue
            for value in values:
                with contextlib.suppress(OlivineError):
                    after = design_of(lay(source, [("x", {path: value})]))
                    changed += 1
                    assert files_content(after) == before, (name, path, value)
        assert changed > 10


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("array.rows", "array.rows"),
        ("array.rows.deep", "array.rows"),
        ("memory.act_buffer.capacity_kib", "memory.act_buffer.capacity_kib"),
        ("memory.act_buffer", "memory.act_buffer"),
        ("memory.dram.bandwidth_gb_s", "memory.dram"),  # of one of two kinds
        ("memory.global_buffer.banks", "memory.global_buffer"),  # or none
        ("datapath.bits", "datapath"),  # whose keys are the datapath's
        ("layers.0.ops", "layers"),
    ],
)
def test_parts_of_a_design(path, part):
    assert ".".join(part_of(SystolicDesign, tuple(path.split(".")))) == part


def test_a_record_whose_fields_are_checked_together_is_one_part():
    gpu = type(load_design("a100"))
    assert part_of(gpu, ("clock_mhz",)) == ()
    assert list(texts_of(load_design("a100"))) == [()]
