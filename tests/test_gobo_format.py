"""GOBO: outliers, centroids, indices and every stored bit, against a slow version written from the definition."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import formats
from simulator.errors import ConfigError, EncodingError, UnknownNameError
from simulator.formats.base import Encoded
from tests import naive_blocks as naive
from tests.naive import encode_fp16

NAMES = {"gobo3": 3, "gobo4": 4}
every_width = pytest.mark.parametrize("name", NAMES)
quick = settings(deadline=None, max_examples=150)


def refused(error, call, *args, **kwargs):
    with pytest.raises(error) as info:
        call(*args, **kwargs)
    return str(info.value)


def weights(seed, shape, sigma=0.05, outliers=3):
    """A bell with a few values far outside."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(shape) * sigma).astype(np.float32)
    where = rng.choice(x.size, min(outliers, x.size), replace=False)
    x.reshape(-1)[where] = rng.choice([-1, 1], len(where)) * sigma * rng.uniform(5, 30, len(where))
    return x


def encode(name, rows, **options):
    return formats.get(name, **options).encode_operand(np.asarray(rows)[None], "tensor", "mse")[0]


def assert_naive(name, rows, log_probability=-4.0, half=False):
    """Every stored byte equals the slow version's; decoding gives its values."""
    options = {"log_probability": log_probability, "dictionary": "fp16" if half else "fp32"}
    operand = encode(name, rows, **options)
    packed, dictionary, where, values = naive.gobo(rows, NAMES[name], log_probability, half)
    assert operand.codes.tolist() == packed
    assert operand.extras["dictionary"].dtype == (np.float16 if half else np.float32)
    assert operand.extras["dictionary"].tolist() == [float(c) for c in dictionary]
    assert operand.extras["outlier_position"].dtype == np.uint32
    assert operand.extras["outlier_position"].tolist() == where
    assert operand.extras["outlier_value"].dtype == np.float32
    assert operand.extras["outlier_value"].tolist() == [float(v) for v in values]
    decoded = formats.get(name, **options).decode_operand(operand)
    flat = [v for row in rows for v in row]
    kept = dict(zip(where, values, strict=True))
    expected = [
        kept[i] if i in kept else float(dictionary[naive.nearest_entry(v, dictionary)]) for i, v in enumerate(flat)
    ]
    assert decoded.dtype == np.float32
    assert decoded.reshape(-1).tolist() == [float(v) for v in expected]
    return operand


@pytest.mark.kernels
@every_width
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 5), (8, 33), (16, 40)], ids=str)
def test_gobo_is_the_slow_version_bit_for_bit(name, half, shape):
    for seed in range(3):
        assert_naive(name, weights(seed, shape), half=half)


@pytest.mark.kernels
@every_width
@quick
@given(data=st.data())
def test_any_small_operand_is_the_slow_version_bit_for_bit(name, data):
    value = data.draw(
        st.sampled_from(
            [
                st.floats(-0.25, 0.25, width=32),
                st.integers(-3, 3).map(lambda n: n / 8),
                st.floats(width=32, allow_nan=False, allow_infinity=False),
            ]
        )
    )
    K = data.draw(st.integers(1, 12))
    rows = data.draw(st.lists(st.lists(value, min_size=K, max_size=K), min_size=1, max_size=4))
    assert_naive(
        name, np.array(rows, np.float32), data.draw(st.sampled_from([-4.0, 0.0, -1.0, 2.0])), data.draw(st.booleans())
    )


# Outliers


@pytest.mark.kernels
@every_width
def test_outliers_are_what_the_gaussian_makes_improbable(name):
    """A density of e^-4 at sd 0.05 is 3.48 standard deviations out; the list has those and no others, unrounded."""
    x = weights(1, (64, 64), outliers=6)
    mean, sigma = float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))
    z = math.sqrt(2 * (4 - math.log(sigma) - 0.5 * math.log(2 * math.pi)))
    expected = np.flatnonzero(np.abs(x.astype(np.float64) - mean) > z * sigma)
    operand = encode(name, x)
    assert operand.extras["outlier_position"].tolist() == expected.tolist()
    np.testing.assert_array_equal(operand.extras["outlier_value"], x.reshape(-1)[expected])
    assert 3.0 < z < 3.7
    assert len(expected) >= 6


@pytest.mark.kernels
def test_the_threshold_is_an_option_and_a_density():
    x = weights(2, (64, 64))
    found = [len(encode("gobo4", x, log_probability=p).extras["outlier_position"]) for p in (-1000.0, -8.0, -4.0, -1.0)]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[3] > found[2] > 0
    wide = encode("gobo4", x * np.float32(22 / 0.05))  # sd beyond 21.8: even the mean is improbable
    assert wide.extras["outlier_position"].tolist() == list(range(64 * 64))
    assert not wide.extras["dictionary"].any()
    assert not wide.codes.any()
    np.testing.assert_array_equal(formats.get("gobo4").decode_operand(wide), x * np.float32(22 / 0.05))


