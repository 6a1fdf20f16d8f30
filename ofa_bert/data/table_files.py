"""Reads a TSV, CSV or JSONL file into a table; every fault is one message with the file and the line."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ofa_bert.data.file_text import ends_in_carriage_returns, read_text, whole_characters
from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json, parse_json

logger = logging.getLogger(__name__)

# The values of a row; only JSONL has values that are not text.
Cells: TypeAlias = tuple[Json, ...]
TextRow: TypeAlias = tuple[int, tuple[str, ...]]  # with its line in the file

SUFFIXES = (".tsv", ".csv", ".jsonl")
_BLANK: tuple[str, ...] = ()  # an empty line, which is not the same as a quoted empty value
_LONGEST_HEADER = 1 << 16  # characters in which semicolons are looked for
_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


@dataclass(frozen=True)
class Table:
    """`rows`: (line in the file, one value per name of `header`)."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, Cells], ...]
    has_header: bool = True
    separator: str = ""  # between the columns of TSV and CSV
    objects: tuple[str, ...] = ()  # JSONL: each row as it stands in the file
    keys: Mapping[str, int] = field(
        default_factory=dict
    )  # JSONL: of all rows, each with the line where it stands first

    def column(self, name: str) -> int:
        """Position of a column. Raises UserError that lists the columns there are."""
        if self.header.count(name) != 1:
            fault = "no" if name not in self.header else "more than one"
            raise UserError(
                f"{self.path}: {fault} column {name!r}; the file has {', '.join(map(repr, self.header))}"
                f"{self._cure(name)} (whole numbers for the text and the label columns alike mean: no header, "
                "count from 0)"
            )
        return self.header.index(name)

    def other_separator(self) -> str:
        """What to say when the only column begins with other separators than the format's."""
        if self.objects or len(self.header) != 1:
            return ""
        start = self.header[0] if self.has_header else str(self.rows[0][1][0])
        for separator, called in _SEPARATORS.items():
            if separator in start and separator != self.separator:
                suffix = ".tsv" if separator == "\t" else ".csv"
                cure = "give it a header" if suffix == self.path.suffix.lower() else f"name it {suffix}"
                return f"; they look separated by {called}: {cure}"
        return ""

    def _cure(self, name: str) -> str:
        near = [known for known in self.header if known != name and known.strip().lower() == name.strip().lower()]
        return f"; name it as the file does, {near[0]!r}" if near else self.other_separator()


