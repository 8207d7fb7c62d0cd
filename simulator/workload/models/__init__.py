"""From a model's ``config.json`` to the products and passes of one run of it, and its parameters: shapes alone.

A family of models is one function that fills a ``Listing``; ``FAMILIES`` names it by ``model_type``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from simulator.config.workload import WorkloadSpec
from simulator.errors import ConfigError, did_you_mean
from simulator.workload.models.convnet import mobilenet_v1, mobilenet_v2, resnet
from simulator.workload.models.encoder import bert
from simulator.workload.models.fields import Fields
from simulator.workload.models.gpt import bloom, falcon, gpt2, gpt_neox, opt, phi
from simulator.workload.models.listing import Listing, Run, Tensor
from simulator.workload.models.llama import llada, llama, mixtral
from simulator.workload.models.mamba import mamba
from simulator.workload.models.seq2seq import bart, t5
from simulator.workload.models.vit import vit

__all__ = ["FAMILIES", "Listing", "Run", "Tensor", "listed", "written_out"]

_Family = Callable[[Fields, Listing], None]


@dataclass(frozen=True)
class _Kind:
    """What a family understands: tokens (else images), a decode phase."""

    fill: _Family
    tokens: bool = True
    decodes: bool = True


_ENCODER, _IMAGES = {"decodes": False}, {"tokens": False, "decodes": False}
FAMILIES = MappingProxyType(
    {
        "bart": _Kind(bart),
        "bert": _Kind(bert, **_ENCODER),
        "bloom": _Kind(bloom),
        "deit": _Kind(vit, **_IMAGES),
        "distilbert": _Kind(bert, **_ENCODER),
        "falcon": _Kind(falcon),
        "gemma": _Kind(llama),
        "gpt2": _Kind(gpt2),
        "gpt_neox": _Kind(gpt_neox),
        "llada": _Kind(llada, **_ENCODER),
        "llama": _Kind(llama),
        "mamba": _Kind(mamba),
        "mistral": _Kind(llama),
        "mixtral": _Kind(mixtral),
        "mobilenet_v1": _Kind(mobilenet_v1, **_IMAGES),
        "mobilenet_v2": _Kind(mobilenet_v2, **_IMAGES),
        "opt": _Kind(opt),
        "phi": _Kind(phi),
        "phi3": _Kind(llama),
        "qwen2": _Kind(llama),
        "qwen3": _Kind(llama),
        "resnet": _Kind(resnet, **_IMAGES),
        "roberta": _Kind(bert, **_ENCODER),
        "t5": _Kind(t5),
        "vit": _Kind(vit, **_IMAGES),
    }
)
"""``model_type`` of a configuration -> its family."""


def written_out(spec: WorkloadSpec) -> WorkloadSpec:
    """The workload with its products and passes listed, for its whole batch; one without a ``model`` as it is.

    Raises: ConfigError naming file, line and field.
    """
    if spec.model is None:
        return spec
    made = listed(spec)
    whole = {"convs": made.convs, "gemms": made.gemms, "passes": made.passes}
    about = {"name": spec.name, "description": spec.description, "source": spec.source}
    return WorkloadSpec.model_validate(about | {field: ops for field, ops in whole.items() if ops})


def listed(spec: WorkloadSpec) -> Listing:
    """What a workload's ``model`` is made of and runs. Raises: ConfigError."""
    if not isinstance(spec.model, dict):
        raise ConfigError(f"{spec.where('model')}: not read; load the workload from its file")
    config: dict[str, Any] = spec.model
    fields = Fields(config, lambda field: spec.where("model", field))
    kind = _family(fields)
    run = _run(spec, kind)
    listing = Listing(run)
    kind.fill(fields, listing)
    if listing.cache:
        listing.assumed.append(
            "keys and values lie in DRAM as the datapath of their product reads its second operand (assumed), and are "
            "read once per step and head of keys and values; a causal mask saves nothing."
        )
    if listing.state:
        listing.assumed.append("what a sequence keeps of the places before lies in DRAM in FP16 (assumed).")
    return listing


def _family(fields: Fields) -> _Kind:
    """Raises: ConfigError for a model type that is not known."""
    name = fields.text("model_type")
    if name not in FAMILIES:
        near = did_you_mean(name, list(FAMILIES))
        raise fields.wrong("model_type", f"no shapes of '{name}' are known{near}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _run(spec: WorkloadSpec, kind: _Kind) -> Run:
    """Raises: ConfigError for a parameter that does not apply to the family."""
    name = (spec.model or {}).get("model_type") if isinstance(spec.model, dict) else ""
    given = {field for field in ("tokens", "context", "image") if getattr(spec, field) is not None}
    for field in sorted(given - ({"tokens", "context"} if kind.tokens else {"image"})):
        raise ConfigError(f"{spec.where(field)}: has no meaning for a {name}; remove it")
    if not kind.decodes:
        if spec.phase == "decode":
            raise ConfigError(f"{spec.where('phase')}: a {name} has no decode phase; use prefill")
        if "context" in given:
            raise ConfigError(f"{spec.where('context')}: a {name} has no cache; remove it, or set tokens")
    decode, tokens = spec.phase == "decode", spec.tokens or 1
    if kind.tokens and spec.tokens is None and not (decode and spec.context and name not in ("bart", "t5")):
        raise ConfigError(f"{spec.where('tokens')}: missing key 'tokens', the length of a sequence; e.g. tokens=128")
    if spec.context is not None and not decode and spec.context < tokens:
        raise ConfigError(f"{spec.where('context')}: must be at least tokens, {tokens}, which attend to themselves")
    return Run(
        batch=spec.batch,
        tokens=tokens,
        context=spec.context or 0,
        decode=decode,
        head=spec.head or "",
        embeddings=spec.embeddings,
        image=spec.image or 0,
    )
