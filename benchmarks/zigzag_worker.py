"""Runs ZigZag in its own environment on one GEMM, several times; ``peers.py`` starts it.

    python -P benchmarks/zigzag_worker.py M N K ROUNDS

Prints a line of JSON per round: CPU seconds of one call with everything imported, what it says the GEMM takes, in
cycles, and of how many MACs it thinks.
"""

import contextlib
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from zigzag.api import get_hardware_performance_zigzag

DATA = Path(__file__).with_name("data")


def run(M: int, N: int, K: int, folder: str) -> dict:
    """One GEMM: operands of 8 bits, sums of 32, results of 16."""
    precision = {"W": 8, "I": 8, "O": 32, "O_final": 16}
    layer = {"id": 0, "name": "gemm", "operator_type": "Gemm", "equation": "O[b][k]+=I[b][c]*W[c][k]"}
    layer |= {"loop_dims": ["B", "K", "C"], "loop_sizes": [M, N, K], "operand_precision": precision}
    layer |= {"operand_source": {"I": 0, "W": 0}}

    start = time.process_time()
    energy, cycles, *_ = get_hardware_performance_zigzag(
        workload=[layer],
        accelerator=str(DATA / "zigzag_array.yaml"),
        opt="latency",
        dump_folder=folder,
        loma_show_progress_bar=False,
        mapping=str(DATA / "zigzag_mapping.yaml"),
    )
    return {"cpu_s": time.process_time() - start, "cycles": float(cycles), "energy_pj": float(energy)}


def main() -> None:
    logging.disable(logging.CRITICAL)
    M, N, K, rounds = map(int, sys.argv[1:])
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            found = run(M, N, K, folder)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
