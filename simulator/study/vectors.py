"""``olivine vectors``: one GEMM of a design as memories, expected results and a testbench for somebody's RTL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import simulator
from simulator.config import Design
from simulator.config.design import Dram, SystolicDesign
from simulator.errors import ConfigError, DatapathError, MismatchError, WorkloadError
from simulator.formats import Encoded, TensorEncoding
from simulator.mapping import ArrayShape
from simulator.report.atomic import require_replaceable, write_folder
from simulator.study.building import build
from simulator.study.hex_memory import hex_memory, named_words, twos_complement
from simulator.study.simulate import OpResult, simulate_op
from simulator.study.stimulus import Stimulus
from simulator.study.systolic import SystolicHardware
from simulator.workload import Op

__all__ = ["operand_record", "write_vectors"]

_RECORD = "vectors.json"
_FORMAT = "olivine-vectors"

_MOST_CYCLES = (1 << 31) - 1
"""The testbench counts in Verilog's 32-bit integers."""
Row = dict[str, Any]


def write_vectors(design: Design, stimulus: Stimulus, out: Path, force: bool = False) -> Row:
    """Write memories, record and testbench of one GEMM into the new folder ``out``; returns the record.

    Args:
        force: replace the vectors that ``out`` holds; any other file in it stays.
    Raises: OlivineError, one line, before anything is written.
    """
    require_replaceable(out, _RECORD, _FORMAT, force)
    op = stimulus.op
    hardware = _without_memory_limits(design.for_op(stimulus.workload, op.name))
    if (cycles := hardware.array.total(op.M, op.N, op.K)) > _MOST_CYCLES:
        raise WorkloadError(f"{cycles} cycles; at most {_MOST_CYCLES} are written; give smaller -m, -n, -k")
    result = simulate_op(hardware, stimulus.op, (stimulus.act, stimulus.weight))
    if result.quality and result.quality.mismatch:
        raise MismatchError(result.quality.mismatch)
    record, files = _record(hardware, result, stimulus.source)
    files["testbench.sv"] = _testbench(record)
    record["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[_RECORD] = (json.dumps(record, indent=2) + "\n").encode()
    write_folder(out, files, _RECORD)
    return record


def _without_memory_limits(design: Design) -> SystolicHardware:
    """The design with every operand at hand when the array wants it, as in the testbench."""
    if not isinstance(design, SystolicDesign):
        where = design.where("array", "kind")
        raise ConfigError(f"{where}: vectors are written for output-stationary systolic arrays, found tensor_core")
    array = design.array
    if (array.kind, array.dataflow) != ("systolic", "os") or array.fold_overlap == "scalesim":
        wrong = "fold_overlap" if array.fold_overlap == "scalesim" else "dataflow"
        raise ConfigError(
            f"{design.where('array', wrong)}: vectors are written for output-stationary systolic arrays that are "
            f"hardware (fold_overlap none, wave or full), found {array.kind}, {array.dataflow}, {array.fold_overlap}"
        )
    memory = design.memory.model_copy(update={"dram": Dram(model="none")})
    return build(design.model_copy(update={"memory": memory}))


def _record(hardware: SystolicHardware, result: OpResult, source: Row) -> tuple[Row, dict[str, bytes]]:
    """What ``vectors.json`` says, and the memories it names."""
    datapath = hardware.datapath
    (act, weight), (values,) = result.operands[0], result.values
    files: dict[str, bytes] = {}
    record = {
        "format": _FORMAT,
        "version": 1,
        "olivine_version": simulator.__version__,
        "design": hardware.design.name,
        "datapath": {"name": hardware.design.datapath.name} | hardware.design.datapath.options,
        "source": source,
        "gemm": {"M": result.op.M, "N": result.op.N, "K": result.op.K},
        "array": _geometry(hardware),
        "act": operand_record("act", datapath.act_format, act, files),
        "weight": operand_record("weight", datapath.weight_format, weight, files),
        "result": _results(hardware, values, files),
        "cycles": _cycles(hardware.array, result.op, result.timing.total_cycles),
    }
    return record, files


def _geometry(hardware: SystolicHardware) -> Row:
    array = hardware.array
    return {
        "rows": array.rows,
        "cols": array.cols,
        "dataflow": hardware.design.array.dataflow,
        "fold_overlap": array.overlap,
        "cycles_per_step": array.cycles_per_step,
    }


def operand_record(side: str, encoding: TensorEncoding, encoded: Encoded, files: dict[str, bytes]) -> Row:
    """One operand: its packed bytes, its scales and all else that its format stores, each added to ``files``.

    Raises: EncodingError for an extra that is no array of memory words.
    """
    memory = _memory(side, encoded.codes, files)
    unit_values, unit_bytes = _unit(encoding, encoded)
    scale = np.atleast_1d(encoded.scale)
    extras = [words for name, array in encoded.extras.items() for words in named_words(f"{side}_{name}", array)]
    return memory | {
        "format": encoding.name,
        "value_bits": encoding.bits,
        "row_bytes": encoded.codes.shape[1],
        "unit_values": unit_values,
        "unit_bytes": unit_bytes,
        "scale": _memory(f"{side}_scale", scale.view(np.uint32), files)
        | {"k_per_scale": encoded.group or encoded.length, "values": scale.astype(np.float64).tolist()},
        "extras": [_memory(name, words, files) for name, words in extras],
    }


def _memory(name: str, words: NDArray[Any], files: dict[str, bytes]) -> Row:
    bits = 8 * words.dtype.itemsize
    files[f"{name}.hex"] = hex_memory(words, bits)
    return {"file": f"{name}.hex", "bits": bits, "shape": list(words.shape)}


def _unit(encoding: TensorEncoding, encoded: Encoded) -> tuple[int, int]:
    """Values and bytes of what is packed together: a byte of two nibbles, two bytes of one float ... or a whole row."""
    values = encoding.values_per_group
    size, odd_bits = divmod(values * encoding.bits, 8)
    row_bytes = encoded.codes.shape[1]
    if odd_bits or -(-encoded.length // values) * size != row_bytes:
        return encoded.length, row_bytes
    return values, size


def _results(hardware: SystolicHardware, values: NDArray[Any], files: dict[str, bytes]) -> Row:
    """Accumulators (M, N): two's complement of the accumulator's width, or the bits of float32."""
    if values.dtype == np.float32:
        return _memory("result", values.view(np.uint32), files) | {"kind": "float32"}
    if values.dtype.kind != "i":
        name = hardware.design.datapath.name
        raise DatapathError(f"datapath '{name}' gives {values.dtype}; vectors hold integers or float32")
    bits = hardware.bits.accumulator
    files["result.hex"] = hex_memory(twos_complement(values, bits), bits)
    return {"file": "result.hex", "bits": bits, "shape": list(values.shape), "kind": "int"}


def _folds(array: ArrayShape, op: Op) -> tuple[int, int]:
    """Row blocks and column blocks of the result."""
    return -(-op.M // array.rows), -(-op.N // array.cols)


def _cycles(array: ArrayShape, op: Op, total_cycles: int) -> Row:
    """Closed forms of the array, and what the data adds to them. A result of several words exits with its last one."""
    steps, words = op.K * array.cycles_per_step, array.result_words
    row_folds, col_folds = _folds(array, op)
    closed_form = array.total(op.M, op.N, op.K)
    hops = "r" if words == 1 else f"{words} * r"
    stalls = total_cycles - closed_form
    return {
        "total": total_cycles,
        "closed_form": closed_form,
        "stalls": stalls,
        "folds": row_folds * col_folds,
        "col_folds": col_folds,
        "fold_period": array.fold(op.K).period_cycles,
        "first_exit": steps + array.rows - 2 + array.rows * words,
        "result_words": words,
        "fold_rule": "fold = (m // rows) * col_folds + n // cols; r = m % rows; c = n % cols",
        "exit_rule": None if stalls else f"cycle = fold * fold_period + first_exit + c - {hops}; cycle 0 is the first",
    }


def _testbench(record: Mapping[str, Any]) -> bytes:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - Verilog, not a page
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = json.dumps  # one line, whatever a name holds
    return environment.get_template("testbench.sv.j2").render(record).encode()
