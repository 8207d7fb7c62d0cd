"""Microscaling and NVFP4: every element code, block scale, tie and stored bit, against naive versions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import formats
from simulator.errors import EncodingError, UnknownNameError
from simulator.formats import blocks
from tests import naive_blocks as naive

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar divide")
"""Kernels run as plain Python (``make nojit``) warn of quotients beyond float32; compiled ones do not."""

MX = sorted(naive.MX)
ALL = [*MX, "nvfp4"]
BITS = {"mxfp8": 8.25, "mxfp8_e4m3": 8.25, "mxfp8_e5m2": 8.25, "mxint8": 8.25, "mxfp6": 6.25, "mxfp6_e3m2": 6.25}
BITS |= {"mxfp6_e2m3": 6.25, "mxfp4": 4.25, "nvfp4": 4.5}
every_mx = pytest.mark.parametrize("name", MX)
every_format = pytest.mark.parametrize("name", ALL)
quick = settings(deadline=None, max_examples=150)


def refused(error, call, *args, **kwargs):
    with pytest.raises(error) as info:
        call(*args, **kwargs)
    return str(info.value)


def block_size(name):
    return 16 if name == "nvfp4" else 32


def heavy_tailed(seed, shape):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * np.exp(1.5 * rng.standard_normal(shape))).astype(np.float32)


def naive_rows(name, x, scale):
    encode = naive.encode_nvfp4_row if name == "nvfp4" else lambda row, s: naive.encode_mx_row(name, row, s)
    return [encode(row, s) for row, s in zip(x, np.broadcast_to(scale, (len(x), 1))[:, 0], strict=True)]


def naive_values(name, codes, length):
    decode = naive.decode_nvfp4_row if name == "nvfp4" else lambda row, n: naive.decode_mx_row(name, row, n)
    return [decode(row, length) for row in codes.tolist()]


def packed(name, scale_byte, codes):
    """One row of blocks with that scale byte, holding these element codes."""
    size, bits = block_size(name), formats.get(name).bits
    out = []
    for block in naive.in_blocks(codes, size):
        out += [scale_byte, *naive.most_significant_first(block + [0] * (size - len(block)), bits)]
    return out


# Every scale byte times every element code


def finite_codes(name):
    element = naive.E2M1 if name == "nvfp4" else naive.MX[name]
    return [c for c in range(element.codes) if element.value(c) is not None]


@pytest.mark.kernels
@every_mx
def test_every_scale_and_every_element_decode_exactly(name):
    """255 scales x all finite element codes, against fractions; what float32 cannot hold is refused."""
    fmt, element, codes = formats.get(name), naive.MX[name], finite_codes(name)
    for first in range(0, 255, 15):
        rows = [packed(name, byte, codes) for byte in range(first, first + 15)]
        for byte, row in zip(range(first, first + 15), rows, strict=True):
            exact = [element.value(c) * Fraction(2) ** (byte - 127) for c in codes]
            fits = all(abs(v) <= naive.FLOAT32_MAX for v in exact)
            assert fits == (byte <= 254 - max(element.emax, 1 if name == "mxint8" else 0))
            if fits:
                found = fmt.decode(np.array([row], np.uint8), len(codes))
                assert found.dtype == np.float32
                assert [Fraction(float(v)) for v in found[0]] == exact
            else:
                bad = next(i for i, v in enumerate(exact) if abs(v) > naive.FLOAT32_MAX)
                assert refused(EncodingError, fmt.decode, np.array([row], np.uint8), len(codes)) == (
                    f"{name}: the value at position (0, {bad}) (block scale 0x{byte:02x}) is no finite float32 number"
                )


@pytest.mark.kernels
def test_every_nvfp4_scale_and_element_decode_exactly():
    fmt, codes = formats.get("nvfp4"), list(range(16))
    for byte in range(256):
        row = np.array([packed("nvfp4", byte, codes)], np.uint8)
        if byte >= 127:  # NaN, and everything with a sign
            assert refused(EncodingError, fmt.decode, row, 16) == (
                f"nvfp4: the value at position (0, 0) (block scale 0x{byte:02x}) is no finite float32 number"
            )
        else:
            expected = [naive.E2M1.value(c) * naive.E4M3.value(byte) for c in codes]
            assert [Fraction(float(v)) for v in fmt.decode(row, 16)[0]] == expected


@pytest.mark.kernels
@every_mx
def test_illegal_elements_and_scales_are_refused_by_position(name):
    fmt, element = formats.get(name), naive.MX[name]
    good = np.array([[packed(name, 127, [1] * 64)] * 3] * 2, np.uint8)
    assert fmt.decode(good, 64).shape == (2, 3, 64)
    step = good.shape[-1] // 2
    nan = good.copy()
    nan[1, 0, step] = 255
    assert refused(EncodingError, fmt.decode, nan, 64) == (
        f"{name}: the value at position (1, 0, 32) (block scale 0xff) is no finite float32 number"
    )
    for code in set(range(element.codes)) - set(finite_codes(name)):
        bad = good.copy()
        bad[1, 2] = packed(name, 127, [1] * 40 + [code] + [1] * 23)
        assert refused(EncodingError, fmt.decode, bad, 64) == (
            f"{name}: the value at position (1, 2, 40) (block scale 0x7f) is no finite float32 number"
        )
        assert fmt.decode(bad[..., : 2 * step], 40).shape == (2, 3, 40)  # beyond the length nobody looks


@pytest.mark.kernels
@every_mx
def test_every_code_round_trips_under_every_scale(name):
    """A block whose largest element is in the top binade keeps its scale, so its codes come back bit for bit."""
    fmt, element = formats.get(name), naive.MX[name]
    codes = [c for c in finite_codes(name) if not (name == "mxint8" and c == 128)]  # -2 is never made
    top = element.grid[-1][1]
    laid = [c for block in naive.in_blocks(codes, 31) for c in [top, *block]]
    highest = 254 - element.emax
    rows = np.array([packed(name, byte, laid) for byte in range(highest + 1)], np.uint8)
    values = fmt.decode(rows, len(laid))
    np.testing.assert_array_equal(fmt.encode(values, 1.0), rows)
    signs = np.array([c >= element.codes // 2 for c in laid])
    np.testing.assert_array_equal(np.signbit(values[0]), signs)  # minus zero too, but for two's complement


@pytest.mark.kernels
def test_every_nvfp4_code_round_trips_under_every_scale():
    fmt = formats.get("nvfp4")
    laid = [7, *range(15), 15, *range(15)]
    rows = np.array([packed("nvfp4", byte, laid) for byte in range(1, 127)], np.uint8)
    np.testing.assert_array_equal(fmt.encode(fmt.decode(rows, len(laid)), 1.0), rows)


@every_mx
def test_tables_are_the_formulas_of_the_specification(name):
    fmt, element = formats.get(name), naive.MX[name]
    assert (fmt.bits, fmt.emax, Fraction(fmt.max_normal)) == (element.bits, element.emax, element.largest)
    for code in range(element.codes):
        found, exact = float(fmt.element_values[code]), element.value(code)
        assert (not math.isfinite(found)) if exact is None else Fraction(found) == exact
    assert [float(v) for v in fmt.scale_values[:255]] == [2.0**e for e in range(-127, 128)]
    assert math.isnan(fmt.scale_values[255])


# Block scales


@pytest.mark.kernels
@every_mx
def test_shared_scale_is_the_floor_of_log2(name):
    """At every power of two that float32 has and one step below it: byte floor(log2) - emax + 127, never below 0."""
    fmt, emax = formats.get(name), naive.MX[name].emax
    for exponent in range(-149, 128):
        power = np.float32(2.0**exponent)
        below = np.nextafter(power, np.float32(0))
        x = np.zeros((2, 32), np.float32)
        x[0, 5], x[1, 31] = power, -below
        found = fmt.encode(x, 1.0)[:, 0].tolist()
        floor_below = exponent - 1 if exponent > -149 else -999
        assert found == [max(e - emax + 127, 0) for e in (exponent, floor_below)]


@pytest.mark.kernels
@every_mx
def test_blocks_do_not_share_scales_nor_straddle_rows(name):
    fmt, emax = formats.get(name), naive.MX[name].emax
    x = np.ones((2, 70), np.float32)
    x[0, 31], x[0, 64], x[1, 0] = 2.0**10, 2.0**-10, 2.0**20
    x[0, 65:] = 0
    found = fmt.encode(x, 1.0).reshape(2, 3, -1)[:, :, 0].astype(int)
    exponents = [[10, 0, -10], [20, 0, 0]]
    assert found.tolist() == [[e - emax + 127 for e in row] for row in exponents]


@pytest.mark.kernels
@every_format
def test_zeros_are_all_zero_bytes_and_minus_zero_keeps_its_sign(name):
    fmt = formats.get(name)
    assert not fmt.encode(np.zeros((2, 40), np.float32), 1.0).any()
    minus = fmt.encode(np.full((1, 3), -0.0, np.float32), 1.0)
    assert minus[0, 0] == 0
    decoded = fmt.decode(minus, 3)
    assert decoded.tolist() == [[0.0] * 3]
    assert np.signbit(decoded).all() == (name != "mxint8")


@pytest.mark.kernels
@every_mx
def test_subnormal_blocks_use_the_smallest_scale(name):
    """Float32's smallest numbers are below the smallest scale: byte 0, and elements round to what is left."""
    fmt = formats.get(name)
    x = np.array([[2.0**-149, -(2.0**-149), 2.0**-140, 2.0**-133, 3 * 2.0**-134, -(2.0**-130), 2.0**-128]], np.float32)
    codes = fmt.encode(x, 1.0)
    assert codes[0, 0] == 0
    assert codes.tolist() == naive_rows(name, x, 1.0)


