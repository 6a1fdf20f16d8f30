"""Classes or numbers to predict: what the labels of your own files become, and what is said about it."""

import json
import logging

import pytest

from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError

CODES = [f"{i % 6 + 1}_{i // 6 % 5 + 1}" for i in range(240)]


def write(path, labels):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": "t", "label": label}) + "\n" for label in labels))
    else:
        path.write_text("text\tlabel\n" + "".join(f"t\t{label}\n" for label in labels))
    return path


def load(directory, train, dev=None, suffix=".tsv", **more):
    files = write(directory / f"train{suffix}", train), write(directory / f"dev{suffix}", dev or train)
    return load_datasets(None, None, *files, **more)


@pytest.mark.parametrize(
    "labels",
    [
        CODES,
        [str(i % 30) for i in range(240)],  # 30 intents
        [str(i % 150) for i in range(15_000)],
        [f"{i % 40:03d}" for i in range(400)],
        [f"{i % 9}e{i % 5}" for i in range(300)],  # 1e5 is 100000.0 to float()
        ["nan", "inf", "nan", "inf"],
        ["infinity", "apple"] * 3,
        [f"{10**15 + i % 25}" for i in range(500)],  # a float cannot tell all of these apart
        ["+1", "-1"] * 5,
        ["0x1f", "0x20"] * 5,
        ["\u0661\u0662", "\u0663"] * 5,  # digits of another script
        ["-1", "0", "1"] * 5,
    ],
)
def test_codes_are_classes(tmp_path, labels, caplog):
    with caplog.at_level(logging.INFO):
        task = load(tmp_path, labels).task
    assert set(task.labels) == set(labels)
    assert f"column 'label' holds {len(set(labels))} classes" in caplog.text


@pytest.mark.parametrize(
    "labels",
    [
        [i / 7 for i in range(100)],
        [0.5, 1, 2] * 2,
        ["1e-05", "2.5", "-3", ".5", "1."],
        [i * i for i in range(100)],  # amounts: hardly one occurs twice
        [-1.5, 1e-7, 1e20],
    ],
)
@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_measures_are_numbers(tmp_path, labels, suffix, caplog):
    with caplog.at_level(logging.INFO):
        data = load(tmp_path, labels, suffix=suffix)
    assert data.task.kind.word == "numbers"
    assert [example.label for example in data.train] == [float(label) for label in labels]
    assert "column 'label' holds numbers to predict" in caplog.text
    assert "`label_kind` classes" in caplog.text


def test_the_log_says_how_to_choose_otherwise_and_warns_where_it_may_be_wrong(tmp_path, caplog):
    load(tmp_path, [i % 101 for i in range(1010)])
    assert "101 classes" in caplog.text
    assert "`label_kind` numbers" in caplog.text
    caplog.clear()
    load(tmp_path, ["1.1", "1.2", "2.1"] * 10)  # sections, or a measure of few steps
    assert "`label_kind` classes" in caplog.text
    caplog.clear()
    load(tmp_path, ["good", "bad"])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_whole_numbers_match_however_they_are_written(tmp_path):
    data = load(tmp_path, ["1.0", "0.0", "1.0"], dev=["0", "1", "1.00"])
    assert data.task.labels == ("0", "1")
    assert [example.label for example in data.train] == [1, 0, 1]
    assert [example.label for example in data.dev["dev"]] == [0, 1, 1]
    data = load(tmp_path, [1, 0.0, 1.0], suffix=".jsonl")
    assert data.task.labels == ("0", "1")
    known = load(tmp_path, ["1", "0"], labels=["0.0", "1.0"])  # as a model of before may have them
    assert [example.label for example in known.train] == [1, 0]
    with pytest.raises(UserError, match="unknown label '01'"):
        load(tmp_path, ["01", "0"], labels=["0", "1"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1", "2", "nan", "1"], r"train.tsv:4: label 'nan' is not a finite number, though 3 of 4"),
        (["1", "2", "NaN", "-inf", "1"], r"train.tsv:4: label 'NaN' is not a finite number.*`label_kind` classes"),
        (["0,5", "1,25", "3"], r"train.tsv:2: label '0,5'.*decimal comma.*0.5.*`label_kind` classes"),
    ],
)
def test_what_is_nearly_numbers_is_refused(tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, labels)
    assert set(load(tmp_path, labels, label_kind="classes").task.labels) == set(labels)


