"""Models from their configurations: the hand-written listings, published totals, papers' formulas, caches, experts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator as sim
from simulator.cli import main
from simulator.config import load_design, load_workload
from simulator.errors import OlivineError
from simulator.report.throughput import throughput_axis, throughput_figure, throughput_lines
from simulator.resources import shipped_names
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.study.totals import totals_of
from simulator.study.workloads import resolve_workload
from simulator.workload import Op, Pass, listed, steps_of, written_out
from simulator.workload.models import FAMILIES
from simulator.workload.models.experts import visits
from tests import naive_models as naive
from tests.expanded import expand

ROOT = Path(__file__).resolve().parent.parent
LISTINGS = ROOT / "tests" / "data" / "workloads"
DOCS = (ROOT / "docs" / "workloads.md").read_text(encoding="utf-8")
MODELS = [name for name in shipped_names("workloads") if load_workload(name).model]


def run(name, **fields):
    return {"extends": name, **fields}


def ops_of(ref):
    return [step for step in steps_of(load_workload(ref)) if isinstance(step, Op)]


def parameters(ref):
    return sum(t.size for t in listed(load_workload(ref)).tensors)


# Against listings written by hand, op by op and pass by pass


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("name", sorted(path.stem for path in LISTINGS.glob("*.yaml")))
def test_a_model_is_its_listing(name, batch):
    by_hand = steps_of(load_workload(run(f"{LISTINGS / name}.yaml", batch=batch)))
    assert steps_of(load_workload(run(name, batch=batch))) == by_hand
    assert len(by_hand) > 30


# Against what is published


TABLE = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", DOCS, re.MULTILINE)


def published(text):
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * {"": 1, "M": 1e6, "G": 1e9}[unit]


def figure(name, what):
    if what.startswith("MACs of 128 tokens"):
        return totals_of(load_workload(run(name, tokens=128, head="all" if "with head" in what else "none"))).macs
    spec = load_workload(name)
    totals = totals_of(spec)
    if what == "parameters but embeddings and head":
        return totals.parameters - sum(t.size for t in listed(spec).tensors if t.name.startswith("embed_"))
    return {"parameters": totals.parameters, "parameters per token": totals.used, "MACs": totals.macs}[what]


@pytest.mark.parametrize(("name", "what", "said", "ours", "source"), TABLE, ids=[f"{r[0]}-{r[1]}" for r in TABLE])
def test_totals_are_the_published_ones(name, what, said, ours, source):
    found = figure(name, what)
    assert found == int(ours.replace(",", ""))
    assert found == pytest.approx(published(said), rel=0.005)
    assert len(source) > 8


def test_the_table_is_of_many_models():
    models = {what: {row[0] for row in TABLE if row[1].startswith(what)} for what in ("parameters", "MACs")}
    assert len(models["parameters"]) >= 30
    assert len(models["MACs"]) >= 15


# Against the papers' formulas


LLAMA = {"matrices": 3, "biases": False, "norm": 1}
DECODERS = {
    # name: (layers, hidden, ffn, rows of tables, values of all key heads, further)
    "gpt2": (12, 768, 3072, 50257 + 1024, 768, {}),
    "gpt2_xl": (48, 1600, 6400, 50257 + 1024, 1600, {}),
    "opt_125m": (12, 768, 3072, 50272 + 2050, 768, {}),
    "opt_1_3b": (24, 2048, 8192, 50272 + 2050, 2048, {}),
    "opt_6_7b": (32, 4096, 16384, 50272 + 2050, 4096, {}),
    "opt_13b": (40, 5120, 20480, 50272 + 2050, 5120, {}),
    "opt_66b": (64, 9216, 36864, 50272 + 2050, 9216, {}),
    "bloom_7b1": (30, 4096, 16384, 250880 + 2, 4096, {}),
    "pythia_6_9b": (32, 4096, 16384, 2 * 50432, 4096, {}),
    "llama_7b": (32, 4096, 11008, 2 * 32000, 4096, LLAMA),
    "llama2_70b": (80, 8192, 28672, 2 * 32000, 1024, LLAMA),
    "llama3_8b": (32, 4096, 14336, 2 * 128256, 1024, LLAMA),
    "mistral_7b": (32, 4096, 14336, 2 * 32000, 1024, LLAMA),
    "qwen2_5_7b": (28, 3584, 18944, 2 * 152064, 512, LLAMA | {"qkv_bias": True}),
    "llada_8b": (32, 4096, 12288, 2 * 126464, 4096, LLAMA),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_are_those_of_the_formulas(name):
    layers, hidden, ffn, rows, kv, more = DECODERS[name]
    made = naive.transformer(layers, hidden, ffn, kv=kv, **more) + rows * hidden
    assert parameters(name) == made
    shape = {"matrices": more.get("matrices", 2), "kv": kv}
    for tokens in (1, 96):
        macs = sum(op.macs for op in ops_of(run(name, tokens=tokens, head="none", batch=3)))
        assert macs == 3 * naive.decoder_macs(layers, hidden, ffn, tokens, tokens, **shape)
    if name != "llada_8b":  # a diffusion model has no cache
        step = sum(op.macs for op in ops_of(run(name, phase="decode", context=700, head="none", batch=5)))
        assert step == 5 * naive.decoder_macs(layers, hidden, ffn, 1, 700, **shape)


def test_a_diffusion_step_is_a_pass_over_all_tokens():
    """LLaDA-8B, 128 tokens of prompt and 256 generated: 2,917,624,971,264 MACs with the head for all."""
    assert sum(op.macs for op in ops_of("llada_8b")) == 2_878_970_265_600 + 38_654_705_664


@pytest.mark.parametrize(("name", "layers", "d"), [("130m", 24, 768), ("370m", 48, 1024), ("790m", 48, 1536),
                                                   ("1_4b", 48, 2048), ("2_8b", 64, 2560)])  # fmt: skip
def test_mamba_is_that_of_the_formulas(name, layers, d):
    assert parameters(f"mamba_{name}") == naive.mamba(layers, d, 50280)


def test_mamba_runs_its_scan_on_the_vector_unit():
    """130M: 3,735,552 MACs of four projections per token and layer, the head 38,615,040; filter and scan are passes."""
    steps = steps_of(load_workload(run("mamba_130m", phase="decode", batch=4)))
    macs = sum(step.macs for step in steps)
    assert macs == 4 * (24 * 3_735_552 + 38_615_040)
    scan = next(step for step in steps if step.name == "mixer.scan")
    filtered = next(step for step in steps if step.name == "mixer.conv1d")
    assert (scan.rows, scan.cols, scan.count, scan.block) == (1, 1536, 24 * 4, 16)
    assert (filtered.rows, filtered.cols, filtered.count, filtered.block) == (1, 1536, 24 * 4, 4)
    longer = steps_of(load_workload(run("mamba_130m", phase="decode", batch=4, context=9000)))
    assert longer == steps


SHARED = ROOT.parent / "shared" / "models"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the team's model files are not here")
@pytest.mark.parametrize(
    ("folder", "config"),
    [
        ("minilm-l6-v2", {}),
        ("deit-tiny", {"model_type": "vit", "hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3,
                       "intermediate_size": 768, "num_labels": 1000}),
        ("stories260k", {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 8,
                         "num_key_value_heads": 4, "intermediate_size": 172, "vocab_size": 512,
                         "tie_word_embeddings": True}),
    ],
)  # fmt: skip
def test_tensors_are_those_of_a_real_checkpoint(folder, config):
    """Every weight of the file, by shape and number."""
    with (SHARED / folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    sizes = sorted(int(np.prod(t["shape"])) for name, t in header.items()
                   if name != "__metadata__" and "position_ids" not in name and "freq" not in name)  # fmt: skip
    spec = load_workload({"name": "m", "model": config or str(SHARED / folder)}
                         | ({} if "num_labels" in config else {"tokens": 8}))  # fmt: skip
    ours = sorted(t.size // t.count for t in listed(spec).tensors for _ in range(t.count))
    assert sum(ours) == sum(sizes)


# Caches and phases


def bytes_of(step, design="olive_systolic"):
    found = simulate_op(build(load_design(design)), step)
    return found.counts.traffic["dram", "weight"].read_bits // 8


@pytest.mark.parametrize(("design", "bits"), [("fp16_systolic", 16), ("int8_systolic", 8), ("olive_systolic", 4)])
def test_keys_and_values_are_read_once_per_head_and_sequence(design, bits):
    for name, heads in (("llama_7b", 32), ("llama3_8b", 8)):
        model = {"num_hidden_layers": 1}
        for batch, context in ((1, 512), (3, 1000)):
            found = ops_of(run(name, phase="decode", batch=batch, context=context, model=model))
            read = sum(bytes_of(op, design) for op in found if op.kind == "bmm")
            assert read == 2 * heads * 128 * context * batch * bits // 8


def test_a_step_writes_new_keys_and_values_alone():
    steps = steps_of(load_workload(run("llama3_8b", phase="decode", batch=3, context=1000)))
    made = [s for s in steps if isinstance(s, Pass) and s.operand == "weight"]
    assert {(p.name, p.rows, p.cols, p.count) for p in made} == {
        ("self_attn.qk.weight.quantise", 1, 128, 32 * 8 * 3),
        ("self_attn.pv.weight.quantise", 1, 128, 32 * 8 * 3),
    }


def test_a_prompt_in_two_parts_attends_to_all_before():
    whole = sum(op.macs for op in ops_of(run("llama_7b", tokens=1024, head="none")))
    parts = [run("llama_7b", tokens=512, head="none"), run("llama_7b", tokens=512, context=1024, head="none")]
    first, second = (sum(op.macs for op in ops_of(part)) for part in parts)
    assert (
        whole - first - second == 32 * 2 * 512 * 512 * 4096
    )  # the first part's scores of later keys: a mask drops them


def test_a_window_bounds_a_step():
    def attended(context):
        return next(op.N for op in ops_of(run("mistral_7b", phase="decode", context=context)) if op.name.endswith("qk"))

    assert [attended(c) for c in (100, 4096, 9000)] == [100, 4096, 4096]


@pytest.mark.parametrize("name", ["bart_base", "t5_base"])
def test_an_encoder_does_not_run_again_for_each_token(name):
    names = {op.name for op in ops_of(run(name, phase="decode", context=20, head="last"))}
    assert not any(n.startswith("encoder.") for n in names)
    cross = [n for n in names if "encoder_attn" in n or "cross_attn" in n]
    assert sorted(n.split(".")[-1] for n in cross) in (["out_proj", "pv", "q_proj", "qk"], ["o", "pv", "q", "qk"])
    assert parameters(run(name, phase="decode", context=20)) == parameters(name)


@pytest.mark.parametrize("head", ["none", "last", "all"])
def test_the_head_runs_where_it_is_asked(head):
    rows = [op.M for op in ops_of(run("gpt2", tokens=10, batch=3, head=head)) if op.name == "lm_head"]
    assert rows == {"none": [], "last": [3], "all": [30]}[head]


# Experts


@given(tokens=st.integers(1, 300), experts=st.integers(1, 40), chosen=st.integers(1, 8), layers=st.integers(1, 60))
def test_experts_share_all_visits(tokens, experts, chosen, layers):
    chosen = min(chosen, experts)
    sizes = visits(tokens, experts, chosen, layers)
    assert sum(rows * count for rows, count in sizes) == tokens * chosen * layers
    touched = sum(count for _, count in sizes)
    assert abs(touched - layers * naive.touched_exactly(tokens, experts, chosen)) <= 0.5 + 1e-9
    assert layers * chosen <= touched <= layers * experts
    assert len({rows for rows, _ in sizes}) == len(sizes) <= 2
    assert max(r for r, _ in sizes) - min(r for r, _ in sizes) <= 1


@pytest.mark.parametrize(("tokens", "experts", "chosen"), [(1, 8, 2), (4, 8, 2), (16, 64, 6)])
def test_so_many_experts_are_touched_when_tokens_draw_them(tokens, experts, chosen):
    rng = np.random.default_rng(0)
    draws = [len({e for _ in range(tokens) for e in rng.choice(experts, chosen, replace=False)}) for _ in range(2000)]
    spread = np.std(draws) / np.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(float(naive.touched_exactly(tokens, experts, chosen)), abs=4 * spread + 1e-9)


def test_few_tokens_read_few_experts():
    """Mixtral: one token reads 2 of 8 experts, a long prompt all of them."""
    read = {}
    for batch in (1, 4, 512):
        found = ops_of(run("mixtral_8x7b", phase="decode", batch=batch, context=64))
        read[batch] = sum(op.count for op in found if op.name.endswith(".w1"))
        macs = sum(op.macs for op in found if ".experts" in op.name)
        assert macs == batch * 2 * 32 * 3 * 4096 * 14336
    assert read == {1: 2 * 32, 4: 175, 512: 8 * 32}


# In a study


STUDY = {
    "name": "s",
    "designs": ["int8_systolic", "olive_systolic"],
    "workloads": [
        {"extends": "llama_7b", "phase": "decode", "context": 64, "model": {"num_hidden_layers": 1}},
        {"extends": "gpt2", "name": "g", "phase": "decode", "context": 64, "model": {"n_layer": 1}},
    ],
    "sweep": {"workload.batch": [1, 4], "array.rows": [32, 64]},
    "baseline": "int8_systolic",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("decode")
    return sim.run_study(STUDY, out=out), out


def test_rows_come_in_the_order_designs_workloads_axes(table):
    keys = [tuple(r) for r in table[0][["design", "workload", "axis:workload.batch", "axis:array.rows"]].to_numpy()]
    assert keys == [(d, w, b, r) for d in STUDY["designs"] for w in ("llama_7b", "g") for b in (1, 4) for r in (32, 64)]
    assert table[0]["rows"].tolist() == table[0]["axis:array.rows"].tolist()


def test_a_step_takes_no_less_than_its_bytes_and_shares_its_weights(table):
    results = table[0]
    assert (results["tokens"] == results["axis:workload.batch"]).all()
    least = (results["weight_read_bytes"] + results["kv_read_bytes"]) / 64e9
    assert (results["latency_s"] >= least).all()
    assert (results["tokens_per_s"] <= results["dram_bound_tokens_per_s"]).all()
    assert (results["tokens_per_s"] == results["tokens"] / results["latency_s"]).all()
    assert np.allclose(results["pj_per_token"], results["energy_total_pj"] / results["tokens"])
    places = results.groupby(["design", "workload", "axis:array.rows"])
    for _, rows in places:
        assert rows["weight_read_bytes"].nunique() == 1
        one, four = rows.sort_values("axis:workload.batch")["kv_read_bytes"]
        assert four == 4 * one


def test_one_step_by_hand(table):
    """A layer of LLaMA-7B and the head at 8 bits: 4 of 4096 x 4096, 3 of 4096 x 11008, 32000 x 4096; 64 keys."""
    row = table[0].iloc[0]
    assert row["weight_read_bytes"] == 4 * 4096**2 + 3 * 4096 * 11008 + 32000 * 4096
    assert row["kv_read_bytes"] == 2 * 64 * 4096
    assert row["macs"] == row["weight_read_bytes"] + row["kv_read_bytes"]


def test_the_figure_and_the_page_show_it(table):
    page = (table[1] / "index.html").read_text(encoding="utf-8")
    assert (table[1] / "figures" / "throughput.svg").is_file()
    assert "Tokens per second and energy per token" in page
    said = json.loads((table[1] / "manifest.json").read_text(encoding="utf-8"))["assumptions"]
    assert any(text.startswith("llama_7b: keys and values lie in DRAM") for text in said)


def test_lines_of_the_figure_are_the_results(table):
    results = table[0]
    assert throughput_axis(results) == "axis:workload.batch"
    lines = throughput_lines(results, "axis:workload.batch")
    assert sorted(set(lines["line"])) == ["rows 32", "rows 64"]
    assert lines["x"].tolist() == results["axis:workload.batch"].tolist()
    assert lines["tokens_per_s"].tolist() == results["tokens_per_s"].tolist()
    assert np.allclose(lines["j_per_token"] * 1e12, results["pj_per_token"])
    once = results[results["axis:workload.batch"] == 1]
    for nothing in (once, results.drop(columns="tokens_per_s")):
        assert throughput_axis(nothing) is None
        assert throughput_figure(nothing, nothing, None) is None


def test_the_documented_step_is_what_the_study_runs(tmp_path):
    study = {
        "name": "s", "designs": ["olive_systolic", {"extends": "olive_systolic", "name": "wide",
                                                     "array": {"rows": 8, "cols": 512}}],
        "workloads": [{"extends": "llama_7b", "phase": "decode", "batch": 4, "context": 2048}],
    }  # fmt: skip
    results = sim.run_study(study, out=tmp_path)
    square, wide = results.iloc[0], results.iloc[1]
    assert f"**{square['weight_read_bytes']:,} bytes**" in DOCS
    assert f"**{square['kv_read_bytes']:,} bytes**" in DOCS
    for row, words in ((square, "The step takes {} ms"), (wide, "PEs as 8 x 512 take {} ms")):
        assert words.format(round(row["latency_s"] * 1e3)) in DOCS


def test_a_study_sets_what_its_workloads_run():
    from simulator.config import load_study

    record, source = load_study({"name": "s", "designs": ["int8_systolic"], "workloads": ["gpt2", "opt_125m"],
                                 "set": {"workload.tokens": 16}})  # fmt: skip
    for overrides, tokens in (({}, 16), ({"workload.tokens": 8}, 8)):
        assert {p.workload.tokens for p in expand(record, source, overrides)} == {tokens}


def test_a_trace_keeps_its_shapes():
    from simulator.config import load_study

    record, source = load_study({"name": "s", "designs": ["int8_systolic"], "workloads": ["minilm-l6-sample"],
                                 "sweep": {"workload.batch": [1, 2]}})  # fmt: skip
    with pytest.raises(OlivineError, match=r"workload\.batch: a trace has the shapes it was taken with"):
        expand(record, source, {})


# Configurations


@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_model_is_written_out_and_has_its_source(name):
    spec = load_workload(name)
    assert len(spec.source) > 8
    assert resolve_workload(name).ops
    assert written_out(written_out(spec)) == written_out(spec)


def test_every_family_has_a_shipped_model_or_a_test():
    shipped = {load_workload(name).model["model_type"] for name in MODELS}
    assert set(FAMILIES) - shipped == {"deit", "distilbert", "phi3", "qwen3", "roberta"}


OTHERS = {
    # Released checkpoints: roberta-base without its vocabulary head, distilbert-base-uncased, Qwen3-8B,
    # Phi-3-mini-4k-instruct, deit-base-distilled-patch16-224
    124_645_632: {"model_type": "roberta", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                  "intermediate_size": 3072, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    66_362_880: {"model_type": "distilbert", "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072,
                 "activation": "gelu", "vocab_size": 30522, "max_position_embeddings": 512},
    8_190_735_360: {"model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
                    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936},
    3_821_079_552: {"model_type": "phi3", "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 32,
                    "num_key_value_heads": 32, "intermediate_size": 8192, "vocab_size": 32064},
    87_338_192: {"model_type": "deit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                 "intermediate_size": 3072, "num_labels": 1000,
                 "architectures": ["DeiTForImageClassificationWithTeacher"]},
}  # fmt: skip


@pytest.mark.parametrize("published", OTHERS)
def test_families_that_are_not_shipped_count_right_too(published):
    config = OTHERS[published]
    tokens = {} if config["model_type"] == "deit" else {"tokens": 16}
    assert parameters({"name": "m", "model": config} | tokens) == published


LLAMA_CONFIG = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                "intermediate_size": 96, "vocab_size": 50}  # fmt: skip


def test_a_config_json_is_found_beside_what_names_it(tmp_path):
    (tmp_path / "m").mkdir()
    text = json.dumps(LLAMA_CONFIG | {"rope_theta": 1e4, "limits": [0.0, float("inf")], "note": "a\u00b2"})
    (tmp_path / "m" / "config.json").write_text(text, encoding="utf-8")
    (tmp_path / "w.yaml").write_text("name: w\nmodel: m\ntokens: 8\n", encoding="utf-8")
    (tmp_path / "x.yaml").write_text("extends: w.yaml\nname: x\nmodel: m/config.json\nbatch: 2\n", encoding="utf-8")
    inline = load_workload({"name": "w", "model": LLAMA_CONFIG, "tokens": 8})
    assert steps_of(load_workload(str(tmp_path / "w.yaml"))) == steps_of(inline)
    doubled = load_workload({"name": "w", "model": LLAMA_CONFIG, "tokens": 8, "batch": 2})
    assert steps_of(load_workload(str(tmp_path / "x.yaml"))) == steps_of(doubled)


def test_a_config_json_can_be_named_itself(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(LLAMA_CONFIG), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["show", "tiny/config.json", "--set", "tokens=8", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    inline = totals_of(load_workload({"name": "tiny", "model": LLAMA_CONFIG, "tokens": 8}))
    assert (said["name"], said["totals"]["macs"]) == ("tiny", inline.macs)
    assert main(["show", "tiny/config.json"]) == 2
    assert (
        capsys.readouterr().err
        == "olivine: tiny/config.json: tokens: missing key 'tokens', the length of a sequence; e.g. tokens=128\n"
    )
    study = {
        "name": "s",
        "designs": ["int8_systolic"],
        "workloads": ["tiny/config.json"],
        "set": {"workload.tokens": 8},
    }
    assert sim.run_study(study, out=tmp_path / "run")["macs"].tolist() == [inline.macs]


def test_a_config_json_is_imported_as_a_whole(tmp_path, capsys):
    """What its family needs is asked for before anything is written; lengths come by ``--dim``."""
    path, out = tmp_path / "config.json", tmp_path / "out"

    def complaint(config, *more):
        path.write_text(json.dumps(config), encoding="utf-8")
        assert main(["import", str(path), "--out", str(out), *more]) == 2
        assert not out.exists()
        return capsys.readouterr().err.removeprefix(f"olivine: {path}: ").rstrip("\n")

    tokens = ("--dim", "tokens=8")
    assert complaint(LLAMA_CONFIG) == "tokens: missing key 'tokens', the length of a sequence; e.g. tokens=128"
    assert complaint(LLAMA_CONFIG, "--dim", "token=8") == (
        "no dimension is named 'token'; did you mean 'tokens'?; open dimensions: batch, tokens, context, image"
    )
    assert complaint(LLAMA_CONFIG | {"hidden_size": "many"}, *tokens).startswith(
        "model.hidden_size: expected an integer"
    )
    missing = {key: value for key, value in LLAMA_CONFIG.items() if key != "num_hidden_layers"}
    assert complaint(missing, *tokens).startswith("model.num_hidden_layers: missing key 'num_hidden_layers'")
    assert complaint(LLAMA_CONFIG | {"model_type": "lama"}, *tokens).startswith("model.model_type: no shapes of 'lama'")
    path.write_text(json.dumps(LLAMA_CONFIG), encoding="utf-8")
    assert main(["import", str(path), "--out", str(out), *tokens, "--dim", "batch=2"]) == 0
    (made,) = out.iterdir()
    ops = resolve_workload(made).ops
    assert ops == resolve_workload({"name": "x", "model": LLAMA_CONFIG, "tokens": 8, "batch": 2}).ops


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "config.json:1: not JSON: *"),
        ("[]", "config.json: expected an object at the top, found list []"),
        ('{"a": ' * 60 + "1" + "}" * 60, "config.json: *nested more than 50 levels deep"),
        ('{"a": ' * 20000, "config.json: nested too deep for the config.json of a model"),
        ("\xff", "config.json: not UTF-8 text; name the config.json of a model"),
        ("1" * 5000, "config.json: not JSON: *"),
        ('{"a": {"b": 1, "b": 2}}', "config.json: not JSON: key 'b' occurs twice in one object; remove one"),
        (None, "no such file; name a config.json, or a folder that holds one"),
    ],
)  # fmt: skip
def test_a_broken_config_json_is_refused_in_one_line(tmp_path, text, complaint):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OlivineError) as error:
        load_workload({"name": "w", "model": str(path), "tokens": 8})
    start, _, end = complaint.partition("*")
    assert start in str(error.value)
    assert end in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": {"model_type": "lama"}}, "model.model_type: no shapes of 'lama' are known; did you mean 'llama'?*"),
        ({"model": {"hidden_size": None}}, "model.hidden_size: missing key 'hidden_size'"),
        ({"model": {"hidden_size": -1}}, "model.hidden_size: expected an integer from 1 to 16777216, found -1"),
        ({"model": {"hidden_size": True}}, "model.hidden_size: expected an integer from 1 to 16777216, found True"),
        ({"model": {"hidden_size": 66}}, "model.num_attention_heads: must divide the hidden size, 66; found 4"),
        ({"model": {"num_key_value_heads": 3}}, "model.num_key_value_heads: must divide the query heads, 4; found 3"),
        ({"model": {"hidden_act": "gleu"}}, "model.hidden_act: found 'gleu'; allowed: *did you mean 'gelu'?"),
        ({"model": {"tie_word_embeddings": 1}}, "model.tie_word_embeddings: expected true or false, found 1"),
        ({"tokens": None}, "tokens: *"),
        ({"image": 224}, "image: has no meaning for a llama; remove it"),
        ({"context": 4}, "context: must be at least tokens, 8, which attend to themselves"),
        ({"phase": "train"}, "phase: found 'train'; allowed: prefill, decode"),
        ({"gemms": [{"name": "a", "M": 1, "N": 1, "K": 1}]}, "gemms: follows from model; remove one of them"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_model_is_named(changes, complaint):
    data = {"name": "w", "model": LLAMA_CONFIG | changes.get("model", {}), "tokens": 8}
    data |= {k: v for k, v in changes.items() if k != "model"}
    with pytest.raises(OlivineError) as error:
        steps_of(load_workload({k: v for k, v in data.items() if v is not None}))
    start, _, end = complaint.partition("*")
    assert f"<workload>: {start}" in str(error.value)
    assert end in str(error.value)


@pytest.mark.parametrize(
    ("ref", "complaint"),
    [
        ({"extends": "bert_base", "phase": "decode"}, "phase: a bert has no decode phase; use prefill"),
        ({"extends": "bert_base", "context": 9}, "context: a bert has no cache; remove it, or set tokens"),
        ({"extends": "bert_base", "head": "all"}, "an encoder has no vocabulary head here"),
        ({"extends": "resnet50", "tokens": 9}, "tokens: has no meaning for a resnet; remove it"),
        ({"extends": "llada_8b", "phase": "decode"}, "phase: a llada has no decode phase; use prefill"),
        ({"extends": "alexnet", "tokens": 9}, "tokens: goes with model: a list of ops says its own sizes"),
        ({"extends": "resnet50", "model": {"depths": [3, 4]}}, "depths: must have as many entries as hidden_sizes, 4"),
        ({"extends": "mixtral_8x7b", "model": {"num_experts_per_tok": 9}}, "must be at most num_local_experts, 8"),
        ({"extends": "vit_b", "image": 225}, "patch_size: must divide the image, 225; found 16"),
    ],
)  # fmt: skip
def test_what_a_family_cannot_do_is_named(ref, complaint):
    with pytest.raises(OlivineError, match=re.escape(complaint)):
        steps_of(load_workload(ref))


# Commands


def test_show_and_list_print_totals(capsys):
    assert main(["show", "mixtral_8x7b", "--set", "phase=decode", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["totals"]["parameters"] == 46_702_792_704
    assert said["totals"]["parameters per token"] == 12_879_925_248
    assert said["totals"]["macs"] == sum(op["macs"] for op in said["ops"])
    assert sum(t["values"] for t in said["parameters"]) == said["totals"]["parameters"]
    assert main(["show", "resnet50"]) == 0
    assert "25,557,032" in capsys.readouterr().out
    assert main(["list", "workloads"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.match(r"llama_7b +6\.738 G +14\.36 T +LLaMA-7B", line) for line in lines)
    assert main(["show", "bert_base", "--set", "phase=decode"]) == 2
    assert "phase: a bert has no decode phase" in capsys.readouterr().err
