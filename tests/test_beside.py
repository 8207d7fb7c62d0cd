"""The table "Beside the paper": computed from the results, on the page and in files, its claims checked."""

from __future__ import annotations

import json
import math
import re

import pandas as pd
import pytest

import simulator as sim
from simulator.errors import ConfigError
from simulator.report.beside import beside_paper, beside_table, series_points
from simulator.report.published_lines import published_figure

HOSTILE = "<b>50 % of $x_1$ & more</b>"


def results(**more):
    """Two workloads: twice and eight times as fast, an energy of a half and a quarter."""
    common = {"energy_static_pj": 1.0, "energy_dram_pj": 2.0, "energy_buffer_pj": 3.0}
    rows = [
        {"workload": "a", "design": "slow", "latency_s": 4.0, "energy_total_pj": 20.0},
        {"workload": "a", "design": "fast", "latency_s": 2.0, "energy_total_pj": 10.0},
        {"workload": "b", "design": "slow", "latency_s": 8.0, "energy_total_pj": 40.0},
        {"workload": "b", "design": "fast", "latency_s": 1.0, "energy_total_pj": 10.0},
    ]
    return pd.DataFrame([row | common | {"energy_core_pj": row["energy_total_pj"] - 6.0} | more for row in rows])


PUBLISHED = {
    "source": "Someone, 2023",
    "claims": [
        {"text": "faster", "metric": "time", "design": "fast", "baseline": "slow", "value": 5.0},
        {"text": "frugal", "metric": "energy", "design": "fast", "baseline": "slow", "value": 2.0},
        {"text": "split", "metric": "dram_share", "design": "slow", "value": 0.1, "source": "Another, 2022"},
    ],
}


def test_ours_by_hand():
    table = beside_paper(results(), PUBLISHED)
    share = (2 / 20 + 2 / 40) / 2
    assert table["ours"].tolist() == pytest.approx([math.sqrt(2 * 8), math.sqrt(2 * 4), share])
    assert table["ratio"].tolist() == pytest.approx([4 / 5, math.sqrt(8) / 2, share / 0.1])
    assert table["least"].tolist() == pytest.approx([2, 2, 0.05])
    assert table["most"].tolist() == pytest.approx([8, 4, 0.1])
    assert table["source"].tolist() == ["Someone, 2023", "Someone, 2023", "Another, 2022"]
    texts = beside_table(results(), PUBLISHED)
    assert texts.iloc[0].tolist() == ["faster", "time", "Someone, 2023", "5.00", "4.00", "0.80", "2.00 – 8.00"]


def test_a_claim_of_one_workload_is_computed_from_it_alone():
    claims = [claim | {"workload": "b"} for claim in PUBLISHED["claims"]]
    table = beside_paper(results(), PUBLISHED | {"claims": claims})
    for column in ("ours", "least", "most"):
        assert table[column].tolist() == pytest.approx([8, 4, 2 / 40])


def test_every_sweep_point_has_its_lines():
    swept = pd.concat([results(**{"axis:array.rows": 8}), results(**{"axis:array.rows": 16}).assign(latency_s=1.0)])
    table = beside_paper(swept.reset_index(drop=True), PUBLISHED)
    assert table["point"].tolist() == ["rows=8"] * 3 + ["rows=16"] * 3
    assert table["ours"].tolist()[0::3] == pytest.approx([4.0, 1.0])
    assert "Point" in beside_table(swept.reset_index(drop=True), PUBLISHED)


SERIES = {
    "text": "fast", "panel": "p", "metric": "time", "design": "fast", "baseline": "slow", "x": "width",
    "workloads": ["a", "b"], "at": [1, 2.5], "values": [1.0, 16.0],
}  # fmt: skip


def test_a_published_line_is_a_row_for_each_of_its_workloads():
    table = beside_paper(results(), {"source": "Someone, 2023", "series": [SERIES]})
    assert table["claim"].tolist() == ["p: fast, width 1", "p: fast, width 2.5"]
    assert table["ours"].tolist() == pytest.approx([2, 8])
    assert table["ratio"].tolist() == pytest.approx([2, 0.5])
    points = series_points(results(), {"series": [SERIES]})
    assert points[["panel", "series", "at", "paper"]].values.tolist() == [
        ["p", "p: fast", 1, 1],
        ["p", "p: fast", 2.5, 16],
    ]
    assert points["ours"].tolist() == pytest.approx([2, 8])
    assert series_points(results(), {"claims": []}).empty


