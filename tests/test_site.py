"""The documentation builds without a warning, asks the network for nothing, and every link in it leads somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import simulator
from simulator import datapath, formats
from simulator.cli import app
from simulator.config.study import Study
from simulator.datapath.registry import source_file
from simulator.report.columns import COLUMNS
from simulator.study.assumptions import ASSUMPTIONS

ROOT = Path(__file__).resolve().parents[1]
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"the site needs {', '.join(MISSING)}: pip install 'olivine[docs]'"
)


class Parsed(HTMLParser):
    """What a page loads by itself, where it links to, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads, self.links, self.anchors = [], [], {"", "__top"}
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a":
            self.links += [given["href"]] if given.get("href") else []
        elif tag == "link":
            self.loads += [given["href"]] if given.get("rel") not in ("canonical", "prev", "next") else []
        else:
            self.loads += [given[key] for key in ("src", "data", "poster") if given.get(key)]
            self.loads += [part.split()[0] for part in (given.get("srcset") or "").split(",") if part.strip()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    """Own pages, without reports that are shown as they are."""
    return {p: Parsed(p) for p in site.rglob("*.html") if "repository" not in p.parts and p.name != "404.html"}


def test_every_page_is_in_the_menu(pages, site):
    menu = {unquote(link) for link in pages[site / "index.html"].links}
    for path in [*(ROOT / "docs").glob("*.md"), *(site / "reference").glob("*.html"), site / "assumptions.html"]:
        name = f"{path.stem}.html" if path.suffix == ".md" else path.relative_to(site).as_posix()
        assert name in menu, f"{name} is not in the menu"


def test_nothing_is_loaded_from_elsewhere(pages, site):
    for path, page in pages.items():
        for target in page.loads:
            assert not urlsplit(target).scheme or target.startswith("data:"), f"{path.name} loads {target}"
            assert not target.startswith("//"), f"{path.name} loads {target}"
            assert target.startswith("data:") or (path.parent / urlsplit(target).path).exists(), f"{path}: {target}"
    for sheet in site.rglob("*.css"):
        for target in re.findall(r"url\(\s*[\"']?([^\"')]+)", sheet.read_text(encoding="utf-8")):
            assert target.startswith(("data:", "#")) or (sheet.parent / target.split("#")[0]).exists(), (
                f"{sheet}: {target}"
            )
        assert "@import" not in sheet.read_text(encoding="utf-8")


def test_links_and_anchors_lead_somewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {link}"


def test_the_reference_is_complete(pages, site):
    def text(name):
        return re.sub(r"<[^>]+>", "", pages[site / name].text)

    commands = text("reference/commands.html")
    for command in app.registered_commands:
        assert f"olivine {command.name or command.callback.__name__.rstrip('_')}" in commands
    package = Path(simulator.__file__).resolve().parent
    shipped = [name for name in datapath.names() if source_file(name).is_relative_to(package)]
    assert len(shipped) >= 13
    for name in shipped:
        assert name in pages[site / "reference/datapaths.html"].anchors
    for name in formats.names():
        assert name in pages[site / "reference/formats.html"].anchors
    for field in Study.model_fields:
        assert field in text("reference/study.html")
    for column in COLUMNS:
        assert column.name.replace("<", "&lt;").replace(">", "&gt;") in pages[site / "reference/columns.html"].text
    assumptions = " ".join(text("assumptions.html").split())
    for assumption in ASSUMPTIONS:
        assert assumption.replace("docs/", "").replace("'", "’").split(" (")[0][:60] in assumptions.replace("'", "’")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium on the PATH")
def test_search_works_from_disk(site, tmp_path):
    page = f"file://{site}/index.html?q=bandwidth_gb_s"
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--dump-dom", page]
    done = subprocess.run([*browser, *offline], capture_output=True, text=True, timeout=120, check=False)
    results = re.findall(r'<a href="([^"]*)"[^>]*class="md-search-result__link"', done.stdout)
    assert any("reference/design.html" in link for link in results), done.stdout[-2000:]
