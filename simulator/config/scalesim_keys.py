"""The text of a SCALE-Sim configuration: INI, read line by line so that each value keeps its line.

Sections do not matter: versions put the same key into different ones, and no key is in two with two meanings. Keys are
case-insensitive; ``#`` and ``;`` begin comments, at the end of a line too, where SCALE-Sim itself has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from simulator.config.text_file import read_text
from simulator.config.yaml_nodes import place, shorten
from simulator.errors import ConfigError, did_you_mean

__all__ = ["Entry", "Keys", "read_keys"]

_SECTION = re.compile(r"\[[^\]]*\]")
_ENTRY = re.compile(r"([^:=]+)[:=](.*)")
MOST = 2**31 - 1


@dataclass(frozen=True)
class Entry:
    """One key of the file as it is written there, its value without quotes, and its line."""

    key: str
    value: str
    line: int


@dataclass(frozen=True)
class Keys:
    """All keys of a file, lower case -> entry."""

    label: str
    entries: dict[str, Entry]

    def get(self, *names: str) -> Entry | None:
        """The entry of the first of some names that the file has."""
        return next((self.entries[name.lower()] for name in names if name.lower() in self.entries), None)

    def need(self, *names: str) -> Entry:
        """As ``get``. Raises: ConfigError if it has none of them."""
        found = self.get(*names)
        if found is None:
            near = did_you_mean(names[0].lower(), self.entries)
            raise ConfigError(f"{place(self.label)}: {names[0]}: missing from this SCALE-Sim configuration{near}")
        return found

    def integer(self, entry: Entry) -> int:
        """An entry's value as a number of at least 1; of a list, the first. Raises: ConfigError."""
        text = entry.value.split(",")[0].strip()
        if not (re.fullmatch("[0-9]{1,10}", text) and 1 <= int(text) <= MOST):
            raise self.wrong(entry, f"a whole number from 1 to {MOST}")
        return int(text)

    def choice(self, entry: Entry, allowed: tuple[str, ...]) -> str:
        """An entry's value as one of ``allowed``, whatever its case. Raises: ConfigError."""
        for name in allowed:
            if entry.value.lower() == name.lower():
                return name
        near = did_you_mean(entry.value, allowed)
        raise self.wrong(entry, f"one of {', '.join(allowed)}{near}")

    def is_true(self, *names: str) -> bool:
        """Whether a switch is on; absent is off, and so is whatever does not say that it is on."""
        found = self.get(*names)
        return found is not None and found.value.lower() in ("true", "yes", "on", "1")

    def wrong(self, entry: Entry, allowed: str) -> ConfigError:
        """A complaint about an entry's value."""
        found = shorten(entry.value) if entry.value else "nothing"
        return ConfigError(f"{place(self.label, entry.line)}: {entry.key}: found {found}, expected {allowed}")


def read_keys(path: Path) -> Keys:
    """Reads a file. Raises: ConfigError for a line that is neither key nor section, or a key with two values."""
    label, entries = str(path), dict[str, Entry]()
    for number, text in enumerate(re.split(r"\r\n|\r|\n", read_text(path, "a SCALE-Sim configuration")), start=1):
        line = re.sub(r"(^|\s)[#;].*", "", text).strip()
        if not line or _SECTION.fullmatch(line):
            continue
        match = _ENTRY.fullmatch(line)
        if match is None:
            raise ConfigError(f"{place(label, number)}: expected KEY: VALUE or [section], found {shorten(line)}")
        entry = Entry(match[1].strip(), match[2].strip().strip("\"'"), number)
        first = entries.setdefault(entry.key.lower(), entry)
        if first.value != entry.value:
            raise ConfigError(f"{place(label, number)}: {entry.key}: given twice; the first is on line {first.line}")
    return Keys(label, entries)
