"""The shipped study of LLM.int8() on GPUs: what it says of the published table, and which of it the passes decide."""

from __future__ import annotations

import pytest

from simulator.config import load_study
from simulator.study.passes import simulate_step
from tests.expanded import expand

STUDY, SOURCE = load_study("llm_int8")
WIDTHS = [768, 1024, 1536, 2048, 2560, 4096, 5140, 12288]
SHOWN = {"a100": 2048, "turing": 1024}
"""Card -> tokens, of the panels with all three rows of the table."""


@pytest.fixture(scope="module")
def speeds():
    """(card, kind) -> how many times as fast as FP16, by width; as the study runs them, without its page."""
    cycles = {}
    for card, tokens in SHOWN.items():
        shown = dict(SOURCE.data) | {
            "designs": [d for d in SOURCE.data["designs"] if d["name"].startswith(card)],
            "workloads": [w for w in SOURCE.data["workloads"] if w["name"].endswith(f" x {tokens}")],
            "baseline": f"{card}_fp16",
            "published": None,
        }
        for point in expand(*load_study(shown), {}):
            result = simulate_step(point.hardware, point.workload.steps, 0)
            key = card, point.hardware.design.name.removeprefix(f"{card}_")
            cycles.setdefault(key, {})[result.op.K] = result.timing.total_cycles
    return {
        key: {width: cycles[key[0], "fp16"][width] / taken[width] for width in WIDTHS} for key, taken in cycles.items()
    }


def published(kind, card="a100"):
    """The row of the table as the study has it."""
    line = next(s for s in STUDY.published.series if s.design == f"{card}_{kind}" and s.baseline == f"{card}_fp16")
    return dict(zip(line.at, line.values, strict=True))


def test_the_table_is_the_paper_s():
    assert list(published("llm_int8").values()) == [0.14, 0.20, 0.36, 0.51, 0.64, 0.86, 1.22, 1.81]
    assert list(published("vectorwise").values()) == [0.43, 0.49, 0.74, 0.91, 0.94, 1.18, 1.59, 2.00]
    assert list(published("int8").values()) == [0.99, 1.08, 1.43, 1.61, 1.63, 1.67, 2.13, 2.29]


@pytest.mark.parametrize("card", SHOWN)
def test_narrow_layers_are_many_times_slower_and_wide_ones_faster(speeds, card):
    """Below 0.3 at 768, where a model without the passes has 1.0; faster the wider; slower than FP16 up to 4096."""
    ours = speeds[card, "llm_int8"]
    assert ours[768] < 0.3
    assert speeds[card, "int8"][768] > 0.9
    assert sorted(ours.values()) == list(ours.values())
    assert ours[4096] < 1 < ours[12288]


@pytest.mark.parametrize("card", SHOWN)
def test_up_to_4096_wide_the_row_is_the_published_one(speeds, card):
    """Within 0.1 of FP16's speed at every width, vector-wise within 0.16."""
    for kind, within in (("vectorwise", 0.16), ("llm_int8", 0.1)):
        for width in WIDTHS[:6]:
            assert speeds[card, kind][width] == pytest.approx(published(kind)[width], abs=within), (kind, width)


@pytest.mark.parametrize(("card", "tolerance"), [("a100", 0.13), ("turing", 0.22)])
def test_what_comes_on_top_of_the_product_is_what_the_table_says(speeds, card, tolerance):
    """Time of the layer over that of its own int8 product: FP16 has no part in it."""
    for width in WIDTHS:
        ours = speeds[card, "int8"][width] / speeds[card, "llm_int8"][width]
        theirs = published("int8")[width] / published("llm_int8")[width]
        assert ours == pytest.approx(theirs, rel=tolerance), width


@pytest.mark.parametrize("card", SHOWN)
def test_the_two_widest_layers_differ_from_the_table_by_what_fp16_takes(speeds, card):
    """At 5140 and 12288 FP16 is slower in the table than half the rate of int8 allows; ours is not.

    So ours breaks even at about 5500, the table between 4096 and 5140, and is 1.3 to 1.6 times as fast at 12288, there
    1.81. With FP16 as slow against the int8 product as the table has it, ours is where the table is.
    """
    ours, alone = speeds[card, "llm_int8"], speeds[card, "int8"]
    assert published("int8")[12288] > published("int8")[5140] > 2 > alone[12288]
    assert 0.85 < ours[5140] < 1.1
    assert 1.3 < ours[12288] < 1.6
    rescaled = {width: ours[width] * published("int8")[width] / alone[width] for width in (4096, 5140, 12288)}
    assert rescaled[4096] < 1 < rescaled[5140]
    assert 1.6 < rescaled[12288] < 2.0


def test_passes_left_out_are_missed(speeds):
    """Without its passes LLM.int8() is the product alone: 0.99 at 768 and 1.9 at 12288, far from the row above."""
    for width in WIDTHS:
        assert speeds["a100", "llm_int8"][width] < speeds["a100", "vectorwise"][width] < speeds["a100", "int8"][width]
