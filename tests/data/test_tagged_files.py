"""Files of tagged words and labelled parts: every format gives the same texts and parts; faults name file and line."""

import json

import pytest

from ofa_bert.data.readers.own_files import read_own_file
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.tasks.kinds.tokens import KIND
from ofa_bert.tasks.task import Task

WORDS = ["Ada", "Lovelace", "left", "New", "York", "Paris"]
TEXT = " ".join(WORDS)
PARTS = ("0:12:PER", "18:26:LOC", "27:32:LOC")
BIO = ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "B-LOC"]
SCHEMES = {
    "BIO": BIO,
    "IOB1": ["I-PER", "I-PER", "O", "I-LOC", "I-LOC", "B-LOC"],
    "BIOES": ["B-PER", "E-PER", "O", "B-LOC", "E-LOC", "S-LOC"],
    "BILOU": ["B-PER", "L-PER", "O", "B-LOC", "L-LOC", "U-LOC"],
    "letter last": ["PER-B", "PER-I", "O", "LOC-B", "LOC-I", "LOC-B"],
}


def read(path, **more):
    given = {"known": None, "text_columns": None, "label_columns": None, "labels": None, "label_kind": None}
    return read_own_file(path, **{**given, "label_separator": None, **more})


def said(path, **more):
    task, examples = read(path, **more)
    return [(example.text, KIND.said(example.label, task.labels)) for example in examples]


def columns(*rows):
    return "".join(" ".join(row) + "\n" for row in rows)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("between", [" ", "\t", "  "])