def read_table(path: str | Path, has_header: bool = True, broken_rows: int = 0) -> Table:
    r"""The table in a file whose suffix says its format.

    Lines end in \n, \r\n or, where a file has nothing else, \r. A .csv whose header is separated by semicolons is
    read so. Blank lines do not count, but in a table of one column they are rows with an empty text.
    JSON can escape half of a surrogate pair ("\ud83d", an emoji cut in two), which is no character: UTF-8, tokenizers
    and output files cannot hold it. Wherever it stands, it is read as U+FFFD and logged: one rule for training, export,
    prediction and `Predictor`.
    Without a header the columns are called "0", "1", ... Up to `broken_rows` rows with a wrong number of
    columns are skipped and logged; one more is an error.
    Raises UserError for a missing, empty or malformed file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: the format follows from the suffix, which must be {', '.join(SUFFIXES)}")
    text = read_text(path)
    if suffix == ".jsonl":
        return _read_jsonl(path, text)
    separator = "\t" if suffix == ".tsv" else _separator_of_csv(path, text) if has_header else ","
    rows = _read_tsv(text) if suffix == ".tsv" else _read_csv(path, text, separator)
    place, first = next((place, values) for place, (_, values) in enumerate(rows) if values)
    width = len(first)
    if has_header:
        _check_header(path, first)
        rows = rows[place + 1 :]
    rows = [(line, values or ("",)) for line, values in rows if values or width == 1]
    if not rows:
        raise UserError(f"{path}: the file is empty but for its header")
    header = first if has_header else tuple(map(str, range(width)))
    whole = _whole_rows(path, rows, width, has_header, broken_rows, separator)
    return Table(path, header, whole, has_header, separator)


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    if path.suffix.lower() == ".tsv" and any("\r" in name for name in header):
        raise UserError(
            f"{path}:1: a carriage return inside the header: some lines end in \\r and some in \\n; "
            "save the file with one kind of line end"
        )


def _whole_rows(
    path: Path, rows: Sequence[TextRow], width: int, has_header: bool, broken_rows: int, separator: str
) -> tuple[TextRow, ...]:
    """The rows of the right width; UserError for more than `broken_rows` others."""
    wrong = [(line, values) for line, values in rows if len(values) != width]
    if len(wrong) > broken_rows:
        line, values = wrong[0]
        found = len(values)
        like = "the header" if has_header else "the first line"
        how = " (separated by semicolons)" if separator == ";" else ""
        mixed = path.suffix.lower() == ".tsv" and any("\r" in value for value in values)
        cure = "; a carriage return stands inside it: save the file with one kind of line end" if mixed else ""
        raise UserError(
            f"{path}:{line}: {found} columns, {like} has {width}{how}; {len(wrong)} such line(s) in all{cure}"
        )
    if wrong:
        logger.warning("%s: skipped %d broken line(s), the first is line %d", path, len(wrong), wrong[0][0])
    return tuple(row for row in rows if len(row[1]) == width)


def lines_of(text: str) -> list[str]:
    # Not str.splitlines, which also breaks at U+2028 and others.
    if ends_in_carriage_returns(text):
        lines = text.split("\r")
    else:
        lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]  # the end of the last line begins no other


def _read_tsv(text: str) -> list[TextRow]:
    # A quote is an ordinary character here.
    return [(number, tuple(line.split("\t")) if line else _BLANK) for number, line in enumerate(lines_of(text), 1)]


def _separator_of_csv(path: Path, text: str) -> str:
    """A semicolon when the header has some outside of quotes and no comma: so spreadsheets write in half of Europe."""
    header = re.match(r'[\r\n]*((?:[^"\r\n]+|"[^"]*"|")*)', text[:_LONGEST_HEADER])
    bare = re.sub(r'"[^"]*"', "", header[1] if header else "")
    if ";" not in bare or "," in bare:
        return ","
    logger.info("%s: columns are separated by semicolons", path)
    return ";"


def _read_csv(path: Path, text: str, separator: str) -> list[TextRow]:
    if csv.field_size_limit() < len(text):  # only ever raised: another thread may be reading
        csv.field_size_limit(len(text))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    rows: list[TextRow] = []
    start = 1
    try:
        for values in reader:
            rows.append((start, tuple(values)))
            start = reader.line_num + 1  # a quoted value may span lines: a row is known by its first one
    except csv.Error as error:
        raise UserError(f"{path}:{start}: not CSV: {error}") from error
    return rows


class _Doubled(dict[str, Json]):
    """An object in which keys stand twice: `twice` is the first of them."""

    twice = ""


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    doubled, counts = _Doubled(pairs), Counter(key for key, _ in pairs)
    doubled.twice = next(key for key in record if counts[key] > 1)
    return doubled


def _read_jsonl(path: Path, text: str) -> Table:
    keys: dict[str, int] = {}
    header: tuple[str, ...] = ()
    rows: list[tuple[int, Cells]] = []
    objects: list[str] = []
    halves: list[int] = []
    for number, line in enumerate(lines_of(text), 1):
        line = line.strip()
        if not line:
            continue
        record = _record(path, number, line)
        if "\\ud" in line or "\\uD" in line:  # nothing else makes half of a pair
            lists = [item for value in record.values() if isinstance(value, list) for item in value]
            texts = [text for text in (*record, *record.values(), *lists) if isinstance(text, str)]
            halves += [number] * sum(text != whole_characters(text) for text in texts)
            record = {whole_characters(key): _whole(value) for key, value in record.items()}
        for key in record:
            keys.setdefault(key, number)
        header = tuple(record) if not rows else header
        rows.append((number, tuple(record.get(name) for name in header)))
        objects.append(line)
    if halves:
        logger.warning(
            "%s: %d value(s) hold half of a surrogate pair, the first in line %d; read as U+FFFD",
            path, len(halves), halves[0],
        )  # fmt: skip
    return Table(path, header, tuple(rows), objects=tuple(objects), keys=keys)


def _record(path: Path, number: int, line: str) -> dict[str, Json]:
    try:
        record = parse_json(line, pairs=_object)
    except ValueError as error:
        raise UserError(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(record, dict):
        raise UserError(f'{path}:{number}: a line must be an object such as {{"text": ..., "label": ...}}')
    if isinstance(record, _Doubled):
        raise UserError(f"{path}:{number}: key {record.twice!r} twice in one object; which value counts? Keep one")
    return record


def _whole(value: Json) -> Json:
    if isinstance(value, list):
        return [whole_characters(item) if isinstance(item, str) else item for item in value]
    return whole_characters(value) if isinstance(value, str) else value
