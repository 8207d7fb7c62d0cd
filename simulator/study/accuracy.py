"""A real model run end to end with other numbers: what is left of its accuracy, as a whole and layer by layer."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from simulator.config import Design
from simulator.datapath.registry import source_file
from simulator.formats.blocks import BlockFormat
from simulator.reference import noise_energy, sqnr_db
from simulator.study.ablation import Ablated
from simulator.study.building import build
from simulator.study.fitness import MERITS, Merit, fitness
from simulator.study.hardware import Hardware
from simulator.study.keys import datapath_sha256, numbers_sha256
from simulator.study.passages import InputSets
from simulator.study.store import Store, Stored
from simulator.study.substitution import Products, Quantised, Sums, is_replaced
from simulator.tracing.model import Input, Model
from simulator.tracing.products import F32, Multiply, Product, multiply
from simulator.tracing.weights import ModelWeights, weight_files
from simulator.tracing.writer import file_sha256

__all__ = ["DECIDES", "FLOAT", "JUDGED_COLUMNS", "Bench", "Judged", "activations_of", "judge"]

FLOAT = "float32"
"""The model as it is, the first row of every table."""
DECIDES = ("name", "datapath", "quantisation", "layers")
"""The fields of a design that its values depend on."""
JUDGED_COLUMNS = ("activations", "weights", "scales", "worst_layer_sqnr_db")
"""Of a row of the results, beside those of its fitness, what was judged."""
Row = dict[str, Any]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Judged:
    """What became of a model's accuracy with one set of numbers: a row, and a row for each of its products."""

    row: Row
    layers: list[Row]


@dataclass(frozen=True)
class Bench:
    """A model on its inputs.

    Attributes:
        products: which of its products are computed with other numbers.
        sums: whether in float32, or as the datapath adds.
        seed: of ablations.
    """

    model: Model
    inputs: InputSets
    products: Products = "layers"
    sums: Sums = "float32"
    seed: int = 0

    @property
    def merit(self) -> Merit:
        """What the model is judged by first."""
        return MERITS[self.model.architecture.gives]

    def key(self, what: Any) -> str:
        """Content address of the verdict on one set of numbers, by all that it depends on."""
        inputs = [
            [hashlib.sha256(given.values.tobytes()).hexdigest() for given in each]
            for each in (self.inputs.calibration, self.inputs.evaluation)
        ]
        content = {
            "model": file_sha256(*weight_files(self.model.source.folder)),
            "config": self.model.source.config,
            "inputs": inputs,
            "how": [self.products, self.sums, self.seed],
            "what": what,
            "code": numbers_sha256(),
        }
        return "accuracy " + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def judge(
    bench: Bench,
    designs: Sequence[Design] = (),
    ablations: Sequence[str] = (),
    store: Store | None = None,
    progress: Progress | None = None,
) -> list[Judged]:
    """The float model, each ablation and each design in turn; what the store has is not run again.

    Raises: OlivineError, one line.
    """
    schemes = _schemes(bench, designs, ablations)
    seen: dict[str, F32] = {}
    weights = bench.model.weights()
    found = []
    for done, scheme in enumerate(schemes, start=1):
        key = bench.key(scheme.content)
        known = store.get(key) if store else None
        if known is None:
            if scheme.calibrates and not seen:
                seen.update(activations_of(bench, weights))
            row, layers = _run(bench, weights, scheme.make(seen))
            known = Stored(scheme.head | row, [{"design": scheme.name} | layer for layer in layers])
            if store:
                store.put(key, *known)
        found.append(Judged(known.row, known.layers))
        if progress:
            progress(done, len(schemes), scheme.name)
    return found


@dataclass(frozen=True)
class _Scheme:
    """One set of numbers: how its row begins, all that it depends on, and what multiplies with it."""

    name: str
    head: Row
    content: Any
    make: Callable[[Mapping[str, F32]], Multiply]
    calibrates: bool = True


def _schemes(bench: Bench, designs: Sequence[Design], ablations: Sequence[str]) -> list[_Scheme]:
    head: Row = {"design": FLOAT, "datapath": "", "activations": FLOAT, "weights": FLOAT, "scales": ""}
    schemes = [_Scheme(FLOAT, head, FLOAT, lambda seen: multiply, calibrates=False)]
    for kind in ablations:
        changed = head | {"design": kind}
        schemes.append(_Scheme(kind, changed, kind, partial(_ablated, kind, bench)))
    return schemes + [_of_design(bench, build(design)) for design in designs]


