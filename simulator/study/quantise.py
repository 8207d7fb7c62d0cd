"""Tensors through a format: codes to disk, and what the encoding did to the values.

A format that encodes each row for itself gets a tensor a block of rows at a time, so that memory holds blocks, whatever
the tensor's size. The others (``TensorEncoding.rows_alone`` is false, or one scale for all rows) get it whole, up to
a limit.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from simulator import formats
from simulator.errors import OlivineError, UnknownNameError
from simulator.formats import Encoded, TensorEncoding
from simulator.formats.base import Calibration
from simulator.report.quantisation import write_quantisation
from simulator.study.codes import CodesFile, codes_path
from simulator.study.distortion import HISTOGRAM_SIGMAS, Distortion, Profile, TensorStatistics, profile
from simulator.study.tensors import Block, NamedTensor, named_tensors

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WHOLE_GIB", "encode_tensor", "encoded_blocks", "quantise_to_folder", "streams"]

WHOLE_GIB = 1.0
"""Largest tensor, as float32, that is held whole unless told otherwise [GiB]; encoding it takes about thrice that."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Candidate:
    """A tensor encoded with one calibration method."""

    method: str
    distortion: Distortion
    codes: CodesFile | None


def streams(encoding: TensorEncoding, tensor: NamedTensor) -> bool:
    """Whether a block of rows of the tensor can be encoded without the others."""
    return encoding.rows_alone and tensor.granularity == "row"


def encoded_blocks(
    encoding: TensorEncoding, tensor: NamedTensor, method: Calibration
) -> Iterator[tuple[Block, Encoded]]:
    """The tensor and what it is encoded as: in blocks of rows if it ``streams``, else each GEMM's operand whole."""
    if streams(encoding, tensor):
        for block in tensor.blocks():
            yield block, encoding.encode_operand(block.values[None], "row", method)[0]
        return
    values = tensor.whole()
    for gemm, operand in enumerate(encoding.encode_operand(values, tensor.granularity, method)):
        yield Block(gemm, values[gemm]), operand


def encode_tensor(
    tensor: NamedTensor,
    before: Profile,
    format_name: str,
    calibration: str = "best",
    out: Path | None = None,
    advance: Callable[[int], None] = lambda nbytes: None,
) -> TensorStatistics:
    """Encode one tensor, compare what comes back with what went in, and write the codes if there is a place for them.

    Args:
        calibration: ``mse``, ``absmax``, ``three_sigma``, or ``best``: the less noisy one of ``mse`` and ``absmax``.
        out: the folder under which the codes go; None: nowhere.
        advance: is told the bytes of each block, as float32, when it is done.
    Raises: EncodingError; OutputError if the codes cannot be written.
    """
    encoding: TensorEncoding = formats.get(format_name)
    candidates = []
    with ExitStack() as stack:
        for method in _methods(encoding, calibration):
            codes = stack.enter_context(_codes_file(out, encoding, tensor, method)) if out else None
            candidates.append(_Candidate(method, Distortion(encoding, before.sigma), codes))
            for block, operand in encoded_blocks(encoding, tensor, method):
                candidates[-1].distortion.add(block.values, operand)
                if codes:
                    prefix = f"{block.gemm}." if tensor.count > 1 else ""
                    codes.append({prefix + name: array for name, array in encoding.packed(operand).items()})
                advance(block.values.nbytes)
        best = min(candidates, key=lambda candidate: candidate.distortion.noise)
        if best.codes:
            best.codes.publish()
    return best.distortion.statistics(tensor, best.method, before)


def _methods(encoding: TensorEncoding, calibration: str) -> tuple[Any, ...]:
    if calibration != "best":
        return (calibration,)
    return ("mse", "absmax") if encoding.calibrated else ("absmax",)


def _codes_file(out: Path, encoding: TensorEncoding, tensor: NamedTensor, method: str) -> CodesFile:
    about = {
        "format": encoding.name,
        "count_rows_K": " ".join(map(str, tensor.shape)),
        "granularity": tensor.granularity,
        "calibration": method,
    }
    return CodesFile(codes_path(out, encoding.name, tensor.name), about)


