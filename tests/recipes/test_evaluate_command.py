"""evaluate: the scores of directories, sub-models and bundles are those of their own logits."""

import json

import numpy as np
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import WORDS, build, randomise
from ofa_bert.__main__ import main
from ofa_bert.cli.parser import parse
from ofa_bert.data.batches import encode
from ofa_bert.errors import UserError
from ofa_bert.export.bundle import export_bundle
from ofa_bert.models.directories import save_model
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import extract
from ofa_bert.recipes.evaluate import evaluate, label_scores
from ofa_bert.recipes.evaluate_job import EvaluateJob
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
    assert split.scores == {"accuracy": pytest.approx(accuracy(model, encoded, tokenizer))}
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
        (("--bundle", "b", "--label_separator", "|"), "--label_separator: describes --file"),
    ],
)
def test_mistakes_are_said_before_anything_is_loaded(words, message):
    with pytest.raises(UserError, match=message):
        job_of(*words)


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
