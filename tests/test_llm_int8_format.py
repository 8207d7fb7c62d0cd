"""LLM.int8(): which columns are outliers, what becomes of the rest, and every stored bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import formats
from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats.base import Encoded
from simulator.formats.llm_int8 import encode_split, split_columns
from tests import naive_blocks as naive

quick = settings(deadline=None, max_examples=150)
A = np.float32([[0.5, -1, 8, 0.25], [1.5, 0.75, -7, -2]])
W = np.float32([[0.2, -0.4, 0.1, 0.6], [-0.3, 0.5, 0.05, -0.1], [0.8, 0.1, -0.2, 0.4]])


def refused(error, call, *args, **kwargs):
    with pytest.raises(error) as info:
        call(*args, **kwargs)
    return str(info.value)


def signed(operand):
    return operand.codes.view(np.int8).astype(np.int64)


def encode(rows, threshold=6.0):
    return formats.get("llm_int8", threshold=threshold).encode_operand(np.asarray(rows)[None], "row", "absmax")[0]


def planted(seed, shape, columns):
    """A bell with some large values in these columns."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    for k in columns:
        x[rng.integers(shape[0]), k] = rng.choice([-1, 1]) * rng.uniform(6.5, 60)
    return x


def assert_naive(rows, threshold=6.0):
    """Every stored number equals the slow version's; decoding gives exactly those values."""
    operand = encode(rows, threshold)
    columns = naive.outlier_columns(rows, threshold)
    assert operand.extras["outlier_column"].dtype == np.uint32
    assert operand.extras["outlier_column"].tolist() == columns
    expected = [naive.int8_row(row, columns) for row in rows]
    assert signed(operand).tolist() == [codes for codes, _ in expected]
    assert operand.extras["row_scale"].dtype == np.float32
    assert operand.extras["row_scale"].tolist() == [[float(scale)] for _, scale in expected]
    half = operand.extras["outlier_value"]
    assert half.dtype == np.float16
    assert half.shape == (len(rows), len(columns))
    assert half.tolist() == [[float(np.float16(min(max(row[k], -65504), 65504))) for k in columns] for row in rows]
    real = [[code * float(scale) for code in codes] for codes, scale in expected]
    for row, values in zip(real, half.tolist(), strict=True):
        for k, value in zip(columns, values, strict=True):
            row[k] = value
    assert formats.get("llm_int8").decode_operand(operand).tolist() == real
    return operand


# The worked example (definition of the method; every intermediate number)


@pytest.mark.kernels
def test_worked_example():
    split = encode_split(A, W, weights="int8")
    act, weight = split
    assert split_columns(A).tolist() == act.extras["outlier_column"].tolist() == [2]
    np.testing.assert_allclose(act.extras["row_scale"] * 127, [[1], [2]], rtol=1e-6)
    assert signed(act).tolist() == [[64, -127, 0, 32], [95, 48, 0, -127]]
    np.testing.assert_allclose(weight.scale * 127, [[0.6], [0.5], [0.8]], rtol=1e-6)
    assert signed(weight).tolist() == [[42, -85, 21, 127], [-76, 127, 13, -25], [127, 16, -32, 64]]
    acc = signed(act) @ signed(weight).T
    assert acc.tolist() == [[17547, -21793, 8144], [-16219, 2051, 4705]]
    int8_part = acc * (act.extras["row_scale"].astype(np.float64) * weight.row_scale.T)
    np.testing.assert_allclose(
        int8_part, [[0.65275, -0.675584, 0.403943], [-1.206696, 0.127162, 0.466737]], rtol=0, atol=1e-6
    )
    column = act.extras["outlier_column"]
    rebuilt = signed(weight)[:, column] * weight.row_scale
    half_part = act.extras["outlier_value"].astype(np.float64) @ rebuilt.T
    np.testing.assert_allclose(
        half_part, [[0.793701, 0.409449, -1.612598], [-0.694488, -0.358268, 1.411024]], rtol=0, atol=1e-6
    )
    result = int8_part + half_part
    np.testing.assert_allclose(
        result, [[1.44645, -0.266136, -1.208655], [-1.901184, -0.231105, 1.877761]], rtol=0, atol=1e-6
    )
    exact = A.astype(np.float64) @ W.astype(np.float64).T
    np.testing.assert_allclose(exact, [[1.45, -0.275, -1.2], [-1.9, -0.225, 1.875]], rtol=0, atol=1e-6)
    assert np.abs(result - exact).max() == pytest.approx(0.00886, abs=5e-6)
    np.testing.assert_array_equal(weight.extras["outlier_weight"], rebuilt.astype(np.float16))


@pytest.mark.kernels
def test_weight_rows_come_from_w_itself_or_from_its_codes():
    stored, rebuilt = (encode_split(A, W, weights=kind).weight for kind in ("fp16", "int8"))
    np.testing.assert_array_equal(stored.codes, rebuilt.codes)
    assert stored.extras["outlier_weight"].tolist() == W[:, [2]].astype(np.float16).tolist()
    assert rebuilt.extras["outlier_weight"].tolist() == np.float16([[12.6 / 127], [6.5 / 127], [-25.6 / 127]]).tolist()
    assert encode_split(A, W).weight.extras["outlier_weight"].tolist() == stored.extras["outlier_weight"].tolist()


