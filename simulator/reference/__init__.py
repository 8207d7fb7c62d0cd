"""The exact quantised answer and error metrics, written independently of the datapaths."""

from simulator.reference.edp import edp_reference
from simulator.reference.exact import exact_matmul
from simulator.reference.metrics import first_mismatch, noise_energy, sqnr_db
from simulator.reference.precise import precise_matmul

__all__ = ["edp_reference", "exact_matmul", "first_mismatch", "noise_energy", "precise_matmul", "sqnr_db"]
