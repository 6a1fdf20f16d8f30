"""What `predict` writes is read back by the same reader: the same rows and cells in the same order, and the new ones.

More examples when OFA_BERT_FUZZ is set.
"""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofa_bert.data.table_files import read_table
from ofa_bert.data.table_writers import table_text
from ofa_bert.errors import UserError

TRIES = settings(
    max_examples=5000 if os.environ.get("OFA_BERT_FUZZ") else 60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize=not os.environ.get("OFA_BERT_FUZZ"),
)
# The characters that file formats care about, far more often than others.
CHARACTERS = st.sampled_from(list(" ab\t,;\"'\r\n\\\ufeff\u2028\x85\x00\x1c\u00e9\U0001f600{}:"))
CELL = st.text(CHARACTERS | st.characters(codec="utf-8"), max_size=8)
NEW = st.fixed_dictionaries({"predicted_label": CELL, "probability": st.floats(0, 1)})
SOME = {".csv": CELL, ".tsv": CELL.map(lambda text: text.replace("\t", " ").replace("\n", " "))}
ANY = st.text(CHARACTERS | st.characters(), max_size=8)  # half pairs too
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ANY, inner, max_size=2),
    max_leaves=4,
)


def written_and_read(content, suffix, has_header, new_rows):
    """(table of the content, the same table with new columns, read back); None where the content is no table."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, f"in{suffix}")
        path.write_bytes(content)
        try:
            before = read_table(path, has_header)
        except UserError:
            return None
        new = (new_rows * len(before.rows))[: len(before.rows)]
        if suffix == ".tsv":
            new = [{**row, "predicted_label": " ".join(row["predicted_label"].split())} for row in new]
        path.write_text(table_text(before, new), encoding="utf-8", newline="")
        return before, new, read_table(path, has_header)


def same(before, new, after):
    assert len(after.rows) == len(before.rows)
    if before.has_header:
        assert after.header == (*before.header, *new[0])
    for (_, old), more, (_, found) in zip(before.rows, new, after.rows):
        added = [more[name] if before.objects else str(more[name]) for name in new[0]]
        assert repr(found) == repr((*old, *added))


@TRIES
@given(st.sampled_from([".tsv", ".csv"]), st.booleans(), st.text(CHARACTERS, max_size=40), st.lists(NEW, min_size=1))
def test_any_file_that_is_read(suffix, has_header, text, new):
    result = written_and_read(text.encode(), suffix, has_header, new)
    if result:
        same(*result)


@TRIES
@given(st.data(), st.sampled_from([".tsv", ".csv"]), st.booleans(), st.integers(1, 3), st.lists(NEW, min_size=1))
def test_tables_of_other_programs(data, suffix, has_header, width, new):
    row = st.lists(SOME[suffix], min_size=width, max_size=width)
    rows = data.draw(st.lists(row, min_size=2, max_size=4))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    if suffix == ".csv":
        separator = data.draw(st.sampled_from(",;"))
        rows = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows]
    else:
        separator = "\t"
    result = written_and_read("".join(separator.join(row) + end for row in rows).encode(), suffix, has_header, new)
    if result:
        same(*result)


@TRIES
@given(
    st.lists(st.dictionaries(ANY, VALUE, max_size=3), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\n\n", " \n"]),
    st.lists(NEW, min_size=1),
)
def test_jsonl(records, escaped, end, new):
    keys = {key.encode("utf-16", "replace") for record in records for key in record}
    lines = [json.dumps(record, ensure_ascii=escaped) for record in records]
    result = written_and_read(end.join(lines).encode("utf-8", "replace"), ".jsonl", True, new)
    if result and "predicted_label".encode("utf-16") not in keys:
        same(*result)


def test_jsonl_leaves_every_character_of_the_old_columns(tmp_path):
    line = '{ "text" :"\\ud83d", "n": 1E2, "big": 12345678901234567890.10, "x": NaN, "deep": {"a": 1, "a": 2} }'
    (tmp_path / "in.jsonl").write_text(f"  {line} \r\n{{}}\n")
    text = table_text(read_table(tmp_path / "in.jsonl"), [{"predicted_label": "ü"}, {"predicted_label": "b"}])
    assert text == f'{line[:-1].rstrip()}, "predicted_label": "ü"}}\n{{"predicted_label": "b"}}\n'


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
@pytest.mark.parametrize("text", ["", "\ufeff", "a\rb", "'", '"', " a ", "\u2028", "\x00", "\x1a"])
def test_texts_that_files_trip_over(tmp_path, suffix, text):
    quoted = '"' + text.replace('"', '""') + '"' if suffix == ".csv" else text
    for header, has_header in (("text\n", True), ("", False)):
        result = written_and_read(
            f"\ufeff{header}{quoted}\nplain\n".encode(),
            suffix,
            has_header,
            [{"predicted_label": "a", "probability": 0.5}],
        )
        assert [values[0] for _, values in result[2].rows] == [text, "plain"]
        same(*result)
