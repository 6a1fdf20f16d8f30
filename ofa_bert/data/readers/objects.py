"""What a row of a table says by name, whichever format the table has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.table_files import Table
from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json, parse_json
from ofa_bert.reporting import shown
from ofa_bert.tasks.label_text import readable_number

Record = Mapping[str, Json]


class Described(NamedTuple):
    """What the arguments say of files."""

    task_name: str | None
    text_columns: Sequence[str] | None
    label_columns: Sequence[str] | None
    doc_stride: int | None = None


def names_of(table: Table) -> frozenset[str]:
    """The columns, or every key of a JSONL file."""
    return frozenset(table.keys) if table.objects else frozenset(table.header)


def records(table: Table) -> Iterator[tuple[int, Record]]:
    """(line, values by name) of every row; of JSONL each row has its own names."""
    for place, (line, cells) in enumerate(table.rows):
        if table.objects:
            found = parse_json(table.objects[place])
            assert isinstance(found, dict)  # as `read_table` has seen
            yield line, found
        else:
            yield line, dict(zip(table.header, cells))


def text_of(record: Record, name: str, where: str) -> str:
    """A text, without blanks around it; `where` begins the message of a UserError for anything else."""
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {name!r} holds no text: {shown(value)}")
    return whole_characters(value).strip()


def texts_of(record: Record, name: str, where: str, least: int = 1) -> tuple[str, ...]:
    """A list of texts."""
    value = record.get(name)
    found = value if isinstance(value, list) else []
    if len(found) < least or not all(isinstance(item, str) and item.strip() for item in found):
        raise UserError(f"{where}: {name!r} must be a list of {least} texts or more, is {shown(value)}")
    return tuple(whole_characters(str(item)).strip() for item in found)


def number_of(value: Json, name: str, where: str) -> float:
    """A finite number, as JSON has it or as a text that is one."""
    number: float | None = None
    if isinstance(value, (bool, int, float)):
        number = readable_number(repr(float(value)))
    elif isinstance(value, str):
        number = readable_number(value.strip())
    if number is None:
        raise UserError(f"{where}: {name!r} holds {shown(value)}, must be a finite number")
    return number


def at(path: Path, line: int) -> str:
    return f"{path}:{line}"
