"""Programs of kernels as data: what each kernel of a list moves for a shape, and complaints about lists."""

from __future__ import annotations

import re

import pytest

from simulator.config import load_kernels
from simulator.errors import ConfigError
from simulator.mapping.kernel_list import kernel_works, size_of, sizes_of
from simulator.resources import shipped_names

SHIPPED = shipped_names("configs/kernels")
MB = 1 << 20


def works(name, M, N, K, outliers, l2=0):
    kernels = load_kernels(name).kernels
    return dict(zip([k.name for k in kernels], kernel_works(kernels, sizes_of(M, N, K, outliers), l2), strict=True))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_list_says_whose_program_it_is(name):
    found = load_kernels(name)
    assert found.name == name
    assert re.search(r"\d\.\d", found.source), "a version"
    assert len({k.name for k in found.kernels}) == len(found.kernels)


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_is_read_that_was_not_there_or_written_before(name):
    """Operands are there; all else was written by a kernel before, or names the place it is taken from."""
    there = {"a", "w", "w16", "w scales", "a taken", "w taken", "a col32"} | {"outlier order"}
    for kernel in load_kernels(name).kernels:
        assert {use.tensor for use in kernel.reads} <= there, kernel.name
        there |= {use.tensor for use in kernel.writes}


def test_a_tensor_has_one_size_wherever_it_is_named():
    for name in SHIPPED:
        shapes = {}
        for kernel in load_kernels(name).kernels:
            for use in (*kernel.reads, *kernel.writes):
                if use.shape != [1]:
                    assert shapes.setdefault(use.tensor, (use.shape, use.bits)) == (use.shape, use.bits), use.tensor


def test_llm_int8_by_hand():
    """1024 tokens, K = 4096, N = 16384, five outlier columns, nothing in the L2: megabytes of each large kernel."""
    found = works("llm_int8", 1024, 16384, 4096, 5)
    a8, c16, c32 = 4 * MB, 32 * MB, 64 * MB
    statistics = 1024 * 4 + 4096 * 4
    assert found["row and column maxima"].read_bytes == 2 * a8
    assert found["row and column maxima"].write_bytes == statistics + 1024 * 16 * 4
    assert (found["quantise twice"].read_bytes, found["quantise twice"].write_bytes) == (2 * a8 + statistics, 2 * a8)
    assert (found["to col32"].read_bytes, found["to col32"].write_bytes) == (a8, a8)
    assert (found["clear the result"].read_bytes, found["clear the result"].write_bytes) == (0, c32)
    assert found["dequantise"].read_bytes == c32 + 1024 * 4 + 16384 * 4
    assert found["dequantise"].write_bytes == c16
    assert found["dequantise"].lane_ops == 5 * 1024 * 16384
    assert (found["add both"].read_bytes, found["add both"].write_bytes) == (2 * c16, c16)
    assert (found["copy the result"].read_bytes, found["copy the result"].write_bytes) == (c16, c16)
    assert found["take rows of W"].read_bytes == 16384 * 5 * 32 + 5 * 4
    product = next(k.product for k in load_kernels("llm_int8").kernels if k.name == "FP16 product")
    assert size_of(product.k, sizes_of(1024, 16384, 4096, 5)) == 5


def test_what_the_kernel_before_left_is_found_in_the_l2():
    """A small layer's A is read from DRAM by nobody once it is there; a large one's by every kernel that reads it."""
    small, large = (
        works("int8_vectorwise", 64, 256, 64, 0, 6 * MB),
        works("int8_vectorwise", 4096, 16384, 4096, 0, 6 * MB),
    )
    for name in ("quantise twice", "to col32", "dequantise", "copy the result"):
        assert small[name].read_bytes == 0
        assert small[name].held_bytes > 0
    for name in ("quantise twice", "to col32", "dequantise", "copy the result"):
        assert large[name].read_bytes > large[name].held_bytes


def test_dimensions_are_rounded_up():
    assert sizes_of(3, 5, 5140, 7) == {"M": 3, "N": 5, "K": 5140, "K32": 5152, "K256": 21, "O": 7}


PRODUCT = {"name": "p", "product": {"datapath": "fp16_mac", "m": "M", "n": "N", "k": "K"}}
USE = {"tensor": "a", "shape": ["M", "K"], "bits": 16}


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ([{"name": "x", "reads": [USE]}], "kernels: 0 of them multiply all of A by all of W; exactly one must"),
        ([PRODUCT, PRODUCT], "kernels: 2 of them multiply all of A by all of W; exactly one must"),
        ([PRODUCT, {"name": "x"}], "kernels[1].launches: moves nothing; say what it reads and writes, or launches: 0"),
        ([PRODUCT, {"name": "x", "reads": [USE], "launches": 0}], "kernels[1].launches: 0 launches neither move nor"),
        (
            [PRODUCT | {"adds": 1}],
            "kernels[0].product: is one kernel on the tensor cores; give what else is done a kernel",
        ),
        ([PRODUCT, {"name": "x", "reads": [USE | {"shape": ["P"]}]}], "kernels[1].reads[0].shape[0]"),
        ([PRODUCT, {"name": "x", "red": [USE]}], "kernels[1].red: unknown key; did you mean 'reads'?"),
    ],
)
def test_a_list_that_makes_no_sense_is_one_line(kernels, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load_kernels({"name": "mine", "source": "made up for this test", "kernels": kernels})
    assert "\n" not in str(caught.value)


def test_an_unknown_list_names_the_nearest():
    with pytest.raises(Exception, match="did you mean 'llm_int8'"):
        load_kernels("llm_int9")
