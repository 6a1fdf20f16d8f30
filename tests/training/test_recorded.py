"""What the record of a model knows need not be said again."""

import dataclasses
import json
import logging

import pytest

from helpers.stated_models import state_supernet
from ofa_bert.data.demo_task import TASK
from ofa_bert.data.source import DataSource
from ofa_bert.errors import UserError
from ofa_bert.tasks.glue import glue_task
from ofa_bert.tasks.task import Task
from ofa_bert.training.recorded import as_recorded, length_of, with_data
from ofa_bert.training.settings import LoopSettings, ModelSource
from ofa_bert.training.supernet.job import SupernetJob


@pytest.fixture
def model(tmp_path):
    """Trained on a file of its own, a tenth of it kept for dev, with 32 tokens."""
    where = state_supernet(tmp_path / "model", TASK)
    path = where / "ofa_config.json"
    record = json.loads(path.read_text())
    record["config"] = {
        "train_file": "reviews.csv", "dev_share": 0.1, "label_column": ["mood"], "task_name": None, "label_kind": "auto"
    }  # fmt: skip
    path.write_text(json.dumps(record))
    return where


def job(where, data=DataSource(), **loop):  # noqa: B008 - frozen
    source = ModelSource(model_name_or_path=str(where))
    return SupernetJob(data=data, model=source, output_dir="o", loop=LoopSettings(**loop))


def test_data_and_length_are_those_of_the_model(model, caplog):
    with caplog.at_level(logging.INFO):
        found = as_recorded(job(model, batch_size=4), str(model))
    assert found.data == DataSource(train_file="reviews.csv", dev_share=0.1, label_column=("mood",))
    assert found.loop == LoopSettings(batch_size=4, max_seq_length=32)
    assert "--train_file reviews.csv --dev_share 0.1 --label_column mood" in caplog.text


def test_what_is_said_counts(model):
    data = DataSource(task_name="demo")
    found = as_recorded(job(model, data, max_seq_length=16), str(model))
    assert (found.data, found.loop.max_seq_length) == (data, 16)


def test_given_examples_need_no_names(tmp_path):
    found = as_recorded(job(tmp_path), "a-name", datasets=TASK)
    assert not found.data.given
    assert found.loop.max_seq_length == 128


def test_a_model_that_says_nothing_leaves_it_to_the_user(tmp_path):
    where = state_supernet(tmp_path / "model", TASK)
    with pytest.raises(UserError, match="say what to train on: .* does not say what it was trained on"):
        with_data(job(where), str(where))
    assert length_of("a-name") == 128


def test_a_directory_of_glue_has_the_task_of_the_model(tmp_path):
    data = DataSource(data_dir="glue")
    where = state_supernet(tmp_path / "sst", glue_task("SST-2"))
    assert with_data(job(where, data), str(where)).data == dataclasses.replace(data, task_name="sst-2")
    other = state_supernet(tmp_path / "own", TASK)
    with pytest.raises(UserError, match="needs `task_name`"):
        with_data(job(other, data), str(other))


def test_contexts_are_read_in_the_windows_of_the_model(model):
    path = model / "ofa_config.json"
    record = json.loads(path.read_text())
    task = Task("asked", (), ("f1", "exact_match"), ("question", "context"), "answers", doc_stride=128)
    path.write_text(json.dumps({**record, "task": task.to_json()}))
    same = DataSource(train_file="asked.json", dev_share=0.1, doc_stride=128)
    assert with_data(job(model, same), str(model)).data == same
    with pytest.raises(UserError, match="`doc_stride` 64: .* was trained with 128"):
        with_data(job(model, dataclasses.replace(same, doc_stride=64)), str(model))
