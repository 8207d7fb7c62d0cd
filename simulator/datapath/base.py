"""The contract of a PE datapath: operand formats, cycles, actions, area bill, exact result. No energies in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.datapath.job import Job, KernelJob, TileCosts
from simulator.datapath.on_tensor_cores import OnTensorCores
from simulator.datapath.remembered import Remembered
from simulator.datapath.width import Width
from simulator.formats import Encoded, Format, Granularity, TensorEncoding
from simulator.formats.base import Calibration
from simulator.formats.streamed import Streamed, knows_of, unread
from simulator.kernels import njit

__all__ = ["Accumulation", "Datapath", "Gate", "Lane", "Operand"]

Operand = Literal["act", "weight"]


@dataclass(frozen=True)
class Accumulation:
    """How products are summed, so that "exact" has one meaning. float32 rounds to nearest, ties to even, throughout.

    ``int``: exact two's complement sum that must stay within ``bits`` after every step.
    ``fp32_sequential``: float32; products are exact in it, one rounding per addition, k = 0, 1 ... K-1.
    ``fp32_blocks``: the exact sum of each ``block`` neighbours of K, their shared scales included, is rounded to
    float32 and added to a float32 accumulator, blocks in order.
    ``fp32_by_index``: GOBO. Activations are added in float32 to one accumulator per dictionary entry, k in order; an
    outlier's product is rounded to float32 and added to one more. Then, entries in order, each sum times its entry is
    rounded and added; the outliers' sum comes last.
    ``int8_and_fp16``: LLM.int8(). An int32 sum over int8 codes and an ``fp32_sequential`` sum over half-precision
    outlier columns, k in order; the first, rounded to float32, times the float32 product of both scales, plus the
    second: one rounding each.
    """

    kind: Literal["int", "fp32_sequential", "fp32_blocks", "fp32_by_index", "int8_and_fp16"]
    bits: int = 32
    block: int = 1


@njit(cache=True)
def first_register(state, constants):
    """The result of a PE that has one accumulator."""
    return state[0]


class Gate(NamedTuple):
    """What freezes an array while values make it wait.

    Attributes:
        asked: numba function ``(memory, words, words, last) -> bool``, asked in every cycle in which a step of a fold
            is about to enter, before the skew registers; while it says no, no register of the array moves. It is given
            the step's activation words of all rows and weight words of all columns (``os``), or its streamed words
            (rows,) and the words that the fold holds (columns, rows); and whether the fold has no further step.
        memory: its own registers (int64) at the beginning.
    """

    asked: Callable[..., bool]
    memory: NDArray[np.int64]


@dataclass(frozen=True)
class Lane:
    """One array of PEs at work on a GEMM: what enters its edges and what its PEs do.

    Attributes:
        act, weight: edge words (M, steps) and (N, steps).
        rows, cols: its PEs.
        mac: numba function ``(state, act_word, weight_word)`` of one PE and step; changes ``state`` (registers,).
        finish: numba function ``(state, constants)`` to the result that leaves the array.
        registers: accumulators of a PE; state_type: their numpy type.
        result_words: cycles that a result takes per hop on its way out.
        gate: of ``os``, held_gate: of ``ws`` and ``is``; None where nothing depends on values.
    """

    act: NDArray[Any]
    weight: NDArray[Any]
    rows: int
    cols: int
    mac: Callable[..., Any]
    finish: Callable[..., Any]
    registers: int
    state_type: type[Any]
    result_words: int
    constants: NDArray[np.float64]
    gate: Gate | None = None
    held_gate: Gate | None = None


def _is_streamed(encoding: TensorEncoding) -> bool:
    """Whether it finds its marks a block at a time, without encoding."""
    found = type(encoding).marks_operand is not TensorEncoding.marks_operand
    return found and knows_of(type(encoding), "marks_operand", "encode_operand")


def _marks(
    encoding: TensorEncoding, x: Streamed, looked_at: Sequence[str], granularity: Granularity, method: Calibration
) -> list[Encoded]:
    """Of each GEMM's operand; unread where nothing is looked at and its size is that of its shape."""
    if looked_at or not isinstance(encoding, Format):
        if not _is_streamed(encoding):
            return TensorEncoding.marks_operand(encoding, x, granularity, method)
        return encoding.marks_operand(x, granularity, method)
    count, rows, K = x.shape
    return [Encoded(unread(rows, 0), np.ones((), np.float32), K)] * count