@pytest.mark.kernels
@every_width
def test_a_constant_tensor_has_no_outliers_and_comes_back(name):
    for value in (0.0, -3.5, 1e30, 1e-45):
        x = np.full((3, 5), value, np.float32)
        operand = assert_naive(name, x)
        assert len(operand.extras["outlier_position"]) == 0
        np.testing.assert_array_equal(formats.get(name).decode_operand(operand), x)


# Centroids


@pytest.mark.kernels
@every_width
def test_as_many_values_as_centroids_are_kept_exactly(name):
    values = np.linspace(-0.1, 0.1, 2 ** NAMES[name], dtype=np.float32)
    x = np.random.default_rng(0).permutation(np.repeat(values, 50)).reshape(20, -1)
    operand = encode(name, x, log_probability=-1000.0)
    np.testing.assert_array_equal(formats.get(name).decode_operand(operand), x)
    np.testing.assert_array_equal(operand.extras["dictionary"], values)


@pytest.mark.kernels
def test_start_bins_and_rounds_by_hand():
    """16 values in 8 bins of two, the bins already nearest: their means, and nothing moves."""
    values = np.repeat(np.arange(8, dtype=np.float32), 2) + np.tile(np.float32([0, 0.25]), 8)
    operand = encode("gobo3", values[None, ::-1], log_probability=-1000.0)
    assert operand.extras["dictionary"].tolist() == [i + 0.125 for i in range(8)]
    # index 7 7 6 6 5 5 4 4 3 3 2 2 1 1 0 0, three bits each, least significant first
    assert operand.codes.tolist() == [
        naive.least_significant_first([7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0], 3)
    ]


@pytest.mark.kernels
@every_width
@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_rounds_never_increase_the_distance_and_indices_are_nearest(name, seed):
    x = weights(seed, (12, 30))
    inner = sorted(v for v, out in zip(x.reshape(-1), naive.gobo_outliers(x.reshape(-1), -4.0), strict=True) if not out)
    centroids, distances = naive.gobo_centroids(inner, 2 ** NAMES[name])
    assert len(distances) > 1
    assert all(b <= a for a, b in pairwise(distances))
    operand = encode(name, x)
    dictionary = operand.extras["dictionary"].astype(np.float64)
    assert dictionary.tolist() == [float(c) for c in centroids]
    assert (np.diff(dictionary) >= 0).all()
    decoded = formats.get(name).decode_operand(operand).astype(np.float64).reshape(-1)
    nearest = np.abs(x.reshape(-1, 1) - dictionary).min(axis=1)
    nearest[operand.extras["outlier_position"]] = 0
    np.testing.assert_array_equal(np.abs(x.reshape(-1) - decoded), nearest)


@pytest.mark.kernels
def test_an_equal_distance_goes_on_and_the_first_increase_stops():
    """Distances 7, 2, 2: the last round moves 5 | 6 and 7 | 8 together and is kept. Then 5, 5, 1: so is the second."""
    values = np.float32([0, 0, 1, 1, 1, 1, 1, 3, 5, 6, 7, 8, 11])
    assert naive.gobo_centroids(values, 8)[1] == [7, 2, 2]
    assert assert_naive("gobo3", values[None], -1000.0).extras["dictionary"].tolist() == [0, 0.5, 1, 1, 3, 5.5, 7.5, 11]
    values = np.float32([0, 1, 2, 4, 9, 11, 11, 11, 12, 12])
    assert naive.gobo_centroids(values, 8)[1] == [5, 5, 1]
    assert_naive("gobo3", values[None], -1000.0)
    values = np.random.default_rng(0).integers(0, 13, (1, 16)).astype(np.float32)
    assert_naive("gobo3", values, -1000.0)


@pytest.mark.kernels
def test_a_value_half_way_takes_the_lower_centroid():
    x = np.float32([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]]) / 4
    operand = encode("gobo3", x, log_probability=-1000.0)
    between = np.float32([[0.125, 0.375, 0.625]])
    dictionary = operand.extras["dictionary"].tolist()
    assert dictionary == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert [naive.nearest_entry(v, dictionary) for v in between[0]] == [1, 3, 5]
    assert_naive("gobo3", np.concatenate([x, np.tile(between, (1, 6))[:, :16]]), -1000.0)


