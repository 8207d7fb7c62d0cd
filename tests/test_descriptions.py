"""Every field of every record that users write says what it is: the one source of schema and reference."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module

import pytest

import simulator.config
from simulator.config.record import Record, descriptions_of


def records() -> list[type[Record]]:
    """All of them, in whatever file of the room."""
    for module in pkgutil.iter_modules(simulator.config.__path__):
        import_module(f"simulator.config.{module.name}")
    found, left = [], [Record]
    while left:
        subclasses = left.pop().__subclasses__()
        found += subclasses
        left += subclasses
    return [record for record in found if record.__module__.startswith("simulator.config")]


RECORDS = records()


def described(record: type[Record]) -> dict[str, str]:
    """What each of its fields says of itself, in a text below it or in its declaration; empty for none."""
    below = descriptions_of(record)
    return {name: field.description or below.get(name, "") for name, field in record.model_fields.items()}


def test_there_are_records():
    assert len(RECORDS) >= 50


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_every_field_says_what_it_is(record):
    for name, words in described(record).items():
        assert re.match("[A-Z(`]", words), f"{record.__name__}.{name}: write a line below it"
        assert words.endswith("."), f"{record.__name__}.{name}: '{words}'"
        assert "``" not in words, f"{record.__name__}.{name}: one backtick, as in Markdown"


def units(name: str) -> str:
    """What a field's name says of its unit."""
    endings = {"_pj": "pJ", "_um2": "um2", "_mm2": "mm2", "_mhz": "MHz", "_kib": "KiB", "_gb_s": "10^9 bytes/s"}
    endings |= {"_ns": "ns", "_us": "us", "_nm": "nm", "_mw": "mW", "_nw": "nW", "_cycles": "cycles", "_v": "V"}
    return next((unit for ending, unit in endings.items() if name.endswith(ending)), "")


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_a_field_with_a_unit_states_it(record):
    for name, field in record.model_fields.items():
        unit = units(name)
        if unit and field.annotation in (int, float):
            assert f"[{unit}]" in described(record)[name], f"{record.__name__}.{name}"
