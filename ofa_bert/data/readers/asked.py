"""What a table asks of a model whose examples have several rows, and what its new columns are then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ofa_bert.data.readers import choices_files, ranking_files
from ofa_bert.data.table_files import Table
from ofa_bert.data.table_writers import NewCells
from ofa_bert.tasks.questions import Question
from ofa_bert.tasks.task import Task

VALUES, ORDER = "predicted_values", "predicted_order"


class Asked(NamedTuple):
    """items: for a Predictor. columns: the new ones. cells: of the table's rows, from those of every item."""

    items: Sequence[Question | tuple[str, str]]
    columns: Sequence[str]
    cells: Callable[[Sequence[NewCells]], list[NewCells]]


def asked_of(task: Task | None, table: Table) -> Asked | None:
    """None where a row is a text or a pair of texts."""
    if task is None or not task.kind.grouped or task.kind.windowed:
        return None
    if task.kind.together:
        return Asked(choices_files.questions(table), task.kind.columns, list)
    queries = ranking_files.lists(table)
    if queries is None:
        return None
    pairs = [(query, passage) for query, passages in queries for passage in passages]
    counts, (value,) = [len(passages) for _, passages in queries], task.kind.columns
    return Asked(pairs, (VALUES, ORDER), lambda cells: _by_query([cell[value] for cell in cells], counts))


def _by_query(values: Sequence[object], counts: Sequence[int]) -> list[NewCells]:
    """The values of each query's passages as they stand there, and their places, the best first."""
    found: list[NewCells] = []
    start = 0
    for count in counts:
        own = [float(str(value)) for value in values[start : start + count]]
        order = sorted(range(count), key=lambda place: -own[place])
        found.append({VALUES: own, ORDER: order})
        start += count
    return found