def test_every_scheme_gives_the_same_parts(tmp_path, scheme, between):
    path = tmp_path / "x.conll"
    lines = [f"{word}{between}{tag}" for word, tag in zip(WORDS, SCHEMES[scheme])]
    path.write_text("-DOCSTART- -X- O\n\n" + "\n".join(lines) + "\n\n\n" + f"left{between}O\n")
    assert said(path) == [(TEXT, PARTS), ("left", ())]
    task, _ = read(path)
    assert task == Task("custom", ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"), KIND.usual_metrics, ("text",), "tokens")


def test_columns_by_number_and_by_name(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text(columns(*zip("123456", WORDS, BIO, "abcdef")))
    assert said(path, text_columns=["1"], label_columns=["2"]) == [(TEXT, PARTS)]
    path.write_text("# global.columns = ID FORM NER X\n# sent_id = 1\n" + path.read_text())
    assert said(path, text_columns=["FORM"], label_columns=["NER"]) == [(TEXT, PARTS)]


def test_a_txt_and_a_tsv_are_recognised_or_named(tmp_path):
    for suffix in (".txt", ".tsv"):
        path = tmp_path / f"x{suffix}"
        path.write_text("".join(f"{word}\t{tag}\n" for word, tag in zip(WORDS, BIO)))
        assert said(path, label_kind="tokens") == [(TEXT, PARTS)]
    assert said(tmp_path / "x.txt") == [(TEXT, PARTS)]
    with pytest.raises(UserError, match="which of the columns"):  # a table, as long as nobody says otherwise
        read(tmp_path / "x.tsv")


def test_lists_in_jsonl(tmp_path):
    path = tmp_path / "x.jsonl"
    for words, tags in (("tokens", "tags"), ("words", "ner_tags"), ("tokens", "labels")):
        path.write_text(json.dumps({"id": 1, words: WORDS, tags: BIO}) + "\n")
        assert said(path) == [(TEXT, PARTS)]
    path.write_text(json.dumps({"w": WORDS, "t": BIO}) + "\n")
    assert said(path, label_kind="tokens", text_columns=["w"], label_columns=["t"]) == [(TEXT, PARTS)]


def test_spans_in_jsonl_keep_the_text_as_it_is(tmp_path):
    path = tmp_path / "x.jsonl"
    parts = [{"start": 20, "end": 28, "label": "LOC", "id": 3}, {"start": 2, "end": 14, "label": "PER"}]
    rows = [{"text": f"  {TEXT} \U0001f600", "entities": parts}, {"text": "", "entities": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert said(path) == [(rows[0]["text"], ("2:14:PER", "20:28:LOC")), ("", ())]


def test_paddlenlps_characters(tmp_path):
    path = tmp_path / "x.tsv"
    lines = ["text_a\tlabel", "\x02".join("北京 hi") + "\t" + "\x02".join(["B-LOC", "I-LOC", "O", "O", "O"])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert said(path) == [("北京 hi", ("0:2:LOC",))]
    path.write_text(lines[1].replace("B-LOC", "P-B").replace("I-LOC", "P-I") + "\n", encoding="utf-8")
    assert said(path) == [("北京 hi", ("0:2:P",))]


def test_ideographs_are_joined_without_blanks(tmp_path):
    path = tmp_path / "x.conll"
    words, tags = ["我", "在", "北", "京", "Hilton", "Hotel"], ["O", "O", *BIO[3:5], "O", "O"]
    path.write_text(columns(*zip(words, tags)), "utf-8")
    assert said(path) == [("我在北京 Hilton Hotel", ("2:4:LOC",))]


def test_train_and_dev(tmp_path):
    train, dev = tmp_path / "train.conll", tmp_path / "dev.conll"
    train.write_text("\n".join(columns(*zip(WORDS, BIO)) + f"{place} O\n" for place in range(20)))
    dev.write_text("Paris B-LOC\n")
    found = load_datasets(train_file=train, dev_file=dev)
    assert (len(found.train), len(found.dev["dev"])) == (20, 1)
    parted = load_datasets(train_file=train, dev_share=0.2)
    assert (len(parted.train), len(parted.dev["dev"])) == (16, 4)
    assert load_datasets(train_file=train, dev_file=dev, labels=["PER", "LOC"]).task.labels[1] == "B-PER"
    again = load_datasets(train_file=train, dev_file=dev, known=found.task)
    assert again.task.labels == found.task.labels


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("x.conll", "Ada B-PER\nleft\n", "x.conll:2: 1 column"),
        ("x.conll", "Ada B-PER\n\nleft NN\n", "x.conll:3: 'NN' is no tag.*column of the tags"),
        ("x.conll", "-DOCSTART- -X- O\n", "x.conll: no examples"),
        ("x.conll", "Ada O\n", "no part of any text has a label"),
        ("x.jsonl", '{"text": " ", "entities": [{"start": 0, "end": 1, "label": "X"}]}\n', "every text is empty"),
        ("x.jsonl", '{"tokens": ["a"], "tags": ["O", "O"]}\n', "x.jsonl:1: 1 words and 2 tags"),
        ("x.jsonl", '{"tokens": ["a"], "tags": [3]}\n', "x.jsonl:1: 'tokens' and 'tags' must be lists of texts"),
        ("x.jsonl", '{"tokens": ["a"], "tags": ["PER"]}\n', "x.jsonl:1: 'PER' is no tag"),
        ("x.jsonl", '{"text": "ab", "entities": [{"start": 0, "end": 3, "label": "X"}]}\n', r"x.jsonl:1.*end"),
        ("x.jsonl", '{"text": "ab", "entities": [{"start": 1, "end": 1, "label": "X"}]}\n', "behind start 1"),
        ("x.jsonl", '{"text": "ab", "entities": [{"start": 0, "end": 1}]}\n', r"entities\[0\].*label"),
        (
            "x.jsonl",
            '{"text": "abc", "entities": [{"start": 0, "end": 2, "label": "X"},'
            ' {"start": 1, "end": 3, "label": "X"}]}\n',
            "x.jsonl:1: two parts overlap",
        ),
        ("x.tsv", "a\x02b\tO\n", "x.tsv:1: 2 words and 1 tags"),
        ("x.tsv", "a\x02b\tO\x02O\tx\n", "x.tsv:1: 3 columns"),
    ],
)
def test_a_fault_names_file_and_line(tmp_path, name, text, fault):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=fault):
        read(path)


def test_what_is_asked_for_and_is_not_there(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text("Ada B-PER\n")
    known = Task("t", ("O", "B-LOC", "I-LOC"), ("f1",), ("text",), "tokens")
    for given, fault in (
        ({"known": known}, "x.conll:1: unknown label 'PER'; task t has LOC"),
        ({"label_columns": ["7"]}, "x.conll:1: 2 column"),
        ({"label_columns": ["NER"]}, "no column 'NER'"),
        ({"text_columns": ["0", "1"]}, "name one"),
        ({"label_separator": "|"}, "label_separator"),
    ):
        with pytest.raises(UserError, match=fault):
            read(path, **given)
    table = tmp_path / "x.csv"
    table.write_text("text,label\na,b\n")
    with pytest.raises(UserError, match="is read from CoNLL files"):
        read(table, label_kind="tokens")
