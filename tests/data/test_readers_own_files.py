"""Your own TSV, CSV and JSONL files: what they become, and what is said about the faulty ones."""

import json
import logging

import pytest

from helpers.paths import SHARED
from ofa_bert.data.sources import load_datasets
from ofa_bert.data.table_files import read_table
from ofa_bert.errors import UserError
from ofa_bert.tasks.task import Example

TNEWS = SHARED / "data" / "zh" / "TNEWS"


def fault(pattern, *args, **kwargs):
    with pytest.raises(UserError, match=pattern):
        load_datasets(*args, **kwargs)


def test_real_own_files_without_header():
    if not TNEWS.is_dir():
        pytest.skip("the Chinese TNEWS files are not beside this checkout")
    data = load_datasets("tnews", None, TNEWS / "train.tsv", TNEWS / "dev.tsv", text_columns=["0"], label_columns=["1"])
    assert (len(data.train), len(data.dev["dev"]), data.task.num_labels) == (53360, 10000, 15)
    assert data.task.labels == tuple(sorted(data.task.labels))
    assert "news_finance" in data.task.labels
    assert data.task.name == "tnews"
    assert data.task.metrics == ("accuracy",)


def own(path, rows, suffix=".tsv", name="train"):
    """A file of the suffix's format; rows as lists, the first one the header."""
    path = path / f"{name}{suffix}"
    if suffix == ".tsv":
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
        return path
    if suffix == ".jsonl":
        lines = [json.dumps(dict(zip(rows[0], row))) for row in rows[1:]]
        path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
        return path
    quoted = [",".join('"' + str(value).replace('"', '""') + '"' for value in row) for row in rows]
    path.write_text("\n".join(quoted), encoding="utf-8")
    return path


def load_own(path, rows, dev_rows=None, suffix=".tsv", **more):
    dev = own(path, dev_rows or rows, suffix, "dev")
    return load_datasets(None, None, own(path, rows, suffix), dev, **more)


ROWS = [["id", "text", "label"], ["1", 'say "hi", twice', "b"], ["2", "größer, 大", "a"], ["3", "third", "b"]]


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_own_classes(tmp_path, suffix):
    data = load_own(tmp_path, ROWS, suffix=suffix)
    task = data.task
    assert (task.name, task.labels, task.text_columns) == ("custom", ("a", "b"), ("text",))
    assert data.train == data.dev["dev"]
    assert data.train[:2] == (Example('say "hi", twice', None, 1), Example("größer, 大", None, 0))


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_own_pairs_in_named_columns_in_the_named_order(tmp_path, suffix):
    rows = [["gold", "premise", "guess"], ["yes", "p", "g"], ["no", "q", "h"]]
    data = load_own(tmp_path, rows, suffix=suffix, text_columns=["guess", "premise"], label_columns=["gold"])
    assert data.train[0] == Example("g", "p", 1)


def test_csv_values_may_span_lines(tmp_path):
    (tmp_path / "x.csv").write_text('text,label\n"two\nlines",a\nplain,b\n"torn\nline",a,more\n')
    with pytest.raises(UserError, match=r"x.csv:5: 3 columns, the header has 2"):
        read_table(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text('text,label\n"two\nlines",a\nplain,b\n')
    assert read_table(tmp_path / "x.csv").rows == ((2, ("two\nlines", "a")), (4, ("plain", "b")))


def test_whole_numbers_sort_by_value(tmp_path):
    rows = [["text", "label"], *[["t", str(i)] for i in (10, 2, 1, 0, 10, 2)]]
    assert load_own(tmp_path, rows).task.labels == ("0", "1", "2", "10")


def test_jsonl_labels_may_be_numbers_and_truth_values(tmp_path):
    for values, labels in (([1, 0, 1], ("0", "1")), ([True, False, True], ("false", "true"))):
        data = load_own(tmp_path, [["text", "label"], *[["t", value] for value in values]], suffix=".jsonl")
        assert data.task.labels == labels
        assert [example.label for example in data.train] == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "regression"),
    [([0.5, 1, 2], True), (range(21), True), (range(20), False), ([1.0, 2.0, 1.0], False)],
)
@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_numbers_are_regression_when_many_or_not_whole(tmp_path, values, regression, suffix):
    rows = [["text", "label"], *[["t", value] for value in [*values, *values]]]
    task = load_own(tmp_path, rows, suffix=suffix).task
    assert (task.kind.word == "numbers") == regression
    assert task.metrics == (("pearson", "spearman") if regression else ("accuracy",))


