import json

import pytest

from ofa_bert.errors import UserError
from ofa_bert.tasks.glue import glue_task, is_glue
from ofa_bert.tasks.task import Task

NAMES = ["cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli"]


@pytest.mark.parametrize("name", ["SST-2", "sst2", "Sst_2", "sst-2"])
def test_names_ignore_case_and_dashes(name):
    assert is_glue(name)
    assert glue_task(name).name == "sst-2"


def test_unknown_name_lists_all_nine():
    with pytest.raises(UserError) as caught:
        glue_task("snli")
    assert "'snli'" in str(caught.value)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize(
    ("name", "first", "num_labels", "texts"),
    [
        ("cola", "matthews", 2, 1),
        ("sst-2", "accuracy", 2, 1),
        ("mrpc", "accuracy", 2, 2),
        ("sts-b", "pearson", 1, 2),
        ("qqp", "accuracy", 2, 2),
        ("mnli", "accuracy", 3, 2),
        ("qnli", "accuracy", 2, 2),
        ("rte", "accuracy", 2, 2),
        ("wnli", "accuracy", 2, 2),
    ],
)
def test_glue_tasks(name, first, num_labels, texts):
    task = glue_task(name)
    assert (task.metrics[0], task.num_labels, len(task.text_columns)) == (first, num_labels, texts)
    assert (task.kind.name == "regression") == (name == "sts-b")


def test_label_order_is_paddlenlp_s():
    glue = pytest.importorskip("paddlenlp.datasets.glue").Glue
    for name in NAMES:
        assert list(glue_task(name).labels) == (glue.BUILDER_CONFIGS[name]["labels"] or [])


@pytest.mark.parametrize("name", NAMES)
def test_json_round_trip(name):
    task = glue_task(name)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": ["bleu"]},
        {"metrics": []},
        {"labels": "01"},
        {"labels": [0, 1]},
        {"name": None},
        {"text_columns": []},
        {"text_columns": ["a", "b", "c"]},
    ],
)
def test_json_that_is_not_a_task(change):
    with pytest.raises(UserError, match="not a task"):
        Task.from_json({**glue_task("cola").to_json(), **change})


@pytest.mark.parametrize("value", [None, [], {}, {"name": "cola"}])
def test_json_with_missing_fields(value):
    with pytest.raises(UserError, match="not a task"):
        Task.from_json(value)
