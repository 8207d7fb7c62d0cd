"""Watching a PyTorch module run: every matrix product that reaches the tensor library, whatever Python led to it.

A dispatch mode sees ``mm, addmm, bmm, baddbmm, mv, convolution`` and the fused kernels of attention, into which
``Linear``, ``Conv1d``, ``einsum``, ``matmul`` and the like come apart; hooks say which module they belong to; a
function mode keeps attention whole, so that its operands are the query and key themselves.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from simulator.errors import TraceError
from simulator.tracing.torch_operands import Names, conv_operands, conv_transpose_operands
from simulator.workload import Op

__all__ = ["observed_run", "to_numpy"]

Recorder = Any
"""Called with op, a_name, a, w_name, w (NumPy); its ``wants(op_name)`` is asked before."""

_ATEN = torch.ops.aten
_FUSED_ATTENTION = {
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
}
_OPAQUE = {
    "_transformer_encoder_layer_fwd", "_native_multi_head_attention", "mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn",
    "_scaled_mm", "_weight_int4pack_mm", "_weight_int8pack_mm", "_sparse_addmm", "_convolution",
}  # fmt: skip
_OPAQUE_SPACES = ("quantized", "onednn", "mkldnn", "mkldnn_prepacked")


def observed_run(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], recorder: Recorder
) -> list[str]:
    """Run the module once, in evaluation mode and without gradients; the modes of its parts are restored.

    Returns: the embeddings that were looked up in, with their shapes.
    Raises: TraceError for a product whose operands cannot be seen.
    """
    training = [part for part in module.modules() if part.training]
    path: list[str] = []
    with ExitStack() as stack:
        for name, part in module.named_modules():
            for hook in _hooks(part, name, path):
                stack.callback(hook.remove)
        stack.callback(_train_again, training)
        module.eval()
        stack.enter_context(torch.no_grad())
        backend: Any = torch.backends.mkldnn
        stack.callback(setattr, backend, "enabled", backend.enabled)
        backend.enabled = False  # its recurrent layers keep their products to themselves
        products = _Products(Names(module, path), recorder)
        stack.enter_context(_Dispatch(products))
        stack.enter_context(_Attention(products))
        module(*args, **kwargs)
    return products.lookups


def _train_again(parts: list[torch.nn.Module]) -> None:
    for part in parts:
        part.training = True


def _hooks(part: torch.nn.Module, name: str, path: list[str]) -> tuple[Any, Any]:
    """Keep ``path`` at the modules that are running, the innermost last."""

    def enter(*_: Any) -> None:
        path.append(name)

    def leave(*_: Any) -> None:
        path.pop()

    return part.register_forward_pre_hook(enter), part.register_forward_hook(leave, always_call=True)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """The values in their own type, as a NumPy array of the host."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


class _Products:
    """Names products, brings their operands into the layout of a trace, and hands them to the recorder."""

    def __init__(self, names: Names, recorder: Recorder) -> None:
        self._names, self._recorder = names, recorder
        self.lookups: list[str] = []
        self._seen: Counter[str] = Counter()

    def matmul(self, a: torch.Tensor, b: torch.Tensor, word: str = "matmul") -> None:
        """``a (.., M, K) @ b (.., K, N)``, both with the same leading axis or none."""
        if 0 in (*a.shape, *b.shape):
            return
        weight = self._names.parameter(b)
        if a.ndim == 3 and (b.stride(0) == 0 or len(b) == 1) and weight:  # one weight for the whole batch
            a, b = a.reshape(-1, a.shape[-1]), b[0]
        count = len(a) if a.ndim == 3 else 1
        kind = "linear" if weight else "bmm"
        self._record(Op("x", a.shape[-2], b.shape[-1], a.shape[-1], count, kind), a, b.transpose(-1, -2), word)

    def convolution(
        self, x: torch.Tensor, w: torch.Tensor, strides: Any, padding: Any, dilation: Any, transposed: bool, groups: int
    ) -> None:
        """A convolution of any number of axes, as one product per group."""
        if transposed:
            a, b = conv_transpose_operands(x, w, groups)
        else:
            a, b = conv_operands(x, w, strides, padding, dilation, groups)
        name = self._names.of(w, "conv")
        self._record(
            Op("x", a.shape[1], b.shape[1], a.shape[2], groups, "conv"), a, b, "conv", name, source=x, weight=w
        )

    def attention(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, probs: torch.Tensor) -> None:
        """``q k^T`` and ``probs v`` of (.., heads, tokens, width)."""
        q, k, v, probs = (z.reshape(-1, *z.shape[-2:]) for z in (q, k, v, probs))
        self.matmul(q, k.transpose(-1, -2), "qk")
        self.matmul(probs, v, "pv")

    def lookup(self, table: torch.Tensor) -> None:
        """An embedding that was read from."""
        name = f"{self._names.of(table, 'embedding')} {list(table.shape)}"
        if name not in self.lookups:
            self.lookups.append(name)

    def _record(
        self,
        shape: Op,
        a: torch.Tensor,
        w: torch.Tensor,
        word: str,
        name: str | None = None,
        source: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
    ) -> None:
        name = name or self._names.of(w, word)
        self._seen[name] += 1
        name = f"{name}#{self._seen[name]}" if self._seen[name] > 1 else name
        if not self._recorder.wants(name):
            return
        op = Op(name, shape.M, shape.N, shape.K, shape.count, shape.kind)
        a_name = self._names.tensor(source if source is not None else a, f"{name}.a", a.shape)
        w_name = self._names.tensor(weight if weight is not None else w, f"{name}.w", w.shape)
        self._recorder(op, a_name, to_numpy(a), w_name, to_numpy(w))


