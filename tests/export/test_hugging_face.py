"""A sub-model for transformers: what is written computes the same, here and in transformers 4 and 5 where they are."""

import json
import os
import subprocess

import numpy as np
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import batch_of, build, randomise
from helpers.paths import TESTS
from ofa_bert.__main__ import main
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.export.hugging_face import layout as layouts
from ofa_bert.export.hugging_face.layout import layout_of
from ofa_bert.export.hugging_face.write import write_hugging_face
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import resize, shape_of
from ofa_bert.models.families.registry import FAMILIES, model_class
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.glue import glue_task
from ofa_bert.tasks.kinds import registry as kinds
from ofa_bert.tasks.kinds.tokens import tags_of
from ofa_bert.tasks.task import Task

HEADS, FFN = (1, 4, 3), (10, 64, 33)
SUB_MODEL = SubModelConfig((0, 1, 2), HEADS, FFN)
LIMIT = 1e-4
LABELS = {
    "classification": ("no", "perhaps", "yes"), "multilabel": ("calm", "new"), "tokens": tags_of(("LOC", "PER")),
}  # fmt: skip
WRITTEN = [name for name, family in FAMILIES.items() if family.transformers and not family.transformers.until]
CASES = [(name, "classification") for name in WRITTEN]
CASES += [(name, kind) for name in ("bert", "electra", "distilbert") for kind in ("tokens", "answers")]
CASES += [("distilbert", "choices"), *(("bert", kind) for kind in ("multilabel", "regression", "ranking", "choices"))]


def task_of(kind):
    found = kinds.kind_named(kind)
    columns = ("text",) if kind in ("classification", "multilabel", "tokens") else ("first", "second")
    return Task("t", LABELS.get(kind, ()), found.usual_metrics, columns, kind)


def random_model(family, task, **more):
    """Three layers of uneven sizes, every tensor random, in eval mode."""
    config = build(family, layers=3, num_labels=task.num_labels, **more).config
    model = model_class(family, task.kind.per_token)(config)
    resize(model, HEADS, FFN)
    model.eval()
    return randomise(model, 5)


def write(directory, family, kind, version, home, **more):
    """(the model, its task) written to `directory` for that version of transformers."""
    task = task_of(kind)
    model = random_model(family, task, **more)
    (home / family).mkdir(exist_ok=True, parents=True)
    tokenizer_for(home / family, family)
    tokenizer = read_tokenizer(home / family, family)
    shape = shape_of(build(family, layers=3, num_labels=task.num_labels, **more))
    record = ModelRecord(kind="sub_model", task=task, model_type=family, sub_model=SUB_MODEL, shape=shape, score=0.5)
    layout = layout_of(model, task, version)
    write_hugging_face(directory, model, tokenizer, record, shape, SUB_MODEL, 24, layout, None)
    return model, task


def logits_of(model, batch):
    return model(batch.input_ids, batch.token_type_ids).numpy()


@pytest.mark.parametrize("family", WRITTEN)
def test_what_is_filled_up_with_zeros_computes_the_same_as_an_uncut_model(family, tmp_path):
    model, _ = write(tmp_path / "hf", family, "classification", "5", tmp_path)
    read, _, _ = load_model(tmp_path / "hf")
    read.eval()
    assert {layer.self_attn.num_heads for layer in read.sublayers() if hasattr(layer, "self_attn")} == {4}
    batch = batch_of(3, 9)
    np.testing.assert_allclose(logits_of(read, batch), logits_of(model, batch), atol=1e-5)


@pytest.mark.parametrize("family", WRITTEN)
def test_heads_that_are_left_out_are_those_that_are_zeros_otherwise(family, tmp_path):
    write(tmp_path / "4", family, "classification", "4", tmp_path)
    write(tmp_path / "5", family, "classification", "5", tmp_path)
    cut, whole = (read_weights(tmp_path / name / "model.safetensors") for name in ("4", "5"))
    config = json.loads((tmp_path / "4" / "config.json").read_text())
    assert config["pruned_heads"] == {"0": [1, 2, 3], "2": [3]}
    assert "pruned_heads" not in json.loads((tmp_path / "5" / "config.json").read_text())
    assert cut.keys() == whole.keys()
    smaller = 0
    for name, array in cut.items():
        corner = tuple(slice(size) for size in array.shape)
        np.testing.assert_array_equal(whole[name][corner], array, err_msg=name)
        beyond = whole[name].copy()
        beyond[corner] = 0
        assert not beyond.any(), name
        smaller += array.shape != whole[name].shape
    assert smaller == 2 * 7  # two layers lack heads: three weights and biases, and what joins the heads


