"""Any PyTorch module to a trace: ``sim.trace(module, inputs, out=...)``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import TraceError
from simulator.tracing.choose import chooses, select_ops
from simulator.tracing.extract import olivine_version, portable
from simulator.tracing.manifest import DTYPES, Created, InputRecord, ModelRecord
from simulator.tracing.store import Trace, open_trace
from simulator.tracing.writer import DEFAULT_SHARD_BYTES, TraceWriter, rounded
from simulator.workload import Op

if TYPE_CHECKING:
    import torch

__all__ = ["trace"]


def trace(
    module: torch.nn.Module,
    inputs: Any,
    out: Path | str,
    *,
    layers: str | None = None,
    rows: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
    licence: str = "unknown",
    force: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> Trace:
    """Run a PyTorch module once, in evaluation mode, and store the operands of its matrix products.

    Linear layers, convolutions (as im2col), products of two activations and both products of scaled dot-product
    attention are ops, named by the path of the module that computes them; later ones of a name end in ``#2``, ``#3``.
    Lookups in embeddings are none; they are named in the manifest's note. Passes are not recorded.

    Args:
        module: on any device; what it is made of does not matter.
        inputs: its argument, a tuple of its arguments, or a mapping of its keyword arguments.
        out: the trace folder to make.
        layers: which ops to keep, as in ``olivine trace --layers``; default: all.
        rows: rows to keep of an activation that has more; row 0 is always kept, statistics are those of all rows.
        dtype: one of ``manifest.DTYPES`` that is a float; default: as the module computes.
        name, licence: for the manifest; default: the module's class.
    Raises: TraceError if torch is missing, or the module computes a product that cannot be seen or stored; OutputError
        if ``out`` cannot be written.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise TraceError("sim.trace needs the 'torch' extra: pip install 'olivine[torch]'") from None
    from simulator.tracing.torch_modes import observed_run

    known = tuple(word for word in DTYPES if "float" in word)
    if dtype is not None and dtype not in known:
        raise TraceError(f"dtype '{dtype}' cannot be stored; known: {', '.join(known)}")
    folder, kind = Path(out), type(module)
    writer = TraceWriter(
        folder,
        model=ModelRecord(
            name=name or kind.__name__,
            source=f"PyTorch module {kind.__module__}.{kind.__qualname__}",
            licence=licence,
            sha256=_state_sha256(module),
        ),
        input=InputRecord(),
        created=Created(
            command=_command(kind.__name__, folder, layers, rows, dtype), olivine_version=olivine_version()
        ),
        shard_bytes=shard_bytes,
        force=force,
    )
    with writer:
        recorder = _Recorder(writer, layers, rows, dtype)
        lookups = observed_run(module, *_arguments(inputs), recorder)
        recorder.require_any()
        writer.input = InputRecord(note=_note(inputs, lookups))
    return open_trace(folder)


class _Recorder:
    """Stores operands (NumPy arrays) as they come; a tensor that ops share is stored once."""

    def __init__(self, writer: TraceWriter, layers: str | None, rows: int | None, dtype: str | None) -> None:
        self._writer, self._layers, self._rows, self._dtype = writer, layers, rows, dtype
        self._seen: list[str] = []
        self._written: set[str] = set()

    def wants(self, op_name: str) -> bool:
        """Whether the op is to be kept; it is told of every op."""
        self._seen.append(op_name)
        return chooses(self._layers, op_name)

    def __call__(self, op: Op, a_name: str, a: Any, w_name: str, w: Any) -> None:
        rows = None if op.kind == "bmm" else self._rows
        for name, values, kept in ((a_name, a, rows), (w_name, w, None)):
            if name not in self._written:
                self._writer.add_tensor(name, self._storable(name, values), keep=kept)
                self._written.add(name)
        self._writer.add_op(op, a=a_name, w=w_name)

    def _storable(self, name: str, values: Any) -> Any:
        if self._dtype is not None and values.dtype.name != "int8":
            return rounded(name, values, self._dtype)
        if values.dtype.name not in DTYPES:
            raise TraceError(f"tensor '{name}' is {values.dtype.name}; give dtype, one of {', '.join(DTYPES)}")
        return values.copy()  # the module may change it in place before it is written

    def require_any(self) -> None:
        """Raises: TraceError if the module computed no product, or ``layers`` names none of them."""
        if not self._seen:
            raise TraceError("the module computes no matrix product")
        select_ops(self._layers, self._seen)


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def _note(inputs: Any, lookups: list[str]) -> str:
    """``inputs float32 [1, 3, 32, 32]; lookups in wte [50257, 768]``."""
    positional, named = _arguments(inputs)
    shown = [_shown(value) for value in positional] + [f"{key} {_shown(value)}" for key, value in named.items()]
    parts = [f"inputs {', '.join(shown)}", *([f"lookups in {', '.join(lookups)}"] if lookups else [])]
    return "; ".join(parts)


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


def _command(kind: str, out: Path, layers: str | None, rows: int | None, dtype: str | None) -> str:
    options = {"layers": layers, "rows": rows, "dtype": dtype}
    given = "".join(f", {key}={value!r}" for key, value in options.items() if value is not None)
    return f"sim.trace({kind}, inputs, {portable(out)!r}{given})"


def _state_sha256(module: torch.nn.Module) -> str:
    """Of the bytes of all parameters and buffers, by name."""
    from simulator.tracing.torch_modes import to_numpy

    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        if hasattr(value, "shape"):
            digest.update(f"{key} {value.dtype} {list(value.shape)}".encode())
            digest.update(to_numpy(value).tobytes())
    return digest.hexdigest()
