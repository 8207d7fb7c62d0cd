"""Writes ``configs/cost/logic_*nangate45.yaml`` from ``reference.csv`` (NanGate45, measured) and ``synthesis.csv``.

    python -m hardware.prices

What NanGate45 was measured for is taken as it is. All else is transferred: the figure of the nearest measured sibling
on NanGate45, times the ratio of our module to our version of the sibling, geometric mean over the libraries of
``synthesis.csv``. Areas are transferred without flip-flops, which are counted at NanGate45's area of one.

Conventions, as in ``configs/cost/open.yaml``: a part's area holds its pass-through registers, its leakage and the
energy of its actions do not; a register's hop is the action ``reg_bit``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hardware.modules import MODULES, MX, WIDTHS, integer_name
from hardware.synthesise import mixture

__all__ = ["OUT", "Price", "Tables", "prices", "read_tables", "text"]

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "configs" / "cost"
_NODE = "nangate45"
_REG_BIT_PJ = 0.0089995  # configs/cost/open.yaml
_HEADER = """\
# Logic beyond the first few datapaths, made by `python -m hardware.prices`: change that, not this. To be extended, not
# used alone. NanGate45, 45 nm, typical, yosys 0.23, no wires and no clock tree. "measured": that row of
# hardware/reference.csv. "transferred": the measured row times the ratio of a module of hardware/pe to our version of
# that row [in brackets] on the open libraries of hardware/synthesis.csv; areas without flip-flops, which count at
# NanGate45's own area.
"""


@dataclass(frozen=True)
class Price:
    """One entry of the file: an action if ``energy_pj`` is there, else a part."""

    name: str
    component: str
    source: str
    energy_pj: float | None = None
    area_um2: float = 0.0
    leakage_nw: float = 0.0

    def line(self) -> str:
        """YAML."""
        if self.energy_pj is not None:
            figures = f"energy_pj: {self.energy_pj:.5g}"
        else:
            figures = f"area_um2: {self.area_um2:.6g}, leakage_nw: {self.leakage_nw:.6g}"
        return f'  {self.name}:\n    {{component: {self.component}, {figures}, source: "{self.source}"}}\n'


@dataclass(frozen=True)
class Tables:
    """Both CSVs: measured rows by (module, library), ours by (module, library)."""

    reference: dict[tuple[str, str], dict[str, str]]
    ours: dict[tuple[str, str], dict[str, str]]

    def known(self, row: str, column: str) -> float:
        """A measured figure on NanGate45. Raises: KeyError, ValueError if it was not measured."""
        return float(self.reference[row, _NODE][column])

    def area(self, row: str) -> float:
        """Measured area [um2]."""
        return self.known(row, "area_um2")

    def leakage(self, row: str) -> float:
        """Measured leakage [nW]."""
        return self.known(row, "leakage_nw")

    def energy(self, row: str) -> float:
        """Measured energy with glitches [pJ]."""
        return self.known(row, "energy_delayed_fj") / 1e3

    @property
    def flop_um2(self) -> float:
        """Area of one flip-flop on NanGate45."""
        return self.known("pe_int4", "flop_area_um2") / self.known("pe_int4", "flops")

    def ratio(self, module: str, column: str) -> float:
        """Geometric mean over the libraries of our module over our sibling."""
        found = [float(row[column]) for (name, _), row in self.ours.items() if name == module]
        result = 1.0
        for value in found:
            result *= value ** (1 / len(found))
        return result

    def flops(self, module: str) -> int:
        """Flip-flops of our module, the same on all libraries."""
        (count,) = {int(row["flops"]) for (name, _), row in self.ours.items() if name == module}
        return count

    def siblings(self, module: str, column: str) -> float:
        """A figure of a module's siblings on NanGate45, mixed by their weights."""
        found = MODULES[module]
        return mixture(found, {sibling: self.known(MODULES[sibling].known, column) for sibling in found.like})

    def transferred_energy(self, module: str) -> float:
        """[pJ]"""
        return self.siblings(module, "energy_delayed_fj") / 1e3 * self.ratio(module, "energy_ratio")

    def transferred_area(self, module: str, pass_bits: int) -> float:
        """Logic by ratio, flip-flops and pass-through registers by count [um2]."""
        logic = self.siblings(module, "comb_area_um2") * self.ratio(module, "comb_ratio")
        return logic + (self.flops(module) + pass_bits) * self.flop_um2

    def transferred_leakage(self, module: str) -> float:
        """[nW]"""
        return self.siblings(module, "leakage_nw") * self.ratio(module, "leakage_ratio")


def _known_rows(module: str) -> str:
    """The measured rows that a module's price comes from."""
    found = MODULES[module].like
    return "mean of integer PEs" if len(found) > 1 else MODULES[next(iter(found))].known


