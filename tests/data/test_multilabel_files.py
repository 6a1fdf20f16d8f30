"""Files with several labels a row: lists, texts with a separator, columns of zeros and ones; read, and written back."""

import json

import numpy as np
import pytest

from ofa_bert.data.encoding.augmentation import augment
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.source import DataSource
from ofa_bert.data.sources import load_datasets
from ofa_bert.data.table_files import read_table
from ofa_bert.data.table_writers import table_text
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.tasks.kinds.registry import kind_named
from ofa_bert.tasks.task import Task

SETS = [["b", "a"], [], ["c"], ["a"]]
VECTORS = [(1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)]
COLUMNS = {"label_columns": ["a", "b", "c"]}


def write(path, rows):
    """Rows as dictionaries, in the format of the suffix."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        path.write_text("".join(separator.join(line) + "\n" for line in lines))
    return path


def listed(sets=SETS):
    return [{"text": f"t{place}", "label": names} for place, names in enumerate(sets)]


def joined(sets=SETS, by="|"):
    return [{"text": f"t{place}", "label": by.join(names)} for place, names in enumerate(sets)]


def switched(yes=1, no=0):
    return [
        {"text": f"t{place}", **{name: yes if name in names else no for name in "abc"}}
        for place, names in enumerate(SETS)
    ]


CASES = [
    (".jsonl", listed(), {}),
    (".jsonl", joined(), {"label_separator": "|"}),
    (".jsonl", switched(), COLUMNS),
    (".jsonl", switched(True, False), COLUMNS),
    (".tsv", joined(), {"label_separator": "|"}),
    (".tsv", joined(by=" ; "), {"label_separator": ";"}),
    (".csv", joined(), {"label_separator": "|"}),
    (".tsv", switched(), COLUMNS),
    (".csv", switched("1.0", "0.0"), COLUMNS),
]


@pytest.mark.parametrize(("suffix", "rows", "how"), CASES)
def test_every_form_means_the_same(tmp_path, suffix, rows, how):
    path = write(tmp_path / f"x{suffix}", rows)
    for more in ({}, {"label_kind": "multilabel"}):
        data = load_datasets(train_file=path, dev_file=path, **how, **more)
        assert data.task == Task(
            "custom", ("a", "b", "c"), ("micro_f1", "macro_f1", "exact_match"), ("text",), "multilabel"
        )
        assert [example.label for example in data.train] == VECTORS
        assert data.dev["dev"] == data.train


def test_labels_that_are_known_give_the_order(tmp_path):
    path = write(tmp_path / "x.jsonl", listed())
    data = load_datasets(train_file=path, dev_file=path, labels=["c", "d", "b", "a"])
    assert data.task.labels == ("c", "d", "b", "a")
    assert data.train[0].label == (0.0, 0.0, 1.0, 1.0)
    known = Task("custom", ("c", "b", "a"), ("micro_f1",), ("text",), "multilabel", (0.1, 0.2, 0.3))
    assert load_datasets(train_file=path, dev_file=path, known=known).task.labels == ("c", "b", "a")
    columns = write(tmp_path / "y.tsv", switched())
    moved = load_datasets(train_file=columns, dev_file=columns, known=known, **COLUMNS)
    assert moved.train[0].label == (0.0, 1.0, 1.0)
    with pytest.raises(UserError, match="choose the task that the model was trained for"):
        load_datasets(train_file=path, dev_file=path, known=known, labels=["a"])


def test_numbers_in_lists_are_names_in_their_order(tmp_path):
    path = write(tmp_path / "x.jsonl", listed([[10, 9], [9], ["10"]]))
    data = load_datasets(train_file=path, dev_file=path)
    assert data.task.labels == ("9", "10")
    assert [example.label for example in data.train] == [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]


BAR = {"label_separator": "|"}


@pytest.mark.parametrize(
    ("suffix", "rows", "how", "pattern"),
    [
        (".jsonl", listed([["a"], "b"]), {}, r"x.jsonl:2: column 'label' holds 'b', no list.*`label_separator`"),
        (".jsonl", listed([["a"], None]), {}, r"x.jsonl:2: column 'label' holds None; write a list .*\[\] for none"),
        (".jsonl", listed([["a"], 3]), {}, r"x.jsonl:2: column 'label' holds 3; write a list"),
        (".jsonl", listed([["a"], ["b", ""]]), {}, r"x.jsonl:2: column 'label' has '' among its labels"),
        (".jsonl", listed([["a"], [["b"]]]), {}, r"x.jsonl:2: .* has \['b'\] among its labels, must be a text"),
        (".jsonl", listed([["a"], ["b", "b "]]), {}, r"x.jsonl:2: column 'label' has the label 'b' twice"),
        (".jsonl", listed([[], []]), {}, r"x.jsonl: column 'label' has no label in any of its 2 rows"),
        (".jsonl", listed([["Yes"], ["yes "]]), {}, r"differ by no more than case.*`label_kind` multilabel"),
        (".tsv", joined([["a"], ["b", "", "a"]]), BAR, r"x.tsv:3: column 'label' has '' among its labels"),
        (".tsv", joined([["a"], ["b"]]), {"label_kind": "multilabel"}, r"x.tsv:2: .*no list.*`label_separator`"),
        (".tsv", switched("yes", "no"), COLUMNS, r"x.tsv:2: column 'a' holds 'yes', must be 0 or 1"),
        (".csv", switched(2), COLUMNS, r"x.csv:2: column 'a' holds '2', must be 0 or 1"),
        (".tsv", switched(1, ""), COLUMNS, r"x.tsv:2: column 'c' holds '', must be 0 or 1"),
        (".tsv", switched(), {**COLUMNS, **BAR}, r"label_separator '\|': is for labels in one column"),
        (".tsv", switched(), {**COLUMNS, "labels": ["a", "b"]}, r"the labels are \['a', 'b'\]; name those"),
        (".tsv", switched(), {"label_columns": ["a", "d"]}, r"no column 'd'"),
        (".tsv", joined(), {**BAR, "label_kind": "classes"}, r"a row has one label here"),
        (".tsv", switched(), {**COLUMNS, "label_kind": "numbers"}, r"a row has one label here"),
        (".tsv", joined(), {**BAR, "labels": ["a", "b"]}, r"x.tsv:4: unknown label 'c'; task custom has a, b"),
        (".tsv", joined(), {**BAR, "label_kind": "multilabel", "labels": []}, "multilabel contradicts the labels"),
        (".tsv", joined(), {**BAR, "label_kind": "tags"}, "label_kind 'tags': must be one of"),
        (".tsv", joined(), {**BAR, "task_name": "sst-2"}, "a row has one label here|unknown label"),
    ],
)
def test_faults_are_one_line(tmp_path, suffix, rows, how, pattern):
    path = write(tmp_path / f"x{suffix}", rows)
    with pytest.raises(UserError, match=pattern) as error:
        load_datasets(train_file=path, dev_file=path, **how)
    assert "\n" not in str(error.value)


def test_names_that_differ_by_case_are_kept_where_the_kind_is_named(tmp_path, caplog):
    path = write(tmp_path / "x.jsonl", listed([["Yes"], ["yes"]]))
    task = load_datasets(train_file=path, dev_file=path, label_kind="multilabel").task
    assert task.labels == ("Yes", "yes")
    assert "kept as two" in caplog.text


def test_half_a_character_in_a_list_is_read_as_in_a_text(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "t", "label": ["\\ud83d"]}\n{"text": "t", "label": ["a"]}\n')
    assert load_datasets(train_file=path, dev_file=path).task.labels == ("a", "\ufffd")


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_what_predict_writes_is_read_back_as_labels(tmp_path, suffix):
    path = write(tmp_path / f"in{suffix}", [{"text": f"t{place}"} for place in range(4)])
    new = [{"predicted_labels": sorted(names)} for names in SETS]
    out = tmp_path / f"out{suffix}"
    out.write_text(table_text(read_table(path), new), newline="")
    how = {} if suffix == ".jsonl" else BAR
    data = load_datasets(train_file=out, dev_file=out, label_columns=["predicted_labels"], **how)
    assert [example.label for example in data.train] == VECTORS


def test_the_array_of_labels_is_a_row_a_text():
    class Cutter:
        def __call__(self, texts, **_):
            return {"input_ids": [[1, 2]] * len(texts), "token_type_ids": [[0, 0]] * len(texts)}

    labels = kind_named("multilabel").reader(("a", "b"), "t")
    from ofa_bert.tasks.task import Example

    examples = [Example("x", None, labels(names)) for names in (("a",), (), ("b", "a"))]
    encoded = encode(examples, Cutter(), 8, progress=False)
    assert encoded.labels.dtype == np.float32
    assert encoded.labels.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert encoded.select([2, 0]).labels.tolist() == [[1, 1], [1, 0]]


def test_copies_have_the_labels_of_their_texts():
    class Tokenizer:
        all_special_ids, mask_token_id, pad_token_id = (0,), 0, 0

        def __len__(self):
            return 6

        def convert_ids_to_tokens(self, ids):
            return [["[PAD]", "a", "b", "c", "d", "e"][i] for i in ids]

    ids = [np.asarray([1, 2]), np.asarray([3, 4])]
    labels = np.asarray([[1, 0, 1], [0, 1, 1]], dtype="float32")
    encoded = Encoded(ids, [np.zeros(2, "int64")] * 2, labels)
    found = augment(encoded, Tokenizer(), np.random.default_rng(0).normal(size=(6, 4)), 2, seed=0)
    assert found.labels.tolist() == [*labels.tolist()] * 3


def test_the_flags_reach_the_readers(tmp_path):
    path = write(tmp_path / "x.tsv", joined())
    source = DataSource(train_file=str(path), dev_file=str(path), label_separator="|", labels=("c", "b", "a"))
    assert source.problems() == []
    assert source.load().task.labels == ("c", "b", "a")
    old = DataSource.recorded(Fields({"train_file": "a", "dev_file": "b", "label_column": "gold"}, "a run"))
    assert old.label_column == ("gold",)
    problems = DataSource(task_name="sst-2", labels=("a",)).problems()
    assert len(problems) == 1
    assert "`labels` describe `train_file`" in problems[0]
