import logging
import math
import sys
import types

import pytest

from helpers.paths import SHARED
from ofa_bert.data import demo_task
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.tasks.glue import glue_task
from ofa_bert.tasks.task import Example
from ofa_bert.training.data.glue_download import download_glue

GLUE = SHARED / "data" / "glue"

MNLI_START = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
MNLI_TRAIN = f"{MNLI_START} sentence1 sentence2 label1 gold_label".split()
MNLI_DEV = f"{MNLI_START} sentence1 sentence2 label1 label2 label3 label4 label5 gold_label".split()


def write(path, rows, encoding="utf-8", end="\n"):
    """A TSV of these rows, given as lists; returns the path."""
    path.write_bytes("".join("\t".join(map(str, row)) + end for row in rows).encode(encoding))
    return path


def both(directory, rows):
    """The same file for training and dev: a shortest official data directory."""
    for name in ("train.tsv", "dev.tsv"):
        write(directory / name, rows)
    return directory


def fault(pattern, *args, **kwargs):
    with pytest.raises(UserError, match=pattern):
        load_datasets(*args, **kwargs)


@pytest.mark.parametrize(
    ("name", "train", "dev", "first"),
    [
        (
            "CoLA",
            8551,
            1043,
            ("Our friends won't buy this analysis, let alone the next one we propose.", None, 1),
        ),
        ("SST-2", 67349, 872, ("hide new secretions from the parental units", None, 0)),
        ("STS-B", 5749, 1500, ("A plane is taking off.", "An air plane is taking off.", 5.0)),
        (
            "WNLI",
            635,
            71,
            (
                "I stuck a pin through a carrot. When I pulled the pin out, it had a hole.",
                "The carrot had a hole.",
                1,
            ),
        ),
        ("MRPC", 3668, 408, None),
    ],
)
def test_real_glue(name, train, dev, first):
    if not (GLUE / name).is_dir():
        pytest.skip("the official GLUE files are not beside this checkout")
    data = load_datasets(name, GLUE / name)
    assert (len(data.train), list(data.dev), len(data.dev["dev"])) == (train, ["dev"], dev)
    assert data.task == glue_task(name)
    if first:
        assert data.train[0] == Example(*first)
    if name == "MRPC":  # a byte order mark before the header; quotes that open and never close
        assert data.train[0].text_pair.startswith('Referring to him as only " the witness "')
        assert data.train[0].label == 1
        assert data.dev["dev"][0].text_pair.startswith('" The foodservice')
    if name == "STS-B":
        labels = [example.label for example in data.train]
        assert all(isinstance(label, float) for label in labels)
        assert (min(labels), max(labels)) == (0.0, 5.0)
    else:
        assert {example.label for example in data.train} == {0, 1}


def mnli(directory, dev_label="neutral"):
    train = [
        [i, "1", "1n", "fiction", "( b )", "( b )", "(P)", "(P)", f"premise {i}", f"guess {i}", label, label]
        for i, label in enumerate(["neutral", "entailment", "contradiction"])
    ]
    write(directory / "train.tsv", [MNLI_TRAIN, *train])
    for name in ("matched", "mismatched"):
        row = [
            "0",
            "1",
            "1n",
            "slate",
            "( b )",
            "( b )",
            "(P)",
            "(P)",
            f"{name} premise",
            f"{name} guess",
            "neutral",
            "entailment",
            "entailment",
            "entailment",
            "entailment",
            dev_label,
        ]
        other = [*row[:-1], "entailment"]
        write(directory / f"dev_{name}.tsv", [MNLI_DEV, row, other])
    return directory


def test_mnli_has_two_dev_sets_and_takes_the_gold_label(tmp_path):
    data = load_datasets("MNLI", mnli(tmp_path))
    assert [example.label for example in data.train] == [2, 1, 0]
    assert list(data.dev) == ["matched", "mismatched"]
    assert data.dev["mismatched"][0] == Example("mismatched premise", "mismatched guess", 2)


def test_mnli_pairs_without_gold_label_are_skipped_and_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = load_datasets("mnli", mnli(tmp_path, dev_label="-"))
    assert len(data.dev["matched"]) == 1
    assert "skipped 1 pair(s) without a gold label" in caplog.text


def test_mnli_needs_both_dev_files(tmp_path):
    mnli(tmp_path)
    (tmp_path / "dev_mismatched.tsv").unlink()
    fault("no dev_mismatched.tsv", "mnli", tmp_path)


QQP = [
    ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
    ["133273", "213221", "213222", "How is the life of a math student?", 'What does "QED" mean?', "0"],
    ["402555", "536040", "536041", "How do I control my temper?", "How can I be calm?", "1"],
]


def test_qqp_skips_the_rows_that_are_broken_upstream(tmp_path, caplog):
    write(
        tmp_path / "train.tsv",
        [*QQP, ["360472", "490273", "490274", "Is he"], ["", "Is he real?", "0"], QQP[1]],
    )
    write(tmp_path / "dev.tsv", QQP)
    with caplog.at_level(logging.WARNING):
        data = load_datasets("qqp", tmp_path)
    assert [example.label for example in data.train] == [0, 1, 0]
    assert data.train[0].text_pair == 'What does "QED" mean?'
    assert "skipped 2 broken line(s), the first is line 4" in caplog.text


