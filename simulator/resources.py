"""Where the shipped configs, workloads and traces lie: in the checkout, or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped_dir", "shipped_names"]

_PACKAGE = Path(__file__).resolve().parent


def shipped_dir(kind: str) -> Path:
    """Folder of shipped data: ``kind`` is ``configs/designs``, ``configs/cost``, ``configs/dram``, ``configs/kernels``,
    ``configs/studies``, ``configs/texts``, ``workloads`` or ``traces``.
    """
    installed = _PACKAGE / "_shipped"
    return (installed if installed.is_dir() else _PACKAGE.parent) / kind


def shipped_names(kind: str) -> list[str]:
    """Sorted names of what is shipped of a kind: YAML stems, or folder names for traces."""
    folder = shipped_dir(kind)
    if kind == "traces":
        return sorted(p.parent.name for p in folder.glob("*/manifest.json"))
    return sorted(p.stem for p in folder.glob("*.yaml"))
