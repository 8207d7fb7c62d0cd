"""Capture of PyTorch modules: MACs as torch counts them, replay of every layer, names, types, what cannot be seen."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator.errors import TraceError
from simulator.tracing import Trace
from tests.test_trace_store import message


def test_torch_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    complaint = message(TraceError, lambda: sim.trace(None, None, tmp_path / "toy"))  # type: ignore[arg-type]
    assert complaint == "sim.trace needs the 'torch' extra: pip install 'olivine[torch]'"


torch = pytest.importorskip("torch", reason="absent: torch (pip install 'olivine[torch]')")
nn, F = torch.nn, torch.nn.functional


class Conv1D(nn.Module):
    """As in GPT-2 of Hugging Face: the weight is [K, N]."""

    def __init__(self, k: int, n: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(k, n)), nn.Parameter(torch.randn(n))

    def forward(self, x: Any) -> Any:
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class Everything(nn.Module):
    """Two texts of five tokens, width 8, two heads; two images."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.c_attn = nn.Embedding(11, 8), Conv1D(8, 24)
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)
        self.enc = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.conv = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
        self.depthwise = nn.Conv1d(8, 8, 4, groups=8, padding=3)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2)
        self.volume = nn.Conv3d(1, 2, 2)
        self.out = nn.Linear(8, 11, bias=False)
        self.out.weight = self.wte.weight

    def forward(self, ids: Any, image: Any) -> Any:
        x = self.wte(ids)
        q, k, v = (z.view(2, 5, 2, 4).transpose(1, 2) for z in self.c_attn(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 5, 8)
        y = y + ((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).reshape(2, 5, 8)
        e = torch.einsum("btd,bsd->bts", x, y)
        z = self.mha(y, y, y, need_weights=False)[0] + self.mha(y, y, y)[0]
        z = self.enc(z) + torch.baddbmm(x, e, y)
        self.depthwise(z.transpose(1, 2))
        self.volume(self.up(self.conv(image))[:, None])
        return self.out(z), self.out(z[0, 0]), torch.mv(self.out.weight, z[0, 1])


@pytest.fixture(scope="module")
def everything() -> tuple[Any, Any]:
    torch.manual_seed(0)
    return Everything(), (torch.randint(0, 11, (2, 5)), torch.randn(2, 4, 7, 9))


def test_macs_are_those_that_torch_counts(everything: tuple[Any, Any], tmp_path: Path) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    module, inputs = everything
    trace = sim.trace(module, inputs, tmp_path / "toy")
    torch.backends.mha.set_fastpath_enabled(False)  # its kernels count nothing
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module.eval()(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
        module.train()
    mv = 11 * 8  # which that counter leaves out
    assert sum(op.macs for op in trace.ops) == counter.get_total_flops() // 2 + mv
    names = [op.name for op in trace.ops]
    assert names[:6] == ["c_attn", "qk", "pv", "matmul", "matmul#2", "matmul#3"]
    assert {"mha.out_proj#2", "enc.self_attn.qk", "enc.linear1", "conv", "depthwise", "up", "volume"} <= set(names)
    assert names[-3:] == ["out", "out#2", "wte"]  # the last one by the first name of the shared weight
    assert trace.manifest.input.note == "inputs int64 [2, 5], float32 [2, 4, 7, 9]; lookups in wte [11, 8]"


def test_every_layer_replays_to_its_own_output(everything: tuple[Any, Any], tmp_path: Path) -> None:
    module, inputs = everything
    outputs: dict[str, Any] = {}
    hooks = [part.register_forward_hook(kept(name, outputs)) for name, part in module.named_modules() if name]
    try:
        trace = sim.trace(module, inputs, tmp_path / "toy")
    finally:
        for hook in hooks:
            hook.remove()
    for name in ("c_attn", "enc.linear1", "enc.linear2", "out"):
        bias = getattr(module.get_submodule(name), "bias", None)
        want = outputs[name] - (0 if bias is None else bias.detach())
        assert np.allclose(product(trace, name)[0], want.reshape(-1, want.shape[-1]), atol=1e-5), name
    for name in ("conv", "depthwise", "volume"):  # (groups, batch * places, N) against (batch, groups * N, places)
        want = outputs[name].transpose(0, 1).flatten(1) - module.get_submodule(name).bias.detach()[:, None]
        got = product(trace, name).transpose(0, 2, 1).reshape(want.shape)
        assert np.allclose(got, want, atol=1e-5), name
    got = torch.from_numpy(product(trace, "up").astype(np.float32))  # (groups, batch * places, N * 9), to be added up
    spread = got.view(2, 2, -1, 18).permute(1, 0, 3, 2).reshape(2, 36, -1)
    size = outputs["conv"].shape[-2:]
    folded = F.fold(spread, outputs["up"].shape[-2:], 3, stride=2)
    assert spread.shape[-1] == math.prod(size)
    assert torch.allclose(folded + module.up.bias.detach().view(-1, 1, 1), outputs["up"], atol=1e-5)


def kept(name: str, outputs: dict[str, Any]) -> Any:
    return lambda module, args, output: outputs.setdefault(name, output[0] if isinstance(output, tuple) else output)


def product(trace: Trace, name: str) -> np.ndarray:
    a, w = (z.astype(np.float64) for z in trace.load(name))
    return a @ w.swapaxes(1, 2)


ATTENTION = {
    "plain": {},
    "causal": {"is_causal": True},
    "bool mask": {"attn_mask": torch.ones(5, 7, dtype=torch.bool).tril(2)},
    "float mask": {"attn_mask": torch.linspace(-2, 2, 35).view(5, 7)},
    "scale": {"scale": 0.3},
}


@pytest.mark.parametrize("what", ATTENTION)
@pytest.mark.parametrize("whole", [True, False])
def test_both_products_of_attention(what: str, whole: bool, tmp_path: Path) -> None:
    """By the function mode, and as the fused kernel under it (which modules with modes of their own leave)."""
    torch.manual_seed(1)
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 6 if whole else 4)

    class Block(nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            with torch._C.DisableTorchFunction() if not whole else torch.no_grad():
                return F.scaled_dot_product_attention(q, k, v, **ATTENTION[what])

    trace = sim.trace(Block(), (q, k, v), tmp_path / "toy")
    want = F.scaled_dot_product_attention(q, k, v, **ATTENTION[what])
    last = trace.ops[-1].name
    assert np.allclose(product(trace, last).reshape(want.shape), want, atol=1e-5)
    if [op.name for op in trace.ops] == ["qk", "pv"]:
        assert np.array_equal(trace.load("qk")[0].reshape(q.shape), q)
    else:
        assert not whole


def test_grouped_queries_read_their_keys(tmp_path: Path) -> None:
    class Block(nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    q, k, v = torch.randn(1, 4, 5, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    trace = sim.trace(Block(), (q, k, v), tmp_path / "toy")
    assert trace.ops[0].count == 4
    want = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert np.allclose(product(trace, "pv").reshape(want.shape), want, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_values_are_stored_as_the_module_has_them(dtype: str, tmp_path: Path) -> None:
    layer = nn.Linear(16, 4).to(getattr(torch, dtype))
    x = torch.randn(3, 16).to(getattr(torch, dtype))
    trace = sim.trace(layer, x, tmp_path / "toy")
    record = trace.record("matmul")
    assert (record.a.dtype, record.w.dtype, record.w.tensor) == (dtype, dtype, "weight")
    a, w = trace.load("matmul")
    assert np.array_equal(a[0], x.float())
    assert np.array_equal(w[0], layer.weight.detach().float())


def test_int8_products(tmp_path: Path) -> None:
    class Block(nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return torch._int_mm(a, b)

    a, b = (torch.randint(-128, 128, shape, dtype=torch.int8) for shape in ((32, 16), (16, 8)))
    trace = sim.trace(Block(), (a, b), tmp_path / "toy", dtype="float16")
    assert trace.record("matmul").a.dtype == "int8"
    assert np.array_equal(product(trace, "matmul")[0], (a.int() @ b.int()).numpy())


def test_tensors_that_ops_share_are_stored_once(tmp_path: Path) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            first = self.q(x) + self.k(x)
            x.mul_(2)  # another tensor now, in the same place
            return first + self.q(x)

    trace = sim.trace(Block(), torch.randn(3, 8), tmp_path / "toy")
    q, k, again = trace.manifest.ops
    assert (q.a, q.w) == (k.a, again.w)
    assert np.array_equal(trace.load("q#2")[0], 2 * trace.load("q")[0])


def test_rows_and_layers_are_chosen(tmp_path: Path) -> None:
    module = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])})
    module.forward = lambda x: module["layers"][1](module["layers"][0](x))  # type: ignore[method-assign]
    x = torch.randn(10, 8)
    x[1] *= 100
    trace = sim.trace(module, x, tmp_path / "toy", rows=4, layers="0")
    assert [op.name for op in trace.ops] == ["layers.0"]
    assert list(trace.kept_rows("layers.0")) == [0, 2, 5, 7]
    assert np.array_equal(trace.stored("layers.0", "a"), x[[0, 2, 5, 7]])
    assert np.array_equal(trace.load("layers.0")[0][0], x[[0, 0, 2, 2, 2, 5, 5, 7, 7, 7]])
    assert trace.record("layers.0").stats.a.absmax == float(x.abs().max())
    assert trace.ops[0].M == 10
    complaint = message(TraceError, lambda: sim.trace(module, x, tmp_path / "none", layers="7"))
    assert complaint == "layers '7' matches no op; available: layers 0-1, each with layers.N"
    assert not (tmp_path / "none").exists()


def test_recurrent_layers_step_by_step(tmp_path: Path) -> None:
    layer, x = nn.LSTM(16, 4), torch.randn(3, 1, 16)
    trace = sim.trace(layer, x, tmp_path / "toy")
    assert [(op.M, op.N, op.K) for op in trace.ops] == [(3, 16, 16)] + 3 * [(1, 16, 4)]
    hidden = layer(x)[0].detach()
    assert np.allclose(trace.load("weight_hh_l0#3")[0], hidden[1], atol=1e-6)


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4, dtype=torch.float64))
        self.inner[0].eval()

    def forward(self, x: Any) -> Any:
        return self.inner(x)


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module, x = Deep(), torch.ones(2, 4, dtype=torch.float64)
    complaint = message(TraceError, lambda: sim.trace(module, x, tmp_path / "toy"))
    assert complaint == "tensor 'inner.1.a' is float64; give dtype, one of float16, bfloat16, float32, int8"
    assert not (tmp_path / "toy").exists()
    trace = sim.trace(module, {"x": x}, tmp_path / "toy", dtype="float32")
    assert trace.load("inner.1")[0].max() == 1
    assert (module.training, module.inner[0].training, module.inner[1].training) == (True, False, True)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize(
    ("forward", "complaint"),
    [
        (lambda x: x + 1, "the module computes no matrix product"),
        (lambda x: x @ (x.T * math.inf), "tensor 'matmul.w' holds "),
        (
            lambda x: torch.ops.aten._weight_int8pack_mm(x, x.to(torch.int8), x[0]),
            "the module calls aten::_weight_int8pack_mm, whose operands cannot be captured",
        ),
    ],
)
def test_what_cannot_be_captured(forward: Any, complaint: str, tmp_path: Path) -> None:
    module = nn.Module()
    module.forward = forward  # type: ignore[method-assign]
    assert complaint in message(TraceError, lambda: sim.trace(module, torch.ones(16, 16), tmp_path / "toy"))
    assert not (tmp_path / "toy").exists()


def test_a_study_runs_on_a_captured_module(tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 5))
    sim.trace(module, torch.randn(1, 3, 6, 6), tmp_path / "net")
    study = {"name": "net", "designs": ["int8_systolic"], "workloads": [str(tmp_path / "net")]}
    table = sim.run_study(study, out=tmp_path / "run")
    assert bool(table.loc[0, "exact"])
    assert table.loc[0, "macs"] == 16 * 8 * 27 + 128 * 5
