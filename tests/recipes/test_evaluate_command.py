"""evaluate: the scores of directories, sub-models and bundles are those of their own logits."""

import json

import numpy as np
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import WORDS, build, randomise
from ofa_bert.__main__ import main
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.errors import UserError
from ofa_bert.export.bundle import export_bundle
from ofa_bert.models.directories import save_model
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import extract
from ofa_bert.recipes.evaluate import evaluate
from ofa_bert.recipes.evaluate_job import EvaluateJob
from ofa_bert.recipes.evaluation.scores import label_scores
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.tasks.task import Example, Task
from ofa_bert.training.evaluation import predict, stock_forward

TASK = Task("own", ("bad", "good", "so"), ("accuracy",), ("text",))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A supernet of three classes, its bundle, and a labelled file."""
    folder = tmp_path_factory.mktemp("evaluate")
    model, tokenizer = randomise(build("bert", num_labels=3), 2), tokenizer_for(folder, "bert")
    rng = np.random.default_rng(0)
    rows = [(" ".join(rng.choice(WORDS, 6)), TASK.labels[number]) for number in rng.integers(0, 3, 60)]
    lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in rows)]
    (folder / "file.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    examples = [Example(text, None, TASK.labels.index(label)) for text, label in rows]
    encoded = encode(examples, tokenizer, 16, progress=False)
    model.eval()
    # Random weights alone would give every text the same class.
    balance = model.classifier.bias.numpy() - predict(stock_forward(model), encoded, 3, tokenizer.pad_token_id).mean(0)
    model.classifier.bias.set_value(balance)
    space = SearchSpace(shape_of(model), (1.0, 0.5))
    record = ModelRecord(kind="supernet", task=TASK, shape=space.shape, space=space, max_seq_length=16)
    save_model(folder / "supernet", model, tokenizer, record)
    export_bundle(model, tokenizer, record, folder / "bundle", 16, onnx=True)
    return folder, model, tokenizer, space, encoded


def job_of(*words):
    return parse(EvaluateJob, [*map(str, words)], "")


def accuracy(model, encoded, tokenizer):
    model.eval()
    logits = predict(stock_forward(model), encoded, 3, tokenizer.pad_token_id)
    return float((logits.argmax(-1) == encoded.labels).mean())


def test_a_directory_scores_what_its_logits_do(case):
    folder, model, tokenizer, _, encoded = case
    found = evaluate(job_of("--model_name_or_path", folder / "supernet", "--file", folder / "file.tsv"))
    (split,) = found.splits
    assert split.examples == 60
    assert list(split.scores) == ["accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "matthews"]
    assert split.scores["accuracy"] == pytest.approx(accuracy(model, encoded, tokenizer))
    assert [label.label for label in split.labels] == ["bad", "good", "so"]
    assert sum(label.examples for label in split.labels) == 60


def test_a_sub_model_scores_what_the_extracted_one_does(case):
    folder, model, tokenizer, space, encoded = case
    words = ("--model_name_or_path", folder / "supernet", "--file", folder / "file.tsv")
    small = extract(model, space.sub_model(0.5, 1.0))
    wanted = accuracy(small, encoded, tokenizer)
    assert evaluate(job_of(*words, "--width_mult", 0.5)).splits[0].scores["accuracy"] == pytest.approx(wanted)
    assert wanted != accuracy(model, encoded, tokenizer)
    with pytest.raises(UserError, match="`allow_untrained` takes it all the same"):
        evaluate(job_of(*words, "--width_mult", 0.75))
    record = ModelRecord(task=TASK, shape=space.shape, sub_model=space.sub_model(0.5, 1.0), max_seq_length=16)
    save_model(folder / "small", small, tokenizer, record)
    again = evaluate(job_of("--model_name_or_path", folder / "small", *words[2:]))
    assert again.splits[0].scores["accuracy"] == pytest.approx(wanted)


def test_a_bundle_scores_as_its_model(case, tmp_path, capsys):
    folder, model, tokenizer, _, encoded = case
    words = ["evaluate", "--bundle", folder / "bundle", "--file", folder / "file.tsv", "--output", tmp_path / "x.json"]
    assert main([*map(str, words)]) == 0
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["splits"][0]["scores"]["accuracy"] == pytest.approx(accuracy(model, encoded, tokenizer))
    printed = capsys.readouterr().out
    assert "file, 60 examples: accuracy" in printed
    assert "| good" in printed


def test_a_classifier_from_elsewhere_is_scored_by_its_own_names(case):
    folder, model, tokenizer, _, encoded = case
    directory = folder / "foreign"
    save_model(directory, model, tokenizer, ModelRecord())
    (directory / "ofa_config.json").unlink()
    config = json.loads((directory / "config.json").read_text())
    # Output 0 means "good" there, so a permutation of the right answers is what must be counted.
    config.update(id2label={"0": "good", "1": "so", "2": "bad"}, label2id={"good": 0, "so": 1, "bad": 2})
    (directory / "config.json").write_text(json.dumps(config))
    model.eval()
    logits = predict(stock_forward(model), encoded, 3, tokenizer.pad_token_id)
    wanted = float((np.array([1, 2, 0])[logits.argmax(-1)] == encoded.labels).mean())
    found = evaluate(job_of("--model_name_or_path", directory, "--file", folder / "file.tsv", "--max_seq_length", 16))
    assert found.splits[0].scores["accuracy"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what is evaluated: --model_name_or_path or --bundle"),
        (("--bundle", "b", "--model_name_or_path", "m"), "one of them"),
        (("--model_name_or_path", "m", "--precision", "int8"), "--precision: is about a --bundle"),
        (("--bundle", "b", "--width_mult", "0.5"), "--width_mult: is about --model_name_or_path"),
        (("--bundle", "b", "--file", "f", "--task_name", "sst-2"), "leave out --data_dir and --task_name"),
        (("--bundle", "b", "--beside_precision", "int8"), "--beside_precision: is about --beside"),
        (("--bundle", "b", "--label_separator", "|"), "--label_separator: describes --file"),
    ],
)
def test_mistakes_are_said_before_anything_is_loaded(words, message):
    with pytest.raises(UserError, match=message):
        job_of(*words)


def test_a_directory_of_pictures_and_tables_and_another_model_beside(case, tmp_path, capsys):
    folder, model, tokenizer, _, encoded = case
    words = ["--model_name_or_path", folder / "supernet", "--file", folder / "file.tsv"]
    small = [*words, "--width_mult", "0.5", "--beside", folder / "bundle", "--output_dir", tmp_path / "out"]
    assert main(["evaluate", *map(str, small)]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    (split,), (other,) = written["splits"], written["beside"]
    confusion = np.asarray(split["confusion"])
    assert confusion.sum() == 60
    assert np.trace(confusion) / 60 == pytest.approx(split["scores"]["accuracy"])
    assert confusion.sum(axis=1).tolist() == np.bincount(encoded.labels, minlength=3).tolist()
    assert other["scores"]["accuracy"] == pytest.approx(accuracy(model, encoded, tokenizer))
    wanted = split["scores"]["accuracy"] - other["scores"]["accuracy"]
    assert other["difference"]["score"] == pytest.approx(wanted)
    test = other["mcnemar"]
    assert test["both"] + test["first"] == np.trace(confusion)
    assert sum(test[name] for name in ("both", "first", "second", "neither")) == 60
    for name in ("confusion-file.png", "calibration-file.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
        assert f"  {name}: " in printed
    header, *wrong = (tmp_path / "out" / "wrong-file.tsv").read_text().splitlines()
    assert header.split("\t") == ["text", "label", "line", "predicted_label", "probability"]
    assert len(wrong) == 60 - np.trace(confusion)
    lines = (folder / "file.tsv").read_text().splitlines()
    sure = []
    for row in wrong:
        text, label, line, predicted, probability = row.split("\t")
        assert lines[int(line) - 1] == f"{text}\t{label}"
        assert predicted != label
        sure.append(float(probability))
    assert sure == sorted(sure, reverse=True)
    header, *parted = (tmp_path / "out" / "parted-file.tsv").read_text().splitlines()
    assert [row.split("\t")[3] for row in parted].count("first") == test["first"]
    assert len(parted) == test["first"] + test["second"]
    assert "McNemar's test p = " in printed
    # Another evaluation in the same directory leaves nothing of this one.
    (tmp_path / "out" / "wrong-notes.tsv").write_text("mine")
    assert main(["evaluate", *map(str, words), "--output_dir", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / "parted-file.tsv").exists()
    assert (tmp_path / "out" / "wrong-notes.tsv").read_text() == "mine"


def test_a_model_of_other_labels_is_not_put_beside(case, tmp_path):
    folder, _, tokenizer, _, _ = case
    other = Task("own", ("bad", "good", "so", "very"), ("accuracy",), ("text",))
    model = build("bert", num_labels=4)
    save_model(tmp_path / "other", model, tokenizer, ModelRecord(task=other, shape=shape_of(model), max_seq_length=16))
    words = ("--bundle", folder / "bundle", "--file", folder / "file.tsv", "--beside", tmp_path / "other")
    with pytest.raises(
        UserError, match=r"other: its labels are \['bad', 'good', 'so', 'very'\], not \['bad', 'good', "
    ):
        evaluate(job_of(*words))


def test_without_data_a_line_says_what_is_missing(case):
    with pytest.raises(UserError, match="unknown GLUE task 'own'"):
        evaluate(job_of("--bundle", case[0] / "bundle"))


def test_scores_of_each_label_against_counting():
    logits = np.array([[2.0, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2]])
    found = label_scores(TASK, logits, np.array([0, 1, 2, 2]))
    assert [(each.label, each.examples, each.precision, each.recall) for each in found] == [
        ("bad", 1, 1.0, 1.0),
        ("good", 1, 0.5, 1.0),
        ("so", 2, 1.0, 0.5),
    ]
    assert found[2].f1 == pytest.approx(2 / 3)
    number = Task("n", (), ("pearson",), ("text",))
    assert label_scores(number, np.ones([2, 1]), np.array([1.0, 2.0])) == ()
