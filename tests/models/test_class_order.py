"""Classifiers from elsewhere answer with the classes of the task, whatever their order; others are refused."""

import json

import numpy as np
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import batch_of, build
from ofa_bert.errors import UserError
from ofa_bert.models.class_order import class_names
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.record import ModelRecord
from ofa_bert.tasks.glue import glue_task
from ofa_bert.tasks.task import Task


def foreign(directory, model, tokenizer, names=None, **more):
    """A classifier's directory as somebody else leaves it: without our record, with names in config.json."""
    save_model(directory, model, tokenizer, ModelRecord())
    (directory / "ofa_config.json").unlink()
    config = json.loads((directory / "config.json").read_text())
    for name in ("id2label", "label2id", "num_labels"):
        config.pop(name, None)
    if names is None:
        config["num_labels"] = model.config.num_labels
    else:
        config["id2label"] = {str(i): name for i, name in enumerate(names)}
        config["label2id"] = {name: i for i, name in enumerate(names)}
    (directory / "config.json").write_text(json.dumps({**config, **more}))
    return directory


def logits(model, batch):
    model.eval()
    return model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()


def task_of(*labels):
    return Task("own", labels, ("accuracy",), ("text",))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_outputs_are_put_into_the_tasks_order(tmp_path, model_type):
    model, batch = build(model_type, num_labels=3), batch_of()
    directory = foreign(tmp_path / "m", model, tokenizer_for(tmp_path, model_type), ["Neutral", "POSITIVE", "negative"])
    found, _, _ = load_model(directory, model_type, task=task_of("negative", "neutral", "positive"))
    assert np.array_equal(logits(found, batch), logits(model, batch)[:, [2, 0, 1]])
    untouched, _, _ = load_model(directory, model_type)
    assert np.array_equal(logits(untouched, batch), logits(model, batch))


@pytest.mark.parametrize(
    ("task", "names", "order"),
    [
        ("mnli", ["entailment", "neutral", "contradiction"], [2, 0, 1]),
        ("MNLI", ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"], [2, 0, 1]),
        ("sst-2", ["positive", "negative"], [1, 0]),
        ("sst-2", ["NEGATIVE", "POSITIVE"], [0, 1]),
        ("cola", ["acceptable", "unacceptable"], [1, 0]),
        ("qqp", ["not duplicate", "duplicate"], [0, 1]),
        ("mrpc", ["equivalent", "not_equivalent"], [1, 0]),
        ("rte", ["not-entailment", "Entailment"], [1, 0]),
        ("wnli", ["entailment", "not_entailment"], [1, 0]),
    ],
)
def test_the_usual_names_of_glue_are_known(tmp_path, task, names, order):
    model, batch = build("bert", num_labels=len(names)), batch_of()
    directory = foreign(tmp_path / "m", model, tokenizer_for(tmp_path, "bert"), names)
    found, _, _ = load_model(directory, task=glue_task(task))
    assert np.array_equal(logits(found, batch), logits(model, batch)[:, order])


def test_other_classes_are_refused(tmp_path):
    directory = foreign(tmp_path / "m", build("bert", num_labels=2), tokenizer_for(tmp_path, "bert"), ["spam", "ham"])
    with pytest.raises(UserError, match=r"answers 'spam', 'ham', and sst-2 has the classes 0, 1; .*`fresh_head`"):
        load_model(directory, task=glue_task("sst-2"))
    fresh, _, _ = load_model(directory, num_labels=2, task=glue_task("sst-2"), fresh_head=True)
    assert fresh.config.num_labels == 2
    three, _, _ = load_model(directory, num_labels=3, task=glue_task("mnli"), fresh_head=True)
    assert logits(three, batch_of()).shape[1] == 3


def test_without_names_a_line_says_which_order_is_taken(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("logging.Logger.propagate", True, raising=False)
    tokenizer = tokenizer_for(tmp_path, "bert")
    directory = foreign(tmp_path / "m", build("bert", num_labels=2), tokenizer)
    with caplog.at_level("WARNING", logger="ofa_bert"):
        load_model(directory, task=task_of("bad", "good"))
    assert "does not name its classes; its outputs are taken for bad, good" in caplog.text
    foreign(tmp_path / "n", build("bert", num_labels=2), tokenizer, ["LABEL_0", "LABEL_1"])
    caplog.clear()
    with caplog.at_level("WARNING", logger="ofa_bert"):
        load_model(tmp_path / "n", task=task_of("bad", "good"))
    assert "does not name its classes" in caplog.text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}, "contradict each other"),
        ({"id2label": {"0": "a", "2": "b"}}, r"names the outputs \[0, 2\], must be 0 to 1"),
    ],
)
def test_names_that_cannot_be_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        class_names("m", config)


def test_names_come_from_either_table():
    assert class_names("m", {"label2id": {"b": 1, "a": 0}}) == ("a", "b")
    assert class_names("m", {"id2label": {"1": "b", "0": "a"}}) == ("a", "b")
    assert class_names("m", {"id2label": ["a"], "label2id": 3}) is None


def test_what_is_written_names_its_classes_for_others(tmp_path):
    task = task_of("bad", "good")
    save_model(tmp_path / "m", build("bert", num_labels=2), tokenizer_for(tmp_path, "bert"), ModelRecord(task=task))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert config["label2id"] == {"bad": 0, "good": 1}
    (tmp_path / "m" / "ofa_config.json").unlink()
    other = task_of("good", "bad")
    batch = batch_of()
    turned, straight = load_model(tmp_path / "m", task=other)[0], load_model(tmp_path / "m")[0]
    assert np.array_equal(logits(turned, batch), logits(straight, batch)[:, ::-1])