def test_the_guess_can_be_overridden(tmp_path):
    rows = [["text", "label"], ["t", "1"], ["t", "2"], ["t", "2"]]
    data = load_own(tmp_path, rows, label_kind="numbers")
    assert [example.label for example in data.train] == [1.0, 2.0, 2.0]
    assert isinstance(data.train[0].label, float)
    rows = [["text", "label"], ["t", "0.5"], ["t", "1.5"], ["t", "1.5"]]
    assert load_own(tmp_path, rows, label_kind="classes").task.labels == ("0.5", "1.5")
    rows = [["text", "label"], *[["t", f"w{i}"] for i in range(40)]]
    assert load_own(tmp_path, rows, label_kind="classes").task.num_labels == 40


def test_known_labels_decide(tmp_path):
    data = load_own(tmp_path, ROWS, labels=["b", "c", "a"])
    assert data.task.labels == ("b", "c", "a")
    assert data.train[0].label == 0
    with pytest.raises(UserError, match=r"train.tsv:3: unknown label 'a'; task custom has b, c"):
        load_own(tmp_path, ROWS, labels=["b", "c"])
    with pytest.raises(UserError, match="contradicts"):
        load_own(tmp_path, ROWS, labels=["a", "b"], label_kind="numbers")
    numbers = [["text", "label"], ["t", "1"], ["t", "2"]]
    assert load_own(tmp_path, numbers, labels=[]).task.kind.word == "numbers"


def test_own_files_of_a_glue_task_keep_its_labels_and_metrics(tmp_path):
    rows = [["sentence1", "sentence2", "label"], ["a", "b", "1"], ["c", "d", "1"]]
    path = own(tmp_path, rows)
    task = load_datasets("MRPC", None, path, path).task
    assert (task.name, task.labels, task.metrics) == ("mrpc", ("0", "1"), ("accuracy", "f1"))
    assert task.text_columns == ("sentence1", "sentence2")
    assert load_datasets("sts-b", None, path, path).train[0].label == 1.0
    fault("the model knows the labels", "mrpc", None, path, path, labels=["a", "b"])


@pytest.mark.parametrize(
    ("rows", "dev_rows", "more", "pattern"),
    [
        (ROWS, [ROWS[0], ["9", "t", "c"]], {}, r"dev.tsv:2: unknown label 'c'; task custom has a, b"),
        ([*ROWS, ["4", "t"]], None, {}, r"train.tsv:5: 2 columns, the header has 3"),
        ([*ROWS, ["4", "t", "a", "x"]], None, {}, r"train.tsv:5: 4 columns, the header has 3"),
        (ROWS, None, {"label_columns": ["gold"]}, r"no column 'gold'; the file has 'id', 'text', 'label'"),
        (ROWS, None, {"text_columns": ["body"]}, r"no column 'body'; the file has 'id'"),
        (ROWS, None, {"text_columns": ["0"]}, r"no column '0'.*no header"),
        (
            ROWS,
            None,
            {"text_columns": ["3"], "label_columns": ["2"]},
            r"no column '3'; the file has '0', '1', '2'",
        ),
        (ROWS, None, {"text_columns": ["id", "text", "label"]}, r"one column, or two"),
        ([["a", "label"], ["t", "x"]], None, {}, r"which of the columns \['a', 'label'\]"),
        (
            [["text", "text", "label"], ["t", "u", "x"], ["t", "u", "y"]],
            None,
            {},
            r"more than one column 'text'",
        ),
        (
            [["text", "label"], ["t", "x"], ["u", ""]],
            None,
            {},
            r"train.tsv:3: no label in column 'label': ''",
        ),
        ([["text", "label"], ["t", "x"], ["u", "x"]], None, {}, r"holds 1 different label\(s\) in 2 rows"),
        (
            [["text", "label"], *[["t", f"w{i}"] for i in range(40)]],
            None,
            {},
            r"holds 40 different label\(s\)",
        ),
        (
            [["text", "label"], ["t", "0.5"], ["t", "nan"]],
            None,
            {},
            r"train.tsv:3: label 'nan' is not a finite",
        ),
        (
            [["text", "label"], ["t", "0.5"], ["t", "inf"]],
            None,
            {},
            r"train.tsv:3: label 'inf' is not a finite",
        ),
        (
            [["text", "label"], *[["t", i / 4] for i in range(30)], ["t", "4,5"]],
            None,
            {},
            r"train.tsv:32: label '4,5'",
        ),
        (ROWS, None, {"label_kind": "numbers"}, r"train.tsv:2: label 'b' is not a finite number"),
        ([ROWS[0]], None, {}, r"train.tsv: the file is empty but for its header"),
    ],
)
def test_faults_of_own_files(tmp_path, rows, dev_rows, more, pattern):
    with pytest.raises(UserError, match=pattern):
        load_own(tmp_path, rows, dev_rows, **more)


