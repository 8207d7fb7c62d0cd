"""Code blocks of the README and of docs/, and the reasons why some are not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block; ``excuse`` says why nobody runs it, empty if somebody does."""

    page: str
    line: int
    language: str
    text: str
    excuse: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(path.name, text.count("\n", 0, match.start(2)) + 1, match[2], match[3], match[1] or "")
        for match in _BLOCK.finditer(text)
    ]


BLOCKS = [block for path in PAGES for block in blocks_of(path)]


def commands_of(block: Block) -> list[str]:
    """Lines of a block of shell, without comments; what goes on below a backslash is one line."""
    text = re.sub(r"\\\n\s*", "", block.text)
    lines = (re.split(r"\s+#\s", f" {line}")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def after(block: Block) -> Block | None:
    """The block of text that shows what a block of one command prints."""
    i = BLOCKS.index(block)
    follower = BLOCKS[i + 1] if i + 1 < len(BLOCKS) and BLOCKS[i + 1].page == block.page else None
    if follower is None or follower.language != "text":
        return None
    between = (ROOT / ("" if block.page == "README.md" else "docs") / block.page).read_text(encoding="utf-8")
    lines = between.splitlines()[block.line + block.text.count("\n") + 1 : follower.line - 1]
    return follower if not any(line.strip() for line in lines) else None