def _compared(module: str) -> str:
    found = MODULES[module].like
    return f"[{module} / {'their weighted mean' if len(found) > 1 else next(iter(found))}]"


def read_tables() -> Tables:
    """Both CSVs, comments left out."""

    def read(name: str) -> dict[tuple[str, str], dict[str, str]]:
        with (HERE / name).open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            return {(row["module"], row["library"]): row for row in rows}

    return Tables(read("reference.csv"), read("synthesis.csv"))


def _measured(t: Tables, name: str, component: str, row: str, passing: str = "", note: str = "") -> Price:
    """A part: area of ``passing`` if it is given (with registers), leakage of ``row``."""
    source = f"measured: area {passing or row}, leakage {row}" if passing else f"measured: {row}"
    return Price(name, component, source + note, None, t.area(passing or row), t.leakage(row))


def _measured_action(t: Tables, name: str, component: str, row: str, note: str = "") -> Price:
    return Price(name, component, f"measured: {row}, delayed simulation{note}", t.energy(row))


def _transferred_action(t: Tables, name: str, component: str, module: str, note: str = "") -> Price:
    source = f"transferred: {_known_rows(module)} x {t.ratio(module, 'energy_ratio'):.4g} {_compared(module)}{note}"
    return Price(name, component, source, t.transferred_energy(module))


def _transferred(t: Tables, name: str, component: str, module: str, pass_bits: int = 0, note: str = "") -> Price:
    ratios = f"logic x {t.ratio(module, 'comb_ratio'):.4g}, leakage x {t.ratio(module, 'leakage_ratio'):.4g}"
    flops = f"{t.flops(module)} flip-flops" + (f" and {pass_bits} pass-through bits" if pass_bits else "")
    source = f"transferred: {_known_rows(module)}, {ratios} {_compared(module)}, {flops}{note}"
    area, leakage = t.transferred_area(module, pass_bits), t.transferred_leakage(module)
    return Price(name, component, source, None, area, leakage)


def _integers(t: Tables) -> Iterator[Price]:
    """All widths; 4 x 4 and 8 x 8 into 32 bits are in ``open.yaml``."""
    measured = {(16, 4): "pe_ol16x4", (16, 16): "pe_int16"}
    sizes = [(a, w, 32) for a, w in product(WIDTHS, WIDTHS) if (a, w) not in ((4, 4), (8, 8))]
    sizes += [(4, 4, 16), (8, 8, 16), (8, 8, 24), (8, 8, 48), (16, 16, 48)]
    for a, w, acc in sizes:
        label = f"int{a}x{w}_acc{acc}"
        row = measured.get((max(a, w), min(a, w))) if acc == 32 else None
        if row:
            yield _measured_action(t, f"mac_{label}", "mac", row)
            yield _measured(t, f"pe_{label}", "pe", row, f"{row}#PASS=1")
        else:
            module = integer_name(a, w, acc)
            yield _transferred_action(t, f"mac_{label}", "mac", module)
            if acc == 16 and a == 4:
                yield _small_accumulator(t, module)
            else:
                yield _transferred(t, f"pe_{label}", "pe", module, a + w)
    yield _measured_action(t, "mac_int4x4_acc24", "mac", "pe_ol4")
    yield _measured(t, "pe_int4x4_acc24", "pe", "pe_ol4", "pe_ol4#PASS=1")


def _small_accumulator(t: Tables, module: str) -> Price:
    row = "pe_mac#AW=4#WW=4#ACC=16"
    note = f"leakage transferred: pe_ol4 x {t.ratio(module, 'leakage_ratio'):.4g} {_compared(module)}"
    source = f"measured: area {row} and 8 pass-through bits; {note}"
    area = t.area(row) + 8 * t.flop_um2
    return Price("pe_int4x4_acc16", "pe", source, None, area, t.transferred_leakage(module))


