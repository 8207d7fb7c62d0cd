"""The rooms of the house: who may import whom, who may read YAML, and that every number has its source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import simulator
from simulator.kernel_cache import KERNEL_MODULES

PACKAGE = Path(simulator.__file__).resolve().parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

ALLOWED = {
    "errors": set(),
    "elementwise": set(),
    "units": {"errors", "elementwise"},
    "resources": set(),
    "kernels": {"kernel_cache"},
    "kernel_cache": set(),
    "json_text": set(),
    "tiles": {"errors"},
    "counts": {"errors", "elementwise"},
    "config": {"errors", "units", "resources", "json_text"},
    "formats": {"errors", "kernels"},
    "datapath": {"errors", "formats", "kernels"},
    "workload": {"errors", "config"},
    "tracing": {"errors", "workload", "resources", "json_text", "kernels"},
    "mapping": {"errors", "config", "workload", "datapath", "tiles", "counts", "kernels", "elementwise"},
    "engine": {"errors", "tiles", "counts", "kernels", "elementwise"},
    "cost": {"errors", "units", "config", "counts"},
    "reference": {"errors", "formats"},
    "report": {"errors", "units"},
    "cli": {"errors", "resources", "config", "datapath", "tracing", "report", "study", "simulator"},
}
"""Room -> rooms it may import. ``simulator`` is the package's own ``__init__``: names that load on first use."""
ALLOWED["simulator"] = {"errors", "config", "datapath", "formats", "study", "tracing", "workload"}
ALLOWED["study"] = set(ALLOWED) - {"cli"}

CONTRACT_OF_DATAPATHS = {f"simulator.datapath.{name}" for name in ("Datapath", "TileCosts", "Width")}
"""What ``mapping`` may know of datapaths."""

YAML_READER = "config"
NEVER = ("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib")
HEAVY_OF_HELP = ("numba", "numpy", "pandas", "matplotlib", "pyarrow", "scipy", "simpy", "safetensors", "yaml")
HEAVY = ("numba", "pandas", "matplotlib", "numpy", "pyarrow", "pydantic", "yaml", "safetensors", "simpy")


def room_of(path: Path) -> str:
    """The room of a module of the package."""
    first = path.relative_to(PACKAGE).parts[0]
    return "simulator" if first == "__init__.py" else first.removesuffix(".py")


def imports(text: str, package: str = "simulator") -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, wherever in it; relative ones resolved."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def package_of(path: Path) -> str:
    return ".".join(["simulator", *path.parent.relative_to(PACKAGE).parts])


def complaints(room: str, text: str, package: str = "simulator") -> list[str]:
    """What a module of that room must not do."""
    found = []
    for line, name in imports(text, package):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0] or "simulator"
        if top == "simulator" and target not in ALLOWED:
            target = "simulator"  # a name of the package itself, as in `from simulator import __version__`
        if top == "simulator" and target != room and target not in ALLOWED[room]:
            found.append(f"{line}: {room} imports {name}")
        if room == "mapping" and target == "datapath" and name not in CONTRACT_OF_DATAPATHS:
            found.append(f"{line}: mapping imports {name}, more of datapath than its contract")
        if top == "yaml" and room != YAML_READER:
            found.append(f"{line}: {room} reads YAML")
        if top in NEVER:
            found.append(f"{line}: {name} runs what it reads")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and called(node) in ("eval", "exec") and isinstance(node.func, ast.Name):
            found.append(f"{node.lineno}: {called(node)}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_a_module_imports_what_its_room_may(path):
    assert room_of(path) in ALLOWED, "a new room needs a line in the table"
    assert complaints(room_of(path), path.read_text(encoding="utf-8"), package_of(path)) == []


def test_every_room_of_the_table_exists():
    assert {room_of(path) for path in MODULES} == set(ALLOWED)


def test_every_module_with_kernels_is_in_their_digest():
    """A kernel's machine code is as fresh as the modules listed: one left out could be called stale."""
    found = {str(p.relative_to(PACKAGE)) for p in MODULES if "\n@kernel\n" in p.read_text(encoding="utf-8")}
    assert found | {"kernels.py", "kernel_cache.py"} == set(KERNEL_MODULES)


def test_function_timing_and_cost_meet_only_in_records():
    assert not ALLOWED["engine"] & {"datapath", "formats", "cost", "config", "mapping", "study"}
    assert not ALLOWED["cost"] & {"engine", "mapping", "datapath"}
    assert not ALLOWED["reference"] & {"datapath", "engine"}
    assert ALLOWED["report"] == {"errors", "units"}


@pytest.mark.parametrize(
    ("room", "text", "complaint"),
    [
        ("engine", "from simulator.datapath import Datapath", "1: engine imports simulator.datapath.Datapath"),
        ("engine", "def f():\n    from simulator import formats", "2: engine imports simulator.formats"),
        ("engine", "import simulator.cost.sram as s", "1: engine imports simulator.cost.sram"),
        ("engine", "from ..cost import total", "1: engine imports simulator.cost.total"),
        ("engine", "import_module('simulator.cost')", "1: engine imports simulator.cost"),
        (
            "cost",
            "if TYPE_CHECKING:\n    from simulator.engine import Timing",
            "2: cost imports simulator.engine.Timing",
        ),
        ("report", "from simulator.study.run import execute", "1: report imports simulator.study.run.execute"),
        ("report", "import simulator", "1: report imports simulator"),
        ("mapping", "from simulator.datapath import create", "1: mapping imports simulator.datapath.create, more of *"),
        ("study", "from simulator.cli import main", "1: study imports simulator.cli.main"),
        ("workload", "import yaml", "1: workload reads YAML"),
        ("study", "import os, pickle", "1: pickle runs what it reads"),
        ("config", "x = eval('1')", "1: eval"),
        ("config", "def f():\n    exec(text)", "2: exec"),
    ],
)
def test_a_wrong_import_is_found(room, text, complaint):
    (found,) = complaints(room, text, f"simulator.{room}")
    assert re.fullmatch(re.escape(complaint).replace(r"\*", ".*"), found)


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("engine", "import numpy as np\nfrom simulator.tiles import TileTable"),
        ("mapping", "from simulator.datapath import Datapath"),
        ("config", "import yaml\nfrom simulator.resources import shipped_dir"),
        ("config", "spec.loader.exec_module(module)\nre.compile('eval(')"),
        ("config", "from . import load\nfrom .load import Source"),
    ],
)
def test_a_right_import_is_not(room, text):
    assert complaints(room, text, f"simulator.{room}") == []