class _Dispatch(TorchDispatchMode):
    """Every operator of the tensor library, under Python's modules and functions."""

    def __init__(self, products: _Products) -> None:
        super().__init__()
        self._products = products

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        space, _, name = func._schema.name.rpartition("::")
        if space in _OPAQUE_SPACES or name in _OPAQUE:
            raise TraceError(f"the module calls {space}::{name}, whose operands cannot be captured")
        seen = _SEEN.get(name) if space == "aten" else None
        if seen is not None:
            seen(self._products, args, kwargs)
        elif name in _FUSED_ATTENTION:
            q, k, v = args[:3]
            self._products.attention(q, k, v, _fused_probabilities(func, args, kwargs))
        return func(*args, **kwargs)


def _mv(products: _Products, matrix: torch.Tensor, vector: torch.Tensor) -> None:
    products.matmul(vector[None], matrix.transpose(0, 1))


_SEEN: dict[str, Callable[[_Products, Any, Any], None]] = {
    "mm": lambda p, args, kw: p.matmul(args[0], args[1]),
    "_int_mm": lambda p, args, kw: p.matmul(args[0], args[1]),
    "addmm": lambda p, args, kw: p.matmul(args[1], args[2]),
    "_addmm_activation": lambda p, args, kw: p.matmul(args[1], args[2]),
    "addmm_": lambda p, args, kw: p.matmul(args[1], args[2]),
    "bmm": lambda p, args, kw: p.matmul(args[0], args[1]),
    "baddbmm": lambda p, args, kw: p.matmul(args[1], args[2]),
    "baddbmm_": lambda p, args, kw: p.matmul(args[1], args[2]),
    "addbmm": lambda p, args, kw: p.matmul(args[1], args[2]),
    "mv": lambda p, args, kw: _mv(p, args[0], args[1]),
    "addmv": lambda p, args, kw: _mv(p, args[1], args[2]),
    "dot": lambda p, args, kw: p.matmul(args[0][None], args[1][:, None]),
    "convolution": lambda p, args, kw: p.convolution(args[0], args[1], args[3], args[4], args[5], args[6], args[8]),
    "embedding": lambda p, args, kw: p.lookup(args[0]),
}
"""Operator -> what it multiplies."""


def _fused_probabilities(func: Any, args: Any, kwargs: Any) -> torch.Tensor:
    """The probabilities that a fused kernel keeps to itself."""
    given = {arg.name: arg.default_value for arg in func._schema.arguments}
    given |= dict(zip(given, args, strict=False)) | kwargs
    mask = given.get("attn_mask", given.get("attn_bias"))
    return _probabilities(args[0], args[1], mask, bool(given.get("is_causal")), given.get("scale"))


def _probabilities(
    q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None, causal: bool, scale: float | None
) -> torch.Tensor:
    """``softmax(q k^T scale + mask)`` as PyTorch's documentation of ``scaled_dot_product_attention`` defines it."""
    scores = (q.float() @ k.float().transpose(-1, -2)) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~seen, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1).to(q.dtype)


class _Attention(TorchFunctionMode):
    """``scaled_dot_product_attention`` as its two products, whichever kernel computes it."""

    def __init__(self, products: _Products) -> None:
        super().__init__()
        self._products = products

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        with torch._C._DisableTorchDispatch():
            self._see(*args, **kwargs)
            return func(*args, **kwargs)

    def _see(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        if enable_gqa:
            key, value = (z.repeat_interleave(query.shape[-3] // z.shape[-3], -3) for z in (key, value))
        batch = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
        q, k, v = (z.expand(*batch, *z.shape[-2:]) for z in (query, key, value))
        self._products.attention(q, k, v, _probabilities(q, k, attn_mask, is_causal, scale))