@pytest.mark.parametrize("value", ["1_2", "nan", "inf", "1e999", "1e39", "\u0661", "0x1", "", "1,5", "12 3"])
def test_numbers_that_were_asked_for_are_read_strictly(tmp_path, value):
    with pytest.raises(UserError, match=r"train.tsv:3: (label .* is not a finite number|no label)"):
        load(tmp_path, ["0.5", value], label_kind="numbers")


def test_numbers_that_were_asked_for_may_be_written_in_other_ways(tmp_path):
    data = load(tmp_path, ["1e5", "007", "+2", ".5", "-1E-3"], label_kind="numbers")
    assert [example.label for example in data.train] == [1e5, 7.0, 2.0, 0.5, -1e-3]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_json_numbers_that_are_none(tmp_path, value):
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"text": "t", "label": {value}}}\n{{"text": "t", "label": "a"}}\n')
    for kind in (None, "numbers", "classes"):
        with pytest.raises(UserError, match=r"x.jsonl:1: label '-?(nan|inf)' is not a finite number"):
            load_datasets(None, None, path, path, label_kind=kind)


@pytest.mark.parametrize("start", [0, 1000])
def test_an_id_column_is_warned_about(tmp_path, caplog, start):
    load(tmp_path, range(start, start + 50))
    assert "column 'label' holds another whole number in nearly every row: is it an id?" in caplog.text
    caplog.clear()
    load(tmp_path, [i % 7 for i in range(50)])
    assert "is it an id" not in caplog.text


@pytest.mark.parametrize("twin", ["Positive", "pos\u200bitive", "\ufeffpositive", "POSITIVE", "very  positive"])
def test_labels_that_differ_by_what_cannot_be_seen_are_refused_or_kept_on_request(tmp_path, twin, caplog):
    labels = ["positive", "negative", "very positive", twin]
    with pytest.raises(UserError, match=r"train.tsv:5: label .* and label .* of line \d differ .*`label_kind` classes"):
        load(tmp_path, labels)
    assert set(load(tmp_path, labels, label_kind="classes").task.labels) == set(labels)
    assert "train.tsv:5: label" in caplog.text
    assert "kept as two classes" in caplog.text


def test_blanks_around_a_label_are_no_part_of_it_and_what_is_seen_is(tmp_path):
    assert load(tmp_path, ["a", " a", "a\u00a0", "b"]).task.labels == ("a", "b")
    assert load(tmp_path, ["pos-itive", "positive", "pos\u0131tive"]).task.num_labels == 3


def test_one_and_one_point_zero_among_names_are_twins(tmp_path):
    with pytest.raises(UserError, match=r"label '1.0' and label '1' of line 2"):
        load(tmp_path, ["1", "other", "1.0"])


def test_a_twin_in_the_dev_file_alone_is_explained(tmp_path):
    with pytest.raises(UserError, match=r"dev.tsv:2: unknown label 'Positive'.*; 'positive' is one"):
        load(tmp_path, ["positive", "negative"], dev=["Positive"])


def test_accents_in_two_forms_are_twins(tmp_path):
    with pytest.raises(UserError, match=r"train.tsv:3: label"):
        load(tmp_path, ["caf\u00e9", "cafe\u0301", "tea"])


def test_a_list_of_labels_is_explained(tmp_path):
    with pytest.raises(
        UserError, match=r"train.jsonl:2: no label in column 'label': \['a', 'b'\]; a row has one label"
    ):
        load(tmp_path, ["a", ["a", "b"]], suffix=".jsonl")


def test_thousands_of_digits_are_a_name(tmp_path):
    labels = ["1" * 5000, "2" * 5000] * 3
    assert load(tmp_path, labels).task.labels == ("1" * 5000, "2" * 5000)
