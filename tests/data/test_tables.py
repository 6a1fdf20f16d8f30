"""What the reader makes of files from other programs: line ends, encodings, separators, names; and what it refuses."""

import csv
import json
import logging

import pytest

from ofa_bert.data.sources import load_datasets
from ofa_bert.data.table_files import read_table
from ofa_bert.errors import UserError


def table(path, content, **more):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **more)


def cells(read):
    return [values for _, values in read.rows]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("x.tsv", ["text\tlabel", "good\ta", "bad, very\tb"]),
        ("x.csv", ["text,label", "good,a", '"bad, very",b']),
        ("x.csv", ["text;label", "good;a", "bad, very;b"]),
        (
            "x.jsonl",
            [json.dumps({"text": text, "label": label}) for text, label in (("good", "a"), ("bad, very", "b"))],
        ),
    ],
)
def test_line_ends_of_every_system_with_and_without_a_byte_order_mark(tmp_path, name, lines, end, last, mark):
    read = table(tmp_path / name, mark + end.join(lines) + end * last)
    assert read.header == ("text", "label")
    assert cells(read) == [("good", "a"), ("bad, very", "b")]
    first = 1 if name == "x.jsonl" else 2
    assert [line for line, _ in read.rows] == [first, first + 1]


def test_a_carriage_return_inside_a_line_is_text_but_not_in_a_header(tmp_path):
    assert cells(table(tmp_path / "x.tsv", "text\tlabel\none\rtwo\ta\r\r\n")) == [("one\rtwo", "a\r")]
    with pytest.raises(UserError, match=r"x.tsv:1: a carriage return inside the header.*one kind of line end"):
        table(tmp_path / "x.tsv", "text\tlabel\rgood\ta\rbad\tb\n")
    with pytest.raises(UserError, match=r"x.tsv:2: 3 columns, the header has 2; .*one kind of line end"):
        table(tmp_path / "x.tsv", "text\tlabel\ngood\ta\rbad\tb\n")
    with pytest.raises(UserError, match=r"x.tsv:2: 3 columns, the header has 2; 1 such line\(s\) in all$"):
        table(tmp_path / "x.tsv", "text\tlabel\ngood\ta\tb\n")


@pytest.mark.parametrize("name", ["x.tsv", "x.csv"])
def test_an_empty_line_is_an_empty_text_where_there_is_one_column(tmp_path, name):
    assert table(tmp_path / name, "text\ngood\n\nbad\n").rows == ((2, ("good",)), (3, ("",)), (4, ("bad",)))
    without = table(tmp_path / name, "\ngood\n", has_header=False)
    assert without.rows == ((1, ("",)), (2, ("good",)))
    separator = {"x.tsv": "\t", "x.csv": ","}[name]
    two = f"text{separator}label\n\ngood{separator}a\n\n"
    assert cells(table(tmp_path / name, two)) == [("good", "a")]