@pytest.mark.parametrize(
    ("name", "content", "pattern"),
    [
        ("x.tsv", b"", r"x.tsv: the file is empty"),
        ("x.jsonl", b"\n\n", r"x.jsonl: the file is empty"),
        ("x.txt", b"text\tlabel\n", r"suffix, which must be .tsv, .csv, .jsonl"),
        ("x.tsv", b"\xef\xbb\xbftext\tlabel\nt\ta\n\xe9\tb\n", r"x.tsv:3: byte 0xe9 is not UTF-8"),
        ("x.tsv", "text\tlabel\nt\ta\n".encode("utf-16"), r"x.tsv: is UTF-16, not UTF-8; convert it"),
        ("x.csv", b'text,label\nt,a\n"never closed,b\nu,c\n', r"x.csv:3: not CSV"),
        ("x.jsonl", b'{"text": "t", "label": 1}\n{"text": "t"\n', r"x.jsonl:2: not JSON"),
        ("x.jsonl", b'{}\n{"text": "t", "label": 1}\n', r"x.jsonl: which of the columns \[\]"),
        ("x.jsonl", b'["t", 1]\n', r"x.jsonl:1: a line must be an object"),
        (
            "x.jsonl",
            b'{"text": "t", "label": 1}\n{"text": "t"}\n',
            r"x.jsonl:2: no label in column 'label': None",
        ),
        (
            "x.jsonl",
            b'{"text": "t", "label": "a"}\n{"label": "b"}\n',
            r"x.jsonl:2: column 'text' holds no text: None",
        ),
        (
            "x.jsonl",
            b'{"text": 3, "label": 1}\n{"text": "t", "label": 0}\n',
            r"x.jsonl:1: column 'text' holds no text: 3",
        ),
        ("x.jsonl", b'{"text": "t", "label": NaN}\n{"text": "t", "label": 1.5}\n', r"x.jsonl:1: label 'nan'"),
        ("x.jsonl", b'{"text": "t", "label": {"a": 1}}\n', r"x.jsonl:1: no label in column"),
    ],
)
def test_malformed_files(tmp_path, name, content, pattern):
    (tmp_path / name).write_bytes(content)
    fault(pattern, None, None, tmp_path / name, tmp_path / name)


def test_missing_files(tmp_path):
    fault(
        r"gone.tsv: cannot read the file: No such file",
        None,
        None,
        tmp_path / "gone.tsv",
        tmp_path / "gone.tsv",
    )
    (tmp_path / "d.tsv").mkdir()
    fault(r"d.tsv: cannot read the file: Is a directory", None, None, tmp_path / "d.tsv", tmp_path / "d.tsv")
    fault(r"no train.tsv, dev.tsv; data_dir holds", "cola", tmp_path / "nowhere")


def test_empty_texts_are_kept_and_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = load_own(tmp_path, [["text", "label"], ["", "x"], ["t", "y"]])
    assert data.train[0].text == ""
    assert "1 example(s) with an empty text" in caplog.text