@pytest.mark.kernels
def test_nvfp4_block_scales_are_every_e4m3_number():
    """A block of largest magnitude 6B has scale B; ties between neighbours go to the even byte; at most 448."""
    fmt = formats.get("nvfp4")
    for byte in range(1, 127):
        scale = float(naive.E4M3.value(byte))
        assert fmt.encode(np.array([[6 * scale, -scale]], np.float32), 1.0)[0, :2].tolist() == [byte, 0x7A]
    for byte in range(126):
        tie = np.float32(3 * float(naive.E4M3.value(byte) + naive.E4M3.value(byte + 1)))
        up, down = np.nextafter(tie, np.float32(np.inf)), np.nextafter(tie, np.float32(0))
        rows = np.array([[tie], [up * np.float32(1.0001)], [down * np.float32(0.9999)]], np.float32)
        assert fmt.encode(rows, 1.0)[:, 0].tolist() == [byte + byte % 2, byte + 1, byte]
    assert fmt.encode(np.array([[3e38, -1.0]], np.float32), 1.0)[0, :2].tolist() == [0x7E, 0x78]
    assert fmt.encode(np.array([[3e38, -3e38]], np.float32), 1e-30)[0, :2].tolist() == [0x7E, 0x7F]


@pytest.mark.kernels
def test_nvfp4_blocks_too_small_for_a_scale_are_zero():
    fmt = formats.get("nvfp4")
    x = np.array([[6 * 2.0**-10, -1e-3], [6 * 2.0**-10 * 1.01, 0]], np.float32)  # half the smallest scale is a tie
    assert fmt.encode(x, 1.0)[:, :2].tolist() == [[0, 0x08], [1, 0x50]]