@pytest.mark.parametrize("module", ["simulator", "simulator.cli"])
def test_importing_the_command_line_loads_nothing_heavy(module, tmp_path):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == [], done.stdout


# Every number has its source beside it

PRICED = sorted(path for kind in ("designs", "cost", "dram") for path in (ROOT / "configs" / kind).glob("*.yaml"))
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
SHORTEST = 8
"""Characters of a source, as in the records of a cost library."""


def unsourced(text: str) -> list[str]:
    """``line: value`` of every number without a source.

    A source is a comment at the end of the number's line, or a ``source`` in its mapping; the entries of a list may
    share the ``source`` of the mapping that the list lies in.
    """
    lines = text.splitlines()

    def comment(node: yaml.Node) -> str:
        rest = lines[node.end_mark.line][node.end_mark.column :]
        found = re.search(r"(?:^|\s)#\s*(\S.*)$", rest)
        return found[1] if found else ""

    def walk(node: yaml.Node, shared: bool) -> Iterator[str]:
        if isinstance(node, yaml.MappingNode):
            given = {key.value: child for key, child in node.value}
            source = given.get("source")
            own = isinstance(source, yaml.ScalarNode) and len(source.value.strip()) >= SHORTEST
            for key, child in given.items():
                if key != "source":
                    yield from walk(child, (own or shared) and not isinstance(child, yaml.MappingNode))
        elif isinstance(node, yaml.SequenceNode):
            for child in node.value:
                yield from walk(child, shared)
        elif node.tag in NUMBERS and not shared and len(comment(node)) < SHORTEST:
            yield f"{node.start_mark.line + 1}: {node.value}"

    return list(walk(yaml.compose(text, Loader=yaml.SafeLoader), False))


def test_there_are_priced_files():
    assert len(PRICED) >= 6


@pytest.mark.parametrize("path", PRICED, ids=[p.stem for p in PRICED])
def test_every_number_has_a_source(path):
    assert unsourced(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rows: 64  # OliVe, ISCA 2023, Table 11\n", []),
        ("rows: 64\n", ["1: 64"]),
        ("rows: 64  #\n", ["1: 64"]),
        ("rows: 64  # 4 x 16\n", ["1: 64"]),
        ("# OliVe, ISCA 2023\nrows: 64\ncols: 64  # the same source\n", ["2: 64"]),
        ("pad: {kib: 256, bits: 512}  # the released simulator\n", []),
        ("pad: {kib: 256, bits: 512}\n", ["1: 256", "1: 512"]),
        ("add: {pj: 0.5, source: 'Horowitz, ISSCC 2014'}\n", []),
        ("add: {pj: 0.5, source: ''}\n", ["1: 0.5"]),
        ("add:\n  pj: 0.5\n  source: Horowitz, ISSCC 2014\n", []),
        ("source: Horowitz, ISSCC 2014\nadd:\n  pj: 0.5\n", ["3: 0.5"]),
        ("sram:\n  source: CACTI 7, made here\n  macros:\n    - {kib: 8, pj: 1.5}\n    - {kib: 16, pj: 2.5}\n", []),
        ("sram:\n  macros:\n    - {kib: 8, pj: 1.5}\n", ["3: 8", "3: 1.5"]),
        ("name: a 64 # of 64\ndouble: true\nodd: '12 # not a comment'\n", []),
        ("note: '# no source at all'\nrows: 1.0e+9\n", ["2: 1.0e+9"]),
    ],
)
def test_a_number_without_a_source_is_found(text, found):
    assert unsourced(text) == found


def test_a_shipped_file_with_one_comment_fewer_is_found():
    text = (ROOT / "configs" / "designs" / "olive_systolic.yaml").read_text(encoding="utf-8")
    line = next(i for i, content in enumerate(text.splitlines(), start=1) if content.startswith("clock_mhz"))
    changed = re.sub(r"^(clock_mhz: \d+) *#.*$", r"\1", text, flags=re.MULTILINE)
    assert changed != text
    assert unsourced(changed) == [f"{line}: 500"]


@pytest.mark.parametrize("asked", [["--help"], ["run", "--help"], ["gemm", "--help"]])
def test_help_imports_nothing_heavy(asked):
    """Counted in modules, not in seconds: an answer about arguments needs no numbers, tables or compilers."""
    script = (
        "import sys\nfrom simulator.cli import app\ntry:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', [m for m in {HEAVY_OF_HELP!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_a_gemm_needs_no_tables_figures_or_events():
    script = (
        "import sys\nimport numba.np.arraymath\nits_own = set(sys.modules)  # numba takes its BLAS from scipy\n"
        "import simulator as sim\nsim.simulate_gemm(sim.load_design('int8_systolic'), M=8, N=8, K=8)\n"
        "heavy = ('pandas', 'matplotlib', 'pyarrow', 'simpy', 'scipy')\n"
        "print([m for m in sys.modules if m.split('.')[0] in heavy and m not in its_own])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
