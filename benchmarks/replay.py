"""Run the shipped studies again and compare every number with the checked-in sample report.

    python benchmarks/replay.py            exit 1 and name each difference
    python benchmarks/replay.py --write    write the sample reports anew

Counts must be equal; floats may differ by 1e-9 of their value (another BLAS sums in another order).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import simulator as sim

SAMPLES = Path(__file__).resolve().parent.parent / "reports"
STUDIES = {"demo": "sample-demo", "encodings": "sample-encodings", "olive_systolic": "sample-olive-systolic"}
RELATIVE_TOLERANCE = 1e-9


def differences(found: pd.DataFrame, expected: pd.DataFrame) -> list[str]:
    """One line per column that differs."""
    if list(found.columns) != list(expected.columns) or len(found) != len(expected):
        return [f"shape or columns: {found.shape} {list(found.columns)}, expected {expected.shape}"]
    lines = []
    for column in expected.columns:
        ours, theirs = found[column], expected[column]
        if pd.api.types.is_float_dtype(theirs):
            equal = np.isclose(ours.astype(float), theirs, rtol=RELATIVE_TOLERANCE, atol=0, equal_nan=True)
        else:
            equal = (ours == theirs) | (ours.isna() & theirs.isna())
        if not np.all(equal):
            row = int(np.argmin(np.asarray(equal, dtype=bool)))
            lines.append(f"{column}, row {row}: {ours.iloc[row]!r}, expected {theirs.iloc[row]!r}")
    return lines


def replay(study: str, sample: Path) -> list[str]:
    """Differences between a fresh run of a study and its sample, both tables."""
    with tempfile.TemporaryDirectory() as scratch:
        sim.run_study(study, out=scratch)
        return [
            f"{study}: {name}: {line}"
            for name in ("results", "layers")
            for line in differences(*(pd.read_parquet(Path(d) / f"{name}.parquet") for d in (scratch, sample)))
        ]


def write(study: str, sample: Path) -> None:
    """Make a sample anew. The store is left out: it is for resuming, not for reading."""
    with tempfile.TemporaryDirectory() as scratch:
        sim.run_study(study, out=scratch)
        shutil.rmtree(sample, ignore_errors=True)
        shutil.copytree(scratch, sample, ignore=shutil.ignore_patterns("results.sqlite*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the sample reports anew")
    arguments = parser.parse_args()
    failed = False
    for study, folder in STUDIES.items():
        if arguments.write:
            write(study, SAMPLES / folder)
            print(f"{study}: written to reports/{folder}")
            continue
        lines = replay(study, SAMPLES / folder)
        print("\n".join(lines) or f"{study}: every number as in reports/{folder}")
        failed |= bool(lines)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
