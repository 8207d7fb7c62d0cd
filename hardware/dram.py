"""``python -m hardware.dram``: prices of DRAM standards from the supply currents of their datasheets.

Micron's method (TN-40-07, Calculating Memory Power for DDR4 SDRAM). Per device, currents in mA:

* activate and precharge: VDD x (IDD0 x tRC - IDD3N x tRAS - IDD2N x (tRC - tRAS))
* a bit read or written: VDD x (IDD4 - IDD3N) over the rate at which a device moves bits
* background: VDD x IDD3N, and refreshes: VDD x (IDD5B - IDD3N) x tRFC / tREFI

On the wires, per bit: where they are terminated, VDDQ^2 / (driver + termination) while a bit is low, which half are;
where they are not, the load is charged by every fourth bit (0 to 1).
"""

from __future__ import annotations

import csv
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "configs" / "cost" / "dram_standards.yaml"

HEAD = """\
# Off-chip memories by standard, to be extended, not used alone; `memory.dram.standard` of a design picks one. ddr4,
# lpddr5 and gddr6 are made by `python -m hardware.dram` from hardware/dram_currents.csv: change those, not this. Read,
# write: a bit moved, without the activate. Activate: opening and closing a row of row_bytes. Background: standby and
# refresh of one channel (hbm2e: a stack; gddr6: a device of two channels), which gives channel_gb_s; a design has as
# many as its bandwidth needs.
drams:
"""
HBM2E = {
    "read_pj_per_bit": 3.48,
    "write_pj_per_bit": 3.48,
    "activate_pj": 909.0,
    "row_bytes": 1024,
    "background_mw": 1304.9,
    "channel_gb_s": 409.6,
}
SOURCES = {
    "ddr4": "currents of Micron's 8 Gb x8 DDR4-3200, Micron TN-40-07; POD12 wires of 34 + 40 ohm (read), 34 + 120 ohm "
    "(write)",
    "lpddr5": "currents of Micron's Y52P LPDDR5X, VDD2H alone, Micron TN-40-07; unterminated wires of 5 pF at 0.5 V",
    "gddr6": "currents of Samsung's K4Z80325BC, HC14, Micron TN-40-07; POD135 wires of 40 + 60 ohm (read), 40 + 120 "
    "ohm (write)",
    "hbm2e": "HBM2: 909 pJ per activate and 3.48 pJ/bit besides, 0.80 of it on the interposer (O'Connor et al., "
    "Fine-Grained DRAM, MICRO 2017, Table 3; 3.92 pJ/bit with activates on their workloads; SK hynix gives about 4.3 "
    "for HBM2E, IEDM 2023, 15-6). Background: 1087.4 mA at 1.2 V, mean IDD2 of 36 HBM2 stacks, CMU-SAFARI HBM-Power "
    "artifact; assumed to be HBM2E's",
}

Row = dict[str, str]


def read_currents() -> list[Row]:
    """The rows of ``dram_currents.csv``."""
    with (HERE / "dram_currents.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def prices(row: Row) -> dict[str, float]:
    """Fields of ``config.cost.DramPrices`` but the source."""
    f = {name: float(value) for name, value in row.items() if name != "standard" and value}
    bits_per_ns = f["width"] * f["gb_s"]
    refresh = (f["idd5b"] - f["idd3n"]) * f["trfc_ns"] / f["trefi_ns"]
    return {
        "read_pj_per_bit": f["vdd_v"] * (f["idd4r"] - f["idd3n"]) / bits_per_ns + wire_pj(f, "io_read_ohm"),
        "write_pj_per_bit": f["vdd_v"] * (f["idd4w"] - f["idd3n"]) / bits_per_ns + wire_pj(f, "io_write_ohm"),
        "activate_pj": f.get("activate_pj") or f["devices"] * f["vdd_v"] * activate_charge(f),
        "row_bytes": int(f["row_bytes"]),
        "background_mw": f["devices"] * f["vdd_v"] * (f["idd3n"] + refresh),
        "channel_gb_s": f["devices"] * f["width"] * f["price_gb_s"] / 8,
    }


def activate_charge(f: dict[str, float]) -> float:
    """Charge of an activate and a precharge beyond standby [pC]."""
    return f["idd0"] * f["trc_ns"] - f["idd3n"] * f["tras_ns"] - f["idd2n"] * (f["trc_ns"] - f["tras_ns"])


def wire_pj(f: dict[str, float], ohm: str) -> float:
    """Energy of a bit on its wire [pJ]."""
    if "io_pf" in f:
        return f["io_pf"] * f["vddq_v"] ** 2 / 4
    return 0.5 * f["vddq_v"] ** 2 / f[ohm] * 1e3 / f["price_gb_s"]


def text() -> str:
    """The price file."""
    entries = {row["standard"]: prices(row) for row in read_currents()} | {"hbm2e": HBM2E}
    out = HEAD
    for name, fields in entries.items():
        lines = "".join(f"    {field}: {value:.5g}\n" for field, value in fields.items())
        out += f'  {name}:\n{lines}    source: "{SOURCES[name]}"\n'
    return out


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
