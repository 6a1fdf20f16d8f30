"""SuperGLUE's official layout: rows, labels, marked words, metrics, and one line for what is wrong."""

import json

import pytest

from helpers.superglue_rows import PARAGRAPH, ROWS, STORY, write_superglue
from ofa_bert.data.source import DataSource
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.tasks.kinds.answers import DOC_STRIDE
from ofa_bert.tasks.kinds.base import Gold, Golds
from ofa_bert.tasks.superglue import NAMES


def loaded(directory, task, name=None):
    return load_datasets(task_name=name or task, data_dir=write_superglue(directory, task))


def rows_of(data):
    return [(row.text, row.text_pair, row.label, row.group) for row in data.train]


@pytest.mark.parametrize(
    ("task", "kind", "labels", "metrics"),
    [
        ("boolq", "classification", ("false", "true"), ("accuracy",)),
        ("cb", "classification", ("contradiction", "entailment", "neutral"), ("accuracy", "macro_f1")),
        ("copa", "choices", (), ("accuracy",)),
        ("multirc", "ranking", (), ("f1a", "em")),
        ("record", "answers", (), ("f1", "exact_match")),
        ("rte", "classification", ("entailment", "not_entailment"), ("accuracy",)),
        ("wic", "classification", ("false", "true"), ("accuracy",)),
        ("wsc", "classification", ("false", "true"), ("accuracy",)),
    ],
)
def test_what_a_task_is(tmp_path, task, kind, labels, metrics):
    data = loaded(tmp_path, task)
    assert (data.task.name, data.task.kind_name, data.task.labels, data.task.metrics) == (task, kind, labels, metrics)
    assert data.dev == {"dev": data.train}


def test_the_texts_of_boolq_cb_and_rte(tmp_path):
    assert rows_of(loaded(tmp_path / "b", "boolq", "BoolQ"))[0] == ("is ice water", "Ice is frozen water.", 1, None)
    assert [row.label for row in loaded(tmp_path / "c", "cb").train] == [1, 0, 2]
    assert rows_of(loaded(tmp_path / "r", "rte", "RTE"))[1] == ("Ann sold a boat.", "Ann sank.", 1, None)


def test_copa_asks_as_its_authors_do(tmp_path):
    assert rows_of(loaded(tmp_path, "copa"))[3] == (
        "The lamp went out.", "What was the cause of this? The power failed.", 1.0, 1,
    )  # fmt: skip


def test_multirc_has_a_row_for_each_answer_and_a_group_for_each_question(tmp_path):
    assert rows_of(loaded(tmp_path, "multirc")) == [
        (PARAGRAPH, "What was bought? A kite", 1.0, 0), (PARAGRAPH, "What was bought? A boat", 0.0, 0),
        (PARAGRAPH, "Who sold? Ann", 1.0, 1), (PARAGRAPH, "Who sold? Tom's friend Ann", 1.0, 1),
        (PARAGRAPH, "Who sold? Tom", 0.0, 1),
    ]  # fmt: skip


def test_record_asks_for_what_stands_in_the_gap(tmp_path):
    first, second = loaded(tmp_path, "record", "ReCoRD").train
    assert (first.text, first.text_pair) == ("Ann's boat went to @placeholder.", STORY)
    assert first.label == Golds([Gold("Tom", 25), Gold("Tom Hill", 41)])
    assert all(STORY[gold.start :].startswith(gold.text) for gold in (*first.label, *second.label))


def test_the_windows_of_record_are_as_far_apart_as_is_said(tmp_path):
    given = {"task_name": "record", "data_dir": str(write_superglue(tmp_path, "record"))}
    assert DataSource(**given).load().task.doc_stride == DOC_STRIDE
    assert DataSource(**given, doc_stride=9).load().task.doc_stride == 9
    assert DataSource(task_name="demo-answers", doc_stride=9).load().task.doc_stride == 9
    with pytest.raises(UserError, match="`doc_stride` 9: task demo has classes"):
        DataSource(task_name="demo", doc_stride=9).load()


def test_words_in_context_are_marked(tmp_path):
    found = loaded(tmp_path, "wic")
    assert rows_of(found)[0] == ("The _bank_ was closed.", "We sat on the _banks_ of it.", 0, None)
    assert rows_of(found)[1][:2] == ("_Run_ a shop.", "He _runs_ a firm.")


def test_the_name_and_the_pronoun_are_marked(tmp_path):
    first, second = (row.text for row in loaded(tmp_path, "wsc").train)
    assert first == "_The old cup_ did not fit the case, because [it] was large."
    assert second == "The cup did not fit _the case_, because [it] was small."


def test_glue_keeps_rte_where_the_files_are_glues(tmp_path):
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    assert load_datasets(task_name="rte", data_dir=tmp_path).task.text_columns == ("sentence1", "sentence2")


@pytest.mark.parametrize("task", NAMES)
def test_a_row_without_its_fields_is_one_line(tmp_path, task):
    write_superglue(tmp_path, task)
    whole = ROWS[task][0]
    for name in set(whole) - {"idx", "version", "word", "source"}:
        row = {key: value for key, value in whole.items() if key != name}
        (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(UserError) as error:
            load_datasets(task_name=task, data_dir=tmp_path)
        assert "\n" not in str(error.value)
        assert str(tmp_path / "train.jsonl") in str(error.value)


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("boolq", {"label": "yes"}, "label 'yes': task boolq has false, true"),
        ("wic", {"end1": 400}, "end1 is 400, must be above start1"),
        ("wic", {"start2": 19}, "end2 is 19, must be above start2"),
        ("wsc", {"target": {"span1_index": 99, "span1_text": "a", "span2_index": 1, "span2_text": "b"}}, "span1_index"),
        ("copa", {"question": "why"}, "must be cause or effect"),
        ("record", {"qas": [{"query": "@placeholder", "answers": []}]}, "answers is"),
        ("record", {"qas": [{"query": "@placeholder", "answers": [{"start": 1, "text": "Tom"}]}]}, "does not stand at"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path, task, change, said):
    write_superglue(tmp_path, task)
    (tmp_path / "train.jsonl").write_text(json.dumps({**ROWS[task][0], **change}) + "\n")
    with pytest.raises(UserError) as error:
        load_datasets(task_name=task, data_dir=tmp_path)
    assert said in str(error.value)


def test_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(UserError, match="no train.jsonl, val.jsonl"):
        load_datasets(task_name="wic", data_dir=tmp_path)
    with pytest.raises(UserError, match="SuperGLUE's wic is not downloaded"):
        load_datasets(task_name="wic")
