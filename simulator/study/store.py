"""Finished points on disk: SQLite, one transaction per point, found again by content.

A point's key covers everything its result depends on: the resolved design and price list, the workload's fingerprint,
fidelity, seed and the code. An interrupted or extended study runs only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from simulator.datapath.registry import files, source_file
from simulator.errors import OutputError
from simulator.study.expand import Point
from simulator.study.programs import kernel_list, program_hardware

__all__ = ["STORE_NAME", "Store", "code_of", "code_sha256", "datapath_sha256", "point_content", "point_key"]

STORE_NAME = "results.sqlite"
_SCHEMA_VERSION = 1
_NOT_MODEL = ("report", "cli.py", "__pycache__", "_shipped")
"""What may change without changing a result."""


@cache
def code_sha256() -> str:
    """Hash of every source file that results depend on."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        if relative.parts[0] not in _NOT_MODEL:
            digest.update(str(relative).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def datapath_sha256(path: Path) -> str:
    """Hash of the file of a datapath and, if it is in a package, of every source file of that package's folder."""
    package = sorted(path.parent.rglob("*.py")) if (path.parent / "__init__.py").exists() else [path]
    digest = hashlib.sha256()
    for file in package:
        digest.update(str(file.relative_to(path.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def point_key(point: Point, fidelity: str, seed: int) -> str:
    """Content address of a point's result."""
    content = point_content(point, fidelity, seed) | code_of(point)
    content |= {
        "design": point.hardware.design.model_dump(mode="json"),
        "prices": point.hardware.bill.library.model_dump(mode="json"),
        "dram_prices": [point.hardware.bill.dram.model_dump(mode="json"), point.hardware.bill.dram_channels],
        "workload_name": point.workload.name,
        "axes": point.axes,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_of(point: Point) -> dict[str, Any]:
    """The program that simulates a point."""
    program, names = program_hardware(point.hardware), {point.hardware.design.datapath.name}
    if program:
        listed = {kernel.product.datapath for kernel in kernel_list(program).kernels if kernel.product}
        names |= listed & set(files())  # whoever runs the list says what is wrong with others
    code = {name: datapath_sha256(source_file(name)) for name in sorted(names)}
    return {"schema": _SCHEMA_VERSION, "code": code_sha256(), "datapath_code": code}


def point_content(point: Point, fidelity: str, seed: int) -> dict[str, Any]:
    """What a point simulates, beside its design."""
    program = program_hardware(point.hardware)
    return {
        "dram": repr(point.hardware.dram),  # a part may be a file, and so may a list of kernels
        "kernels": kernel_list(program).model_dump(mode="json") if program else None,
        "workload": point.workload.fingerprint,
        "fidelity": fidelity,
        "seed": seed,
    }


class Store:
    """The points of one run folder. The file comes into being with the first finished point."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STORE_NAME

    def get(self, key: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """The result row and layer rows of a finished point, or None."""
        if not self._path.exists():
            return None
        with self._transaction() as db:
            found = db.execute("SELECT result, layers FROM points WHERE key = ?", (key,)).fetchone()
            return (json.loads(found[0]), json.loads(found[1])) if found else None

    def put(self, key: str, result: dict[str, Any], layers: list[dict[str, Any]]) -> None:
        """Store a finished point; it is on disk when this returns. Raises: OutputError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror or error}") from None
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO points (key, result, layers) VALUES (?, ?, ?)",
                (key, json.dumps(result), json.dumps(layers)),
            )

    def clear(self) -> None:
        """Forget all points."""
        if self._path.exists():
            with self._transaction() as db:
                db.execute("DELETE FROM points")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that commits or rolls back as one transaction, and is closed. Raises: OutputError.

        SQLite's rollback journal, not its write-ahead log: no files of its own stay beside the store, and it also
        works on network file systems. Other processes wait their turn.
        """
        try:
            with closing(sqlite3.connect(self._path, timeout=60)) as db, db:
                self._check_version(db)
                yield db
        except (sqlite3.Error, ValueError) as error:  # ValueError: a row that is not the JSON it was
            raise OutputError(
                f"{self._path}: not a usable result store: {error}; move it away or name another --out"
            ) from None

    def _check_version(self, db: sqlite3.Connection) -> None:
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _SCHEMA_VERSION):
            raise OutputError(
                f"{self._path}: written by another version (schema {found}, this one reads {_SCHEMA_VERSION}); "
                "name another --out"
            )
        if found == 0:
            self._create(db)

    def _create(self, db: sqlite3.Connection) -> None:
        """Table and version appear together; of two processes the second finds what the first made."""
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise OutputError(f"{self._path}: another program's database; move it away or name another --out")
            db.execute("CREATE TABLE points (key TEXT PRIMARY KEY, result TEXT NOT NULL, layers TEXT NOT NULL)")
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        db.commit()