@pytest.mark.kernels
def test_half_precision_dictionaries_saturate_and_outliers_stay_float32():
    x = np.float32([[1e9, -1e9, 1e9, -1e9, 3.14159]])
    operand = encode("gobo3", x, dictionary="fp16", log_probability=-1000.0)
    assert {operand.extras["dictionary"].min(), operand.extras["dictionary"].max()} == {-65504.0, 65504.0}
    x = weights(0, (16, 16))
    operand = encode("gobo3", x, dictionary="fp16")
    np.testing.assert_array_equal(operand.extras["outlier_value"], x.reshape(-1)[operand.extras["outlier_position"]])


@pytest.mark.kernels
@every_width
def test_outliers_may_be_halves(name):
    """Rounded one by one, the same ones, in as many bits."""
    x = weights(3, (32, 32), outliers=40)
    kept, halves = (encode(name, x, outliers=kind) for kind in ("fp32", "fp16"))
    assert len(kept.extras["outlier_value"]) >= 30
    expected = [encode_fp16(float(v)) for v in kept.extras["outlier_value"]]
    assert halves.extras["outlier_value"].dtype == np.float32
    assert halves.extras["outlier_value"].tolist() == expected != kept.extras["outlier_value"].tolist()
    np.testing.assert_array_equal(halves.extras["outlier_position"], kept.extras["outlier_position"])
    np.testing.assert_array_equal(halves.codes, kept.codes)
    rounded = formats.get(name, outliers="fp16")
    assert rounded.stored(halves) == formats.get(name).stored(kept)
    assert rounded.decode_operand(halves).reshape(-1)[kept.extras["outlier_position"]].tolist() == expected
    large = encode(name, np.float32([[1e9, -1e9]]), outliers="fp16", log_probability=0.0)
    assert large.extras["outlier_value"].tolist() == [65504.0, -65504.0]


# Layout and storage


@pytest.mark.kernels
def test_every_index_byte_decodes_least_significant_first():
    """All 256 bytes of two 4-bit indices, all 65,536 two-byte rows of five 3-bit ones."""
    for name, length, rows in (
        ("gobo4", 2, np.arange(256, dtype=np.uint8)[:, None]),
        ("gobo3", 5, np.arange(65536, dtype="<u2").view(np.uint8).reshape(-1, 2)),
    ):
        bits = NAMES[name]
        dictionary = np.arange(2**bits, dtype=np.float32)
        extras = {"dictionary": dictionary, "outlier_position": np.zeros(0, np.uint32), "outlier_value": np.zeros(0)}
        decoded = formats.get(name).decode_operand(Encoded(rows, np.ones((), np.float32), length, extras))
        word = rows.astype(np.int64) @ (256 ** np.arange(rows.shape[1]))
        expected = (word[:, None] >> (bits * np.arange(length))) & (2**bits - 1)
        np.testing.assert_array_equal(decoded, expected)


@pytest.mark.kernels
@every_width
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (5, 8), (9, 41)], ids=str)
def test_bits_on_disk_are_the_bits_claimed(name, half, shape, tmp_path):
    options = {"dictionary": "fp16" if half else "fp32"}
    operand = encode(name, weights(3, shape), **options)
    file = tmp_path / "operand"
    file.write_bytes(operand.codes.tobytes() + b"".join(extra.tobytes() for extra in operand.extras.values()))
    stored = formats.get(name, **options).stored(operand)
    bits, outliers = NAMES[name], len(operand.extras["outlier_position"])
    assert file.stat().st_size * 8 == stored.total_bits
    assert stored.payload_bits == shape[0] * shape[1] * bits
    assert stored.padding_bits == shape[0] * (-shape[1] * bits % 8)
    assert stored.scale_bits == 0
    assert stored.index_bits == 2**bits * (16 if half else 32) + 64 * outliers
    assert stored.values == shape[0] * shape[1]


def test_published_size_of_three_bits_with_a_thousandth_and_a_hundredth_of_outliers():
    """64 bits for 0.1 % and 1 % of the weights: about 3.06 and 3.64 bits per weight (derived from the definition)."""
    for outliers, expected in ((1000, 3.064), (10_000, 3.64)):
        extras = {
            "dictionary": np.zeros(8, np.float32),
            "outlier_position": np.arange(outliers, dtype=np.uint32),
            "outlier_value": np.zeros(outliers, np.float32),
        }
        operand = Encoded(np.zeros((1000, 375), np.uint8), np.ones((), np.float32), 1000, extras)
        assert formats.get("gobo3").stored(operand).bits_per_value == pytest.approx(expected, abs=3e-4)