def quantise_to_folder(
    source: str,
    format_names: str,
    out: Path,
    pattern: str | None = None,
    calibration: str = "best",
    write_codes: bool = True,
    whole_gib: float = WHOLE_GIB,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Encode every tensor in every format and write ``statistics.json``, tables, figures and, if asked, codes.

    Every tensor is looked at before the first is encoded: one that holds a NaN leaves nothing behind.

    Args:
        format_names: comma-separated, or ``all``.
        whole_gib: largest tensor, as float32, for a format that needs it whole.
        progress: is told the bytes done, those to do, and what was worked on.
    Returns: one row per format (``report.quantisation.format_table``).
    Raises: OlivineError, one line, before anything is written for what can be known then.
    """
    asked = formats.names() if format_names == "all" else [name.strip() for name in format_names.split(",")]
    encodings: dict[str, TensorEncoding] = {name: formats.get(name) for name in asked}
    if calibration not in (known := ("best", *get_args(Calibration))):
        raise UnknownNameError("calibration", calibration, known)
    if not 0 < whole_gib < math.inf:
        raise OlivineError(f"--whole-gib: must be a positive number of GiB, found {whole_gib:g}")
    tensors = named_tensors(source, pattern)
    _require_room(tensors, list(encodings.values()), whole_gib)
    passes = 2 + sum(len(_methods(encoding, calibration)) for encoding in encodings.values())
    meter = _Meter(sum(tensor.nbytes for tensor in tensors) * passes, progress)
    profiles = [profile(tensor, meter.reads(tensor.name)) for tensor in tensors]
    statistics = [
        encode_tensor(
            tensor, before, name, calibration, out if write_codes else None, meter.reads(f"{tensor.name} in {name}")
        ).to_dict()
        for tensor, before in zip(tensors, profiles, strict=True)
        for name in encodings
    ]
    _forget_other_codes(out, {codes_path(out, f, t.name) for f in encodings for t in tensors} if write_codes else set())
    options = {
        "--tensor": pattern,
        "--calibration": calibration if calibration != "best" else None,
        "--whole-gib": f"{whole_gib:g}" if whole_gib != WHOLE_GIB else None,
        "--out": str(out),
    }
    given = [text for option, value in options.items() if value is not None for text in (option, value)]
    given += [] if write_codes else ["--no-codes"]
    command = shlex.join(["olivine", "quantize", source, "--format", format_names, *given])
    return write_quantisation(out, statistics, HISTOGRAM_SIGMAS.tolist(), source, command)


def _forget_other_codes(out: Path, kept: set[Path]) -> None:
    """Remove codes that an earlier run left in its own folder: the new statistics know nothing of them."""
    if (out / "statistics.json").exists():
        for stale in set(out.glob("codes/*/*.safetensors")) - kept:
            stale.unlink()


def _require_room(tensors: Sequence[NamedTensor], encodings: Sequence[TensorEncoding], whole_gib: float) -> None:
    """Refuse tensors that are too large for a format that cannot take them a block at a time."""
    for tensor in tensors:
        whole = [encoding.name for encoding in encodings if not streams(encoding, tensor)]
        gib = tensor.nbytes / 2**30
        if whole and gib > whole_gib:
            raise OlivineError(
                f"tensor '{tensor.name}' takes {gib:.2f} GiB as float32, and {', '.join(whole)} must hold it whole, "
                f"which is allowed up to {whole_gib:g} GiB; leave the format out, choose --tensor, or raise --whole-gib"
            )


class _Meter:
    """Bytes done of bytes to do."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def reads(self, label: str) -> Callable[[int], None]:
        """A callback that counts the bytes it is told."""

        def advance(nbytes: int) -> None:
            self._done += nbytes
            if self._progress:
                self._progress(self._done, self._total, label)

        return advance
