"""Finished points on disk: one SQLite file per run folder, found again by content, shared between runs."""

from simulator.study.store.claims import Claims
from simulator.study.store.database import STORE_NAME, Kind, other_kind
from simulator.study.store.finished import Store, Stored

__all__ = ["STORE_NAME", "Claims", "Kind", "Store", "Stored", "other_kind"]
