"""Passages that answer queries, better or worse: a pair a row, a query a row with all its passages, or triples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ofa_bert.data.readers.objects import Described, Record, at, names_of, number_of, records, text_of, texts_of
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.groups import numbered
from ofa_bert.tasks.kinds.ranking import BINARY, KIND, LISTS, NUMBERS, OF_PAIRS, OF_QUERIES
from ofa_bert.tasks.label_text import readable_number
from ofa_bert.tasks.task import Example, Task

TEXT_COLUMNS = ("query", "passage")
_LABELS = ("label", "score")
_ALL_LABELS = ("labels", "scores")
_TRIPLE = ("query", "positive", "negative")
_KNOWN = {*TEXT_COLUMNS, *_LABELS, *_ALL_LABELS, *_TRIPLE, "passages"}


class Columns(NamedTuple):
    """What the columns of a table of pairs are called; label None: whichever of the usual ones there is."""

    texts: tuple[str, ...] = TEXT_COLUMNS
    label: str | None = None


class Scored(NamedTuple):
    query: str
    passage: str
    label: float


def task_of(path: Path, described: Described, train: Sequence[Example], dev: Sequence[Example]) -> Task:
    """What the labels of the training file are, and whether queries of the development data have several passages."""
    if {"passages", "scores"} <= names_of(_table(path, described)):
        objective = LISTS
    else:
        objective = BINARY if all(example.label in (0, 1) for example in train) else NUMBERS
    several = len({example.group for example in dev}) < len(dev)
    metrics = OF_QUERIES if several else OF_PAIRS[objective]
    texts = _columns(path, described).texts
    return Task(described.task_name or "custom", (), metrics, texts, KIND.name, objective=objective)


def holds(table: Table) -> bool:
    names = names_of(table)
    return {"query", "passages"} <= names or set(_TRIPLE) <= names or set(TEXT_COLUMNS) <= names


def read(path: Path, described: Described) -> tuple[Example, ...]:
    """A row for each pair; those of a query have the same `group`. UserError for a pair without a label."""
    found = list(_rows(_table(path, described), _columns(path, described)))
    if not found:
        raise UserError(f"{path}: no pairs of a query and a passage")
    groups = numbered([row.query for row in found])
    return tuple(Example(row.query, row.passage, row.label, group) for row, group in zip(found, groups))


def _table(path: Path, described: Described) -> Table:
    """MS MARCO's triples are three columns of texts without a header."""
    table = read_table(path)
    named = (
        described.text_columns or described.label_columns or _KNOWN & {name.strip().lower() for name in table.header}
    )
    if path.suffix.lower() != ".tsv" or len(table.header) != len(_TRIPLE) or named:
        return table
    if all(readable_number(str(cells[-1])) is not None for _, cells in table.rows):
        return table  # pairs with labels, whose columns must have names
    return replace(read_table(path, has_header=False), header=_TRIPLE)


def lists(table: Table) -> list[tuple[str, tuple[str, ...]]] | None:
    """(query, passages) of every row of a table that has them so, whatever labels it has; None for another table."""
    if "passages" not in names_of(table):
        return None
    rows = ((record, at(table.path, line)) for line, record in records(table))
    return [(text_of(record, "query", where), texts_of(record, "passages", where)) for record, where in rows]


def _rows(table: Table, columns: Columns) -> Iterator[Scored]:
    names = names_of(table)
    if "passages" in names:
        yield from _listed(table)
    elif set(_TRIPLE) <= names:
        yield from _triples(table)
    else:
        yield from _pairs(table, columns)


def _listed(table: Table) -> Iterator[Scored]:
    for line, record in records(table):
        where = at(table.path, line)
        query, passages = text_of(record, "query", where), texts_of(record, "passages", where)
        name = _one_of(record, _ALL_LABELS, where)
        values = record[name]
        if not isinstance(values, list) or len(values) != len(passages):
            raise UserError(f"{where}: {name!r} must be a list of {len(passages)} numbers, one for each passage")
        for passage, value in zip(passages, values):
            yield Scored(query, passage, number_of(value, name, where))


def _triples(table: Table) -> Iterator[Scored]:
    """Each passage of a query once: MS MARCO repeats the good one beside every bad one."""
    seen: dict[tuple[str, str], float] = {}
    for line, record in records(table):
        query, good, bad = (text_of(record, name, at(table.path, line)) for name in _TRIPLE)
        for passage, label in ((good, 1.0), (bad, 0.0)):
            if seen.setdefault((query, passage), label) != label:
                raise UserError(
                    f"{at(table.path, line)}: {shown(passage)} is good for its query in one row and bad in another"
                )
    yield from (Scored(query, passage, label) for (query, passage), label in seen.items())


def _pairs(table: Table, columns: Columns) -> Iterator[Scored]:
    for name in columns.texts:
        table.column(name)  # which says what there is
    for line, record in records(table):
        where = at(table.path, line)
        query, passage = (text_of(record, name, where) for name in columns.texts)
        name = columns.label or _one_of(record, _LABELS, where)
        yield Scored(query, passage, number_of(record.get(name), name, where))


def _one_of(record: Record, names: Sequence[str], where: str) -> str:
    found = [name for name in names if name in record]
    if len(found) != 1:
        raise UserError(f"{where}: must have one of {' and '.join(names)}; has {', '.join(found) or 'none'}")
    return found[0]


def _columns(path: Path, described: Described) -> Columns:
    texts, labels = described.text_columns, described.label_columns
    if texts is not None and len(texts) != 2:
        raise UserError(f"{path}: text_columns {list(texts)}: give two, of the query and of the passage")
    if labels is not None and len(labels) != 1:
        raise UserError(f"{path}: label_columns {list(labels)}: a pair has one label, so name one column")
    return Columns(tuple(texts or TEXT_COLUMNS), labels[0] if labels else None)