# Outlier columns


@pytest.mark.kernels
def test_the_threshold_itself_is_an_outlier_and_one_step_below_is_not():
    for threshold in (6.0, 0.1, 2.5e-3):
        at = np.float32(threshold)
        if float(at) < threshold:
            at = np.nextafter(at, np.float32(np.inf))
        x = np.array([[0, at, 0, -at], [np.nextafter(at, np.float32(0)), 0, 0, 0]], np.float32)
        assert split_columns(x, threshold).tolist() == [1, 3]
    assert split_columns(np.float32([[1e30, 3]]), math.inf).tolist() == []


@pytest.mark.kernels
def test_one_value_in_any_row_makes_the_whole_column_an_outlier():
    x = planted(0, (40, 30), [3, 17, 29])
    assert split_columns(x).tolist() == [3, 17, 29]
    operand = assert_naive(x)
    assert not signed(operand)[:, [3, 17, 29]].any()
    assert (np.abs(signed(operand)).max(axis=1) == 127).all()


@pytest.mark.kernels
def test_row_maxima_do_not_see_outlier_columns():
    """Row 1 has its largest value, itself no outlier, in a column that row 0 makes one."""
    x = np.float32([[7, 1, 0.5], [5, 0.25, -2]])
    operand = assert_naive(x)
    assert operand.extras["row_scale"].tolist() == [[np.float32(1 / 127)], [np.float32(2 / 127)]]
    assert signed(operand).tolist() == [[0, 127, 64], [0, 16, -127]]
    assert operand.extras["outlier_value"].tolist() == [[7], [5]]


