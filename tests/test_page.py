"""The page in a browser: sorting, filters and downloads really work, nothing is fetched, hostile names stay text."""

from __future__ import annotations

import csv
import io
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from simulator.report import grid
from simulator.report.page import write_page
from simulator.report.summary import results_grid
from tests.test_report import HOSTILE, VARIANTS, study

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on PATH (Debian: apt-get install chromium)")

ROWS = 10_000
NAUGHTY = [
    HOSTILE,
    "</script><img src=x onerror=alert(3)>",
    "<!--<script>alert(4)",
    '=HYPERLINK("//evil.example")',
    "@SUM(1)",
    "a&lt;b> \"q\" 'q' \u2028 line",
    "plain, with comma",
]


def many(rows=ROWS):
    """A sweep of made-up numbers, for its size alone: real rows of a small study, varied at random."""
    few, layers, manifest = study(
        designs=dict(zip(NAUGHTY, [(1.0, 4, 20.0, 0.0)] * 7, strict=True)), baseline=None, n_ops=1
    )
    rng = np.random.default_rng(3)
    results = few.iloc[np.arange(rows) % len(few)].reset_index(drop=True)
    for column in ("latency_s", "energy_total_pj", "area_total_um2", "compute_util"):
        results[column] *= rng.lognormal(0, 1.5, rows)
    results.loc[::7, "sqnr_db"] = math.inf
    results.loc[5::501, "energy_total_pj"] = math.nan
    results["axis:array.rows"] = np.arange(rows) // 7
    results["axis:array.dataflow"] = np.array(["os", "ws", "is"])[rng.integers(0, 3, rows)]
    results["failure"] = ["", *(["=1+1 <b>no buffer</b>"] + [""] * (rows - 2))]
    return results, layers.assign(**{"axis:array.rows": 0, "axis:array.dataflow": "os"}), manifest


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """A page opened from its file, and all it did."""

    def __init__(self, browser, path, **settings):
        self.requests, self.complaints, self.dialogs = [], [], []
        self.context = browser.new_context(accept_downloads=True, **settings)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.url = path.resolve().as_uri()
        self.page.goto(self.url)
        self.page.wait_for_selector(".controls:not([hidden])")
        self.results = self.page.locator(".grid[data-name=results]")

    def column(self, name):
        """The texts on screen in a column of the results."""
        heads = self.results.locator("thead .dt-column-title").all_text_contents()
        return self.results.locator(f"tbody tr > td:nth-child({heads.index(name) + 1})").all_text_contents()

    def sort(self, name):
        head = self.results.locator("thead th", has=self.page.get_by_text(name, exact=True))
        after = {None: "ascending", "ascending": "descending"}[head.get_attribute("aria-sort")]
        head.locator("[role=button]").click()
        sync_api.expect(head).to_have_attribute("aria-sort", after)

    def fill(self, label, text):
        self.results.get_by_label(label, exact=True).fill(text)

    def choose(self, name, text):
        self.results.locator(".filters").get_by_label(name, exact=True).select_option(text)

    def show(self, name, shown):
        self.results.locator(".columns").get_by_label(name, exact=True).set_checked(shown)

    def count(self):
        return self.results.locator("output").text_content()

    def open(self, what):
        self.results.locator(f"details.{what} > summary").click()

    def download(self):
        with self.page.expect_download() as waiting:
            self.results.get_by_text("Download CSV").click()
        with open(waiting.value.path(), encoding="utf-8", newline="") as file:
            return list(csv.DictReader(io.StringIO(file.read())))


@pytest.fixture(scope="module")
def small(browser, tmp_path_factory):
    records = study(**VARIANTS["sweep"])
    visit = Visit(browser, write_page(tmp_path_factory.mktemp("small"), *records, []))
    yield visit, records[0]
    visit.context.close()


@pytest.fixture(scope="module")
def big(browser, tmp_path_factory):
    records = many()
    visit = Visit(browser, write_page(tmp_path_factory.mktemp("big"), *records, []))
    yield visit, records[0]
    visit.context.close()


@pytest.fixture(autouse=True)
def as_it_was(request):
    yield
    for name in ("small", "big"):
        if name in request.fixturenames:
            visit, _ = request.getfixturevalue(name)
            visit.results.get_by_text("Reset").click()
            assert visit.complaints == visit.dialogs == []
            assert [url for url in visit.requests if url != visit.url and not url.startswith("blob:")] == []


def numbers(texts):
    return [float(text.replace(",", "").rstrip("×")) for text in texts]


def test_a_small_table_is_whole_and_sorts_by_number_not_by_text(small):
    visit, results = small
    assert len(visit.column("Design")) == len(results) == 24
    for turn in (False, True):
        visit.sort("Latency (µs)")
        shown = numbers(visit.column("Latency (µs)"))
        exact = sorted(results["latency_s"] * 1e6, reverse=turn)
        assert shown == pytest.approx(exact, rel=5e-3)
        assert visit.results.locator("th[aria-sort]").get_attribute("aria-sort") == (
            "descending" if turn else "ascending"
        )
    texts = visit.column("Latency (µs)")
    assert texts != sorted(texts, reverse=True), "this column would sort otherwise as text"


def test_a_header_sorts_by_keyboard(small):
    visit, results = small
    button = visit.results.get_by_role("button", name="Speedup: Activate to sort")
    button.focus()
    visit.page.keyboard.press("Enter")
    sync_api.expect(visit.results.locator("th[aria-sort=ascending]")).to_contain_text("Speedup")
    assert numbers(visit.column("Speedup")) == pytest.approx(sorted(results["speedup"]), abs=6e-3)


