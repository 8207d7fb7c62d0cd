"""Mamba: selective state spaces instead of attention. Gu and Dao, arXiv 2312.00752.

The four projections are products; the causal depthwise filter, the scan and the gate are passes of the vector unit, so
that their multiplications are no MACs of the array. A step reads and writes the filter's last values and the state of
each sequence, whatever the length: ``context`` changes nothing.
"""

from __future__ import annotations

from simulator.workload.models.fields import Fields
from simulator.workload.models.heads import tied, vocabulary
from simulator.workload.models.listing import Around, Listing

__all__ = ["mamba"]


def mamba(fields: Fields, listing: Listing) -> None:
    """All layers of a Mamba-1 language model."""
    run, hidden = listing.run, fields.count("hidden_size", "d_model")
    layers, states = fields.count("num_hidden_layers", "n_layer"), fields.count("state_size", default=16)
    inner = fields.count("intermediate_size", default=int(fields.number("expand", default=2) * hidden))
    taps, rank = fields.count("conv_kernel", default=4), _rank(fields, hidden)
    words = _words(fields)
    bias, rows = fields.flag("use_bias", False), run.rows
    listing.table("embeddings", words, hidden)

    def along(kind: str, block: int) -> Around:
        """A pass along the places of each sequence."""
        name = {"conv1d": "mixer.conv1d", "selective_scan": "mixer.scan"}[kind]
        return {"kind": kind, "name": name, "rows": run.new, "cols": inner, "count": layers * run.batch, "block": block}

    def wide(kind: str, name: str) -> Around:
        return {"kind": kind, "name": f"mixer.{name}", "cols": inner}

    filtered = [along("conv1d", taps), wide("bias", "conv1d.bias"), wide("silu", "conv1d.silu")]
    shape = rows, hidden, 2 * inner
    listing.linear("mixer.in_proj", shape, layers, bias=bias, before=["rms_norm", "quantise"], after=filtered)
    listing.tensor("mixer.conv1d.weight", inner, 1, taps, count=layers)
    listing.tensor("mixer.conv1d.bias", inner, count=layers)
    listing.linear("mixer.x_proj", (rows, inner, rank + 2 * states), layers, bias=False)
    gated = ["softplus", along("selective_scan", states), wide("silu", "gate.silu"), wide("multiply", "gate")]
    listing.linear("mixer.dt_proj", (rows, rank, inner), layers, after=gated)
    listing.tensor("mixer.A_log", inner, states, count=layers)
    listing.tensor("mixer.D", inner, count=layers)
    last: Around = {"kind": "rms_norm", "name": "norm_f", "count": 1}
    listing.linear("mixer.out_proj", (rows, inner, hidden), layers, bias=bias, after=["residual", last])
    listing.state = layers * inner * (states + taps - 1)
    vocabulary(listing, "lm_head", hidden, words, shared=tied(fields, True))


def _rank(fields: Fields, hidden: int) -> int:
    """Width of the step's projection: a sixteenth of the model's, rounded up, unless it is given."""
    value = fields.config.get("time_step_rank", "auto")
    return -(-hidden // 16) if value == "auto" else fields.count("time_step_rank")


def _words(fields: Fields) -> int:
    """Rows of the table: the released models pad the vocabulary to a multiple of 8."""
    words, multiple = fields.count("vocab_size"), fields.count("pad_vocab_size_multiple", default=1)
    return -(-words // multiple) * multiple