# Elements


@pytest.mark.kernels
@every_mx
@pytest.mark.parametrize("shift", [0, -20, 30])
def test_every_tie_goes_to_the_even_code(name, shift):
    """All midpoints of neighbouring elements, both signs; one float32 step to either side goes there."""
    fmt, element = formats.get(name), naive.MX[name]
    factor = np.float32(2.0**shift)
    anchor = np.float32(2.0**element.emax)
    values = [(float(v), c) for v, c in element.grid]
    for (low, low_code), (high, high_code) in pairwise(values):
        tie = np.float32((low + high) / 2)
        even = low_code if low_code % 2 == 0 else high_code
        for x, code in (
            (tie, even),
            (np.nextafter(tie, np.float32(0)), low_code),
            (np.nextafter(tie, np.float32(np.inf)), high_code),
        ):
            for sign in (1, -1):
                row = np.array([[anchor, sign * x]], np.float32) * factor
                found = naive.element_codes(fmt.encode(row, 1.0)[0, 1:].tolist(), fmt.bits, 2)[1]
                wanted = code if sign > 0 else (-code & 0xFF if name == "mxint8" else code + element.codes // 2)
                assert found == wanted, (x, sign)


@pytest.mark.kernels
def test_every_nvfp4_tie_goes_to_the_even_code():
    fmt = formats.get("nvfp4")
    grid = [(float(v), c) for v, c in naive.E2M1.grid]
    for (low, low_code), (high, high_code) in pairwise(grid):
        tie = np.float32((low + high) / 2)
        x = np.array([[6, tie, -tie, np.nextafter(tie, np.float32(0)), np.nextafter(tie, np.float32(9))]], np.float32)
        even = low_code if low_code % 2 == 0 else high_code
        for scale in (0.5, 448.0):
            found = naive.element_codes(fmt.encode(x * np.float32(scale), 1.0)[0, 1:].tolist(), 4, 5)
            assert found == [7, even, even + 8, low_code, high_code]


@pytest.mark.kernels
@every_mx
def test_elements_saturate(name):
    """Between the largest element and the next power of two, where the scale does not grow yet."""
    fmt, element = formats.get(name), naive.MX[name]
    top = np.float32(2.0 ** (element.emax + 1))
    largest = np.float32(float(element.largest))
    for x in (largest, np.float32((largest + top) / 2), np.nextafter(top, np.float32(0))):
        for factor in (1.0, 2.0**-40, 2.0 ** (126 - element.emax)):
            row = np.array([[x, -x]], np.float32) * np.float32(factor)
            assert fmt.decode(fmt.encode(row, 1.0), 2).tolist() == [[largest * factor, -largest * factor]]


@pytest.mark.kernels
@every_mx
def test_quotients_beyond_float32_count_as_its_largest_number(name):
    fmt = formats.get(name)
    row = np.array([[3e38, -3e38, 1.0]], np.float32)
    codes = fmt.encode(row, 1e-30)
    assert codes.tolist() == naive_rows(name, row, 1e-30)
    assert codes[0, 0] == 254 - naive.MX[name].emax
    assert np.isfinite(fmt.decode(codes, 3)).all()


# Layout


@pytest.mark.kernels
def test_layout_by_hand():
    """Scale byte first, then the elements, first element in the most significant bits."""
    x = np.array([[6, -0.5, 1, 0, -6, 4]], np.float32)
    assert formats.get("mxfp4").encode(x, 1.0)[0, :5].tolist() == [127, 0x79, 0x20, 0xF6, 0]
    assert formats.get("mxfp8").encode(np.array([[448, -448, 1]]), 1.0)[0, :5].tolist() == [127, 0x7E, 0xFE, 0x38, 0]
    assert formats.get("mxint8").encode(np.array([[1.5, -1, -1 / 64]]), 1.0)[0, :4].tolist() == [127, 0x60, 0xC0, 0xFF]
    # codes 011111 101000 000001 000000
    x = np.array([[28, -0.5, 0.0625, 0]], np.float32)
    assert formats.get("mxfp6").encode(x, 1.0)[0, :4].tolist() == [127, 0b01111110, 0b10000000, 0b01000000]
    x = np.array([[12, -1, 2, 0]], np.float32)
    assert formats.get("nvfp4").encode(x, 1.0)[0, :4].tolist() == [0x40, 0x79, 0x20, 0]


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("K", [1, 2, 15, 16, 17, 31, 32, 33, 100])
def test_any_length_is_naive_and_padded_with_zeros(name, K):
    fmt = formats.get(name)
    size = block_size(name)
    x = heavy_tailed(K, (4, K))
    codes = fmt.encode(x, 0.7)
    assert codes.tolist() == naive_rows(name, x, 0.7)
    width = -(-K // size) * size
    np.testing.assert_array_equal(codes, fmt.encode(np.pad(x, ((0, 0), (0, width - K))), 0.7))
    assert fmt.packed_bytes(K) == codes.shape[1] == width // size * (1 + size * fmt.bits // 8)
    decoded = fmt.decode(codes, K)
    assert [[Fraction(float(v)) for v in row] for row in decoded] == naive_values(name, codes, K)
    for row, code in zip(x, codes, strict=True):
        np.testing.assert_array_equal(fmt.encode(row, 0.7), code)


elements = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-500, 500, width=32),
    st.builds(lambda m, e: float(np.float32(m * 2.0**e)), st.integers(-255, 255), st.integers(-140, 100)),
    st.just(0.0),
)
scales = st.one_of(st.just(1.0), st.floats(2.0**-10, 2.0**10, width=32), st.sampled_from([1.2e-38, 1e-30, 3e38]))


