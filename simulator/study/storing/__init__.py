"""Finished points on disk: one SQLite file per run folder, found again by content, shared between runs."""

from simulator.study.storing.claims import Claims
from simulator.study.storing.database import STORE_NAME, Kind
from simulator.study.storing.store import Store, Stored

__all__ = ["STORE_NAME", "Claims", "Kind", "Store", "Stored"]
