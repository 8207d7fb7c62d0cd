"""The ``config.json`` of a released model, as plain data: what a workload's ``model`` names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.config.foreign import Foreign
from simulator.config.load import from_mapping
from simulator.config.yaml_nodes import Source, found
from simulator.errors import ConfigError, NoSuchFileError, did_you_mean
from simulator.json_text import parse_json

__all__ = ["model_document", "read_model_json"]

OPEN = ("batch", "tokens", "context", "image")
"""Sizes that a configuration leaves open."""
_MOST_BYTES = 8 << 20
"""A configuration is a few kilobytes; one with tables of tokens and labels stays far below this."""


def read_model_json(path: Path) -> dict[str, Any]:
    """The configuration in a file, or in the ``config.json`` of a folder; infinities and NaN become null.

    Raises: ConfigError, one line with file and line.
    """
    path = path / "config.json" if path.is_dir() else path
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; not the config.json of a model")
        data = parse_json(path.read_text(encoding="utf-8-sig"), parse_constant=lambda _: None)
    except FileNotFoundError:
        raise NoSuchFileError(f"{path}: no such file; name a config.json, or a folder that holds one") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; name the config.json of a model") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deep for the config.json of a model") from None
    except ValueError as error:  # a key that occurs twice, an integer of more digits than Python reads
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected an object at the top, found {found(data)}")
    return from_mapping(data, str(path)).data


def model_document(path: Path, dims: Mapping[str, int]) -> Foreign:
    """A workload whose model is that file; its name is that of the folder, where the file is a ``config.json``.

    Args:
        dims: what it is run on, of ``OPEN``.

    Raises: ConfigError, one line with file and line.
    """
    unknown = next((name for name in dims if name not in OPEN), None)
    if unknown is not None:
        near = did_you_mean(unknown, OPEN)
        raise ConfigError(f"{path}: no dimension is named '{unknown}'{near}; open dimensions: {', '.join(OPEN)}")
    stem = path.resolve().parent.name if path.name == "config.json" else path.stem
    source = from_mapping({"name": stem or "model", "model": read_model_json(path), **dims}, str(path))
    return Foreign(Source(source.data, {}, str(path), {("model",): str(path)}))