@pytest.mark.kernels
@every_format
@quick
@given(row=st.lists(elements, min_size=1, max_size=40), scale=scales)
def test_any_row_is_naive(name, row, scale):
    fmt = formats.get(name)
    x = np.array([row], np.float32)
    codes = fmt.encode(x, scale)
    assert codes.tolist() == naive_rows(name, x, scale)
    assert [Fraction(float(v)) for v in fmt.decode(codes, len(row))[0]] == naive_values(name, codes, len(row))[0]


@pytest.mark.kernels
@every_format
@quick
@given(data=st.data(), length=st.integers(1, 40))
def test_any_bytes_decode_as_naive_or_are_refused(name, data, length):
    fmt = formats.get(name)
    codes = np.array([data.draw(st.binary(min_size=(n := fmt.packed_bytes(length)), max_size=n))]).view(np.uint8)
    codes = np.pad(codes.reshape(1, -1), ((0, 0), (0, n - codes.size)))  # numpy drops trailing zero bytes
    expected = naive_values(name, codes, length)[0]
    bad = [i for i, v in enumerate(expected) if v is None or abs(v) > naive.FLOAT32_MAX]
    if bad:
        assert f"position (0, {bad[0]})" in refused(EncodingError, fmt.decode, codes, length)
    else:
        assert [Fraction(float(v)) for v in fmt.decode(codes, length)[0]] == expected