class Datapath(Remembered, OnTensorCores, ABC):
    """One kind of processing element. A subclass is a frozen dataclass in a file of its own, made known by
    ``@register("name")``; its fields are the options a design may set.

    It also gives ``name``, ``act_format``, ``weight_format`` and ``accumulation``, which ``OnTensorCores`` declares.
    Operands are ``Encoded`` as its formats make them, packed along K: M rows of activations, N rows of weights.
    Action and part names are priced in ``configs/cost``; one without a price is an error that names it.
    """

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  the line below an option describes it

    mac: Any
    """numba function ``(state, act_word, weight_word)``: what one PE does in one step, in place, to its accumulators
    ``state`` (registers,). A static method, or a property where options change it.
    """

    @abstractmethod
    def actions_per_mac(self) -> dict[str, float]:
        """Priced actions of one PE in one useful MAC; hops of operands and sums are counted by the mapping."""

    @abstractmethod
    def area_bill(self, rows: int, cols: int) -> dict[str, int]:
        """Priced parts of an array of that many PEs: name -> how many. Options that choose a precision for one op
        (``layers`` of a design) must not change it.
        """

    @abstractmethod
    def edge_words(self, encoded: Encoded, operand: Operand) -> NDArray[Any]:
        """What the array edge feeds into the PEs: an operand of R rows to operand words (R, K * cycles_per_step).

        Decoded here as the hardware would, not by ``formats``: the reference check compares the two.
        """

    @abstractmethod
    def matmul(self, act: Encoded, weight: Encoded) -> NDArray[Any]:
        """The array's exact answer: operands of M and N rows to accumulators (M, N).

        Returns: int64, or float32 for float datapaths.
        Raises: AccumulatorOverflowError naming the first output whose partial sum leaves the accumulator.
        """

    # Everything below has a default that fits a PE with one accumulator and no surprises.

    def encode(
        self,
        act: ArrayLike,
        weight: ArrayLike,
        granularity: tuple[Granularity, Granularity],
        calibration: tuple[Calibration, Calibration],
    ) -> list[tuple[Encoded, Encoded]]:
        """Both operands of each GEMM, from real tensors (count, M, K) and (count, N, K).

        A datapath that splits its operands by each other's values (columns chosen at run time) overrides this.
        """
        acts = self.act_format.encode_operand(act, granularity[0], calibration[0])
        weights = self.weight_format.encode_operand(weight, granularity[1], calibration[1])
        return list(zip(acts, weights, strict=True))

    def marks(
        self,
        act: Streamed,
        weight: Streamed,
        granularity: tuple[Granularity, Granularity],
        calibration: tuple[Calibration, Calibration],
    ) -> list[tuple[Encoded, Encoded]]:
        """What costs look at of both operands of each GEMM, as ``looks_at`` says and ``encode`` would make it, without
        encoding where formats can do without: both operands at once, in two threads, if both are streamed.

        Raises: as ``encode``, and as ``Streamed.blocks``; of two errors that of the activations.
        """
        if self.looks_at is None or not knows_of(type(self), "looks_at", "encode", "seen_by_costs"):
            return self.encode(act.whole(), weight.whole(), granularity, calibration)
        acts = partial(_marks, self.act_format, act, self.looks_at[0], granularity[0], calibration[0])
        weights = partial(_marks, self.weight_format, weight, self.looks_at[1], granularity[1], calibration[1])
        if not (all(self.looks_at) and _is_streamed(self.act_format) and _is_streamed(self.weight_format)):
            return list(zip(acts(), weights(), strict=True))
        with ThreadPoolExecutor(1) as other:  # while one waits for its file, the other is looked through
            found = other.submit(weights)
            return list(zip(acts(), found.result(), strict=True))

    def real(self, accumulators: NDArray[Any], act: Encoded, weight: Encoded) -> NDArray[np.float64]:
        """Accumulators (M, N) as real values, float64: times both scales, one multiplication per output."""
        return accumulators * (act.row_scale * weight.row_scale.T)

    def decoded(self, act: Encoded, weight: Encoded) -> tuple[NDArray[Any], NDArray[Any]]:
        """What the codes stand for before their scales per row, (M, K) and (N, K): exact integers or floats.

        For the infinitely precise product only; where a format alone cannot tell (operands that were split by each
        other's values), a datapath overrides it.
        """
        return self.act_format.decode_operand(act), self.weight_format.decode_operand(weight)

    def real_operands(self, act: Encoded, weight: Encoded) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the codes stand for, scales included: (M, K) and (N, K), whose product ``real`` is up to rounding."""
        a, w = self.decoded(act, weight)
        return a * act.row_scale, w * weight.row_scale

    def accumulated(self, act: Encoded, weight: Encoded) -> tuple[NDArray[Any], NDArray[Any]]:
        """Operands (M, steps) and (N, steps) of the products that an ``int`` accumulator adds, one step after another.

        They are what is held to its width. Where hardware shifts or splits what the codes stand for, a datapath
        overrides it.
        """
        return self.decoded(act, weight)

    def sums(self, act: Encoded, weight: Encoded) -> Sequence[tuple[NDArray[Any], NDArray[Any], int]]:
        """Every integer sum of a PE: the operands of its products, in order, and the bits that it must stay within."""
        return [(*self.accumulated(act, weight), self.accumulation.bits)]

    def width(self, operand: Operand) -> Width:
        """Bits of an operand in scratchpads and DRAM; as its format packs it."""
        return Width.of(self.act_format if operand == "act" else self.weight_format)

    def stored_format(self, operand: Operand) -> str:
        """Name of the format that an operand has in DRAM: what a pass before the GEMM has to make of it."""
        return (self.act_format if operand == "act" else self.weight_format).name

    def register_bits(self, operand: Operand) -> float:
        """Bits of the register in which an operand hops from PE to PE, per logical MAC and array step."""
        return (self.act_format if operand == "act" else self.weight_format).bits

    @property
    def dataflows(self) -> tuple[str, ...]:
        """Dataflows that this kind of PE can run: what it accumulates must be able to move in ``ws`` and ``is``."""
        return ("os", "ws", "is") if self.registers == 1 else ("os",)

    @property
    def why_not(self) -> str:
        """Why it cannot run the other dataflows, as part of a sentence."""
        return "its accumulators cannot move"

    @property
    def unfinished_bits(self) -> int:
        """Bits of all accumulators of an output, which hop from PE to PE in ``ws`` and ``is`` and are kept from fold to
        fold.
        """
        return self.accumulation.bits

    def logical_array(self, rows: int, cols: int) -> tuple[int, int]:
        """MACs side by side that ``rows x cols`` PEs make at this precision."""
        return rows, cols

    def cycles_per_step(self) -> int:
        """Array cycles per reduction step: more than 1 where an operand takes several passes through a PE."""
        return 1

    def outlier_columns(self, K: int, act: Encoded | None) -> int:
        """Columns of A that it takes out of the product: of this operand, or of one with ``K`` columns; none."""
        return 0

    def actions_per_operand(self, operand: Operand) -> dict[str, float]:
        """Priced actions of one operand value entering the array at its edge (decoders)."""
        return {}

    def actions_per_output(self) -> dict[str, float]:
        """Priced actions of one result on its way out (centroids, dequantisation)."""
        return {}

    def data_dependent_actions(self) -> tuple[str, ...]:
        """Names of all actions that ``tile_costs`` may count."""
        return ()

    def kernel_costs(self, job: KernelJob) -> TileCosts | None:
        """What values add to a kernel of tensor cores, as ``tile_costs`` says it of a systolic array: bytes on the way
        from DRAM, and actions. None: nothing ever. One whose ``tile_costs`` are not nothing runs on tensor cores only
        with an answer of its own.
        """
        return None

    def tile_costs(self, job: Job) -> TileCosts | None:
        """What depends on the values of one GEMM, tile by tile, or None where nothing does.

        The operands of ``job`` are None when only shapes are known: draw from a stated distribution with its seed
        then, and say which in ``assumed_distribution``.
        """
        return None

    @property
    def assumed_distribution(self) -> str:
        """What ``tile_costs`` draws from when only shapes are known, as one sentence; empty if it draws nothing."""
        return ""

    # The register-accurate array

    @property
    def finish(self) -> Callable[..., Any]:
        """numba function ``(state, constants)``: the result of a PE's accumulators at the array's edge."""
        return first_register

    @property
    def registers(self) -> int:
        """Accumulators of a PE."""
        return 1

    @property
    def state_type(self) -> type[Any]:
        """numpy type of the accumulators. Whoever reports their values holds every sum to its width (``sums``), so a
        single one of at most 32 bits does not wrap.
        """
        if self.accumulation.kind != "int":
            return np.float32
        return np.int32 if self.registers == 1 and self.accumulation.bits <= 32 else np.int64

    @property
    def result_words(self) -> int:
        """Cycles that a result takes per hop on its way out of the array."""
        return 1

    @property
    def gate(self) -> Gate | None:
        """What freezes an ``os`` array while outliers wait; its cycles are held to ``outlier_cycles`` of the tiles."""
        return None

    @property
    def held_gate(self) -> Gate | None:
        """As ``gate``, of a ``ws`` or ``is`` array."""
        return None

    def constants(self, act: Encoded, weight: Encoded) -> NDArray[np.float64]:
        """What ``finish`` knows of this GEMM besides the accumulators (a dictionary ...)."""
        return np.zeros(0)

    def lanes(self, act: Encoded, weight: Encoded, rows: int, cols: int) -> Sequence[Lane]:
        """The arrays that work on this GEMM side by side, ``rows x cols`` the logical size of the first.

        A lane of no steps is left out. More than one lane needs a ``merge``.
        """
        return [
            Lane(
                act=self.edge_words(act, "act"),
                weight=self.edge_words(weight, "weight"),
                rows=rows,
                cols=cols,
                mac=self.mac,
                finish=self.finish,
                registers=self.registers,
                state_type=self.state_type,
                result_words=self.result_words,
                constants=self.constants(act, weight),
                gate=self.gate,
                held_gate=self.held_gate,
            )
        ]

    def merge(self, results: Sequence[NDArray[Any]], act: Encoded, weight: Encoded) -> NDArray[Any]:
        """Accumulators (M, N) from the results of ``lanes``."""
        return results[0]