def test_qqp_with_more_broken_rows_than_upstream_is_an_error(tmp_path):
    both(tmp_path, [*QQP, *[["torn", "row"]] * 101])
    fault(r"train.tsv:4: 2 columns, the header has 6; 101 such", "qqp", tmp_path)


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        (
            "qnli",
            [["index", "question", "sentence", "label"], ["0", 'What is "it"?', '"It is.', "not_entailment"]],
            Example('What is "it"?', '"It is.', 1),
        ),
        (
            "rte",
            [
                ["index", "sentence1", "sentence2", "label"],
                ["0", "No one came.", "Some came.", "not_entailment"],
            ],
            Example("No one came.", "Some came.", 1),
        ),
        (
            "wnli",
            [["index", "sentence1", "sentence2", "label"], ["0", "It broke.", "The cup broke.", "1"]],
            Example("It broke.", "The cup broke.", 1),
        ),
        ("cola", [["gj04", "0", "*", "Much books."]], Example("Much books.", None, 0)),
        (
            "sst-2",
            [["sentence", "label"], ["it 's \u2028 slow -- very , very slow . ", "0"]],
            Example("it 's \u2028 slow -- very , very slow .", None, 0),
        ),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_official_columns(tmp_path, name, rows, expected, end):
    write(tmp_path / "train.tsv", rows, end=end)
    write(tmp_path / "dev.tsv", rows, encoding="utf-8-sig", end=end)
    data = load_datasets(name, tmp_path)
    assert data.train == data.dev["dev"] == (expected,)


def test_unknown_word_label_in_glue(tmp_path):
    both(tmp_path, [["index", "question", "sentence", "label"], ["0", "Q?", "S.", "entailed"]])
    fault(r"train.tsv:2: unknown label 'entailed'; task qnli has entailment, not_entailment", "qnli", tmp_path)


def test_labels_take_the_order_of_a_trained_model(tmp_path):
    rows = [
        ["index", "sentence1", "sentence2", "label"],
        ["0", "a", "b", "entailment"],
        ["1", "a", "b", "not_entailment"],
    ]
    data = load_datasets("rte", both(tmp_path, rows), labels=["not_entailment", "entailment"])
    assert data.task.labels == ("not_entailment", "entailment")
    assert [example.label for example in data.train] == [example.label for example in data.dev["dev"]] == [1, 0]
    fault("the model knows the labels", "rte", tmp_path, labels=["0", "1"])


def test_demo_is_generated():
    assert load_datasets("Demo") == demo_task.generate()


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({}, "no data"),
        ({"task_name": "snli"}, "unknown GLUE task 'snli'"),
        ({"train_file": "a.tsv"}, "train_file with either dev_file or dev_share"),
        ({"dev_file": "a.tsv"}, "train_file with either dev_file or dev_share"),
        ({"train_file": "a.tsv", "dev_file": "a.tsv", "data_dir": "d"}, "without data_dir"),
        ({"train_file": "a.tsv", "dev_file": "a.tsv", "dev_share": 0.1}, "either dev_file or dev_share"),
        ({"task_name": "cola", "dev_share": 0.1}, "describe your own"),
        ({"task_name": "cola", "text_columns": ["text"]}, "describe your own"),
        ({"task_name": "cola", "label_kind": "classes"}, "describe your own"),
    ],
)
def test_arguments_that_contradict(arguments, pattern):
    fault(pattern, **arguments)


# PaddleNLP's download


def stand_in(monkeypatch, load_dataset):
    """A module in the place of paddlenlp.datasets, so that no test needs the network."""
    module = types.ModuleType("paddlenlp.datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "paddlenlp", types.ModuleType("paddlenlp"))
    monkeypatch.setitem(sys.modules, "paddlenlp.datasets", module)


def test_download(monkeypatch):
    def load_dataset(group, name, splits):
        assert group == "glue"
        labels = {"mnli": 2, "cola": "1", "sts-b": "3.8"}
        texts = {"sentence": "s"} if name == "cola" else {"sentence1": "s", "sentence2": name}
        return [[{**texts, "labels": labels[name]}] * (len(split)) for split in splits]

    stand_in(monkeypatch, load_dataset)
    data = load_datasets("MNLI", download=download_glue)
    assert {split: len(examples) for split, examples in data.dev.items()} == {"matched": 11, "mismatched": 14}
    assert data.train[0] == Example("s", "mnli", 2)
    assert len(data.train) == 5
    assert (
        load_datasets("MNLI", download=download_glue, labels=["neutral", "entailment", "contradiction"]).train[0].label
        == 0
    )
    assert load_datasets("cola", download=download_glue).dev["dev"][0] == Example("s", None, 1)
    assert math.isclose(load_datasets("sts-b", download=download_glue).train[0].label, 3.8)


def test_download_that_fails_says_what_to_do(monkeypatch):
    def load_dataset(group, name, splits):
        raise RuntimeError("Downloading from https://example.org failed.\nTwice.")

    stand_in(monkeypatch, load_dataset)
    fault(
        r"cannot load GLUE task qnli \(RuntimeError: Downloading .* failed\.\).*`data_dir`",
        "qnli",
        download=download_glue,
    )
    fault("task qnli: give the directory of its official files", "qnli")