@pytest.mark.kernels
@every_format
def test_chunks_do_not_show(name, monkeypatch):
    x = heavy_tailed(4, (13, 50))
    scale = np.linspace(0.5, 2, 13, dtype=np.float32)[:, None]
    whole = formats.get(name).encode(x, scale)
    for chunk in (1, 120, 160):
        monkeypatch.setattr(blocks, "_CHUNK", chunk)
        np.testing.assert_array_equal(formats.get(name).encode(x, scale), whole)


@pytest.mark.kernels
@every_format
def test_layout_and_type_of_the_input_do_not_matter_and_it_is_left_alone(name):
    fmt = formats.get(name)
    x = np.round(heavy_tailed(2, (4, 40)) * 8) + np.float32(0)
    x.flags.writeable = False
    codes = fmt.encode(x, 0.5)
    for same in (np.asfortranarray(x), x.astype(np.float64), x.astype(np.int64), x.tolist()):
        np.testing.assert_array_equal(fmt.encode(same, 0.5), codes)
    apart = np.repeat(codes, 2, axis=-1)[:, ::2]
    np.testing.assert_array_equal(fmt.decode(apart, 40), fmt.decode(codes, 40))


# Storage


@pytest.mark.kernels
@every_format
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 32), (1, 4, 33), (3, 2, 80), (1, 5, 15)], ids=str)
@pytest.mark.parametrize("granularity", ["tensor", "row"])
def test_bits_on_disk_are_the_bits_claimed(name, shape, granularity, tmp_path):
    fmt = formats.get(name)
    operands = fmt.encode_operand(heavy_tailed(1, shape), granularity, "absmax")
    assert len(operands) == shape[0]
    for i, operand in enumerate(operands):
        file = tmp_path / str(i)
        scale = operand.scale.tobytes() if fmt.has_scale else b""
        file.write_bytes(operand.codes.tobytes() + scale)
        stored = fmt.stored(operand)
        assert file.stat().st_size * 8 == stored.total_bits
        assert stored.payload_bits == shape[1] * shape[2] * fmt.bits
        assert stored.values == shape[1] * shape[2]
        assert stored.index_bits == 0
        block_count = shape[1] * math.ceil(shape[2] / block_size(name))
        assert stored.padding_bits == block_count * block_size(name) * fmt.bits - stored.payload_bits
        assert stored.scale_bits == 8 * block_count + 8 * len(scale)


@every_format
def test_bits_per_value_of_full_blocks(name):
    fmt = formats.get(name)
    assert fmt.storage((64, 4096), scales=0).bits_per_value == BITS[name]
    assert fmt.storage((64, 4096)).total_bits == BITS[name] * 64 * 4096 + (32 if name == "nvfp4" else 0)
    assert fmt.has_scale == (name == "nvfp4")


# Calibration and operands


@pytest.mark.kernels
@every_mx
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
def test_microscaling_needs_no_scale(name, method):
    x = heavy_tailed(6, (2, 3, 40))
    fmt = formats.get(name)
    assert fmt.calibrate(x, method=method).tolist() == [[[1.0]] * 3] * 2
    assert fmt.calibrate(x, axis=None, method=method).tolist() == 1.0
    for granularity in ("tensor", "row"):
        for operand, rows in zip(fmt.encode_operand(x, granularity, method), x, strict=True):
            assert operand.codes.tolist() == naive_rows(name, rows, 1.0)
            assert (operand.row_scale == 1).all()
            np.testing.assert_array_equal(fmt.decode_operand(operand), fmt.decode(operand.codes, 40))


