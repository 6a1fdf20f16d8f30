"""Writes a table with new columns, so that `read_table` gives the same rows and cells back and the new ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.table_files import Table

NewCells: TypeAlias = Mapping[str, object]  # of one row, by the name of the column
# Either separator: a reader tells from the header which one it is, if need be.
_QUOTED_IN_CSV = re.compile(r'[",;\r\n\ufeff]')
LIST_SEPARATOR = "|"  # between the values of a list in a cell of TSV or CSV
BREAKS_TSV = re.compile(r"[\t\r\n]")  # in a .tsv nothing can hold these


def table_text(table: Table, new: Sequence[NewCells]) -> str:
    """The text of a file in the table's own format; `new` has the values of the new columns, one dict per row.

    TSV and CSV keep every cell; JSONL keeps every character of the old objects. Lines end in a line feed.
    A new value of a TSV must not hold a tab or a line end (BREAKS_TSV), a list in either LIST_SEPARATOR.
    """
    text = _FORMATS[table.path.suffix.lower()](table, new)
    # A reader takes the first mark for the file's own.
    return "\ufeff" + text if text.startswith("\ufeff") else text


def _lines(table: Table, new: Sequence[NewCells]) -> list[list[str]]:
    names = list(new[0])
    header = [[*table.header, *map(whole_characters, names)]] if table.has_header else []
    added = ([whole_characters(_plain(more[name])) for name in names] for more in new)
    return header + [[*map(str, values), *more] for (_, values), more in zip(table.rows, added)]


def _plain(value: object) -> str:
    return LIST_SEPARATOR.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _as_tsv(table: Table, new: Sequence[NewCells]) -> str:
    return "".join("\t".join(line) + "\n" for line in _lines(table, new))


def _as_csv(table: Table, new: Sequence[NewCells]) -> str:
    return "".join(table.separator.join(map(_cell, line)) + "\n" for line in _lines(table, new))


def _cell(text: str) -> str:
    # Not csv.writer: it leaves a carriage return bare unless lines end in one.
    return '"' + text.replace('"', '""') + '"' if _QUOTED_IN_CSV.search(text) else text


def _as_jsonl(table: Table, new: Sequence[NewCells]) -> str:
    return "".join(_with_keys(line, more) + "\n" for line, more in zip(table.objects, new))


def _with_keys(line: str, more: NewCells) -> str:
    """The line itself with more keys at its end: numbers, escapes and spaces stay as somebody wrote them."""
    start = line.removesuffix("}").rstrip()
    added = whole_characters(json.dumps(dict(more), ensure_ascii=False))[1:]
    return start + ("" if start == "{" else ", ") + added


_FORMATS: dict[str, Callable[[Table, Sequence[NewCells]], str]] = {
    ".tsv": _as_tsv,
    ".csv": _as_csv,
    ".jsonl": _as_jsonl,
}
