"""Fields of a model's ``config.json``: what is missing or of the wrong type is one line that says where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simulator.errors import ConfigError, did_you_mean

__all__ = ["Fields"]

_MOST = 1 << 24
"""No dimension of a model is larger; what is, is a slip of the pen."""


class Fields:
    """Typed access to a configuration.

    Args:
        config: the mapping as it was read.
        where: the place of a field, for complaints.
    """

    def __init__(self, config: Mapping[str, Any], where: Callable[[str], str]) -> None:
        self.config = config
        self.where = where

    def count(self, *names: str, default: int | None = None) -> int:
        """A positive integer under the first of the names that is there; null counts as absent.

        Raises: ConfigError if it is not one, or absent without a default.
        """
        found = self._found(names)
        if found is None:
            return self._absent(names, default)
        name, value = found
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
            raise self.wrong(name, f"expected an integer from 1 to {_MOST}, found {value!r}")
        return value

    def number(self, *names: str, default: float) -> float:
        """A positive number. Raises: ConfigError."""
        found = self._found(names)
        if found is None:
            return default
        name, value = found
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _MOST:
            raise self.wrong(name, f"expected a positive number, found {value!r}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false. Raises: ConfigError."""
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, f"expected true or false, found {value!r}")
        return value

    def text(self, *names: str, default: str | None = None) -> str:
        """Text. Raises: ConfigError."""
        found = self._found(names)
        if found is None:
            return self._absent(names, default)
        name, value = found
        if not isinstance(value, str):
            raise self.wrong(name, f"expected text, found {value!r}")
        return value

    def one_of(self, allowed: Sequence[str], *names: str, default: str) -> str:
        """One of a few texts. Raises: ConfigError."""
        value = self.text(*names, default=default)
        if value not in allowed:
            name = (self._found(names) or (names[0], None))[0]
            near = did_you_mean(value, list(allowed))
            raise self.wrong(name, f"found '{value}'; allowed: {', '.join(allowed)}{near}")
        return value

    def counts(self, name: str) -> list[int]:
        """A list of positive integers, at least one. Raises: ConfigError."""
        value = self.config.get(name)
        fine = isinstance(value, list) and value
        if not fine or not all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= _MOST for n in value or []):
            raise self.wrong(name, f"expected a list of positive integers, found {value!r}")
        return list(value or [])

    def labels(self) -> int:
        """Classes of a classifier: ``num_labels``, or the entries of ``id2label``. Raises: ConfigError."""
        names = self.config.get("id2label")
        if "num_labels" not in self.config and isinstance(names, Mapping) and names:
            return len(names)
        return self.count("num_labels")

    def divides(self, part: str, parts: int, whole: str, size: int) -> int:
        """``size / parts``. Raises: ConfigError naming ``part`` if that is no integer."""
        if size % parts:
            raise self.wrong(part, f"must divide {whole}, {size}; found {parts}")
        return size // parts

    def wrong(self, name: str, complaint: str) -> ConfigError:
        """A complaint about a field."""
        return ConfigError(f"{self.where(name)}: {complaint}")

    def _found(self, names: Sequence[str]) -> tuple[str, Any] | None:
        return next(((name, self.config[name]) for name in names if self.config.get(name) is not None), None)

    def _absent(self, names: Sequence[str], default: Any) -> Any:
        if default is None:
            wanted = " or ".join(f"'{name}'" for name in names)
            near = did_you_mean(names[0], [key for key in self.config if key not in names])  # a null is no value
            raise self.wrong(names[0], f"missing key {wanted}{near}")
        return default
