"""Reading a text file that a user named; whatever is wrong with the file itself is one line."""

from __future__ import annotations

from pathlib import Path

from simulator.config.yaml_nodes import place, shorten
from simulator.errors import ConfigError, NoSuchFileError, did_you_mean

__all__ = ["read_text"]


def read_text(path: Path, kind: str) -> str:
    """The text of a file, without a byte order mark.

    Args:
        kind: what it should be, as in ``a YAML file``, for the complaint about a folder.
    Raises: ConfigError if it cannot be read or is not UTF-8 text.
    """
    label, raw = str(path), b""
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, names) or f"; nothing in {shorten(str(path.parent))} has a name like it"
        raise NoSuchFileError(f"{place(label)}: no such file{near}") from None
    except IsADirectoryError:
        raise ConfigError(f"{place(label)}: a folder, not {kind}; name a file in it") from None
    except OSError as error:
        raise ConfigError(f"{place(label)}: cannot read the file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place(label, line)}: not UTF-8 text; save the file as UTF-8") from None
