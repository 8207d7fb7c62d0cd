"""MkDocs hook: pages made from the code, files of the repository that pages show, a place for new pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import generated_pages

ROOT = Path(__file__).resolve().parents[2]
SHOWN = "repository"
"""Folder of the site with the files of the repository that pages link to."""
_OUTSIDE = re.compile(r"(\]\(|src=\"|href=\")\.\./(?!\.\.)([^)#\" ]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A page that nobody gave a place joins the guides."""
    docs = Path(config.docs_dir)
    known = set(_pages(config.nav))
    new = sorted(path.name for path in docs.glob("*.md") if path.name not in known)
    guides = next(section["Guides"] for section in config.nav or [] if "Guides" in section)
    guides += [{_heading(docs / name): name} for name in new]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Generated pages, and what pages show of the rest of the repository."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    pages = [file.content_string for file in files.documentation_pages() if _is_written(file)]
    for target in sorted({match[2] for text in pages for match in _OUTSIDE.finditer(text)}):
        if not (ROOT / target).is_file():
            raise FileNotFoundError(f"a page links to ../{target}, which is not there")
        files.append(File.generated(config, f"{SHOWN}/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links that leave docs/ lead to the copies."""
    return _OUTSIDE.sub(rf"\g<1>{SHOWN}/\g<2>", markdown) if _is_written(page.file) else markdown


def _is_written(file: File) -> bool:
    """Whether a page is one of docs/ itself, for which ``..`` is the repository."""
    return "/" not in file.src_uri


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav or []
    return [page for child in children for page in _pages(child)]


def _heading(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
