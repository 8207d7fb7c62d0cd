"""YAML in, frozen strict records out, every complaint with file, line and field."""

from simulator.config.catalogue import (
    find_file,
    is_path,
    kind_of,
    load_cost,
    load_design,
    load_dram,
    load_kernels,
    load_scaling,
    load_sram_at,
    load_study,
    load_workload,
    named_at,
    price_lists,
)
from simulator.config.cost import CostLibrary
from simulator.config.design import Design
from simulator.config.dram import DramPart
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
from simulator.config.study import Study
from simulator.config.workload import WorkloadSpec

__all__ = [
    "CostLibrary",
    "Design",
    "DramPart",
    "FieldError",
    "Source",
    "Study",
    "WorkloadSpec",
    "apply_overrides",
    "find_file",
    "from_mapping",
    "is_path",
    "kind_of",
    "load_cost",
    "load_design",
    "load_dram",
    "load_kernels",
    "load_scaling",
    "load_sram_at",
    "load_study",
    "load_workload",
    "merge",
    "named_at",
    "parse_override",
    "price_lists",
    "read_yaml",
    "validate",
]