def _outlier_encodings(t: Tables) -> Iterator[Price]:
    """OliVe, ANT, AdaptivFloat, OLAccel, BitFusion, BiScaled."""
    yield _measured_action(t, "decode_ovp4f_pair", "decoder", "dec_ovp4f")
    yield _measured(t, "decoder_ovp4f", "decoder", "dec_ovp4f", "dec_ovp4f_reg")
    yield _measured_action(t, "decode_ovp8_pair", "decoder", "dec_ovp8")
    yield _measured(t, "decoder_ovp8", "decoder", "dec_ovp8", "dec_ovp8_reg")
    yield _measured_action(t, "merge_int32", "mac", "prim_add32")
    yield _measured(t, "merge_adder32", "pe", "prim_add32")
    yield _measured_action(t, "mac_ei8_acc32", "mac", "pe_ei8")
    yield _measured(t, "pe_ei8_acc32", "pe", "pe_ei8", "pe_ei8#PASS=1")
    yield _measured_action(t, "decode_flint4", "decoder", "dec_flint4s")
    flops = t.flops("flint4_reg")
    register = f"an output register of {flops} flip-flops (two bits repeat others)"
    source = f"measured: dec_flint4s, and {register}; leakage without it"
    area = t.area("dec_flint4s") + flops * t.flop_um2
    yield Price("decoder_flint4", "decoder", source, None, area, t.leakage("dec_flint4s"))
    yield _measured_action(t, "mac_af8_acc32", "mac", "pe_af8")
    yield _measured(t, "pe_af8_acc32", "pe", "pe_af8", "pe_af8#PASS=1")
    yield _transferred_action(t, "mac_af8_acc40", "mac", "af8_acc40")
    yield _transferred(t, "pe_af8_acc40", "pe", "af8_acc40", 16)
    yield _measured(t, "pe_olaccel4_acc24", "pe", "pe_ol4", "pe_ol4#PASS=1")
    yield _measured_action(t, "outlier_mac_int16x4_acc32", "outlier", "pe_ol16x4")
    yield _measured(t, "outlier_pe_int16x4_acc32", "outlier", "pe_ol16x4", "pe_ol16x4#PASS=1")
    yield _transferred_action(t, "outlier_mac_int16x16_acc48", "outlier", "int16x16_acc48")
    yield _transferred(t, "outlier_pe_int16x16_acc48", "outlier", "int16x16_acc48", 32)
    for sizes in ("8x8", "8x4", "4x4", "4x2", "8x2", "2x2"):
        module = f"fusion_{sizes}"
        yield _transferred_action(t, module, "mac", module, f", per product, {MODULES[module].per_cycle:g} a cycle")
    note = "; BitFusion's own 45 nm synthesis (8/2, github hsharma35/bitfusion) has 1733 um2, 64314 nW"
    yield _transferred(t, "pe_fusion8_acc32", "pe", "fusion_8x8", 64, note)
    for acc in (32, 48):
        yield _transferred_action(t, f"mac_bs6_acc{acc}", "mac", f"bs6_acc{acc}", "; 1 % wide, assumed")
        yield _transferred(t, f"pe_bs6_acc{acc}", "pe", f"bs6_acc{acc}", 14)
    yield _transferred_action(t, "decode_biscaled_index", "decoder", "dec_biscaled", "; blocks of 8")
    yield _transferred(t, "decoder_biscaled", "decoder", "dec_biscaled", note="; blocks of 8")


def _floats(t: Tables) -> Iterator[Price]:
    """FP8 and the block formats."""
    yield _transferred_action(t, "mac_fp8_acc32", "mac", "fp8", "; E4M3 operands")
    yield _transferred(t, "pe_fp8_acc32", "pe", "fp8", 16)
    for name, mx in MX.items():
        yield _transferred_action(t, f"mac_{name}", "mac", f"{name}_dot", f"; into {mx.acc} bits")
        bits = 2 * (1 + mx.exp + mx.man) + 16
        yield _transferred(t, f"pe_{name}", "pe", f"{name}_pe", bits, "; elements and scales")
    note = "; the widest block sum of the default formats, 42 bits"
    yield _transferred_action(t, "block_scale_add_fp32", "mac", "mxfp8_end", note)
    yield _transferred_action(t, "block_scale_add_nvfp4", "mac", "nvfp4_end", "; with the product of both E4M3 scales")


def _gobo(t: Tables) -> Iterator[Price]:
    yield _measured_action(t, "accumulate_gobo3", "mac", "gobo_lane")
    yield _measured(t, "pe_gobo3", "pe", "gobo_lane")
    yield _transferred_action(t, "accumulate_gobo4", "mac", "gobo16")
    yield _transferred(t, "pe_gobo4", "pe", "gobo16")
    yield _measured_action(t, "centroid_mac_fp32", "centroid", "gobo_spu")
    yield _measured(t, "centroid_unit_fp32", "centroid", "gobo_spu")
    note = "; FP16 multiply and FP32 add. gobo_pe minus gobo_lane is per step of the lane, not per outlier: not used"
    yield _measured_action(t, "outlier_mac_fp32", "outlier", "pe_fp16", note)
    source = "measured: gobo_pe minus gobo_lane (outlier multiplier and ninth sum; it borrows the lane's adder)"
    area, leakage = (of("gobo_pe") - of("gobo_lane") for of in (t.area, t.leakage))
    yield Price("outlier_pe_fp32", "outlier", source, None, area, leakage)
    yield from _coordinator(t)
    yield _transferred_action(t, "decompress_gobo_value", "decoder", "dec_gobo", "; 16 centroids of FP16")
    yield _transferred(t, "decompressor_gobo", "decoder", "dec_gobo", note="; 16 centroids of FP16")


