"""The one registry: datapaths by name, from this package, from installed entry points, or from an explicit file."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from simulator.datapath.base import Datapath
from simulator.errors import DatapathError, UnknownNameError, did_you_mean

__all__ = [
    "ENTRY_POINT_GROUP",
    "OptionError",
    "create",
    "files",
    "get",
    "load_file",
    "names",
    "package_files",
    "register",
    "source_file",
]

ENTRY_POINT_GROUP = "olivine.datapaths"
_REGISTRY: dict[str, type[Datapath]] = {}
_D = TypeVar("_D", bound=type[Datapath])


class OptionError(DatapathError):
    """An option of a datapath is wrong; ``option`` names it."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def register(name: str) -> Callable[[_D], _D]:
    """Class decorator that makes a datapath known by ``name``; two of one name are an error, not a winner."""

    def add(cls: _D) -> _D:
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise DatapathError(f"datapath '{name}' ({_origin(cls)}) does not define {', '.join(missing)}")
        frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
        if not frozen or not hasattr(cls, "mac"):
            raise DatapathError(f"datapath '{name}' ({_origin(cls)}) must be a frozen dataclass with a 'mac' function")
        other = _REGISTRY.get(name)
        if other is not None and _origin(other) != _origin(cls):
            raise DatapathError(f"two datapaths are named '{name}': {_origin(other)} and {_origin(cls)}; rename one")
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


@cache
def _discover() -> None:
    """Import the modules beside this one and those of installed entry points; each registers itself."""
    package = importlib.import_module("simulator.datapath")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in ("base", "blame", "registry"):
            importlib.import_module(f"simulator.datapath.{module.name}")
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except DatapathError:
            raise
        except Exception as error:  # whatever a third party's module does must end as one clear line
            origin = entry.dist.name if entry.dist else entry.value
            raise DatapathError(f"datapath plug-in '{entry.name}' of {origin} cannot be loaded: {error!r}") from error


def load_file(path: Path) -> ModuleType:
    """Import a datapath file the user named explicitly.

    Raises: DatapathError if it is missing, fails to import or registers nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise DatapathError(f"{path}: no such datapath file")
    module_name = f"olivine_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise DatapathError(f"{path}: a datapath file is a Python file ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    before = set(_REGISTRY)
    try:
        spec.loader.exec_module(module)
    except DatapathError:
        raise
    except Exception as error:  # as above: the user's own file may do anything
        raise DatapathError(f"{path}: cannot be loaded: {error!r}") from error
    if not set(_REGISTRY) - before and not any(_origin(c).startswith(str(path.resolve())) for c in _REGISTRY.values()):
        raise DatapathError(f"{path}: registers no datapath; decorate a class with @register('name')")
    return module


def names() -> list[str]:
    """Names of all datapaths, sorted."""
    _discover()
    return sorted(_REGISTRY)


def get(name: str) -> type[Datapath]:
    """The datapath class of that name. Raises: UnknownNameError."""
    _discover()
    if name not in _REGISTRY:
        raise UnknownNameError("datapath", name, _REGISTRY)
    return _REGISTRY[name]


def create(name: str, options: Mapping[str, Any]) -> Datapath:
    """A datapath with those options, each checked strictly against its field's type.

    Raises: UnknownNameError; OptionError naming the option, what was found and what is allowed.
    """
    cls = get(name)
    hints = get_type_hints(cls, include_extras=True)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for option, value in options.items():
        if option not in known:
            hint = did_you_mean(option, known) or f"; allowed: {', '.join(known) or 'none'}"
            raise OptionError(option, f"unknown option of datapath '{name}'{hint}")
        try:
            TypeAdapter(known[option]).validate_python(value, strict=True)
        except ValidationError as error:
            raise OptionError(option, f"{error.errors()[0]['msg']}, found {value!r}") from error
    return cls(**options)


def source_file(name: str) -> Path:
    """File that defines a datapath: part of the code version of a result."""
    return Path(inspect.getfile(get(name)))


def package_files(path: Path) -> list[Path]:
    """A datapath's file and, if it is in a package, every source file of that package's folder, sorted."""
    return sorted(path.parent.rglob("*.py")) if (path.parent / "__init__.py").exists() else [path]


def files() -> dict[str, Path]:
    """Files of the datapaths known so far, by name."""
    return {name: Path(inspect.getfile(cls)).resolve() for name, cls in _REGISTRY.items()}


def _origin(cls: type) -> str:
    try:
        return f"{Path(inspect.getfile(cls)).resolve()}:{cls.__qualname__}"
    except (OSError, TypeError):
        return f"{cls.__module__}:{cls.__qualname__}"