def test_filters_leave_what_they_say(small):
    visit, _ = small
    visit.open("filters")
    visit.choose("Design", "olive_systolic")
    assert set(visit.column("Design")) == {"olive_systolic"}
    assert visit.count() == "6 of 24 results"
    visit.fill("rows from", "32")
    visit.fill("rows to", "32")
    assert visit.column("rows") == ["32", "32"]
    visit.fill("Find", "gpt2")
    assert visit.column("Workload") == ["gpt2_xl"]
    visit.results.get_by_text("Reset").click()
    assert visit.count() == "24 of 24 results"
    visit.open("filters")


def test_a_hidden_column_goes_from_screen_and_download(small):
    visit, _ = small
    visit.open("columns")
    visit.show("Speedup", False)
    assert "Speedup" not in visit.results.locator("thead .dt-column-title").all_text_contents()
    assert "Speedup" not in visit.download()[0]
    visit.show("Speedup", True)
    assert "Speedup" in visit.download()[0]


def test_ten_thousand_rows_are_paged_and_sorted(big):
    visit, results = big
    assert visit.count() == "10,000 of 10,000 results"
    unit = next(c for c in results_grid(results).columns if c.name.startswith("Latency"))
    visit.sort(unit.name)
    first = sorted(unit.values)[:100]
    assert numbers(visit.column(unit.name)) == pytest.approx(first[:50], rel=5e-3)
    visit.results.locator(".dt-paging button.next").click()
    assert numbers(visit.column(unit.name)) == pytest.approx(first[50:], rel=5e-3)


def test_missing_values_sort_first_and_infinite_ones_last(big):
    visit, results = big
    energy = next(c.name for c in results_grid(results).columns if c.name.startswith("Energy ("))
    visit.sort(energy)
    missing = int(results["energy_total_pj"].isna().sum())
    assert visit.column(energy)[: missing + 1].count("–") == missing
    visit.sort("SQNR (dB)")
    visit.sort("SQNR (dB)")
    assert set(visit.column("SQNR (dB)")) == {"∞"}


def test_numbers_read_as_in_python(big):
    visit, results = big
    table = results_grid(results)
    data = grid.data_of(table)["columns"]  # the same six digits
    wanted = {}
    for column, packed in zip(table.columns, data, strict=True):
        values = packed.get("values") or [packed["of"][place] for place in packed["at"]]
        if column.shown:
            wanted[column.name] = [grid.WRITTEN[column.kind](math.inf if v == "inf" else v) for v in values[:50]]
    assert {name: visit.column(name) for name in wanted} == wanted


def test_a_download_is_what_is_found_and_no_formula(big):
    visit, results = big
    visit.open("filters")
    visit.fill("rows from", "100")
    visit.fill("rows to", "101")
    rows = visit.download()
    wanted = results[results["axis:array.rows"].between(100, 101)]
    assert len(rows) == len(wanted) == 14
    assert sorted(float(row["Area (mm²)"]) for row in rows) == pytest.approx(
        sorted(wanted["area_total_um2"] / 1e6), rel=1e-5
    )
    assert {row["Design"] for row in rows} == {f"'{n}" if n[0] in "=@" else n for n in NAUGHTY}
    visit.open("filters")


def test_hostile_names_are_text_wherever_they_stand(big):
    visit, _ = big
    assert set(visit.column("Design")) == set(NAUGHTY)
    assert visit.page.locator("img, iframe, object, embed, b, main script:not([type='application/json'])").count() == 0
    visit.fill("Find", "onerror")
    assert set(visit.column("Design")) == {NAUGHTY[1]}
    assert visit.dialogs == []


def test_hostile_names_in_a_written_table_are_text_too(browser, tmp_path):
    visit = Visit(browser, write_page(tmp_path, *study(**VARIANTS["hostile"]), []))
    assert set(visit.column("Design")) == set(VARIANTS["hostile"]["designs"])
    visit.sort("Design")
    assert set(visit.column("Workload")) == {name for name, _ in VARIANTS["hostile"]["workloads"]}
    assert visit.page.locator("img, main script").count() == 0
    assert visit.dialogs == visit.complaints == []
    assert visit.requests == [visit.url]
    visit.context.close()


def test_theme_paper_and_narrow_windows(browser, tmp_path):
    path = write_page(tmp_path, *study(n_ops=2), [])
    inks = []
    for scheme in ("light", "dark"):
        visit = Visit(browser, path, color_scheme=scheme, viewport={"width": 420, "height": 800})
        inks.append(visit.page.evaluate("getComputedStyle(document.body).color"))
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 420
        visit.page.emulate_media(media="print")
        assert not visit.page.locator(".controls").first.is_visible()
        assert len(visit.column("Design")) == 4
        visit.context.close()
    assert inks[0] != inks[1]


def test_without_a_script_a_small_table_is_whole(browser, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(write_page(tmp_path, *study(n_ops=2), []).resolve().as_uri())
    assert page.locator("#results tbody tr").count() == 4
    assert not page.locator(".controls").first.is_visible()
    context.close()


def test_the_library_is_the_one_that_was_looked_at():
    """A new version of DataTables needs its places that take HTML looked at again."""
    from importlib.resources import files

    text = (files("simulator.report") / "vendor" / "datatables" / "dataTables.min.js").read_text(encoding="utf-8")
    assert text.startswith("/*! DataTables 3.1.5")
    assert "<!--" not in text
    assert "</script" not in text.replace("<\\/script", "")
    assert not pd.Series(text).str.contains(r"\beval\(|new Function|fetch\(", regex=True).any()