def test_the_directory_says_what_it_is(tmp_path):
    write(tmp_path / "hf", "bert", "classification", "4", tmp_path)
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "no", "1": "perhaps", "2": "yes"}
    assert config["intermediate_size"] == 64
    card = (tmp_path / "hf" / "README.md").read_text()
    assert 'pipeline_tag: "text-classification"' in card
    assert "|     0 |              0 |     1 |          10 |" in card
    assert "`pruned_heads` of config.json" in card
    assert "filled up with zeros" in card
    record = ModelRecord.from_json(json.loads((tmp_path / "hf" / "ofa_export.json").read_text()), "it")
    assert record.sub_model == SUB_MODEL


def test_the_installed_transformers_decides_and_the_reason_is_said(monkeypatch, caplog):
    model, task = random_model("bert", task_of("classification")), task_of("classification")
    monkeypatch.setattr(layouts.importlib.metadata, "version", lambda name: "4.46.3")
    assert layout_of(model, task, None).left_out
    assert "heads" not in caplog.text
    assert "transformers has one FFN size for all layers: 10 to 64 neurons" in caplog.text
    assert not layout_of(model, task, "5").left_out
    assert "transformers 5 has nothing for fewer heads: those left out (1 to 4 of 4 are kept)" in caplog.text


@pytest.mark.parametrize(
    ("family", "kind", "more", "said"),
    [
        ("tinybert", "classification", {}, "transformers has no tinybert"),
        ("electra", "choices", {}, "ElectraForMultipleChoice has another classifier"),
        ("electra", "classification", {"hidden_act": "relu"}, "hidden_act relu; transformers' classifier has gelu"),
        ("bert", "classification", {"hidden_act": "softsign"}, "hidden_act softsign; transformers has gelu, relu"),
        ("bert", "classification", {"pool_act": "relu"}, "pool_act relu; transformers' pooler has tanh"),
    ],
)
def test_what_transformers_cannot_compute_is_refused_in_one_line(family, kind, more, said):
    with pytest.raises(UserError, match="`hugging_face`: ") as raised:
        layout_of(random_model(family, task_of(kind), **more), task_of(kind), "4")
    assert said in str(raised.value)


@pytest.fixture(scope="module")
def supernet_dir(tmp_path_factory, tiny_bert_dir):
    """A supernet as run_glue_ofa.py writes it, random weights in the place of trained ones."""
    directory = tmp_path_factory.mktemp("supernet") / "best"
    model, tokenizer, _ = load_model(tiny_bert_dir, num_labels=2)
    randomise(model, 4)
    space = SearchSpace(shape_of(model), (1.0, 0.5), (1.0, 0.5))
    record = ModelRecord(
        kind="supernet", task=glue_task("SST-2"), model_type="bert", max_seq_length=32, shape=space.shape, space=space,
        scores={"w0.5_d0.5": {"accuracy": 0.75, "score": 0.75}},
    )  # fmt: skip
    save_model(directory, model, tokenizer, record)
    return str(directory)