def test_a_published_line_is_drawn_with_ours(tmp_path):
    figure = published_figure(series_points(results(), {"series": [SERIES, SERIES | {"panel": "q"}]}))
    axes = figure.axes[0]
    ours, paper, one = axes.lines
    assert (ours.get_xdata().tolist(), ours.get_ydata().tolist()) == ([1, 2.5], pytest.approx([2, 8]))
    assert paper.get_ydata().tolist() == [1, 16]
    assert one.get_ydata() == [1, 1]
    assert [a.get_title(loc="left") for a in figure.axes] == ["p", "q"]
    assert published_figure(series_points(results(), {})) is None


def study(**published):
    claim = {"text": HOSTILE, "metric": "time", "design": "int4_systolic", "baseline": "int8_systolic", "value": 2.5}
    return {
        "name": "beside",
        "designs": ["int8_systolic", "int4_systolic"],
        "workloads": [{"name": "probe", "gemms": [{"name": "qk", "M": 64, "N": 64, "K": 64}]}],
        "published": {"source": "Someone, 2023", "claims": [claim]} | published,
    }


def test_the_page_and_both_files_show_it_escaped(tmp_path):
    table = sim.run_study(study(notes=["why: <i>it</i> differs"]), out=tmp_path).set_index("design")
    ours = table.loc["int8_systolic", "latency_s"] / table.loc["int4_systolic", "latency_s"]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="beside"') : page.index('<section id="figures"')]
    assert "&lt;b&gt;50 % of $x_1$ &amp; more&lt;/b&gt;" in section
    assert "why: &lt;i&gt;it&lt;/i&gt; differs" in section
    assert f'<td class="number">{ours:.2f}</td>' in section
    assert f'<td class="number">{ours / 2.5:.2f}</td>' in section
    markdown = (tmp_path / "tables" / "published.md").read_text(encoding="utf-8")
    assert r"\<b\>50 % of \$x_1\$ \& more\</b\>" in markdown
    latex = (tmp_path / "tables" / "published.tex").read_text(encoding="utf-8")
    assert r"\textless{}b\textgreater{}50 \% of \$x\_1\$ \& more" in latex
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["published"]["claims"][0]["text"] == HOSTILE
    sim.run_study(study() | {"published": None}, out=tmp_path)
    assert not list((tmp_path / "tables").glob("published.*"))
    assert "Beside the paper" not in (tmp_path / "index.html").read_text(encoding="utf-8")


CLAIM = {"text": "x", "metric": "time", "design": "int4_systolic", "baseline": "int8_systolic", "value": 2.0}


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"design": "int4_systolc"}, "design: 'int4_systolc' is not among the designs; did you mean 'int4_systolic'?"),
        ({"baseline": "fp"}, "claims[0].baseline: 'fp' is not among the designs; designs: int8_systolic"),
        ({"baseline": None}, "claims[0].baseline: missing key 'baseline'; time is over another design's"),
        ({"metric": "core_share"}, "claims[0].baseline: core_share is of the design's own energy; take it out"),
        ({"workload": "one"}, "claims[0].workload: 'one' is not among the workloads; workloads: "),
        ({"metric": "gpu_core_share", "baseline": None}, "gpu_core_share is of designs with tensor cores; 'int4"),
        ({"value": 0.0}, "claims[0].value: must be greater than 0, found 0.0"),
        ({"metric": "area"}, "claims[0].metric: found 'area'; allowed: time, energy, static_share"),
    ],
)  # fmt: skip
def test_a_claim_that_makes_no_sense_is_one_line(tmp_path, claim, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        sim.run_study(study(claims=[CLAIM | claim]), out=tmp_path)


LINE = {
    "text": "x", "design": "int4_systolic", "baseline": "int8_systolic", "x": "width",
    "workloads": ["probe", "probe"], "at": [1, 2], "values": [1.0, 2.0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"workloads": ["prob", "probe"]}, "series[0].workloads[0]: 'prob' is not among the workloads"),
        ({"at": [1]}, "series[0].at: as many as workloads, found 1 for 2 workloads"),
        ({"design": "int4"}, "series[0].design: 'int4' is not among the designs"),
    ],
)
def test_a_line_that_makes_no_sense_is_one_line(tmp_path, line, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        sim.run_study(study(claims=[], series=[LINE | line]), out=tmp_path)


def test_published_without_anything_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("published.claims: says nothing; give claims or series")):
        sim.run_study(study(claims=[]), out=tmp_path)


def test_the_page_shows_the_lines(tmp_path):
    sim.run_study(study(claims=[], series=[LINE]), out=tmp_path)
    assert (tmp_path / "figures" / "published.png").exists()
    assert 'id="published' in (tmp_path / "index.html").read_text(encoding="utf-8")
    sim.run_study(study(), out=tmp_path)
    assert not (tmp_path / "figures" / "published.png").exists()
