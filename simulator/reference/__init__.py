"""The exact quantised answer and error metrics, written independently of the datapaths."""

from simulator.reference.exact import exact_matmul
from simulator.reference.metrics import first_mismatch, noise_energy, sqnr_db

__all__ = ["exact_matmul", "first_mismatch", "noise_energy", "sqnr_db"]
