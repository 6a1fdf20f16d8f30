"""`dev_share`: a file parted into train and dev, the same by every command, with every class on both sides."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ofa_bert.data.dev_split import split_dev
from ofa_bert.data.labelled_file import LabelledData
from ofa_bert.data.source import DataSource
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.options import problems_of, to_json
from ofa_bert.tasks.task import Example, Task

HERE = Path("x.tsv")


def classes(*labels):
    return Task("t", labels, ("accuracy",), ("text",), "classification")


def rows_of(labels, start=0):
    return [Example(f"text {start + number}", None, label) for number, label in enumerate(labels)]


def split(examples, share, task):
    """(train, dev), which part the examples and keep their order."""
    train, dev = split_dev(examples, share, task, HERE)
    place = {id(example): number for number, example in enumerate(examples)}
    for part in (train, dev):
        assert [place[id(example)] for example in part] == sorted(place[id(example)] for example in part)
    assert sorted(place[id(example)] for example in (*train, *dev)) == list(range(len(examples)))
    return train, dev


def count(examples):
    return Counter(example.label for example in examples)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_dev_has_the_share_of_every_class(share):
    examples = rows_of([0] * 600 + [1] * 300 + [2] * 100)
    random.Random(1).shuffle(examples)
    train, dev = split(examples, share, classes("a", "b", "c"))
    assert len(dev) == 1000 * share
    assert count(dev) == {0: 600 * share, 1: 300 * share, 2: 100 * share}
    assert count(train) == {label: rows * (1 - share) for label, rows in {0: 600, 1: 300, 2: 100}.items()}


def test_rows_that_cannot_be_parted_evenly_add_up_all_the_same():
    _, dev = split(rows_of([number % 7 for number in range(73)]), 0.1, classes(*"abcdefg"))
    assert len(dev) == 7
    assert max(count(dev).values()) == 1


def test_the_order_of_the_file_and_of_the_labels_does_not_matter():
    labels = [number % 3 for number in range(50)]
    examples = rows_of(labels) + [Example(f"text {number}", None, (number + 1) % 3) for number in range(0, 50, 5)]
    _, dev = split(examples, 0.2, classes("a", "b", "c"))
    random.Random(3).shuffle(examples)
    assert {example.text for example in dev} == {e.text for e in split(examples, 0.2, classes("a", "b", "c"))[1]}
    turned = [Example(example.text, None, 2 - example.label) for example in examples]
    assert {example.text for example in dev} == {e.text for e in split(turned, 0.2, classes("c", "b", "a"))[1]}


def test_equal_texts_are_on_one_side():
    examples = [replace(example) for example in rows_of([0, 1] * 20) for _ in range(3)]
    pairs = [Example("same first", f"second {number % 4}", number % 2) for number in range(12)]
    train, dev = split(examples + pairs, 0.2, classes("a", "b"))
    texts = [{(example.text, example.text_pair) for example in part} for part in (train, dev)]
    assert not texts[0] & texts[1]
    assert 24 <= len(dev) <= 26  # of 132, in threes


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_class_stays_in_train(share):
    labels = [0] * 40 + [1, 1, 2, 3, 3]
    examples = [*rows_of(labels), Example("twice", None, 4), Example("twice", None, 4)]
    train, dev = split(examples, share, classes(*"abcde"))
    assert set(count(train)) == {0, 1, 2, 3, 4}
    assert len(dev) == int(len(examples) * share + 0.5)


def test_numbers_are_parted_without_regard_to_them():
    task = Task("t", (), ("pearson",), ("text",), "regression")
    _, dev = split([Example(f"t{n}", None, n / 7) for n in range(200)], 0.1, task)
    assert len(dev) == 20
    assert 4 < sum(example.label for example in dev) / 20 < 25


def test_sets_of_labels_are_parted_alike_and_every_label_stays():
    task = Task("t", ("x", "y", "z"), ("micro_f1",), ("text",), "multilabel")
    sets = [(1.0, 0.0, 0.0)] * 50 + [(1.0, 1.0, 0.0)] * 30 + [(0.0, 0.0, 0.0)] * 20 + [(0.0, 0.0, 1.0)]
    train, dev = split([Example(f"t{n}", None, label) for n, label in enumerate(sets)], 0.2, task)
    assert count(dev) == {sets[0]: 10, sets[50]: 6, sets[80]: 4}
    assert (0.0, 0.0, 1.0) in count(train)


def test_a_share_means_what_is_written():
    assert len(split(rows_of([0, 1] * 15), 0.1, classes("a", "b"))[1]) == 3
    assert len(split(rows_of([0, 0, 1, 1]), 0.01, classes("a", "b"))[1]) == 1  # never none


def test_large_groups_leave_something_to_dev():
    examples = [Example(text, None, label) for text, label in (("u", 0), ("v", 0), ("w", 1), ("x", 1)) for _ in "12345"]
    train, dev = split(examples, 0.1, classes("a", "b"))
    assert (len(train), len(dev)) == (15, 5)


@pytest.mark.parametrize(
    "examples", [rows_of([0, 1]), [Example("x", None, 0)] * 9, [Example("x", None, 0), *[Example("y", None, 1)] * 8]]
)
def test_what_cannot_be_parted_is_said_in_one_line(examples):
    with pytest.raises(
        UserError, match=r"x.tsv: `dev_share` 0.5: none of its . different text.* can be spared: "
    ) as error:
        split_dev(examples, 0.5, classes("a", "b"), HERE)
    assert "\n" not in str(error.value)
    assert "give more rows, or `dev_file`" in str(error.value)


@pytest.fixture
def own(tmp_path):
    lines = [f"{word} {number}\t{label}" for number in range(40) for word, label in (("good", "pos"), ("bad", "neg"))]
    (tmp_path / "own.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return tmp_path / "own.tsv"


def test_a_later_command_finds_the_same_split(own):
    source = DataSource(train_file=str(own), dev_share=0.25)
    assert problems_of(source) == []
    first = source.load()
    assert (len(first.train), len(first.dev["dev"])) == (60, 20)
    recorded = DataSource.recorded(Fields(to_json(source), "a run"))
    assert recorded == source
    assert recorded.load() == first
    known = load_datasets(
        train_file=own, dev_share=0.25, known=Task("custom", ("pos", "neg"), ("accuracy",), ("text",))
    )
    assert [example.text for example in known.dev["dev"]] == [example.text for example in first.dev["dev"]]


def test_evaluate_scores_the_development_data_alone(own):
    first = DataSource(train_file=str(own), dev_share=0.25).load()
    _, splits = LabelledData(file=str(own), dev_share=0.25).load(first.task)
    assert splits == first.dev
    assert LabelledData(task_name="demo", dev_share=0.25).problems() == ["`dev_share`: describes `file`; give that too"]


def test_a_record_of_before_has_no_share(own):
    old = DataSource.recorded(Fields({"train_file": "a", "dev_file": "b"}, "a run"))
    assert old.dev_share is None