@pytest.mark.kernels
@pytest.mark.parametrize("method", ["mse", "absmax", "three_sigma"])
def test_nvfp4_scale_is_absmax_over_2688(method):
    fmt = formats.get("nvfp4")
    x = heavy_tailed(7, (2, 3, 40))
    x[1, 2] = 0
    assert fmt.calibrate(x, axis=None, method=method).tolist() == float(naive.nvfp4_scale(x.reshape(-1, 40)))
    rows = [float(naive.nvfp4_scale([row])) for row in x.reshape(-1, 40)]
    assert fmt.calibrate(x, method=method).reshape(-1).tolist() == rows
    assert rows[-1] == 1.0
    for granularity in ("tensor", "row"):
        for operand, gemm in zip(fmt.encode_operand(x, granularity, method), x, strict=True):
            assert operand.codes.tolist() == naive_rows("nvfp4", gemm, operand.scale)
    exact = np.array([[2688.0, -1344.0, 224.0]], np.float32)
    assert fmt.decode(fmt.encode(exact, fmt.calibrate(exact)), 3).tolist() == exact.tolist()


@pytest.mark.kernels
@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 3.4e38])
@every_format
def test_extreme_tensors_can_be_encoded(name, magnitude):
    x = np.array([[[magnitude, -magnitude, 0.0]]], np.float32)
    fmt = formats.get(name)
    operand = fmt.encode_operand(x, "tensor", "mse")[0]
    real = fmt.decode_operand(operand) * operand.row_scale
    assert np.isfinite(real).all()
    if magnitude > 1e-40:
        np.testing.assert_allclose(real, x[0], rtol=0.25)


@pytest.mark.kernels
def test_more_precise_elements_lose_less_on_a_gaussian():
    """Signal to noise, dB: the order that widths and mantissas predict, wide apart."""
    x = np.random.default_rng(0).standard_normal((1, 64, 512)).astype(np.float32)
    sqnr = {}
    for name in ("mxfp4", "nvfp4", "mxfp8_e5m2", "mxfp8_e4m3", "mxint8"):
        fmt = formats.get(name)
        operand = fmt.encode_operand(x, "tensor", "absmax")[0]
        error = x[0] - fmt.decode_operand(operand) * operand.row_scale
        sqnr[name] = 10 * math.log10((x**2).sum() / (error**2).sum())
    order = ["mxfp4", "nvfp4", "mxfp8_e5m2", "mxfp8_e4m3", "mxint8"]
    assert sorted(sqnr, key=sqnr.get) == order
    assert 18 < sqnr["mxfp4"] < 20 < sqnr["nvfp4"] < 22
    assert 41 < sqnr["mxint8"] < 43


# Complaints and names


@every_format
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused_by_position(name, bad):
    fmt = formats.get(name)
    x = np.zeros((2, 3, 50), np.float32)
    x[1, 2, 40] = bad
    expected = f"cannot encode {bad} at position (1, 2, 40); all values must be finite in float32"
    assert refused(EncodingError, fmt.encode, x, 1.0) == expected
    assert refused(EncodingError, fmt.calibrate, x) == expected
    assert refused(EncodingError, fmt.encode_operand, x, "tensor", "mse") == expected


@every_format
def test_other_complaints(name):
    fmt = formats.get(name)
    assert refused(EncodingError, fmt.encode, np.ones((1, 2)), 0.0) == "a scale must be positive and finite"
    assert refused(UnknownNameError, fmt.calibrate, np.ones((1, 2)), method="msee") == (
        "unknown calibration 'msee'; did you mean 'mse'?; known: absmax, mse, three_sigma"
    )
    assert refused(EncodingError, fmt.encode_operand, np.ones((2, 2)), "tensor", "mse") == (
        f"{name}: expected an operand of shape (count, rows, K), got (2, 2)"
    )
    codes = np.zeros((2, 5), np.uint8)
    assert refused(EncodingError, fmt.decode, codes, 64) == (
        f"{name}: expected uint8 codes of shape (..., {fmt.packed_bytes(64)}), got uint8 of shape (2, 5)"
    )


def test_names():
    assert set(ALL) <= set(formats.names())
    for name in ALL:
        assert formats.get(name).name == name
    x = heavy_tailed(0, (3, 40))
    for short, long in (("mxfp8", "mxfp8_e4m3"), ("mxfp6", "mxfp6_e3m2")):
        np.testing.assert_array_equal(formats.get(short).encode(x, 1.0), formats.get(long).encode(x, 1.0))
