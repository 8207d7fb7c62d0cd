"""The one reader of YAML: what it reads, and word for word what it says when it refuses."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from simulator.config.load import (
    FieldError,
    Source,
    apply_overrides,
    from_mapping,
    merge,
    parse_override,
    read_yaml,
    validate,
)
from simulator.config.yaml_nodes import MAX_NODES, parse
from simulator.errors import ConfigError


class Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Unit(Enum):
    MHZ = "mhz"
    GHZ = "ghz"


class Buffer(Closed):
    capacity_kib: PositiveFloat
    word_bits: PositiveInt = 512
    double_buffer: bool = True


class Array(Closed):
    rows: PositiveInt
    cols: Annotated[int, Field(ge=1, le=256, multiple_of=8)] = 8
    dataflow: Literal["os", "ws", "is"] = "os"

    @model_validator(mode="after")
    def square(self) -> Array:
        if self.rows > 1000:
            raise FieldError(("rows",), f"{self.rows} rows do not fit\non a die")
        if self.rows == 13:
            raise ValueError("13 rows bring bad luck")
        return self


class Systolic(Closed):
    kind: Literal["systolic"]
    array: Array


class Vector(Closed):
    kind: Literal["vector"]
    lanes: PositiveInt


Core = Annotated[Systolic | Vector, Field(discriminator="kind")]


class Design(Closed):
    name: str = "none"
    array: Array | None = None
    memory: dict[str, Buffer] = {}
    core: Core | None = None
    cores: list[Core] = []
    bits: Literal[4, 8] = 8
    unit: Unit = Unit.MHZ
    scale: float = 1.0
    threads: int | Literal["auto"] = "auto"
    sweep: int | list[int] = 1
    sizes: tuple[int, ...] = (1,)
    pair: tuple[int, str] = (1, "a")
    short: list[int] = Field(default=[1], min_length=1, max_length=2)
    tag: str = Field(default="a", pattern="^[a-z]+$")
    tags: dict[Annotated[str, Field(pattern="^[a-z]+$")], int] = {}

    @field_validator("name")
    @classmethod
    def no_spaces(cls, name: str) -> str:
        if " " in name:
            raise AssertionError("a name has no spaces")  # what a bare assert raises, without pytest's explanation
        return name


def written(folder: Path, text: str | bytes, name: str = "edge.yaml") -> Source:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def refusal(folder: Path, text: str | bytes, model: type[BaseModel] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(written(folder, text), model or BaseModel)
    message = str(caught.value)
    assert message.isprintable()
    return message.replace(f"{folder}/", "")


# --- reading -----------------------------------------------------------------------------------------------------


def test_data_and_lines(tmp_path: Path):
    source = written(tmp_path, "# edge\narray:\n  rows: 8\n  sizes: [1,\n    2]\nnames:\n- a\n- b: ~\n")
    assert source.data == {"array": {"rows": 8, "sizes": [1, 2]}, "names": ["a", {"b": None}]}
    assert source.lines == {
        (): 2,
        ("array",): 2,
        ("array", "rows"): 3,
        ("array", "sizes"): 4,
        ("array", "sizes", 0): 4,
        ("array", "sizes", 1): 5,
        ("names",): 6,
        ("names", 0): 7,
        ("names", 1): 8,
        ("names", 1, "b"): 8,
    }
    assert source.label == str(tmp_path / "edge.yaml")


def test_where():
    source = Source({}, {(): 1, ("designs", 2): 7}, "study.yaml")
    assert source.where(()) == "study.yaml:1"
    assert source.where(("designs", 2, "array", "rows")) == "study.yaml:7: designs[2].array.rows"
    assert source.where(("grid", 0, 1)) == "study.yaml:1: grid[0][1]"
    assert Source({}, {}, "<dict>").where(("a", "b")) == "<dict>: a.b"
    assert Source({}, {}, "<dict>").where(()) == "<dict>"


def test_a_scalar_is_what_it_looks_like(tmp_path: Path):
    text = (
        "int: -8\nlong: 1_000\nhex: 0x10\nbinary: 0b11\nzero: 0\nfloat: 1.0e+9\nsmall: 1.0e-3\ndot: 1.\n"
        "true: 1\nyes: 2\n"
    )
    plain = (
        text.partition("true")[0] + "flag: True\nother: false\nnone: null\ntilde: ~\nempty:\ntext: 4x4\nkey 1e9: a\n"
    )
    expected: dict[str, Any] = {"int": -8, "long": 1000, "hex": 16, "binary": 3, "zero": 0, "float": 1e9}
    expected |= {"small": 1e-3, "dot": 1.0, "flag": True, "other": False, "none": None, "tilde": None, "empty": None}
    expected |= {"text": "4x4", "key 1e9": "a"}
    read = written(tmp_path, plain).data
    assert read == expected
    assert {key: type(value) for key, value in read.items()} == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize("text", ["on", "010", "1e9", "12:30", "2024-01-01", ".inf", "~", "8", "true", "=", ""])
def test_quoted_is_text(tmp_path: Path, text: str):
    assert written(tmp_path, f"a: '{text}'\nb: \"{text}\"\n'{text}': 1\n").data == {"a": text, "b": text, text: 1}


@pytest.mark.parametrize("text", ["v1e9", "1e", "e9", ".", "-x", "1.2.3", "0o17", "nan", "inf", "y", "n", "1-2"])
def test_plain_text(tmp_path: Path, text: str):
    assert written(tmp_path, f"a: {text} # a comment").data == {"a": text}


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("1e9", "'1e9' is read as text by YAML; write 1.0e+9"),
        ("1e-3", "'1e-3' is read as text by YAML; write 1.0e-3"),
        ("1.0e9", "'1.0e9' is read as text by YAML; write 1.0e+9"),
        ("1.E9", "'1.E9' is read as text by YAML; write 1.0e+9"),
        ("-1_0e+5", "'-1_0e+5' is read as text by YAML; write -10.0e+5"),
        (".5e3", "'.5e3' is read as text by YAML; write 0.5e+3"),
        ("-.5", "'-.5' is read as text by YAML; write -0.5"),
        ("08", "'08' is read as text by YAML; write 8"),
        ("on", "'on' is read as true by YAML; write true, or 'on' in quotes"),
        ("Yes", "'Yes' is read as true by YAML; write true, or 'Yes' in quotes"),
        ("OFF", "'OFF' is read as false by YAML; write false, or 'OFF' in quotes"),
        ("no", "'no' is read as false by YAML; write false, or 'no' in quotes"),
        ("010", "'010' is read as the octal number 8 by YAML; remove the leading zero"),
        ("-0_7", "'-0_7' is read as the octal number -7 by YAML; remove the leading zero"),
        ("12:30:45", "'12:30:45' is read as the number 45045 by YAML; put it in quotes"),
        ("1:30.5", "'1:30.5' is read as the number 90.5 by YAML; put it in quotes"),
        (".inf", "inf is not allowed; write a finite number"),
        ("-.INF", "-inf is not allowed; write a finite number"),
        (".nan", "nan is not allowed; write a finite number"),
        ("1.0e+999", "inf is not allowed; write a finite number"),
        ("2024-01-31", "'2024-01-31' is read as a date by YAML; put it in quotes"),
        ("=", "'=' has a meaning of its own in YAML; put it in quotes"),
        ("0x_", "'0x_' is not a number"),
        ("9" * 5000, f"'{'9' * 55}...' is not a number"),
        ("0x" + "f" * 5000, "the number has too many digits"),
        ('"\\ud800"', "'\\ud800' is not valid Unicode"),
        ("!!python/object:os.system ls", "tag !!python/object:os.system is not allowed; remove it"),
        ("!!python/object/apply:os.system [ls]", "tag !!python/object/apply:os.system is not allowed; remove it"),
        ("!design {a: 1}", "tag !design is not allowed; remove it"),
        ("!!set {a}", "tag !!set is not allowed; remove it"),
        ("!!seq {a: 1}", "tag !!seq is not allowed; remove it"),
        ("!!str 8", "tag !!str is not allowed; remove it"),
        ("!!int '8'", "tag !!int is not allowed; remove it"),
    ],
    ids=lambda text: text[:20],
)
def test_traps(tmp_path: Path, text: str, complaint: str):
    assert refusal(tmp_path, f"array:\n  rows:\n  - 1\n  - {text}\n") == f"edge.yaml:4: array.rows[1]: {complaint}"


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{:e}", "{:.0e}", "{:E}", "{:+.3e}"]))
def test_the_offered_spelling_is_the_number(number: float, form: str):
    text = form.format(number).replace("e+", "e").replace("E+", "E")
    try:
        value, _ = parse(text, "x")
    except ConfigError as error:
        value = yaml.safe_load(str(error).rpartition("write ")[2])
    assert value == float(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "edge.yaml:1: the document is empty"),
        ("# nothing\n", "edge.yaml:1: the document is empty"),
        ("---\n", "edge.yaml:2: the document is empty"),
        ("a: 1\n---\nb: 1\n", "edge.yaml:3: a second document starts here; keep one per file"),
        ("\n- a\n", "edge.yaml:2: expected a mapping at the top, found list ['a']"),
        ("8\n", "edge.yaml:1: expected a mapping at the top, found number 8"),
        ("hello\n", "edge.yaml:1: expected a mapping at the top, found text 'hello'"),
        (b"a: 1\nb: \xff\n", "edge.yaml:2: not UTF-8 text; save the file as UTF-8"),
        ("a: 1\nb: \x01\n", "edge.yaml:2: not valid YAML: character '\\x01' is not allowed"),
        ('a: "\\UFFFFFFFF"', "edge.yaml:1: not valid YAML: an escape in quotes names no character"),
        (
            "a: [1,\n2}\n",
            "edge.yaml:2: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '}'",
        ),
        ("a: 1\n b: 2\n", "edge.yaml:2: not valid YAML: mapping values are not allowed here"),
        (
            "a:\n\t- 1\n",
            "edge.yaml:2: not valid YAML: while scanning for the next token, found character '\\t' that cannot start "
            "any token",
        ),
        ("a: *b\n", "edge.yaml:1: not valid YAML: found undefined alias 'b'"),
        ("a: {b: 1,\n  c: 2,\n  b: 3}\n", "edge.yaml:3: a.b: duplicate key; the first is on line 1"),
        ("a: 1\n'a': 1\n", "edge.yaml:2: a: duplicate key; the first is on line 1"),
        ("a:\n  8: 1\n", "edge.yaml:2: a: a key must be text; write '8' in quotes"),
        ("on: 1\n", "edge.yaml:1: a key must be text; write 'on' in quotes"),
        ("~: 1\n", "edge.yaml:1: a key must be text; write '~' in quotes"),
        ("? [a, b]\n: 1\n", "edge.yaml:1: a key must be text, not a list or a mapping"),
    ],
)
def test_documents_refused(tmp_path: Path, text: str | bytes, message: str):
    assert refusal(tmp_path, text) == message


def test_byte_order_mark_and_crlf(tmp_path: Path):
    source = written(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert source.data == {"a": 1, "b": 2}
    assert source.lines[("b",)] == 2


def test_missing_file(tmp_path: Path):
    for name in ("edge.yaml", "cloud.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as near:
        read_yaml(tmp_path / "egde.yaml")
    assert str(near.value) == f"{tmp_path}/egde.yaml: no such file; did you mean 'edge.yaml'?"
    with pytest.raises(ConfigError) as far:
        read_yaml(Path("no_folder/x.yaml"))
    assert str(far.value) == "no_folder/x.yaml: no such file; nothing in 'no_folder' has a name like it"


def test_folder_and_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError) as folder:
        read_yaml(tmp_path)
    assert str(folder.value) == f"{tmp_path}: a folder, not a YAML file; name a file in it"

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError) as unreadable:
        read_yaml(Path("edge.yaml"))
    assert str(unreadable.value) == "edge.yaml: cannot read the file: Permission denied"


# --- aliases -----------------------------------------------------------------------------------------------------


def test_aliases_and_merge_keys(tmp_path: Path):
    text = (
        "a: &a {x: 1, y: 2}\nb: &b\n  y: 3\n  z: 4\nc: *a\nd:\n  <<: *a\n  y: 5\n"
        "e: {<<: [*a, *b]}\nf: {<<: [*b, *a], w: 0}\n'<<': text\n"
    )
    source = written(tmp_path, text)
    assert source.data["c"] == {"x": 1, "y": 2}
    assert source.data["d"] == {"x": 1, "y": 5}
    assert source.data["e"] == {"x": 1, "y": 2, "z": 4}
    assert source.data["f"] == {"x": 1, "y": 3, "z": 4, "w": 0}
    assert source.data["<<"] == "text"
    assert source.data == yaml.safe_load(text.replace("'<<': text\n", "")) | {"<<": "text"}
    assert source.where(("d", "x")).endswith("edge.yaml:1: d.x")
    assert source.where(("d", "y")).endswith("edge.yaml:8: d.y")
    source.data["c"]["x"] = 9
    assert source.data["a"]["x"] == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: &a\n  - *a\n", "edge.yaml:1: a[0]: an alias makes this value contain itself"),
        ("a: &a\n  b: {c: *a}\n", "edge.yaml:1: a.b.c: an alias makes this value contain itself"),
        ("a: &a\n  <<: *a\n", "edge.yaml:1: a.<<: an alias makes this value contain itself"),
        ("a: &a [1]\nb:\n  <<: *a\n", "edge.yaml:1: b.<<: expected a mapping or a list of mappings"),
        ("a: {<<: 3}\n", "edge.yaml:1: a.<<: expected a mapping or a list of mappings"),
        ("a: {<<: {x: 1},\n <<: {y: 1}}\n", "edge.yaml:2: a.<<: duplicate key; the first is on line 1"),
    ],
)
def test_aliases_refused(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text) == message


@pytest.mark.parametrize("bomb", ["[{}]", "{{<<: [{}]}}"], ids=["lists", "merge keys"])
def test_alias_bombs(tmp_path: Path, bomb: str):
    levels = ["a0: &a0 {x: 1}"]
    levels += [f"a{n}: &a{n} " + bomb.format(", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 10)]
    message = f"edge.yaml: more than {MAX_NODES} values once its aliases are written out"
    assert refusal(tmp_path, "\n".join(levels)) == message


def test_depth(tmp_path: Path):
    assert str(written(tmp_path, f"a: {'[' * 49}1{']' * 49}").data["a"]) == f"{'[' * 49}1{']' * 49}"
    too_deep = f"edge.yaml:1: a{'[0]' * 50}: nested more than 50 levels deep"
    assert refusal(tmp_path, f"a: {'[' * 50}1{']' * 50}") == too_deep
    assert refusal(tmp_path, f"a: {'[' * 5000}") == "edge.yaml: nested more than 50 levels deep"


# --- properties --------------------------------------------------------------------------------------------------


def reads_as_text(text: str) -> bool:
    """Whether ``safe_dump`` quotes what only looks like a number (it leaves ``1e9`` plain, which is the trap)."""
    try:
        float(text)
    except ValueError:
        return True
    return not any(c.isdigit() for c in text)


texts = st.text(st.characters(codec="utf-8"), max_size=12).filter(reads_as_text)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    scalars | texts, lambda kids: st.lists(kids, max_size=4) | st.dictionaries(texts, kids, max_size=4), max_leaves=20
)
documents = st.dictionaries(texts, trees, min_size=1, max_size=5)


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path] + [below for step, child in items for below in paths_of(child, (*path, step))]


@given(documents, st.booleans())
def test_round_trip(document: dict[str, Any], flow: bool):
    text = yaml.safe_dump(document, default_flow_style=flow)
    data, lines = parse(text, "x")
    assert data == document
    assert set(lines) == set(paths_of(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@given(documents, documents)
def test_merge_of_anything(base: dict[str, Any], top: dict[str, Any]):
    merged = merge(from_mapping(base, "base"), from_mapping(top, "top"))
    assert set(merged.labels) == set(paths_of(merged.data))
    for path in paths_of(top):
        assert merged.labels[path] == "top"
    assert merge(from_mapping(top), from_mapping({})).data == top
    assert merge(from_mapping({}), from_mapping(top)).data == top


@given(st.text(st.sampled_from("ab01:-[]{},&*!?|>'\"#%@ \n\t.~<=_ex\\U")))
def test_any_text_is_read_or_refused_in_one_line(text: str):
    try:
        parse(text, "x")
        message = "x: fine"
    except ConfigError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith("x:")


# --- dicts -------------------------------------------------------------------------------------------------------


def test_from_mapping_copies():
    given_data = {"a": {"sizes": (8, 16)}, "unit": Unit.GHZ, "b": [1.5, None, True, "x"]}
    source = from_mapping(given_data)
    assert source.data == {"a": {"sizes": [8, 16]}, "unit": "ghz", "b": [1.5, None, True, "x"]}
    source.data["b"].append(1)
    assert given_data["b"] == [1.5, None, True, "x"]
    assert source.where(("a", "sizes", 1)) == "<dict>: a.sizes[1]"


def test_from_mapping_refuses():
    endless: dict[str, Any] = {}
    endless["a"] = endless
    cases: list[tuple[dict[Any, Any], str]] = [
        ({8: 1}, "<dict>: a key must be text, found number 8"),
        ({"a": [{None: 1}]}, "<dict>: a[0]: a key must be text, found nothing"),
        ({"a": {"b": Path("x")}}, "<dict>: a.b: a PosixPath is not allowed; use text, numbers, lists and mappings"),
        ({"a": {1, 2}}, "<dict>: a: a set is not allowed; use text, numbers, lists and mappings"),
        ({"a": math.inf}, "<dict>: a: inf is not allowed; write a finite number"),
        ({"a": 10**5000}, "<dict>: a: the number has too many digits"),
        ({"a": "\ud800"}, "<dict>: a: '\\ud800' is not valid Unicode"),
        (endless, f"<dict>: {'.'.join('a' * 51)}: nested more than 50 levels deep"),
    ]
    for data, message in cases:
        with pytest.raises(ConfigError) as caught:
            from_mapping(data)
        assert str(caught.value) == message


# --- overrides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("array.rows=64", ("array.rows", 64)),
        (" clock_mhz = 1.0e+3 ", ("clock_mhz", 1000.0)),
        ("sizes=[8, 16]", ("sizes", [8, 16])),
        ("memory={act: {kib: 8}}", ("memory", {"act": {"kib": 8}})),
        ("name='8'", ("name", "8")),
        ("name=a=b", ("name", "a=b")),
        ("flag=true", ("flag", True)),
        ("cost=null", ("cost", None)),
        ("dataflow=os", ("dataflow", "os")),
    ],
)
def test_parse_override(text: str, expected: tuple[str, object]):
    assert parse_override(text) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("rows", "--set: expected KEY=VALUE, as in array.rows=64, found 'rows'"),
        ("rows=", "--set: expected KEY=VALUE, as in array.rows=64, found 'rows='"),
        ("=8", "--set: expected KEY=VALUE, as in array.rows=64, found '=8'"),
        ("\n" * 99 + "x", "--set: expected KEY=VALUE, as in array.rows=64, found '" + r"\n" * 27 + r"\...'"),
        ("array..rows=8", "--set: 'array..rows' is not a dotted path such as array.rows"),
        ("array. rows=8", "--set: 'array. rows' is not a dotted path such as array.rows"),
        (".rows=8", "--set: '.rows' is not a dotted path such as array.rows"),
        ("clock.mhz=1e9", "--set: clock.mhz: '1e9' is read as text by YAML; write 1.0e+9"),
        ("sizes=[8, on]", "--set: sizes[1]: 'on' is read as true by YAML; write true, or 'on' in quotes"),
        ("a={b: 1, b: 2}", "--set: a.b: duplicate key"),
        ("a=#8", "--set: a: the document is empty"),
        ("a=1\n---\n2", "--set: a: a second document starts here; keep one per file"),
        ("a=" + "[" * 5000, "--set: a: nested more than 50 levels deep"),
        (
            "a=[8",
            "--set: a: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
    ],
)
def test_parse_override_refuses(text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        parse_override(text)
    assert str(caught.value) == message


def test_apply_overrides(tmp_path: Path):
    source = written(tmp_path, "array:\n  rows: 8\n  cols: 8\nsizes:\n  - 1\n")
    changed = apply_overrides(
        source, {"array.rows": 64, "memory.act.kib": 8, "memory.act.bits": 4, "sizes": {"a": [1]}, "array.cols": 4}
    )
    assert changed.data == {
        "array": {"rows": 64, "cols": 4},
        "sizes": {"a": [1]},
        "memory": {"act": {"kib": 8, "bits": 4}},
    }
    assert changed.where(("array", "rows")) == "--set: array.rows"
    assert changed.where(("sizes", "a", 0)) == "--set: sizes.a[0]"
    assert changed.where(("memory",)) == "--set: memory"
    assert changed.where(("memory", "act", "bits")) == "--set: memory.act.bits"
    assert changed.where(("array",)) == f"{tmp_path}/edge.yaml:1: array"
    assert changed.where(("array", "depth")) == f"{tmp_path}/edge.yaml:1: array.depth"
    assert source.data == {"array": {"rows": 8, "cols": 8}, "sizes": [1]}
    assert source.where(("array", "rows")) == f"{tmp_path}/edge.yaml:2: array.rows"


def test_apply_overrides_copies_and_labels():
    sizes = [1, 2]
    source = apply_overrides(from_mapping({}), {"a.b": sizes}, label="grid")
    sizes.append(3)
    assert source.data == {"a": {"b": [1, 2]}}
    assert source.where(("a", "b", 0)) == "grid: a.b[0]"


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("name.first", 1, "--set: name.first: cannot be set; name is not a mapping but text 'x'"),
        ("sizes.0", 1, "--set: sizes.0: cannot be set; sizes is not a mapping but list [1, 2]"),
        ("a.none.b.c", 1, "--set: a.none.b.c: cannot be set; a.none is not a mapping but nothing"),
        ("a..b", 1, "--set: 'a..b' is not a dotted path such as array.rows"),
        ("a.b", [{1}], "--set: a.b[0]: a set is not allowed; use text, numbers, lists and mappings"),
    ],
)
def test_apply_overrides_refuses(key: str, value: object, message: str):
    source = from_mapping({"name": "x", "sizes": [1, 2], "a": {"none": None}})
    with pytest.raises(ConfigError) as caught:
        apply_overrides(source, {key: value})
    assert str(caught.value) == message


# --- merging -----------------------------------------------------------------------------------------------------


def test_merge(tmp_path: Path):
    base = written(tmp_path, "name: base\narray:\n  rows: 8\n  cols: 8\nsizes: [1, 2, 3]\nmem: {a: 1}\n", "base.yaml")
    top = written(tmp_path, "array:\n\n  cols: 16\n  extra: 1\nsizes:\n- 9\nmem: 3\n", "top.yaml")
    merged = merge(base, top)
    array = {"rows": 8, "cols": 16, "extra": 1}
    assert merged.data == {"name": "base", "array": array, "sizes": [9], "mem": 3}
    places = {
        (): "top.yaml:1",
        ("name",): "base.yaml:1: name",
        ("array",): "top.yaml:1: array",
        ("array", "rows"): "base.yaml:3: array.rows",
        ("array", "cols"): "top.yaml:3: array.cols",
        ("array", "depth"): "top.yaml:1: array.depth",
        ("sizes", 0): "top.yaml:6: sizes[0]",
        ("sizes", 2): "top.yaml:5: sizes[2]",
        ("mem", "a"): "top.yaml:7: mem.a",
    }
    assert {path: merged.where(path).replace(f"{tmp_path}/", "") for path in places} == places


def test_merge_keeps_overrides_and_chains(tmp_path: Path):
    base = apply_overrides(written(tmp_path, "a: {x: 1, y: 2}\n", "base.yaml"), {"a.x": 5})
    merged = merge(merge(base, from_mapping({"b": 1})), written(tmp_path, "\nc: 1\n", "top.yaml"))
    assert merged.data == {"a": {"x": 5, "y": 2}, "b": 1, "c": 1}
    assert merged.where(("a", "x")) == "--set: a.x"
    assert merged.where(("a", "y")) == f"{tmp_path}/base.yaml:1: a.y"
    assert merged.where(("b",)) == "<dict>: b"
    assert merged.where(("c",)) == f"{tmp_path}/top.yaml:2: c"
    again = apply_overrides(merged, {"a": {"x": 7}})
    assert again.where(("a", "x")) == "--set: a.x"


# --- validation --------------------------------------------------------------------------------------------------


def test_validate(tmp_path: Path):
    text = (
        "name: edge\narray: {rows: 8, dataflow: is}\nmemory:\n  act: {capacity_kib: 32}\n"
        "cores:\n- {kind: vector, lanes: 4}\n- {kind: systolic, array: {rows: 2}}\n"
        "unit: ghz\nscale: 2\nsizes: [1, 2]\npair: [3, b]\nsweep: [1]\nthreads: 4\n"
    )
    design = validate(written(tmp_path, text), Design)
    assert design == Design(
        name="edge",
        array=Array(rows=8, dataflow="is"),
        memory={"act": Buffer(capacity_kib=32.0)},
        cores=[Vector(kind="vector", lanes=4), Systolic(kind="systolic", array=Array(rows=2))],
        unit=Unit.GHZ,
        scale=2.0,
        sizes=(1, 2),
        pair=(3, "b"),
        sweep=[1],
        threads=4,
    )
    assert type(design.scale) is float


FIELDS = "name, array, memory, core, cores, bits, unit, scale, threads, sweep, sizes, pair, short, tag, tags"


@pytest.mark.parametrize(
    "text, message",
    [
        # unknown keys
        ("\nnmae: x", "2: nmae: unknown key; did you mean 'name'?"),
        ("zzz: 1", f"1: zzz: unknown key; allowed: {FIELDS}"),
        ("array:\n  rows: 1\n  zzz: 1", "3: array.zzz: unknown key; allowed: rows, cols, dataflow"),
        ("array:\n  row: 1", "2: array.row: unknown key; did you mean 'rows'?"),
        (
            "memory:\n  act:\n    capcity_kib: 1",
            "3: memory.act.capcity_kib: unknown key; did you mean 'capacity_kib'?",
        ),
        ("core:\n  kind: vector\n  lanse: 4", "3: core.lanse: unknown key; did you mean 'lanes'?"),
        ("core: {kind: vector, lanes: 4, zzz: 1}", "1: core.zzz: unknown key; allowed: kind, lanes"),
        (
            "cores:\n- {kind: vector, lanes: 4}\n- kind: systolic\n  array:\n    rows: 1\n    colls: 1",
            "6: cores[1].array.colls: unknown key; did you mean 'cols'?",
        ),
        # missing keys
        ("\narray:\n  cols: 8", "2: array.rows: missing key 'rows'"),
        ("memory:\n  act: {}", "2: memory.act.capacity_kib: missing key 'capacity_kib'"),
        ("cores:\n- kind: vector", "2: cores[0].lanes: missing key 'lanes'"),
        ("core: {lanes: 4}", "1: core.kind: missing key 'kind'"),
        ("pair: [1]", "1: pair[1]: missing item"),
        # types
        ("array: {rows: abc}", "1: array.rows: expected an integer, found text 'abc'"),
        ("array: {rows: '8'}", "1: array.rows: expected an integer, found text '8'"),
        ("array: {rows: true}", "1: array.rows: expected an integer, found true"),
        ("array: {rows: 8.0}", "1: array.rows: expected an integer, found number 8.0"),
        ("array: {rows: }", "1: array.rows: expected an integer, found nothing"),
        ("array: {rows: [1]}", "1: array.rows: expected an integer, found list [1]"),
        ("array: {rows: {a: 1}}", "1: array.rows: expected an integer, found mapping {'a': 1}"),
        ("array: 8", "1: array: expected a mapping, found number 8"),
        ("scale: true", "1: scale: expected a number, found true"),
        ("scale: '1.0'", "1: scale: expected a number, found text '1.0'"),
        ("name: 8", "1: name: expected text, found number 8"),
        ("memory: []", "1: memory: expected a mapping, found list []"),
        (
            "memory:\n  a: {capacity_kib: 1, double_buffer: 1}",
            "2: memory.a.double_buffer: expected true or false, found number 1",
        ),
        ("sizes: 8", "1: sizes: expected a list, found number 8"),
        ("sizes:\n- 1\n- x", "3: sizes[1]: expected an integer, found text 'x'"),
        ("cores: {}", "1: cores: expected a list, found mapping {}"),
        ("core: vector", "1: core: expected a mapping, found text 'vector'"),
        (
            f"array: {{rows: {'x' * 100}}}",
            f"1: array.rows: expected an integer, found text '{'x' * 55}...'",
        ),
        ('array: {rows: "a\\nb"}', "1: array.rows: expected an integer, found text 'a\\nb'"),
        # unions
        ("threads: atuo", "1: threads: expected an integer or 'auto', found text 'atuo'"),
        ("sweep: x", "1: sweep: expected an integer or a list, found text 'x'"),
        ("sweep:\n- 1\n- x", "3: sweep[1]: expected an integer, found text 'x'"),
        # names
        ("array: {rows: 1, dataflow: oss}", "1: array.dataflow: found 'oss'; allowed: os, ws, is; did you mean 'os'?"),
        ("array: {rows: 1, dataflow: 8}", "1: array.dataflow: found number 8; allowed: os, ws, is"),
        ("bits: 5", "1: bits: found number 5; allowed: 4, 8"),
        ("unit: mhzz", "1: unit: found 'mhzz'; allowed: mhz, ghz; did you mean 'mhz'?"),
        ("core:\n  kind: vectr", "2: core.kind: found 'vectr'; allowed: systolic, vector; did you mean 'vector'?"),
        ("core: {kind: 8}", "1: core.kind: found number 8; allowed: systolic, vector"),
        ("cores:\n- kind: [1]", "2: cores[0].kind: found list [1]; allowed: systolic, vector"),
        # limits
        ("array: {rows: -3}", "1: array.rows: must be greater than 0, found -3"),
        ("array: {rows: 1, cols: 0}", "1: array.cols: must be greater than or equal to 1, found 0"),
        ("array: {rows: 1, cols: 512}", "1: array.cols: must be less than or equal to 256, found 512"),
        ("array: {rows: 1, cols: 9}", "1: array.cols: must be a multiple of 8, found 9"),
        ("memory:\n  act: {capacity_kib: -0.5}", "2: memory.act.capacity_kib: must be greater than 0, found -0.5"),
        ("short: []", "1: short: must have at least 1 item, found []"),
        ("short: [1, 2, 3]", "1: short: must have at most 2 items, found [1, 2, 3]"),
        ("tag: A1", "1: tag: must match pattern '^[a-z]+$', found 'A1'"),
        ("tags:\n  a: 1\n  A: 1", "3: tags.A: must match pattern '^[a-z]+$', found 'A'"),
        # validators
        ("name: a b", "1: name: a name has no spaces"),
        ("array:\n  cols: 8\n  rows: 1001", "3: array.rows: 1001 rows do not fit on a die"),
        (
            "cores:\n- kind: systolic\n  array:\n    rows: 1001",
            "4: cores[0].array.rows: 1001 rows do not fit on a die",
        ),
        ("\narray:\n  rows: 13", "2: array: 13 rows bring bad luck"),
        # several
        ("sizes: [x]\nname: 8\nbits: 5", "1: sizes[0]: expected an integer, found text 'x' (and 2 more)"),
        ("zzz: 1\narray: {row: 1}", f"1: zzz: unknown key; allowed: {FIELDS} (and 1 more)"),
        ("array:\n  dataflow: oss\nzzz: 1", "1: array.rows: missing key 'rows' (and 2 more)"),
    ],
)
def test_validate_refuses(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text, Design) == f"edge.yaml:{message}"


def test_a_key_of_many_lines_is_still_one_line(tmp_path: Path):
    assert refusal(tmp_path, '"a\\nb": 1\n', Vector).startswith("edge.yaml:1: ")
    long = refusal(tmp_path, f"{'k' * 70}: 1\nkind: vector\nlanes: 1\n", Vector)
    assert long == f"edge.yaml:1: {'k' * 60}: unknown key; allowed: kind, lanes"


def test_missing_at_the_top(tmp_path: Path):
    assert refusal(tmp_path, "# a\nkind: vector\n", Vector) == "edge.yaml:2: lanes: missing key 'lanes'"


def test_union_without_a_tag():
    class Either(Closed):
        part: Array | Buffer

    with pytest.raises(ConfigError) as caught:
        validate(from_mapping({"part": {"rows": 0}}), Either)
    message = "<dict>: part.rows: must be greater than 0, found 0 (and 1 more)"
    assert str(caught.value) == message


def test_complaints_about_overrides_and_bases(tmp_path: Path):
    base = written(tmp_path, "array:\n  rows: 8\n  cols: 7\n", "base.yaml")
    top = written(tmp_path, "name: top\n\narray:\n  dataflow: ws\n", "top.yaml")
    with pytest.raises(ConfigError) as in_base:
        validate(merge(base, top), Design)
    assert str(in_base.value) == f"{tmp_path}/base.yaml:3: array.cols: must be a multiple of 8, found 7"
    fixed = apply_overrides(merge(base, top), dict([parse_override("array.cols=16")]))
    assert validate(fixed, Design).array == Array(rows=8, cols=16, dataflow="ws")
    with pytest.raises(ConfigError) as in_override:
        validate(apply_overrides(fixed, {"array.rwos": 4}), Design)
    assert str(in_override.value) == "--set: array.rwos: unknown key; did you mean 'rows'?"


def test_field_error_reads_as_its_message():
    assert str(FieldError(("rows",), "too many")) == "too many"
    assert FieldError(("rows",), "too many").path == ("rows",)
