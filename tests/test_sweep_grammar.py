"""Axes, ranges and conditions of a sweep, against products and arithmetic written out by hand."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import from_mapping
from simulator.config.conditions import parse_condition
from simulator.config.study import Study
from simulator.config.sweep import MOST_VALUES, Axis, axes_of
from simulator.errors import ConfigError
from simulator.study.space import Space

BASE = {"name": "s", "designs": ["d"], "workloads": ["w"]}


def axes(sweep):
    study = Study.model_validate(BASE | {"sweep": sweep})
    return axes_of(study.sweep, from_mapping(BASE | {"sweep": sweep}, "study.yaml"))


def values(**asked):
    (axis,) = axes({"array.rows": asked})
    return [value for (value,) in axis.values]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"from": 8, "to": 64, "step": 8}, [8, 16, 24, 32, 40, 48, 56, 64]),
        ({"from": 8, "to": 30, "step": 8}, [8, 16, 24]),
        ({"from": 8, "to": 256, "factor": 2}, [8, 16, 32, 64, 128, 256]),
        ({"from": 3, "to": 100, "factor": 3}, [3, 9, 27, 81]),
        ({"from": 1, "to": 4, "factor": 1.5}, [1.0, 1.5, 2.25, 3.375]),
        ({"from": 0.1, "to": 0.5, "step": 0.1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"from": 0, "to": 10, "points": 5}, [0, 2, 5, 8, 10]),
        ({"from": 0.0, "to": 1.0, "points": 5}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"from": 8, "to": 128, "points": 5, "scale": "log"}, [8, 16, 32, 64, 128]),
        ({"from": 4.0, "to": 32.0, "points": 4, "scale": "log"}, [4.0, 8.0, 16.0, 32.0]),
        ({"from": 1.0, "to": 1000.0, "points": 4, "scale": "log"}, [1.0, 10.0, 100.0, 1000.0]),
    ],
)
def test_ranges_by_hand(asked, expected):
    found = values(**asked)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


WHOLE = st.integers(1, 500)


@given(start=WHOLE, span=st.integers(1, 500), step=WHOLE)
def test_a_whole_step_is_python_s_range(start, span, step):
    assert values(**{"from": start, "to": start + span, "step": step}) == list(range(start, start + span + 1, step))


@given(start=WHOLE, span=WHOLE, step=st.integers(1, 50), tenths=st.sampled_from([10, 100, 1000]))
def test_a_decimal_step_is_exact(start, span, step, tenths):
    found = values(**{"from": start / tenths, "to": (start + span) / tenths, "step": step / tenths})
    assert found == [n / tenths for n in range(start, start + span + 1, step)]


@given(start=st.integers(1, 9), factor=st.integers(2, 9), powers=st.integers(1, 8), beyond=st.integers(0, 3))
def test_a_factor_multiplies(start, factor, powers, beyond):
    end = start * factor**powers
    end += min(beyond, end * (factor - 1) - 1)
    assert values(**{"from": start, "to": end, "factor": factor}) == [start * factor**i for i in range(powers + 1)]


@given(
    start=st.floats(0.001, 100),
    ratio=st.floats(1.01, 1e6),
    points=st.integers(2, 60),
    scale=st.sampled_from(["linear", "log"]),
)
def test_spread_values_rise_between_their_ends(start, ratio, points, scale):
    end = start * ratio
    found = values(**{"from": start, "to": end, "points": points, "scale": scale})
    assert (len(found), found[0], found[-1]) == (points, start, end)
    assert found == sorted(set(found))
    steps = [b / a if scale == "log" else Fraction(b) - Fraction(a) for a, b in itertools.pairwise(found)]
    assert max(steps) == pytest.approx(float(min(steps)), rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"from": 8, "to": 64}, "a range needs one of step, factor and points, found none"),
        ({"from": 8, "to": 64, "step": 8, "factor": 2},
         "a range needs one of step, factor and points, found step and factor"),
        ({"from": 64, "to": 8, "step": 8}, "a range goes up: from 64 must be below to 8"),
        ({"from": 8, "to": 8, "step": 8}, "a range goes up: from 8 must be below to 8"),
        ({"from": 0, "to": 8, "factor": 2}, "a range by factor or on a log scale starts above 0, found 0"),
        ({"from": -1.0, "to": 8, "points": 3, "scale": "log"},
         "a range by factor or on a log scale starts above 0, found -1.0"),
        ({"from": 8, "to": 64, "step": 8, "scale": "log"}, "scale: log is for points, found step"),
        ({"from": 1, "to": 3, "points": 5},
         "5 points round to 2 twice; take fewer points, or decimal ends such as 8.0"),
        ({"from": 0, "to": 1e9, "step": 1}, f"more than {MOST_VALUES} values; take a larger step"),
        ({"from": 1, "to": 1e300, "factor": 1.000001}, f"more than {MOST_VALUES} values; take a larger factor"),
    ],
)  # fmt: skip
def test_a_range_that_makes_no_sense(asked, complaint):
    began = time.perf_counter()
    with pytest.raises(ConfigError) as refusal:
        values(**asked)
    assert str(refusal.value) == f"study.yaml: sweep.array.rows: {complaint}"
    assert time.perf_counter() - began < 1


def test_fields_that_change_together():
    assert axes({"array.rows, array.cols": [[16, 16], [32, 64]], "x": [1]}) == (
        Axis(("array.rows", "array.cols"), ((16, 16), (32, 64))),
        Axis(("x",), ((1,),)),
    )


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        ({"a.b, a.c": [[1, 2], 3]},
         "sweep.a.b, a.c[1]: expected a list of 2 values, one for each field, found number 3"),
        ({"a.b, a.c": [[1, 2, 3]]},
         "sweep.a.b, a.c[0]: expected a list of 2 values, one for each field, found a list of 3"),
        ({"a.b, a.c": {"from": 1, "to": 2, "step": 1}},
         "sweep.a.b, a.c: fields that change together need a list of lists, found a range"),
        ({"a.b, a.c": [[1, 2], [1, 2]]}, "sweep.a.b, a.c[1]: [1, 2] is on this axis twice; remove one"),
        ({"a.b": []}, "sweep.a.b: an axis needs at least one value"),
        ({"a.b,": [[1, 2]]}, "sweep.a.b,: 'a.b,' is no dotted path such as array.rows, nor several with commas"),
        ({"a..b": [1]}, "sweep.a..b: 'a..b' is no dotted path such as array.rows, nor several with commas"),
        ({"a.b": [1], "a.c, a.b": [[1, 2]]}, "sweep.a.c, a.b: 'a.b' is on two axes; remove one"),
        ({"a": [1], "a.b": [1]}, "sweep.a.b: 'a.b' is on two axes: 'a' sets it too; remove one"),
    ],
)  # fmt: skip
def test_an_axis_that_makes_no_sense(sweep, complaint):
    with pytest.raises(ConfigError) as refusal:
        axes(sweep)
    assert str(refusal.value) == f"study.yaml: {complaint}"


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 5), max_size=4), together=st.booleans())
def test_a_space_is_the_product_of_its_axes(sizes, together):
    """Against nested loops, by index and back."""
    made = []
    for i, size in enumerate(sizes):
        paths = (f"a{i}", f"b{i}") if together else (f"a{i}",)
        made.append(Axis(paths, tuple(tuple(f"{path}={n}" for path in paths) for n in range(size))))
    naive = [
        {
            path: value
            for axis, chosen in zip(made, values, strict=True)
            for path, value in zip(axis.paths, chosen, strict=True)
        }
        for values in itertools.product(*(axis.values for axis in made))
    ]
    space = Space(tuple(made))
    assert (len(space), space.size) == (len(naive), math.prod(sizes))
    assert list(space) == naive
    assert [space.index_of(space.choices(i)) for i in range(len(space))] == list(range(len(naive)))
    assert list(map(list, map(space.choices, range(len(space))))) == [
        list(c) for c in itertools.product(*map(range, sizes))
    ]


def test_a_huge_space_is_never_listed():
    space = Space(tuple(Axis((f"a{i}",), tuple((n,) for n in range(1000))) for i in range(20)))
    assert space.size == 1000**20
    assert space.combination(space.size - 1) == {f"a{i}": 999 for i in range(20)}
    with pytest.raises(IndexError):
        space.combination(space.size)


# Conditions


def holds(text, **known):
    return parse_condition(text, known, "study.yaml: where[0]").holds(known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == 1", True),
        ("a < b", True),
        ("a < b < 3", True),
        ("a < b and b < a", False),
        ("a > b or b > a", True),
        ("not a == 2", True),
        ("kind == 'os'", True),
        ('kind in ["os", "ws"]', True),
        ("kind not in ('os', 'ws')", False),
        ("on == true", True),
        ("on", True),
        ("not on", False),
        ("none == null", True),
        ("a == true", False),
        ("2 * a + 1 == 3 and b ** 3 == 8 and 7 // 2 == 3 and 7 % 4 == 3 and 1 / 2 == 0.5", True),
        ("-a < +b", True),
        ("a + b * 2 == 5", True),
        ("kind == 'ws' or a + 'x' == 1", "cannot calculate with text 'x'"),
    ],
)
def test_conditions(text, expected):
    known = {"a": 1, "b": 2, "kind": "os", "on": True, "none": None}
    if isinstance(expected, bool):
        assert holds(text, **known) is expected
    else:
        with pytest.raises(ConfigError, match=expected):
            holds(text, **known)


NUMBERS = st.integers(-20, 20)


@st.composite
def expressions(draw, depth=3):
    """Text of an arithmetic comparison in a, b, c, valid in Python as it stands."""

    def term(left):
        if left == 0 or draw(st.booleans()):
            return draw(st.sampled_from(["a", "b", "c", str(draw(NUMBERS))]))
        return f"({term(left - 1)} {draw(st.sampled_from(['+', '-', '*']))} {term(left - 1)})"

    def logic(left):
        if left == 0 or draw(st.booleans()):
            return f"{term(2)} {draw(st.sampled_from(['<', '<=', '>', '>=', '==', '!=']))} {term(2)}"
        if draw(st.booleans()):
            return f"not ({logic(left - 1)})"
        return f"({logic(left - 1)} {draw(st.sampled_from(['and', 'or']))} {logic(left - 1)})"

    return logic(depth)


@given(text=expressions(), a=NUMBERS, b=NUMBERS, c=NUMBERS)
def test_conditions_mean_what_python_means(text, a, b, c):
    expected = eval(text, {"__builtins__": {}}, {"a": a, "b": b, "c": c})
    assert holds(text, a=a, b=b, c=c) is expected


def test_names_have_dots():
    known = {"array.rows": 8, "array.cols": 16, "design": "d"}
    assert parse_condition("array.rows * 2 == array.cols", known, "x").names == {"array.rows", "array.cols"}
    assert parse_condition("array.rows * 2 == array.cols", known, "x").holds(known)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("print(1)", "'print(1)': a condition calls nothing"),
        ("a.real.bit_length() > 1", "'a.real.bit_length() > 1': a condition calls nothing"),
        ("(1).real == 1", "'(1).real == 1': only a name has dots, as in array.rows"),
        ("a.__class__ == 1", "'a.__class__ == 1': '__class__' is no name of a field"),
        ("__import__ == 1", "'__import__ == 1': '__import__' is no name of a field"),
        ("a[0] == 1", "'a[0] == 1': a condition has no brackets after a name"),
        ("[x for x in a] == 1", "'[x for x in a] == 1': a condition has no ListComp"),
        ("(lambda: 1) == 1", "'(lambda: 1) == 1': a condition is no function"),
        ("1 if a else 2", "'1 if a else 2': a condition has no if; use and, or, not"),
        ("(b := 1) == 1", "'(b := 1) == 1': a condition assigns nothing"),
        ("a is 1", "'a is 1': compare with == or !=, not with is"),
        ("a & 1", "'a & 1': a condition calculates with + - * / // % ** alone; say and, or, not for logic"),
        ("~a == 1", "'~a == 1': a condition calculates with + - * / // % ** alone; say and, or, not for logic"),
        ("f'{a}' == 'x'", "\"f'{a}' == 'x'\": a condition has no f-strings"),
        ("a == 1j", "'a == 1j': 1j is no number and no text"),
        ("a = 1", "'a = 1' is no condition: invalid syntax; compare with =="),
        ("rwos == 1", "unknown name 'rwos'; did you mean 'rows'?"),
        ("b == 1", "unknown name 'b'; known: a, rows"),
    ],
)  # fmt: skip
def test_what_a_condition_may_not_be(text, complaint):
    known = {"a": "x", "rows": 1}
    with pytest.raises(ConfigError) as refusal:
        parse_condition(text, known, "study.yaml:3: where[0]")
    assert str(refusal.value) == f"study.yaml:3: where[0]: {complaint}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9 ** 9 ** 9 > a", "9 ** 387420489 is too large"),
        ("a * 10 ** 300 > 1", "10 ** 300 is too large"),
        ("2.5 ** 10000 > a", "2.5 ** 10000 is too large"),
        ("(a - 9) ** 0.5 > 1", "-8 ** 0.5 is no real number"),
        ("a / 0 > 1", "divides by zero"),
        ("a % 0 > 1", "divides by zero"),
        ("kind < 1", "cannot compare text 'os' with number 1"),
        ("a < true", "cannot compare number 1 with true"),
        ("a in kind", "'in' needs a list, found text 'os'"),
        ("not a", "number 1 is neither true nor false"),
        ("a or kind", "number 1 is neither true nor false"),
    ],
)
def test_what_cannot_be_worked_out_is_one_line(text, reason):
    began = time.perf_counter()
    with pytest.raises(ConfigError) as refusal:
        holds(text, a=1, kind="os")
    assert f": {reason} (where " in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert time.perf_counter() - began < 1


def test_a_number_is_no_condition():
    with pytest.raises(ConfigError, match="'a \\+ 1' is number 2, neither true nor false"):
        holds("a + 1", a=1)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 300 + "a" + ")" * 300,
        "not " * 200 + "a",
        "-" * 900 + "a == 1",
        "a" + ".b" * 300,
        "1" * 2000,
        "a\0",
        "\ud800",
    ],
)
def test_depth_and_length_have_an_end(text):
    with pytest.raises(ConfigError) as refusal:
        parse_condition(text, {"a": 1}, "study.yaml: where[0]")
    assert str(refusal.value).startswith("study.yaml: where[0]: ")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300
