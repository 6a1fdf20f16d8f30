"""A trace from a CSV, TSV or JSONL file: a column `seconds`, and `length` and `priority` where there are such."""

from __future__ import annotations

import math

import numpy as np

from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json
from ofa_bert.load.traces import MOST_REQUESTS, Trace
from ofa_bert.reporting import shown

_MOST_SECONDS, _MOST_LENGTH, _MOST_PRIORITY = 1e8, 1 << 20, 1000


def read_trace(path: str, length: int) -> Trace:
    """Its requests by time, the first one at 0; those without a length have this one. UserError for a bad file."""
    table = read_table(path)
    if not 0 < len(table.rows) <= MOST_REQUESTS:
        raise UserError(f"{path}: has {len(table.rows)} requests, must have 1 to {MOST_REQUESTS}")
    seconds = np.asarray(_column(table, "seconds", 0, _MOST_SECONDS))
    lengths = np.asarray(_whole(table, "length", 1, _MOST_LENGTH, length), np.int64)
    priorities = np.asarray(_whole(table, "priority", -_MOST_PRIORITY, _MOST_PRIORITY, 0), np.int64)
    order = np.argsort(seconds, kind="stable")
    return Trace(seconds[order] - seconds.min(), lengths[order], priorities[order])


def _whole(table: Table, name: str, least: int, most: int, default: int) -> list[int]:
    if name not in table.header:
        return [default] * len(table.rows)
    found = _column(table, name, least, most)
    for (line, cells), value in zip(table.rows, found):
        if value != int(value):
            raise UserError(f"{table.path}, line {line}: {name} is {shown(_cell(table, cells, name))}, must be whole")
    return [int(value) for value in found]


def _column(table: Table, name: str, least: float, most: float) -> list[float]:
    found = []
    for line, cells in table.rows:
        cell = _cell(table, cells, name)
        try:
            value = math.nan if isinstance(cell, (bool, list, dict)) or cell is None else float(cell)
        except (ValueError, OverflowError):
            value = math.nan
        if not least <= value <= most:
            wanted = f"must be a number from {least:g} to {most:g}"
            raise UserError(f"{table.path}, line {line}: {name} is {shown(cell)}, {wanted}")
        found.append(value)
    return found


def _cell(table: Table, cells: tuple[Json, ...], name: str) -> Json:
    return cells[table.column(name)]
