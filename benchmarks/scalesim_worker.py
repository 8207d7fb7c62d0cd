"""Runs SCALE-Sim 3.0.0 in its own environment, one layer at a time; ``scalesim.py`` starts it.

Standard input: one JSON list of jobs ``{gemm: bool, row: str, rows: int, cols: int, dataflow: str}``, ``row`` a line of
a topology file. Standard output: for each job, in order, one JSON line with the figures of SCALE-Sim's own report
files and the CPU seconds of its run. Traces are not saved, and its buffers are so large that its memory model is fast:
at the bandwidth that it estimates by itself (``CALC``) nothing ever waits, whatever their size.

    python -P benchmarks/scalesim_worker.py < jobs.json      # -P: benchmarks/scalesim.py is not the package it imports
"""

import contextlib
import csv
import json
import sys
import tempfile
import time
from pathlib import Path

from scalesim.scale_sim import scalesim

CONFIG = Path(__file__).with_name("data") / "scalesim.cfg"
COLUMNS = {
    "COMPUTE_REPORT.csv": {
        "total_cycles": "Total Cycles",
        "stall_cycles": "Stall Cycles",
        "overall_util": "Overall Util %",
        "mapping_eff": "Mapping Efficiency %",
    },
    "DETAILED_ACCESS_REPORT.csv": {
        "ifmap_reads": "SRAM IFMAP Reads",
        "filter_reads": "SRAM Filter Reads",
        "ofmap_writes": "SRAM OFMAP Writes",
    },
}


def run(job: dict, folder: Path) -> dict:
    """One layer on one array: what SCALE-Sim reports of it."""
    files = {
        "array.cfg": CONFIG.read_text().format(**job),
        "layer.csv": f"header,\n{job['row']}\n",
        "layout.csv": "header,\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    config, topology, layout = (str(folder / name) for name in files)
    theirs = scalesim(True, False, config, topology, layout, job["gemm"])
    start = time.process_time()
    theirs.run_scale(top_path=str(folder))
    seconds = time.process_time() - start
    return reported(folder / "run") | {"cpu_s": seconds}


def reported(folder: Path) -> dict:
    """The figures of the one layer in SCALE-Sim's report files."""
    figures = {}
    for name, columns in COLUMNS.items():
        with (folder / name).open() as lines:
            header, row = ([cell.strip() for cell in cells] for cells in csv.reader(lines, skipinitialspace=True))
        named = dict(zip(header, row, strict=True))
        figures |= {ours: float(named[theirs]) for ours, theirs in columns.items()}
    return figures


def main() -> None:
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            figures = run(job, Path(folder))
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