def test_outlier_dimensions_of_a_model_like_tensor():
    """OPT-6.7B-like: 2048 tokens, six dimensions with 75 % of rows around -40: exactly those six columns."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2048, 4096), dtype=np.float32)
    columns = np.sort(rng.choice(4096, 6, replace=False))
    for k in columns:
        hit = rng.random(2048) < 0.75
        x[hit, k] = rng.normal(-40, 6.7, hit.sum())
    assert split_columns(x).tolist() == columns.tolist()
    operand = encode(x)
    stored = formats.get("llm_int8").stored(operand)
    assert stored.index_bits == 6 * (32 + 16 * 2048)
    assert stored.bits_per_value == pytest.approx(8 + 32 / 4096 + 6 * 16 / 4096, abs=1e-4)
    real = formats.get("llm_int8").decode_operand(operand)
    assert 10 * math.log10((x.astype(float) ** 2).sum() / ((x - real) ** 2).sum()) > 35


# Against the slow version


@pytest.mark.kernels
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 7), (16, 33)], ids=str)
@pytest.mark.parametrize("threshold", [6.0, 1.0, 1e-6, math.inf])
def test_operands_are_naive(shape, threshold):
    for seed in range(3):
        assert_naive(planted(seed, shape, [shape[1] // 2]), threshold)


@pytest.mark.kernels
@quick
@given(data=st.data())
def test_any_operand_is_naive(data):
    value = st.one_of(
        st.floats(-8, 8, width=32),
        st.integers(-254, 254).map(lambda n: n / 254),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
    K = data.draw(st.integers(1, 8))
    rows = data.draw(st.lists(st.lists(value, min_size=K, max_size=K), min_size=1, max_size=4))
    assert_naive(np.array(rows, np.float32), data.draw(st.sampled_from([6.0, 0.5, 1e30, math.inf])))


@pytest.mark.kernels
def test_every_tie_goes_to_the_even_code():
    """With a = 127 a code is the value itself; with a = 254, half of it."""
    ties = np.arange(-126.5, 127, 1, dtype=np.float32)
    expected = [[0, *(round(float(t)) for t in ties)]]
    for a in (127, 254, 127 * 2.0**-20):
        x = np.concatenate([[np.float32(a)], ties * np.float32(a / 127)])[None].astype(np.float32)
        expected[0][0] = 127
        assert signed(encode(x, math.inf)).tolist() == expected


@pytest.mark.kernels
def test_rows_of_zeros_and_the_smallest_numbers():
    x = np.float32([[0, -0.0, 0], [1e-45, -1e-45, 0], [1e-37, -1e-38, 1e-39]])
    operand = assert_naive(x)
    assert operand.extras["row_scale"][0, 0] == 1
    assert operand.extras["row_scale"][1, 0] == np.finfo(np.float32).tiny


@pytest.mark.kernels
def test_outliers_beyond_half_precision_saturate():
    operand = assert_naive(np.float32([[1e6, 1, -3e38], [70000, 65519, 65505]]))
    assert operand.extras["outlier_value"].tolist() == [[65504, 1, -65504], [65504, 65504, 65504]]


@pytest.mark.kernels
def test_splits_are_the_two_operands_encoded_alone():
    a, w = planted(1, (9, 20), [4, 11]), planted(2, (6, 20), [4])
    split = encode_split(a, w, weights="fp16")
    alone = encode(a)
    np.testing.assert_array_equal(split.act.codes, alone.codes)
    for key, extra in alone.extras.items():
        np.testing.assert_array_equal(split.act.extras[key], extra)
    expected = [naive.int8_row(row) for row in w]
    assert signed(split.weight).tolist() == [codes for codes, _ in expected]
    assert split.weight.scale.tolist() == [[float(scale)] for _, scale in expected]
    np.testing.assert_array_equal(split.weight.extras["outlier_weight"], w[:, [4, 11]].astype(np.float16))
    np.testing.assert_array_equal(formats.get("int8").decode_operand(split.weight), signed(split.weight))
    none = encode_split(a, w, threshold=1e9)
    assert none.act.extras["outlier_value"].shape == (9, 0)
    assert none.weight.extras["outlier_weight"].shape == (6, 0)


# Storage


@pytest.mark.kernels
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (16, 33)], ids=str)
@pytest.mark.parametrize("threshold", [6.0, 0.5, math.inf])
def test_bits_on_disk_are_the_bits_claimed(shape, threshold, tmp_path):
    operand = encode(planted(0, shape, [0]), threshold)
    file = tmp_path / "operand"
    file.write_bytes(operand.codes.tobytes() + b"".join(extra.tobytes() for extra in operand.extras.values()))
    stored = formats.get("llm_int8", threshold=threshold).stored(operand)
    assert file.stat().st_size * 8 == stored.total_bits
    assert (stored.payload_bits, stored.padding_bits) == (8 * shape[0] * shape[1], 0)
    assert stored.scale_bits == 32 * shape[0]
    assert stored.values == shape[0] * shape[1]


@pytest.mark.kernels
def test_columns_are_found_for_each_gemm_whatever_granularity_and_calibration():
    x = np.stack([planted(1, (6, 20), [2]), planted(2, (6, 20), [5, 6])])
    for granularity in ("tensor", "row"):
        for method in ("mse", "absmax", "three_sigma"):
            operands = formats.get("llm_int8").encode_operand(x, granularity, method)
            assert [o.extras["outlier_column"].tolist() for o in operands] == [[2], [5, 6]]
            for operand, rows in zip(operands, x, strict=True):
                np.testing.assert_array_equal(operand.codes, encode(rows).codes)
                assert operand.scale == 1


# Complaints


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused_by_position(bad):
    x = np.zeros((2, 3, 5), np.float32)
    x[1, 2, 3] = bad
    expected = "cannot encode {} at position {}; all values must be finite in float32"
    assert refused(EncodingError, formats.get("llm_int8").encode_operand, x, "row", "mse") == (
        expected.format(bad, "(1, 2, 3)")
    )
    assert refused(EncodingError, split_columns, x[1]) == expected.format(bad, "(2, 3)")
    assert refused(EncodingError, encode_split, x[1], x[0]) == expected.format(bad, "(2, 3)")
    assert refused(EncodingError, encode_split, x[0], x[1]) == expected.format(bad, "(2, 3)")


@pytest.mark.kernels
def test_stored_operands_that_do_not_fit_are_refused():
    good = encode(planted(0, (4, 8), [1, 6]))
    fmt = formats.get("llm_int8")
    for column, at in (([1, 8], 1), ([6, 6], 1), ([9, 1], 0)):
        extras = {**good.extras, "outlier_column": np.array(column, np.uint32)}
        assert refused(EncodingError, fmt.decode_operand, Encoded(good.codes, good.scale, 8, extras)) == (
            f"llm_int8: outlier column {at} is {column[at]}; columns must ascend and stay below 8"
        )
    short = Encoded(good.codes[:, 1:], good.scale, 8, good.extras)
    assert refused(EncodingError, fmt.decode_operand, short).startswith("llm_int8: expected uint8 codes of shape")


@pytest.mark.parametrize("threshold", [0, -6.0, math.nan, "6"], ids=str)
def test_thresholds_that_are_not_positive_are_refused(threshold):
    message = f"llm_int8: the threshold must be a positive number, got {threshold!r}"
    assert refused(ConfigError, formats.get, "llm_int8", threshold=threshold) == message
    assert refused(ConfigError, split_columns, A, threshold) == message
    assert refused(ConfigError, encode_split, A, W, threshold) == message


def test_other_complaints():
    assert refused(EncodingError, formats.get("llm_int8").encode_operand, A, "row", "mse") == (
        "llm_int8: expected an operand of shape (count, rows, K), got (2, 4)"
    )
    assert refused(EncodingError, encode_split, A[0], W) == (
        "llm_int8: expected activations of shape (rows, K), got (4,)"
    )
    assert refused(EncodingError, encode_split, A, W[None]) == (
        "llm_int8: expected weights of shape (rows, K), got (1, 3, 4)"
    )
    assert refused(EncodingError, encode_split, A, W[:, 1:]) == (
        "llm_int8: activations (2, 4) and weights (3, 3) differ in K"
    )
    assert refused(UnknownNameError, encode_split, A, W, 6.0, "int4") == (
        "unknown outlier weights 'int4'; did you mean 'int8'?; known: fp16, int8"
    )
    assert "llm_int8" in formats.names()