def test_long_values(tmp_path):
    long = "word " * 60_000
    with open(tmp_path / "x.csv", "w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], [long, "a"], ["short", "b"]])
    assert cells(read_table(tmp_path / "x.csv")) == [(long, "a"), ("short", "b")]


def test_semicolons_count_when_the_header_shows_them(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        read = table(tmp_path / "x.csv", 'text;"la,bel"\n"one; two";a\n1,5;b\n')
    assert read.header == ("text", "la,bel")
    assert cells(read) == [("one; two", "a"), ("1,5", "b")]
    assert "x.csv: columns are separated by semicolons" in caplog.text
    comma = table(tmp_path / "x.csv", '"te;xt",label\none; two,a\n')
    assert comma.header == ("te;xt", "label")
    assert cells(comma) == [("one; two", "a")]
    # Without a header the first line is a text, which may well hold one.
    assert cells(table(tmp_path / "x.csv", "good; very\nbad\n", has_header=False)) == [("good; very",), ("bad",)]
    with pytest.raises(UserError, match=r"x.csv:2: 1 columns, the header has 2 \(separated by semicolons\)"):
        table(tmp_path / "x.csv", "text; as read\ngood\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "text\tlabel\na\tb\n", r"no column 'text'.*has 'text\\tlabel'; .* tabs: name it .tsv"),
        ("x.tsv", "text,label\na,b\n", r"no column 'text'.*has 'text,label'; .* commas: name it .csv"),
        ("x.tsv", "text;label\na;b\n", r"no column 'text'.*; .* semicolons: name it .csv"),
        (
            "x.csv",
            "a;b\nc;d\n",
            r"no column 'text'; the file has '0'; they look separated by semicolons: give it a header",
        ),
        ("x.tsv", " text\tlabel\na\tb\n", r"no column 'text'; the file has ' text', 'label'; .* ' text'"),
        ("x.csv", "Text,Label\na,b\n", r"no column 'text'; the file has 'Text', 'Label'; .* 'Text'"),
    ],
)
def test_a_column_that_is_not_found_says_what_the_file_looks_like(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_table(path, has_header="ext" in content).column("text")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\n".encode("utf-16"), r"x.tsv: is UTF-16.*iconv -f UTF-16 -t UTF-8"),
        ("\ufefftext\tlabel\n".encode("utf-16-be"), r"x.tsv: is UTF-16"),
        ("text\tlabel\ngood\ta\n".encode("utf-16-le"), r"x.tsv: is UTF-16"),
        ("text\tlabel\ngood\ta\n".encode("utf-16-be"), r"x.tsv: is UTF-16"),
        ("text\tlabel\ngood\ta\n".encode("utf-32"), r"x.tsv: is UTF-32.*iconv -f UTF-32 -t UTF-8"),
        (b"text\tlabel\nbad \xed\xa0\xbd\ta\n", r"x.tsv:2: byte 0xed is not UTF-8"),
        (b"text\tlabel\rcaf\xe9\ta\r", r"x.tsv:2: byte 0xe9 is not UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", r"x.tsv: .*git lfs pull"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08", r"x.tsv: is a ZIP file or a workbook.*save"),
        (b"\x1f\x8b\x08\x00", r"x.tsv: is compressed.*gunzip"),
    ],
)
def test_files_that_are_no_utf8_text(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        table(tmp_path / "x.tsv", content)


def test_names_that_occur_twice_or_are_empty_matter_only_when_they_are_asked_for(tmp_path):
    path = tmp_path / "x.csv"
    read = table(path, ",text,label,x,x\n0,good,a,1,2\n1,bad,b,3,4\n")
    assert read.header == ("", "text", "label", "x", "x")
    assert [example.text for example in load_datasets(None, None, path, path).train] == ["good", "bad"]
    for name in ("x", ""):
        assert (read.header.count(name) == 1) == (name == "")
    with pytest.raises(UserError, match="more than one column 'x'"):
        read.column("x")
    path = tmp_path / "x.jsonl"
    with pytest.raises(UserError, match=r"x.jsonl:2: key 'label' twice"):
        table(path, '{"text": "t", "label": "a"}\n{"text": "t", "label": "a", "label": "b"}\n')
    assert cells(table(path, '{"text": "t", "more": {"a": 1, "a": 2}}\n')) == [("t", {"a": 2})]


# Half of a surrogate pair: one rule for all that reads


def test_half_of_a_pair_becomes_the_replacement_character(tmp_path, caplog):
    lines = [r'{"text": "good \ud83d", "label": "a", "by": "\udc00x"}', r'{"text": "ok \ud83d\ude00", "label": "b"}']
    with caplog.at_level(logging.WARNING):
        read = table(tmp_path / "x.jsonl", "\n".join(lines))
    assert cells(read) == [("good \ufffd", "a", "\ufffdx"), ("ok \U0001f600", "b", None)]
    assert "x.jsonl: 2 value(s) hold half of a surrogate pair, the first in line 1; read as U+FFFD" in caplog.text
    data = load_datasets(None, None, tmp_path / "x.jsonl", tmp_path / "x.jsonl")
    assert [example.text for example in data.train] == ["good \ufffd", "ok \U0001f600"]


def test_a_class_cannot_hold_half_of_a_pair(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "t", "label": "a\\ud83d"}\n{"text": "u", "label": "b"}\n')
    labels = load_datasets(None, None, path, path).task.labels
    assert labels == ("a\ufffd", "b")
    assert all(label.encode() for label in labels)
