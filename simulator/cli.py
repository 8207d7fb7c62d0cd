"""The command line: arguments in, study out. No modelling here."""

from __future__ import annotations

import gc
import itertools
import json
import math
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.errors import MismatchError, Note, OlivineError
from simulator.report.progress import progress_bar

if TYPE_CHECKING:
    from simulator.study.gemm import GemmResult

__all__ = ["app", "main"]

EXIT_CHECK_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 1, 2, 130

_UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""Typer's base of all complaints about arguments, whichever click it brings along."""


_TYPER_SAYS = {"valid integer": "a whole number", "valid (number|float)": "a number"}
"""Its words for a value of the wrong type, by version, and ours."""


class _Interrupted(Exception):
    """Ctrl-C inside a command. Versions of typer differ in what they make of KeyboardInterrupt."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None


app = typer.Typer(
    name="olivine",
    cls=_Commands,
    help="Cycle-level simulator of quantised matrix accelerators: exact values, cycles, energy and area.",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a field, e.g. array.rows=64; of a study's workloads: workload.batch=4.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Processes; by default one for each core, once what is left is worth their start.")
]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on the workers of a Dask scheduler, e.g. tcp://host:8786.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code of the contract (0, 1, 2 or 130)."""
    _collect_less_garbage()
    arguments = list(arguments if arguments is not None else sys.argv[1:])
    try:
        _require_named_out(arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("once", Note)
            warnings.showwarning = _print_note
            code = app(args=arguments, prog_name="olivine", standalone_mode=False)
    except (_Interrupted, KeyboardInterrupt, typer.Abort):
        return _complain("interrupted; finished points are kept", EXIT_INTERRUPTED)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        hint = f"; see {context.command_path} --help" if context else ""
        return _complain(_in_our_words(error.format_message().rstrip("."), arguments) + hint, EXIT_WRONG_INPUT)
    except MismatchError as error:
        return _complain(str(error), EXIT_CHECK_FAILED)
    except OlivineError as error:
        return _complain(str(error), EXIT_WRONG_INPUT)
    except MemoryError as error:
        return _complain(f"not enough memory for this size: {error}", EXIT_WRONG_INPUT)
    except Exception as error:
        return _complain(_blamed_on_a_plugin(error), EXIT_WRONG_INPUT)
    return code if isinstance(code, int) else 0


def _in_our_words(complaint: str, arguments: Sequence[str]) -> str:
    """What typer says of an option's value of the wrong type, as this program says what is wrong."""
    match = re.fullmatch(r"Invalid value for (?P<options>'-.*?'): (?P<why>.*)", complaint, re.DOTALL)
    expected = match and next((ours for said, ours in _TYPER_SAYS.items() if re.search(said, match["why"])), None)
    if not match or not expected:
        return complaint
    options = re.findall(r"'(.*?)'", match["options"])
    pairs = [*itertools.pairwise(arguments), *(argument.partition("=")[::2] for argument in arguments)]
    option, value = next((pair for pair in pairs if pair[0] in options), (options[0], ""))
    return f"{option}: expected {expected}, found '{value}'"


def _collect_less_garbage() -> None:
    """What a command makes lives to its end; looking through it for garbage takes a tenth of a short one."""
    gc.set_threshold(100_000, *gc.get_threshold()[1:])


def _require_named_out(arguments: Sequence[str]) -> None:
    """``--out ''``, as from an unset variable of a script, would scatter a run over the working directory."""
    empty = any(option == "--out" and value == "" for option, value in itertools.pairwise(arguments))
    if empty or "--out=" in arguments:
        raise OlivineError("--out: an empty name was given; name a folder")


def _blamed_on_a_plugin(error: Exception) -> str:
    """What to say of a mistake inside somebody else's datapath; one of ours is raised again."""
    from simulator.datapath import blamed

    try:
        with blamed():
            raise error
    except OlivineError as blame:
        return str(blame)


def _complain(message: str, code: int) -> int:
    print("olivine: " + " ".join(message.split()), file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    plugin: Annotated[
        list[Path] | None,
        typer.Option("--plugin", metavar="FILE.py", help="Load a datapath from a Python file you trust."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        import simulator

        print(f"olivine {simulator.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
    for path in plugin or []:
        from simulator import datapath

        datapath.load_file(path)
    context.obj = plugin or []


@app.command()
def run(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="A study: a shipped name or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="The run's folder; reports/NAME by default.")] = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run stored points again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run points again that failed.")] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Also write timeline.json, a Chrome trace of every tile.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Tables, figures and a page; or only results.")
    ] = True,
    as_json: JsonOption = False,
) -> int:
    """Run a study and write its report."""
    from simulator.study.run import execute

    _require_at_least(1, "--workers", 1 if workers is None else workers)
    with progress_bar() as progress:
        outcome = execute(
            _reference(study),
            out,
            overrides=_overrides(set_),
            workers=workers,
            scheduler=scheduler,
            fresh=fresh,
            retry_failed=retry_failed,
            timeline=timeline,
            report=report,
            progress=progress,
            plugins=context.obj,
        )
    if as_json:
        records = outcome.results.to_dict(orient="records")
        _print_json(
            {
                "results": records,
                "page": str(outcome.page) if outcome.page else None,
                "points_run": outcome.ran,
                "points_reused": outcome.reused,
                "points_failed": len(outcome.failures),
            }
        )
    else:
        from rich.console import Console

        from simulator.report import terminal_table

        Console().print(terminal_table(outcome.results))
        print(*outcome.notes, f"{outcome.ran} points run, {outcome.reused} found in the store", sep="\n")
        print(f"report: {outcome.page}" if outcome.page else f"results: {outcome.folder}")
    for line in outcome.mismatches:
        print(f"olivine: {line}", file=sys.stderr)
    if outcome.failures:
        some = f"{len(outcome.failures)} of {len(outcome.results)} points failed, e.g. {outcome.failures[0]}"
        print(f"olivine: {some}", file=sys.stderr)
    return EXIT_CHECK_FAILED if outcome.mismatches or outcome.failures else 0


@app.command()
def sensitivity(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="A study with a baseline: a shipped name or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="The folder; reports/NAME-sensitivity by default.")] = None,
    by: Annotated[float, typer.Option(help="The fraction by which each constant is varied, up and down.")] = 0.2,
    only: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only constants of this name (shell wildcards).")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Rank by time, energy, edp or area of each design over the baseline.")
    ] = "edp",
    top: Annotated[int, typer.Option(help="How many constants are printed and drawn.")] = 15,
    set_: SetOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Simulate again what is stored.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Vary each price and quantity of a study alone, and rank what moves its conclusion."""
    from simulator.study.sensitivity import analyse

    _require_at_least(1, "--workers", 1 if workers is None else workers)
    with progress_bar() as progress:
        found = analyse(
            _reference(study), out, overrides=_overrides(set_), by=by, only=only, top=top, metric=metric,
            workers=workers, scheduler=scheduler, fresh=fresh, progress=progress, plugins=context.obj,
        )  # fmt: skip
    if as_json:
        left_out = [{"constant": item.name, "reason": item.reason} for item in found.left_out]
        _print_json(
            {"sensitivity": found.table.to_dict(orient="records"), "left_out": left_out, "page": str(found.page),
             "points_run": found.simulated, "points_reused": found.reused}
        )  # fmt: skip
        return 0
    from rich.console import Console

    from simulator.report.sensitivity import terminal_ranking

    Console().print(terminal_ranking(found.table, metric, by, top))
    print(f"{found.simulated} points run, {found.reused} found in the store; {len(found.left_out)} numbers left out")
    print(f"report: {found.page}")
    return 0


@app.command()
def gemm(
    design: Annotated[str, typer.Argument(help="A design: a shipped name, a YAML file or a SCALE-Sim .cfg.")],
    m: Annotated[int, typer.Option("-m", "-M", help="Rows of A: tokens.")],
    n: Annotated[int, typer.Option("-n", "-N", help="Columns of W: output features.")],
    k: Annotated[int, typer.Option("-k", "-K", help="Reduction length.")],
    fidelity: Annotated[str, typer.Option(help="bound, pipeline, event or pe_array.")] = "pipeline",
    seed: Annotated[int, typer.Option(help="For what is drawn at random.")] = 0,
    set_: SetOption = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Print reads, writes and bytes of every level and operand.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """One matrix product: cycles by cause, bytes, energy and area."""
    from simulator.config import load_design
    from simulator.study.gemm import simulate_gemm

    _require_at_least(0, "--seed", seed)
    loaded = load_design(_reference(design), overlays=[("--set", _overrides(set_))])
    result = simulate_gemm(loaded, m, n, k, fidelity=fidelity, seed=seed)  # type: ignore[arg-type]
    if as_json:
        _print_json(
            result.to_dict() | {"design": loaded.name, "M": m, "N": n, "K": k, "fidelity": fidelity, "seed": seed}
        )
    elif counts:
        _print_counts(result.counts)
    else:
        _print_gemm(loaded.name, result)
    if result.mismatch:
        raise MismatchError(result.mismatch)
    return 0


@app.command()
def show(
    design: Annotated[
        str,
        typer.Argument(help="A design or a workload: a shipped name, a YAML file or another tool's (docs/imports.md)."),
    ],
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> int:
    """What a design is made of: geometry, buffers, area and peak figures; or what a workload adds up to."""
    from simulator.study.describe import describe_design
    from simulator.study.totals import describe_workload, is_workload

    describe = describe_workload if is_workload(_reference(design)) else describe_design
    description = describe(design, _overrides(set_))
    if as_json:
        _print_json(description)
    else:
        _print_sections(str(description["name"]), description)
    return 0


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="designs, datapaths, formats, workloads, traces, studies, drams, costs or kernels.")
    ],
    as_json: JsonOption = False,
) -> int:
    """Names that designs and studies can use."""
    from simulator.study.describe import list_names

    names = list_names(kind)
    if as_json:
        _print_json({kind: names})
    else:
        _print_names(names)
    return 0


@app.command()
def schema(
    kind: Annotated[
        str, typer.Argument(help="study, design, workload, cost, dram or kernels; all of them: all.")
    ] = "study",
    out: Annotated[
        Path | None, typer.Option(help="A file, or a folder for KIND.schema.json; printed by default.")
    ] = None,
) -> int:
    """JSON Schema of YAML files, for editors that complete and check them."""
    from simulator.study.schema import document_schemas, write_schemas

    schemas = document_schemas(kind)
    if out is None:
        _print_json(schemas if kind == "all" else schemas[kind])
        return 0
    for name, path in write_schemas(schemas, out).items():
        print(f"{name:<9}{path}")
    print("first line of a file that is to be checked: # yaml-language-server: $schema=PATH")
    return 0


@app.command()
def verify(
    designs: Annotated[list[str] | None, typer.Argument(help="Designs; all shipped ones by default.")] = None,
    trace: Annotated[str, typer.Option(help="The trace whose tensors are run.")] = "minilm-l6-sample",
    seed: Annotated[int, typer.Option(help="For the random tensors.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """Check every datapath against the exact reference, and every rung of the fidelity ladder."""
    from dataclasses import asdict

    from simulator.config import load_design
    from simulator.resources import shipped_names
    from simulator.study.verify import verify_design
    from simulator.study.workloads import resolve_workload

    _require_at_least(0, "--seed", seed)
    loaded = [load_design(_reference(d)) for d in designs or shipped_names("configs/designs")]
    workload = resolve_workload(_reference(trace))
    checks = []
    for design in loaded:
        for check in verify_design(design, workload, seed):
            checks.append(check)
            if not as_json:
                verdict = f"FAILED  {check.complaint}" if check.complaint else f"ok      {check.cases} cases"
                print(f"{check.design:<20} {check.what:<36} {verdict}", flush=True)
    if as_json:
        _print_json({"ok": not any(c.complaint for c in checks), "checks": [asdict(c) for c in checks]})
    failed = [c for c in checks if c.complaint]
    for check in failed:
        print(f"olivine: {check.design}: {check.what}: {check.complaint}", file=sys.stderr)
    return EXIT_CHECK_FAILED if failed else 0


@app.command()
def vectors(
    design: Annotated[str, typer.Argument(help="A design: a shipped name, a YAML file or a SCALE-Sim .cfg.")],
    out: Annotated[Path, typer.Option(help="Folder for memories, record and testbench.")],
    m: Annotated[int | None, typer.Option("-m", "-M", help="Rows of A; one and a half arrays by default.")] = None,
    n: Annotated[int | None, typer.Option("-n", "-N", help="Columns of W; one and a half arrays by default.")] = None,
    k: Annotated[int | None, typer.Option("-k", "-K", help="Reduction length; 65 by default.")] = None,
    seed: Annotated[int, typer.Option(help="For tensors drawn at random, outliers among them.")] = 0,
    trace: Annotated[str | None, typer.Option(help="Take the tensors of a trace; -m, -n, -k cut a corner.")] = None,
    op: Annotated[str | None, typer.Option(help="Whose tensors: an op of the trace.")] = None,
    set_: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing vectors.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Golden stimulus and answers for an RTL testbench, and the testbench."""
    from simulator.config import load_design
    from simulator.study.stimulus import drawn_stimulus, trace_stimulus
    from simulator.study.vectors import write_vectors

    _require_at_least(0, "--seed", seed)
    for option, value in (("-m", m), ("-n", n), ("-k", k)):
        if value is not None:
            _require_at_least(1, option, value)
    if (trace is None) != (op is None):
        raise OlivineError("--trace and --op go together: a trace, and the op of it whose tensors are taken")
    loaded = load_design(_reference(design), overlays=[("--set", _overrides(set_))])
    if trace is not None and op is not None:
        stimulus = trace_stimulus(_reference(trace), op, m, n, k)
    else:
        stimulus = drawn_stimulus(loaded, m, n, k, seed)
    record = write_vectors(loaded, stimulus, out, force)
    if as_json:
        _print_json({"out": str(out)} | record)
        return 0
    shape = " x ".join(str(size) for size in record["gemm"].values())
    folds, total = record["cycles"]["folds"], record["cycles"]["total"]
    print(f"{shape} on {loaded.name}: {folds} {'fold' if folds == 1 else 'folds'}, {total} cycles")
    print(f"{len(record['files']) + 1} files in {out}; the head of {out / 'testbench.sv'} says how to run it")
    return 0


@app.command()
def trace(
    source: Annotated[
        str,
        typer.Argument(
            help="A model folder, an installed package that holds one, a .onnx or .tflite file, synthetic:WORKLOAD, or "
            "with --info a trace."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The trace's folder; with --info: for statistics, figure.")] = None,
    text: Annotated[
        Path | None, typer.Option(help="Text to run the model on; without it, a passage of Alice in Wonderland.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="PNG, JPEG, BMP or .npy to run a vision model on.")] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=FILE", help="Of a .onnx or .tflite: an input from a .npy file."),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(help="Of a .onnx or .tflite: what --image makes of colours: imagenet, unit, signed, byte."),
    ] = None,
    dim: Annotated[
        list[str] | None, typer.Option("--dim", metavar="NAME=VALUE", help="Of a .onnx: a size that it leaves open.")
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Layers to keep: 0,5 or 0-2 or a name pattern.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens of the text to use.")] = None,
    rows: Annotated[
        int | None, typer.Option(help="Rows of an activation to keep, row 0 always; statistics are of all.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="How tensors are stored: float16, bfloat16 or float32.")] = "float16",
    shard_bytes: Annotated[int, typer.Option(help="Largest tensor data of one file.")] = 512_000_000,
    activations: Annotated[str | None, typer.Option(help="Of synthetic:...: statistics such as K(3076).")] = None,
    weights: Annotated[str | None, typer.Option(help="Of synthetic:...: statistics such as P(0.0084,0.0004).")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of what is drawn: synthetic:..., inputs of a .onnx, .tflite.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing trace.")] = False,
    info: Annotated[
        bool, typer.Option("--info", help="Print ops, shapes, bytes and outlier statistics of a trace.")
    ] = False,
    checksums: Annotated[bool, typer.Option("--checksums", help="With --info: verify every byte first.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Capture weights and activations of a real model, draw synthetic ones, or describe a trace."""
    if info:
        return _trace_info(source, checksums, out, as_json)
    if out is None:
        raise OlivineError("trace needs --out traces/NAME, or --info to describe an existing trace")
    for option, value in (("--tokens", tokens), ("--rows", rows), ("--shard-bytes", shard_bytes)):
        if value is not None:
            _require_at_least(1, option, value)
    _require_at_least(0, "--seed", seed or 0)
    from simulator.tracing.graph_trace import is_graph

    drawn, graph = source.startswith("synthetic:"), is_graph(source)
    of_models, of_drawn = "a model; synthetic tensors read nothing", "synthetic:WORKLOAD; a model has its own"
    _refuse_options(drawn, of_models, {"--text": text, "--image": image, "--tokens": tokens})
    _refuse_options(not drawn, of_drawn, {"--activations": activations, "--weights": weights})
    _refuse_options(not drawn and not graph, of_drawn, {"--seed": seed})
    _refuse_options(not graph, "a .onnx or .tflite file", {"--input": input_, "--pixels": pixels, "--dim": dim})
    shared: dict[str, Any] = {
        "layers": layers,
        "rows": rows,
        "dtype": dtype,
        "shard_bytes": shard_bytes,
        "force": force,
    }
    with progress_bar("ops") as bar:
        shared["progress"] = (lambda op, done, total: bar(done, total, op)) if bar else None
        if drawn:
            from simulator.study.synthetic import make_synthetic

            made = make_synthetic(source, out, activations=activations, weights=weights, seed=seed or 0, **shared)
        elif graph:
            from simulator.tracing.graph_inputs import Asked
            from simulator.tracing.graph_trace import trace_graph

            asked = Asked(_input_files(input_), text, image, pixels or "imagenet", tokens, _dims(dim), seed or 0)
            made = trace_graph(Path(source), out, asked, **shared)
        else:
            from simulator.tracing.extract import extract

            made = extract(source, out, text=text, image=image, tokens=tokens, **shared)
    if as_json:
        _print_json({"trace": str(out), "ops": len(made.ops), "fingerprint": made.fingerprint})
    else:
        kind = "synthetic ops" if drawn else "ops"
        print(f"{len(made.ops)} {kind} written to {out}; `olivine trace {out} --info` describes them")
    return 0


def _refuse_options(wrong: bool, what: str, options: dict[str, Any]) -> None:
    """Options that are for another kind of source."""
    given = next((option for option, value in options.items() if value is not None), None)
    if wrong and given is not None:
        raise OlivineError(f"{given}: is for {what}")


def _input_files(pairs: list[str] | None) -> dict[str, Path]:
    """``{"x": Path("x.npy")}`` for ``--input x=x.npy``; the name is empty where there is none."""
    files: dict[str, Path] = {}
    for pair in pairs or []:
        name, _, file = pair.rpartition("=")
        if not file or name in files:
            raise OlivineError(f"--input: expected NAME=FILE, each name once, found '{pair}'")
        files[name] = Path(file)
    return files


@app.command()
def quantize(
    source: Annotated[str, typer.Argument(help="A .safetensors file, or a trace by name or folder.")],
    format_: Annotated[str, typer.Option("--format", metavar="F[,F...]", help="Formats, or all.")],
    out: Annotated[Path, typer.Option(help="Folder for codes, statistics and figures.")],
    tensor: Annotated[str | None, typer.Option(help="Only tensors of this name (shell wildcards).")] = None,
    calibration: Annotated[str, typer.Option(help="How scales are found: mse, absmax, three_sigma or best.")] = "best",
    codes: Annotated[bool, typer.Option("--codes/--no-codes", help="Write the packed codes.")] = True,
    whole_gib: Annotated[float, typer.Option(help="Largest tensor (GiB of float32) held whole, if a format must.")] = 1,
    as_json: JsonOption = False,
) -> int:
    """Encode tensors: packed codes, SQNR, bits per value, outlier and pair statistics, victims, histograms."""
    from simulator.study.quantise import quantise_to_folder
    from simulator.study.tensors import skipped_tensors

    with progress_bar("bytes") as progress:
        outcome = quantise_to_folder(source, format_, out, tensor, calibration, codes, whole_gib, progress)
    if skipped := skipped_tensors(source, tensor):
        listed = ", ".join(f"{name} ({why})" for name, why in skipped.items())
        print(f"skipped, because they hold no real numbers: {listed}", file=sys.stderr)
    if as_json:
        _print_json({"out": str(out), "formats": json.loads(outcome.to_json(orient="records"))})
        return 0
    from rich.console import Console

    from simulator.report.quantisation import terminal_table_of_formats

    Console().print(terminal_table_of_formats(outcome))
    print(f"statistics, tables and figures: {out}")
    return 0


@app.command()
def accuracy(
    model: Annotated[str, typer.Argument(help="A model folder, or an installed package that carries one.")],
    design: Annotated[
        list[str] | None, typer.Option("--design", help="A shipped name or a YAML file; four of them by default.")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also clip outliers, prune their victims, and as many other values.")
    ] = False,
    text: Annotated[Path | None, typer.Option(help="Text, or folder of images, that the model is judged on.")] = None,
    calibrate: Annotated[Path | None, typer.Option(help="Another one, that scales are found on.")] = None,
    passages: Annotated[int, typer.Option(help="Paragraphs or images of each, at most.")] = 16,
    tokens: Annotated[int, typer.Option(help="Tokens of a passage, at most.")] = 64,
    products: Annotated[str, typer.Option(help="layers: products with weights; all: attention as well.")] = "layers",
    sums: Annotated[str, typer.Option(help="float32, or as the datapath adds.")] = "float32",
    seed: Annotated[int, typer.Option(help="For what --ablate draws.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, layer by layer too, and what was run.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Run a real model end to end with each design's numbers: perplexity, similarity or agreement; layers, too."""
    from simulator.study.judging import judge_to_folder

    _require_at_least(1, "--passages", passages)
    _require_at_least(3, "--tokens", tokens)
    _require_at_least(0, "--seed", seed)
    asked = {"model": _reference(model), "evaluation": text and str(text), "calibration": calibrate and str(calibrate),
             "passages": passages, "tokens": tokens, "products": products, "sums": sums}  # fmt: skip
    with progress_bar("designs") as progress:
        found = judge_to_folder(asked, [_reference(d) for d in design or ()], ablate, seed, out, progress)
    if as_json:
        _print_json({"about": found.about, "results": found.rows.to_dict(orient="records"),
                     "layers": found.layers.to_dict(orient="records")})  # fmt: skip
        return 0
    from rich.console import Console

    from simulator.report.accuracy import accuracy_note, terminal_fitness

    Console().print(terminal_fitness(found.rows))
    print(accuracy_note(found.about))
    if out:
        print(f"tables: {out}")
    return 0


@app.command("import")
def import_(
    sources: Annotated[
        list[str], typer.Argument(help="SCALE-Sim .cfg and .csv, ONNX models, config.json.", metavar="SOURCE...")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the YAML; printed by default.")] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option("--dim", metavar="NAME=VALUE", help="A size that a file leaves open by name, e.g. batch=1."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Columns of a topology whose header does not say: conv or gemm.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Write other tools' files as designs and workloads, and a study if both are given."""
    from simulator.study.importing import import_files, write_imported

    files = import_files([_reference(source) for source in sources], _dims(dim), kind)
    for file in files:
        for note in file.notes:
            print(f"olivine: note: {file.name}: {note}", file=sys.stderr)
    written = write_imported(files, out, force) if out else []
    if as_json:
        places: list[Any] = list(written) or [None] * len(files)
        records = [
            {"kind": f.kind, "name": f.name, "file": path and str(path), "notes": list(f.notes)}
            | ({} if out else {"yaml": f.text})
            for f, path in zip(files, places, strict=True)
        ]
        _print_json({"imported": records})
    elif out:
        for file, path in zip(files, written, strict=True):
            print(f"{file.kind:<9}{path}")
    else:
        print("---\n".join(file.text for file in files), end="")
    return 0


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    as_json: JsonOption = False,
) -> int:
    """Tables, figures and page again from the stored results; results.sqlite alone is enough."""
    from simulator.study.again import report_again

    page = report_again(run_dir)
    if as_json:
        _print_json({"page": str(page)})
    else:
        print(f"report: {page}")
    return 0


@app.command()
def export(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a finished run; results.sqlite alone is enough.")],
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Results, as .csv or .parquet.")] = None,
    layers: Annotated[Path | None, typer.Option(metavar="FILE", help="Layer by layer, as .csv or .parquet.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Copy the results of a run to a CSV or Parquet file."""
    from simulator.study.again import export_tables

    if to is None and layers is None:
        raise OlivineError("nothing to write; name a file with --to, --layers or both")
    written = export_tables(run_dir, to, layers)
    if as_json:
        _print_json({"written": [str(path) for path in written]})
    for path in () if as_json else written:
        print(f"wrote {path}")
    return 0


def _trace_info(source: str, checksums: bool, out: Path | None, as_json: bool) -> int:
    from simulator.report.outliers import outlier_lines, totals, write_outliers
    from simulator.study.workloads import resolve_workload
    from simulator.tracing import describe

    opened = resolve_workload(_reference(source)).trace
    if opened is None:
        raise OlivineError(f"{source}: a workload of shapes, not a trace; `olivine list traces` names traces")
    if checksums:
        opened.verify_checksums()
    rows = describe(opened)
    synthetic = opened.manifest.synthetic
    written = write_outliers(out, opened.name, rows) if out else []
    if as_json:
        about = {"synthetic": synthetic.model_dump()} if synthetic else {}
        _print_json({"trace": opened.name, "fingerprint": opened.fingerprint, **about, "ops": rows})
        return 0
    print(f"trace {opened.name}: {totals(rows)}")
    for line in outlier_lines(rows):
        print(line)
    if synthetic:
        print(f"synthetic: activations {synthetic.activations}, weights {synthetic.weights}, seed {synthetic.seed}")
        print(f"statistics from: {synthetic.source}")
    for path in written:
        print(f"wrote {path}")
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _require_at_least(least: int, option: str, value: int) -> None:
    if value < least:
        raise OlivineError(f"{option}: must be at least {least}, found {value}")


def _reference(text: str) -> str:
    if not text:
        raise OlivineError("an empty name was given; name a shipped one or a path")
    return text


def _overrides(pairs: list[str] | None) -> dict[str, Any]:
    from simulator.config import parse_override

    return dict(parse_override(pair) for pair in pairs or [])


def _dims(pairs: list[str] | None) -> dict[str, int]:
    """``{"batch": 1}`` for ``--dim batch=1``."""
    dims: dict[str, int] = {}
    for pair in pairs or []:
        name, _, size = (part.strip() for part in pair.partition("="))
        if not (name and size.isascii() and size.isdigit() and 1 <= int(size[:20]) < 2**31):
            raise OlivineError(f"--dim: expected NAME=VALUE with a whole number, as in batch=1, found '{pair}'")
        dims[name] = int(size)
    return dims


def _print_note(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """A note is one line; other warnings keep their form."""
    if issubclass(category, Note):
        print("olivine: note: " + " ".join(str(message).split()), file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)


def _print_json(data: Any) -> None:
    print(json.dumps(_strict(data), indent=2, default=str))


def _strict(data: Any) -> Any:
    """``data`` with null for what JSON has no number for: NaN and the infinities."""
    if isinstance(data, dict):
        return {key: _strict(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_strict(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _print_gemm(name: str, result: GemmResult) -> None:
    sections: dict[str, Any] = {
        "latency_us": result.latency_s * 1e6,
        "macs": result.macs,
        "tiles": result.tiles,
        **({"cut along": result.partition} if result.partition else {}),
        "mapping_util": result.mapping_util,
        "compute_util": result.compute_util,
        "cycles": _split_cycles(result),
        "bytes": {f"{level} {way}": n for level, moved in result.bytes.items() for way, n in moved.items()},
        **({"dram": result.dram} if result.dram else {}),
        "energy_pj": result.energy_pj,
        "area_um2": result.area_um2,
    }
    if result.exact is not None:
        sections |= {"exact": result.exact, "sqnr_db": result.sqnr_db}
    _print_sections(name, sections)


def _print_counts(records: list[dict[str, Any]]) -> None:
    """One line per level and operand."""
    for row in ([*records[0]], *([_cell(value) for value in record.values()] for record in records)):
        print(f"{row[0]:<14}{row[1]:<8}" + "".join(f"{cell:>16}" for cell in row[2:]))


def _split_cycles(result: GemmResult) -> dict[str, int]:
    """Total, compute and its two parts, then the stalls."""
    streaming = result.cycles["compute"] - result.fill_drain_cycles
    split: dict[str, int] = {}
    for name, cycles in result.cycles.items():
        split[name] = cycles
        if name == "compute":
            split |= {"  streaming": streaming, "  fill + drain": result.fill_drain_cycles}
    return split


def _print_sections(title: str, data: dict[str, Any]) -> None:
    """Scalars first-level, mappings as indented blocks, lists of records as tables."""
    print(title)
    for key, value in data.items():
        if isinstance(value, list):
            print(f"  {key}")
            _print_records(value)
        elif isinstance(value, dict):
            print(f"  {key}")
            for name, inner in value.items():
                print(f"    {name:<24} {_cell(inner):>18}")
        elif key != "name":
            print(f"  {key:<26} {_cell(value):>18}")


def _print_names(entries: list[dict[str, str]]) -> None:
    """A line for each: the name, what else is known (figures, to the right), the description."""
    if entries:
        *columns, last = entries[0]
        widths = {column: max(len(entry[column]) for entry in entries) for column in columns}
        for entry in entries:
            cells = (f"{entry[c]:<{w}}" if c == "name" else f"{entry[c]:>{w}}" for c, w in widths.items())
            print("  ".join([*cells, entry[last]]).rstrip())


def _print_records(records: list[dict[str, Any]]) -> None:
    """Columns by name: text to the left, numbers to the right."""
    if not records:
        return
    wide = {name: isinstance(value, str) for name, value in records[0].items()}
    for row in (dict(zip(wide, wide, strict=True)), *records):
        cells = (f"{value:<24}" if wide[name] else f"{_figure(value):>13}" for name, value in row.items())
        print("    " + " ".join(cells).rstrip())


def _figure(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float) and value >= 1e4 else _cell(value)


if __name__ == "__main__":
    sys.exit(main())