def _coordinator(t: Tables) -> Iterator[Price]:
    """Two measured depths of the FIFO: a straight line, its slope an entry, its value at depth 0 the rest."""
    four, sixteen = (t.area(f"gobo_coord#P=16#D={depth}") for depth in (4, 16))
    entry = (sixteen - four) / 12
    rest = four - 4 * entry
    density = t.leakage("gobo_lane") / t.area("gobo_lane")
    rule = "leakage assumed: that of gobo_lane per um2"
    source = f"measured: gobo_coord#P=16 at depths 4 and 16, straight line to depth 0; {rule}"
    yield Price("coordinator_lane16", "coordinator", source, None, rest, rest * density)
    source = f"measured: gobo_coord#P=16, a twelfth of depth 16 minus depth 4; {rule}"
    yield Price("fifo_entry32", "coordinator", source, None, entry, entry * density)
    yield _transferred_action(t, "fifo_entry_move", "coordinator", "fifo4", "; a push or a pop, four entries clocked")


def _vector(t: Tables) -> Iterator[Price]:
    """LLM.int8()'s passes over operands and results."""
    parts = "2 x prim_fp32mul and prim_fp32add; the conversion from integer is left out"
    energy = 2 * t.energy("prim_fp32mul") + t.energy("prim_fp32add")
    yield Price("dequantise_fp32", "vector", f"measured: {parts}", energy)
    area, leakage = (2 * of("prim_fp32mul") + of("prim_fp32add") for of in (t.area, t.leakage))
    area += 32 * t.flop_um2
    yield Price("dequantiser_fp32", "vector", f"measured: {parts}; 32 flip-flops", None, area, leakage)
    yield _transferred_action(t, "scan_fp16", "vector", "scan_fp16")
    yield _transferred(t, "scan_lane_fp16", "vector", "scan_fp16")
    yield _transferred_action(t, "quantise_int8_value", "vector", "quantise_int8", "; FP16 value, FP32 factor")
    yield _transferred(t, "quantiser_int8", "vector", "quantise_int8", note="; FP16 value, FP32 factor")
    source = "derived: 32 x reg_bit (0.0089995 pJ, configs/cost/open.yaml), a value out of one register into another"
    yield Price("gather_fp16", "vector", source, 32 * _REG_BIT_PJ)


def _lanes(t: Tables) -> Iterator[Price]:
    """The vector unit of every design: FP32 lanes, and units that interpolate special functions."""
    moved = "and 96 x reg_bit (configs/cost/open.yaml), two operands and a result"
    for action, row in (("vector_add_fp32", "prim_fp32add"), ("vector_mul_fp32", "prim_fp32mul")):
        yield Price(action, "vector", f"measured: {row}, delayed simulation; {moved}", t.energy(row) + 96 * _REG_BIT_PJ)
    parts = "2 x prim_fp32mul and 2 x prim_fp32add"
    why = "quadratic interpolation in a table as in Oberman and Siu, ARITH 2005"
    twice = 2 * (t.energy("prim_fp32mul") + t.energy("prim_fp32add"))
    source = f"assumed: {parts}, {why}; its look-up as {moved.removeprefix('and ')}, twice"
    yield Price("vector_special_fp32", "vector", source, twice + 192 * _REG_BIT_PJ)
    area, leakage = (of("prim_fp32mul") + of("prim_fp32add") for of in (t.area, t.leakage))
    flops = 96 * t.flop_um2
    source = "measured: prim_fp32mul and prim_fp32add; 96 flip-flops"
    yield Price("vector_lane_fp32", "vector", source, None, area + flops, leakage)
    table_area, table_leakage = t.area("prim_fp32add"), t.leakage("prim_fp32add")
    source = f"assumed: {parts}, {why}; its table as large as an adder; 96 flip-flops"
    yield Price("special_unit_fp32", "vector", source, None, 2 * area + table_area + flops, 2 * leakage + table_leakage)


def prices(t: Tables) -> dict[str, list[Price]]:
    """File name -> all its entries in their order."""
    others = (_outlier_encodings, _floats, _gobo, _vector, _lanes)
    return {
        "logic_integer_nangate45.yaml": list(_integers(t)),
        "logic_nangate45.yaml": [price for section in others for price in section(t)],
    }


def text(entries: list[Price]) -> str:
    """One file."""
    actions = "".join(price.line() for price in entries if price.energy_pj is not None)
    parts = "".join(price.line() for price in entries if price.energy_pj is None)
    return f"{_HEADER}actions:\n{actions}\nparts:\n{parts}"


if __name__ == "__main__":
    for name, entries in prices(read_tables()).items():
        (OUT / name).write_text(text(entries), encoding="utf-8")
