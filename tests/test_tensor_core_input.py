"""What a user gets wrong of a design with tensor cores: one line that says where and what, exit code 2."""

from __future__ import annotations

import pytest

from simulator import cli

WRONG = {
    "array.rows=8": "--set: array.rows: unknown key; allowed: kind, sms,",
    "array.sms=0": "--set: array.sms: must be greater than 0, found 0",
    "array.kind=tensor": "--set: array.kind: found 'tensor'; allowed: systolic, tensor_core",
    "array.tensor_cores=two": "--set: array.tensor_cores: expected an integer, found text 'two'",
    "array.mma.bits_16=[16, 8]": "--set: array.mma.bits_16[2]: missing item",
    "memory.act_buffer.capacity_kib=4": "--set: memory.act_buffer: unknown key; allowed: dram, l2, shared_memory,",
    "memory.dram.model=banked": "--set: memory.dram.model: found 'banked'; allowed: none, ideal",
    "memory.l2.capacity_kib=-1": "--set: memory.l2.capacity_kib: must be greater than 0, found -1",
    "memory.l2.usable_kib=50000": "--set: memory.l2.usable_kib: 50000 KiB are more than capacity_kib, 40960",
    "memory.shared_memory.block_kib=999": "block_kib: 999 KiB of one block are more than capacity_kib, 164",
    "tiling.cluster=3": "--set: tiling.cluster: found number 3; allowed: 1, 2, 4, 8",
    "tiling.m=100": "tiling: no block of tiling.tiles, k_bytes and stages has warps that its instructions, registers",
    "tiling.stages=[1]": "--set: tiling.stages[0]: must be greater than or equal to 2, found 1",
    "tiling.stream_k=maybe": "--set: tiling.stream_k: found 'maybe'; allowed: auto, off, on",
    "tiling.split_k=7": "tiling.split_k: no kernel has so many parts of K, or a step for each SM; leave it to auto",
    "tiling.tiles=[[256]]": "--set: tiling.tiles[0][1]: missing item",
    "cuda_cores.fused=[softmax]": "--set: cuda_cores.fused[0]: found 'softmax'; allowed: bias,",
    "launch_us=-1": "--set: launch_us: must be greater than or equal to 0, found -1",
    "vector_unit.lanes=4": "--set: vector_unit: unknown key; allowed: name,",
    "datapath.name=gobo": "--set: datapath.name: 'gobo' ",
}


@pytest.mark.parametrize("change", WRONG)
def test_a_wrong_field_is_one_line(change, capsys):
    assert cli.main(["gemm", "a100", "-m", "64", "-n", "64", "-k", "64", "--set", change]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert WRONG[change] in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["gemm", "a100", "-m", "4", "-n", "4", "-k", "4", "--fidelity", "pe_array"], "pe_array runs systolic arrays;"),
        (["vectors", "a100", "--out", "never"], "vectors are written for output-stationary systolic arrays"),
        (["gemm", "int8_systolic", "-m", "4", "-n", "4", "-k", "4", "--set", "array.sms=4"], "array.sms: unknown key;"),
        (["gemm", "a100", "-m", "1", "-n", "16777216", "-k", "16777216"], "steps of every kernel; split the op"),
        (
            [
                "gemm",
                "a100",
                "-m",
                "4",
                "-n",
                "4",
                "-k",
                "4",
                "--set",
                "tiling.stream_k='on'",
                "--set",
                "tiling.split_k=4",
            ],
            "tiling.split_k: 4 parts of K do not go with stream_k: 'on'",
        ),
        (["gemm", "a100", "-m", "33554432", "-n", "1", "-k", "1"], "op 'gemm': M must be at most 16777216"),
    ],
    ids=["pe_array", "vectors", "sms of a systolic array", "too many steps", "cut twice", "too long"],
)
def test_what_tensor_cores_cannot_do_is_one_line(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert not list(tmp_path.iterdir())
