"""Reads a TSV, CSV or JSONL file into a table; every fault is one message with the file and the line."""

from __future__ import annotations

import csv
import io
import logging
from dataclasses import dataclass
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.reading import parse_json

logger = logging.getLogger(__name__)

SUFFIXES = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Table:
    """`rows`: (line in the file, one value per name of `header`); only JSONL has values that are not text."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple], ...]

    def column(self, name: str) -> int:
        """Position of a column. Raises UserError that lists the columns there are."""
        if self.header.count(name) != 1:
            fault = "no" if name not in self.header else "more than one"
            raise UserError(
                f"{self.path}: {fault} column {name!r}; the file has {', '.join(map(repr, self.header))} "
                "(whole numbers for the text and the label columns alike mean: no header, count from 0)"
            )
        return self.header.index(name)


def read_table(path: str | Path, has_header: bool = True, broken_rows: int = 0) -> Table:
    """The table in a file whose suffix says its format. Blank lines do not count.

    Without a header the columns are called "0", "1", ... Up to `broken_rows` rows with a wrong number of
    columns are skipped and logged; one more is an error.
    Raises UserError for a missing, empty or malformed file.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: the format follows from the suffix, which must be {', '.join(SUFFIXES)}")
    text = _read_text(path)
    if path.suffix.lower() == ".jsonl":
        return _read_jsonl(path, text)
    rows = _read_csv(path, text) if path.suffix.lower() == ".csv" else _read_tsv(text)
    if len(rows) <= has_header:
        raise UserError(f"{path}: the file is empty" + (" but for its header" if rows else ""))
    width = len(rows[0][1])
    header = rows.pop(0)[1] if has_header else tuple(str(i) for i in range(width))
    wrong = [(line, len(values)) for line, values in rows if len(values) != width]
    if len(wrong) > broken_rows:
        line, found = wrong[0]
        like = "the header" if has_header else "the first line"
        raise UserError(f"{path}:{line}: {found} columns, {like} has {width}; {len(wrong)} such line(s) in all")
    if wrong:
        logger.warning("%s: skipped %d broken line(s), the first is line %d", path, len(wrong), wrong[0][0])
    return Table(path, tuple(header), tuple(row for row in rows if len(row[1]) == width))


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read the file: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")  # MRPC's files start with a byte order mark
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from error
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    return text


def _read_tsv(text: str) -> list[tuple[int, tuple]]:
    # Not str.splitlines, which also breaks at U+2028 and others; a quote is an ordinary character here.
    lines = (line[:-1] if line.endswith("\r") else line for line in text.split("\n"))
    return [(number, tuple(line.split("\t"))) for number, line in enumerate(lines, 1) if line]


def _read_csv(path: Path, text: str) -> list[tuple[int, tuple]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, start = [], 1
    try:
        for values in reader:
            if values:
                rows.append((start, tuple(values)))
            start = reader.line_num + 1  # a quoted value may span lines: a row is known by its first one
    except csv.Error as error:
        raise UserError(f"{path}:{start}: not CSV: {error}") from error
    return rows


def _read_jsonl(path: Path, text: str) -> Table:
    header, rows = (), []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise UserError(f'{path}:{number}: a line must be an object such as {{"text": ..., "label": ...}}')
        header = tuple(record) if not rows else header
        rows.append((number, tuple(record.get(name) for name in header)))
    return Table(path, header, tuple(rows))