def test_the_command_writes_it_beside_the_bundle_with_scores_and_milliseconds(supernet_dir, tmp_path, capsys):
    half = ["--width_mult", "0.5", "--depth_mult", "0.5", "--device", "cpu", "--max_seq_length", "16"]
    words = ["export", "--model_name_or_path", supernet_dir, *half, "--onnx", "--precision", "fp32", "int8"]
    for name in ("sub_model_output_dir", "static_sub_model", "hugging_face"):
        words += [f"--{name}", str(tmp_path / name)]
    assert main(words) == 0
    assert f"for transformers: {tmp_path / 'hugging_face'}" in capsys.readouterr().out
    card = (tmp_path / "hugging_face" / "README.md").read_text()
    assert "| accuracy | 0.7500 |" in card
    assert "One text of 16 tokens on " in card
    assert {"fp32", "int8"} <= {
        line.split(",")[0].strip("| ") for line in card.splitlines() if ", onnx_runtime" in line
    }
    read, _, _ = load_model(tmp_path / "hugging_face")
    small, _, _ = load_model(tmp_path / "sub_model_output_dir")
    read.eval(), small.eval()
    batch = batch_of(3, 9, vocab_size=small.config.vocab_size)
    np.testing.assert_allclose(logits_of(read, batch), logits_of(small, batch), atol=1e-5)
    assert main(words) == 0  # what it wrote it may write again


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--transformers", "4"], "--transformers: is about --hugging_face; give that too"),
        (["--hugging_face", "{sub}"], "--hugging_face {sub}: must differ from"),
        (["--hugging_face", "{foreign}"], "{foreign}"),
        (["--hugging_face", "{new}", "--transformers", "3"], "--transformers"),
    ],
)
def test_mistakes_are_told(supernet_dir, tmp_path, capsys, more, said):
    places = {name: str(tmp_path / name) for name in ("sub", "foreign", "new")}
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("mine")
    words = ["export", "--model_name_or_path", supernet_dir, "--device", "cpu", "--sub_model_output_dir", places["sub"]]
    assert main([*words, *(word.format(**places) for word in more)]) == 2
    error = capsys.readouterr().err
    assert said.format(**places) in error
    assert "Traceback" not in error
    assert (tmp_path / "foreign" / "letter.txt").read_text() == "mine"


def pythons():
    """Interpreters with torch and transformers, as OFA_BERT_TRANSFORMERS_PYTHONS names them, parted by colons."""
    return [path for path in os.environ.get("OFA_BERT_TRANSFORMERS_PYTHONS", "").split(":") if path]


@pytest.mark.skipif(not pythons(), reason="OFA_BERT_TRANSFORMERS_PYTHONS names no Python with torch and transformers")
@pytest.mark.parametrize("python", pythons())
def test_plain_transformers_computes_the_same(python, tmp_path):
    asked = "import transformers; print(transformers.__version__)"
    version = subprocess.check_output([python, "-c", asked], text=True).partition(".")[0]
    wanted = {}
    # What is written for 5 is for 4 as well.
    for number, (family, kind, layout) in enumerate((*case, one) for case in CASES for one in {version, "5"}):
        directory = tmp_path / str(number)
        model, task = write(directory, family, kind, layout, tmp_path)
        batch = batch_of(4, 9)
        found = logits_of(model, batch)
        given = {"input_ids": batch.input_ids.numpy(), "token_type_ids": batch.token_type_ids.numpy()}
        if not FAMILIES[family].token_types:
            del given["token_type_ids"]
        given["attention_mask"] = (given["input_ids"] != model.config.pad_token_id).astype("int64")
        real = given["attention_mask"]
        if kind == "choices":
            given = {name: array.reshape(2, 2, -1) for name, array in given.items()}
            found = found.reshape(2, 2)
        np.savez(directory / "inputs.npz", **given)
        wanted[directory] = (found, task, real if task.kind.per_token else None)
    program = TESTS / "helpers" / "transformers_logits.py"
    printed = subprocess.check_output([python, program, *wanted], text=True).splitlines()
    assert len(printed) == len(wanted)
    for line, (directory, (found, task, real)) in zip(printed, wanted.items()):
        said = json.loads(line)
        case = (directory.name, task.kind_name, said["version"])
        assert (said["missing"], said["unexpected"]) == ([], []), case
        assert said["longest"] == 24
        if task.labels:
            assert list(said["labels"].values()) == list(task.labels)
        with np.load(directory / "logits.npz") as stored:
            theirs = stored["logits"]
        keep = slice(None) if real is None else real.astype(bool)
        np.testing.assert_allclose(theirs[keep], found[keep], atol=LIMIT, err_msg=str(case))
        tokenizer = read_tokenizer(directory, json.loads((directory / "config.json").read_text())["model_type"])
        cut = dict(tokenizer("a good film .", "not bad !"))
        if not FAMILIES[tokenizer.family].token_types:
            del cut["token_type_ids"]
        assert said["cut"] == {**cut, "attention_mask": [1] * len(cut["input_ids"])}