def _ablated(kind: str, bench: Bench, seen: Mapping[str, F32]) -> Multiply:
    return Ablated(kind, seen, bench.products, bench.seed)


def _of_design(bench: Bench, hardware: Hardware) -> _Scheme:
    hardware = hardware.on(bench.model.source.name)
    design, datapath = hardware.design, hardware.datapath
    head: Row = {
        "design": design.name,
        "datapath": datapath.name,
        "activations": datapath.act_format.name,
        "weights": datapath.weight_format.name,
        "scales": _scales(hardware),
    }
    decides = design.model_dump(mode="json", include=set(DECIDES))
    content = [decides, datapath_sha256(source_file(datapath.name))]
    return _Scheme(design.name, head, content, lambda seen: Quantised(hardware, seen, bench.products, bench.sums))


def _scales(hardware: Hardware) -> str:
    """When the scales of activations are found; empty where there are none."""
    encoding = hardware.datapath.act_format
    if hardware.design.quantisation.activations.granularity != "tensor" or not encoding.static:
        return "at run time"
    (probe,) = encoding.encode_operand(np.ones((1, 1, 1), np.float32), "tensor", "absmax")
    if encoding.has_scale or probe.extras:
        return "calibrated"
    return "of blocks" if isinstance(encoding, BlockFormat) else ""


def activations_of(bench: Bench, weights: ModelWeights | None = None) -> dict[str, F32]:
    """All rows, (R, K) or (count, R, K), of each activation on the calibration inputs of the float model, by name."""
    rows: dict[str, list[F32]] = defaultdict(list)
    for given in bench.inputs.calibration:
        for name, values in _operands(bench.model, given, weights).items():
            rows[name].append(values)
    return {name: np.concatenate(parts, axis=-2) for name, parts in rows.items()}


def _operands(model: Model, given: Input, weights: ModelWeights | None) -> dict[str, F32]:
    """The activations of one input that meet weights."""
    found: dict[str, F32] = {}

    def keep(product: Product) -> F32:
        if product.op.kind != "bmm":
            found[product.a_name] = product.a
        return multiply(product)

    model.run(given.values, keep, weights)
    return found


def _run(bench: Bench, weights: ModelWeights, replaced: Multiply) -> tuple[Row, list[Row]]:
    """All evaluation inputs, the float model beside the one with other numbers."""
    noise = _Noise(bench.products)
    pairs = [noise.compare(bench.model, given, weights, replaced) for given in bench.inputs.evaluation]
    float_outputs, outputs = zip(*pairs, strict=True)
    row = fitness(bench.model.architecture.gives, bench.inputs.evaluation, outputs, float_outputs)
    layers = list(noise.rows())
    finite = [layer["sqnr_db"] for layer in layers if math.isfinite(layer["sqnr_db"])]
    return row | {"worst_layer_sqnr_db": min(finite, default=math.inf)}, layers


class _Noise:
    """Signal and noise of every product, over all inputs.

    ``own``: of the product alone, against the float product of the operands that reach it; ``run``: against the result
    that the float model has there, what came before included.
    """

    def __init__(self, products: Products) -> None:
        self._products = products
        self._own: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._run: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def compare(self, model: Model, given: Input, weights: ModelWeights, replaced: Multiply) -> tuple[F32, F32]:
        """Outputs of the float model and of the other, on one input."""
        exact: dict[str, F32] = {}

        def record(product: Product) -> F32:
            exact[product.op.name] = multiply(product)
            return exact[product.op.name]

        def replace_(product: Product) -> F32:
            result = replaced(product)
            self._add(self._run, product, exact[product.op.name], result)
            if is_replaced(product, self._products):
                self._add(self._own, product, multiply(product), result)
            return result

        return model.run(given.values, record, weights), model.run(given.values, replace_, weights)

    @staticmethod
    def _add(sums: dict[str, list[float]], product: Product, exact: F32, found: F32) -> None:
        for i, energy in enumerate(noise_energy(exact.astype(np.float64), found.astype(np.float64))):
            sums[product.op.name][i] += energy

    def rows(self) -> Iterator[Row]:
        """One per product, in order."""
        for op, run in self._run.items():
            own = self._own.get(op)
            yield {"op": op, "sqnr_db": sqnr_db(*own) if own else math.nan, "run_sqnr_db": sqnr_db(*run)}