@pytest.mark.kernels
@every_width
def test_each_gemm_has_its_own_dictionary_whatever_granularity_and_calibration(name):
    x = np.stack([weights(1, (6, 20)), weights(2, (6, 20)) * np.float32(3)])
    fmt = formats.get(name)
    for granularity in ("tensor", "row"):
        for method in ("mse", "absmax", "three_sigma"):
            operands = fmt.encode_operand(x, granularity, method)
            for operand, rows in zip(operands, x, strict=True):
                alone = encode(name, rows)
                np.testing.assert_array_equal(operand.codes, alone.codes)
                for key, extra in alone.extras.items():
                    np.testing.assert_array_equal(operand.extras[key], extra)
                assert operand.scale.shape == ()
                assert operand.scale == 1


@pytest.mark.kernels
@every_width
def test_layout_and_type_of_the_input_do_not_matter_and_it_is_left_alone(name):
    x = weights(5, (10, 12))
    kept = x.copy()
    x.flags.writeable = False
    operand = encode(name, x)
    for same in (np.asfortranarray(x), x.astype(np.float64), x.tolist()):
        again = encode(name, same)
        np.testing.assert_array_equal(again.codes, operand.codes)
        np.testing.assert_array_equal(again.extras["outlier_value"], operand.extras["outlier_value"])
    np.testing.assert_array_equal(x, kept)


@every_width
def test_values_on_the_bounds_are_no_outliers(name, monkeypatch):
    low, high = np.float32(-0.5), np.float32(2.25)
    x = np.array(
        [[np.nextafter(low, np.float32(-9)), low, -0.0, 0.0, high, np.nextafter(high, np.float32(9))]], np.float32
    )
    monkeypatch.setattr("simulator.formats.gobo._bounds", lambda *_: (float(low), float(high)))
    (found,) = formats.get(name).encode_operand(x[None], "tensor", "mse")
    assert found.extras["outlier_position"].tolist() == [0, 5]
    monkeypatch.setattr("simulator.formats.gobo._bounds", lambda *_: (np.inf, -np.inf))
    (found,) = formats.get(name).encode_operand(x[None], "tensor", "mse")
    assert found.extras["outlier_position"].tolist() == [0, 1, 2, 3, 4, 5]


# Complaints


@every_width
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "-inf"])
def test_values_that_are_no_numbers_are_refused_by_position(name, bad):
    x = np.zeros((2, 3, 5), np.float32)
    x[1, 2, 3] = bad
    assert refused(EncodingError, formats.get(name).encode_operand, x, "tensor", "mse") == (
        f"cannot encode {bad} at position (1, 2, 3); all values must be finite in float32"
    )


@every_width
def test_operands_that_do_not_fit_are_refused(name):
    fmt = formats.get(name)
    assert refused(EncodingError, fmt.encode_operand, np.ones((2, 2)), "tensor", "mse") == (
        f"{name}: expected an operand of shape (count, rows, K), got (2, 2)"
    )
    huge = np.broadcast_to(np.float32(1), (1, 65537, 65536))
    assert refused(EncodingError, fmt.encode_operand, huge, "tensor", "mse") == (
        f"{name}: {65537 * 65536} values in one operand; outlier coordinates have 32 bits"
    )
    assert refused(UnknownNameError, fmt.encode_operand, np.ones((1, 1, 1)), "tensor", "msee").startswith(
        "unknown calibration 'msee'; did you mean 'mse'?"
    )


@pytest.mark.kernels
@every_width
def test_stored_operands_that_do_not_fit_are_refused(name):
    fmt = formats.get(name)
    good = encode(name, weights(0, (4, 8), outliers=2))

    def change(**extras):
        return Encoded(good.codes, good.scale, good.length, {**good.extras, **extras})

    n = 2 ** NAMES[name]
    assert refused(EncodingError, fmt.decode_operand, change(dictionary=np.zeros(5, np.float32))) == (
        f"{name}: expected {n} dictionary entries, got (5,)"
    )
    for position, at in (([3, 32], 1), ([3, 3], 1), ([9, 2], 1), ([40, 41], 0)):
        extras = {"outlier_position": np.array(position, np.uint32), "outlier_value": np.zeros(2, np.float32)}
        assert refused(EncodingError, fmt.decode_operand, change(**extras)) == (
            f"{name}: outlier {at} at coordinate {position[at]}; coordinates must ascend and stay below 32"
        )
    short = Encoded(good.codes[:, :-1], good.scale, good.length, good.extras)
    assert refused(EncodingError, fmt.decode_operand, short).startswith(f"{name}: expected uint8 codes of shape")


@every_width
def test_options(name):
    assert formats.get(name) == formats.get(name, log_probability=-4.0, dictionary="fp32")
    assert refused(UnknownNameError, formats.get, name, dictionary="fp8") == (
        "unknown dictionary 'fp8'; known: fp16, fp32"
    )
    assert refused(ConfigError, formats.get, name, log_probability=math.nan) == (
        f"{name}: log_probability must be a finite number, got nan"
    )
    assert name in formats.names()
