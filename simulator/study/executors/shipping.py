"""Files of plugins for machines that may not have them: sent by content, loaded once by each process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from simulator import datapath
from simulator.datapath.registry import package_files

__all__ = ["Shipped", "load_shipped", "shipped"]


@dataclass(frozen=True)
class Shipped:
    """A datapath's file, and those of its package: bytes by path relative to the folder of the file."""

    path: Path
    files: tuple[tuple[str, bytes], ...]


def shipped(path: Path) -> Shipped:
    """What to send of the plugin at ``path``."""
    folder = path.resolve().parent
    return Shipped(
        path.resolve(), tuple((str(f.relative_to(folder)), f.read_bytes()) for f in package_files(path.resolve()))
    )


@cache
def load_shipped(plugin: Shipped) -> None:
    """Load a plugin from where it was if the same files are there, else from a copy that lasts as long as this process.

    Raises: DatapathError.
    """
    folder = plugin.path.parent
    if not all(_holds(folder / name, content) for name, content in plugin.files):
        folder = _copied(plugin)
    datapath.load_file(folder / plugin.path.name)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _copied(plugin: Shipped) -> Path:
    folder = Path(_scratch().name) / str(len(list(Path(_scratch().name).iterdir()))) / plugin.path.parent.name
    for name, content in plugin.files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="olivine-plugins-")
