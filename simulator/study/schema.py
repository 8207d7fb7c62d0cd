"""``olivine schema``: JSON Schema of each kind of YAML file, with the names that are shipped and registered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simulator import datapath
from simulator.config import (
    CostLibrary,
    DramPart,
    Study,
    WorkloadSpec,
    kind_of,
    load_cost,
    load_design,
    price_lists,
)
from simulator.config.design import SystolicDesign
from simulator.config.json_schema import DIALECT, Definitions, Schema, one_of_names, text, when
from simulator.config.kernels import KernelList
from simulator.config.tensor_core import TensorCoreDesign
from simulator.errors import UnknownNameError
from simulator.report.atomic import write_bytes
from simulator.resources import shipped_names
from simulator.study.schema_paths import path_schemas
from simulator.study.workloads import known_workloads
from simulator.workload.models import FAMILIES

__all__ = ["DOCUMENTS", "document_schema", "document_schemas", "known_definitions", "write_schemas"]

_DESIGNS = (SystolicDesign, TensorCoreDesign)


def document_schema(kind: str) -> Schema:
    """JSON Schema of a kind of document."""
    known = known_definitions()
    body = DOCUMENTS[kind](known)
    head = {"$schema": DIALECT, "title": f"Olivine {kind}"}
    return head | body | {"$defs": known.used_by(body)}


def document_schemas(kind: str) -> dict[str, Schema]:
    """Kind -> schema: of one, or of ``all``. Raises: UnknownNameError."""
    if kind != "all" and kind not in DOCUMENTS:
        raise UnknownNameError("kind of document", kind, [*DOCUMENTS, "all"])
    return {name: document_schema(name) for name in (DOCUMENTS if kind == "all" else [kind])}


def write_schemas(schemas: Mapping[str, Schema], out: Path) -> dict[str, Path]:
    """Writes one schema to a file, or several, or one for which there is a folder, as ``OUT/KIND.schema.json``.

    Returns: kind -> file. Raises: OutputError.
    """
    in_folder = len(schemas) > 1 or out.is_dir()
    paths = {kind: out / f"{kind}.schema.json" if in_folder else out for kind in schemas}
    return {kind: write_bytes(paths[kind], json.dumps(s, indent=1).encode() + b"\n") for kind, s in schemas.items()}


def known_definitions() -> Definitions:
    """All records, with names where types say too little."""
    drams = one_of_names(load_cost("open").drams)["anyOf"]
    part = {"anyOf": [*one_of_names(shipped_names("configs/dram"))["anyOf"], {"$ref": "#/$defs/DramPart-part"}]}
    definitions = Definitions(
        {
            "Array": {"kind": {"const": "systolic"}},
            "SystolicDesign": {"cost": one_of_names(price_lists())},
            "TensorCoreDesign": {
                "cost": one_of_names(price_lists()),
                "kernels": {"anyOf": [*one_of_names(shipped_names("configs/kernels"))["anyOf"], {"type": "null"}]},
            },
            "Dram": {"standard": {"anyOf": [*drams, {"type": "null"}]}},
            "BankedDramSpec": {"part": part},
            "DramPart": {"standard": {"anyOf": [*drams, {"type": "null"}]}},
            "Product": {"datapath": one_of_names(datapath.names())},
            "OtherStudy": {"study": one_of_names(shipped_names("configs/studies"))},
            "WorkloadSpec": {"model": _model()},
        }
    )
    datapaths = _datapath()
    definitions.all |= {"DatapathSpec-part": datapaths, "DatapathSpec": datapaths | {"required": ["name"]}}
    for record in (*_DESIGNS, WorkloadSpec, CostLibrary, DramPart, KernelList, Study):
        definitions.add(record)
    definitions.part("DramPart")
    return definitions


def _model() -> Schema:
    """Fields of a ``config.json``: any, of which the family is known here."""
    families = one_of_names(FAMILIES, "Family of models.")
    return {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"model_type": families}}, {"type": "null"}]}


def _datapath() -> Schema:
    """A datapath and its options; those of one that is not registered here are not known."""
    names = datapath.names()
    known = [
        when({"name": name}, {"properties": {"name": True} | _options(name), "additionalProperties": False})
        for name in names
    ]
    name = one_of_names(names, "Which datapath: `olivine list datapaths`.")
    return {
        "type": "object",
        "description": "A datapath by name; every other key is an option of that datapath.",
        "properties": {"name": name},
        "allOf": known,
    }


def _options(name: str) -> Schema:
    return {k: s | {"description": text(s["description"])} for k, s in datapath.options(name).items()}


def _is_kind(kind: str) -> Schema:
    array = {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"properties": {"array": array}, "required": ["array"]}


def _extending(definitions: Definitions, record: str, names: list[str], **more: Schema) -> Schema:
    """A part of a record that may also say what it extends."""
    reference = definitions.part(record)
    one = one_of_names(names)
    described = {"description": "What this is laid over: a shipped name, a path, or a list of them; later ones win."}
    extends = described | {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}
    definitions.all[f"{record}-part"]["properties"] |= {"extends": extends} | more
    return reference


def _design(definitions: Definitions) -> Schema:
    names = shipped_names("configs/designs")
    systolic, gpu = (_extending(definitions, record.__name__, names) for record in _DESIGNS)
    of_kind = {kind: [n for n in names if kind_of(load_design(n)) == kind] for kind in ("systolic", "tensor_core")}
    is_gpu, is_systolic = (
        {"anyOf": [_is_kind(kind), {"properties": {"extends": {"enum": of_kind[kind]}}, "required": ["extends"]}]}
        for kind in ("tensor_core", "systolic")
    )
    unknown = {
        "if": {"required": ["extends"], "not": is_systolic},
        "then": {"anyOf": [systolic, gpu]},
        "else": systolic,
    }
    fields = {"if": is_gpu, "then": gpu, "else": unknown}
    needs = {
        "if": _is_kind("tensor_core"),
        "then": definitions.needs("TensorCoreDesign"),
        "else": definitions.needs("SystolicDesign"),
    }
    return {"type": "object", "allOf": [fields, {"if": {"required": ["extends"]}, "else": needs}]}


def _workload(definitions: Definitions) -> Schema:
    size = {"type": "integer", "minimum": 1}
    dims = {
        "description": "Sizes that an extended ONNX model or topology leaves open, by name.",
        "type": "object",
        "additionalProperties": size,
    }
    fields = _extending(definitions, "WorkloadSpec", shipped_names("workloads"), dims=dims)
    whole = definitions.needs("WorkloadSpec") | {"anyOf": [{"required": [key]} for key in ("gemms", "convs", "model")]}
    return {"type": "object", "allOf": [fields, {"if": {"required": ["extends"]}, "else": whole}]}


def _cost(definitions: Definitions) -> Schema:
    table = {"description": "CSV file of macros, in place of `macros`.", "type": "string"}
    fields = _extending(definitions, "CostLibrary", shipped_names("configs/cost"))
    definitions.all["SramTable-part"]["properties"]["table"] = table
    needs = definitions.needs("CostLibrary")
    either = [{"required": ["macros"]}, {"required": ["table", "variant"]}]
    needs["properties"]["sram"] = {"required": ["source", "node_nm"], "anyOf": either}
    open_ended = {"anyOf": [{"required": ["extends"]}, {"not": {"required": ["conventions"]}}]}  # or to be extended
    return {"type": "object", "allOf": [fields, {"if": open_ended, "else": needs}]}


def _plain(record: str, folder: str) -> Callable[[Definitions], Schema]:
    def document(definitions: Definitions) -> Schema:
        fields = _extending(definitions, record, shipped_names(folder))
        whole = {"if": {"required": ["extends"]}, "else": definitions.needs(record)}
        return {"type": "object", "allOf": [fields, whole]}

    return document


def _study(definitions: Definitions) -> Schema:
    body = definitions.whole("Study")
    fields = definitions.all["Study"]["properties"]
    definitions.all |= {"design": _design(definitions), "workload": _workload(definitions)}
    for field, kind, names in (
        ("designs", "design", shipped_names("configs/designs")),
        ("workloads", "workload", known_workloads()),
    ):
        fields[field]["items"] = {"anyOf": [*one_of_names(names)["anyOf"], {"$ref": f"#/$defs/{kind}"}]}
    fields["set"] |= {"properties": path_schemas(definitions), **_open_paths({})}
    values: Any = fields["sweep"].get("additionalProperties", {})
    axes = {
        path: values | {"description": schema.get("description", ""), "items": schema}
        for path, schema in path_schemas(definitions).items()
    }
    fields["sweep"] |= {"properties": axes, **_open_paths(values)}
    return body


def _open_paths(values: Schema) -> Schema:
    """Paths that only a plug-in, a model's own configuration or several axes at once can have; no others."""
    patterns = (r"^datapath\.[^.]+$", r"^workload\.model\.", ",")
    return {"patternProperties": dict.fromkeys(patterns, values), "additionalProperties": False}


DOCUMENTS: dict[str, Callable[[Definitions], Schema]] = {
    "study": _study,
    "design": _design,
    "workload": _workload,
    "cost": _cost,
    "dram": _plain("DramPart", "configs/dram"),
    "kernels": _plain("KernelList", "configs/kernels"),
}
"""Kind of document -> what makes its schema."""
