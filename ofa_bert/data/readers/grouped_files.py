"""Files whose examples have several rows, by the kind of their task: which they are, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ofa_bert.data.dev_split import split_dev
from ofa_bert.data.readers import answers_files, choices_files, ranking_files
from ofa_bert.data.readers.objects import Described
from ofa_bert.data.table_files import SUFFIXES, Table
from ofa_bert.tasks.kinds import answers, choices, ranking
from ofa_bert.tasks.kinds.base import TaskKind
from ofa_bert.tasks.task import Datasets, Example, Task

Rows = tuple[Example, ...]


class GroupedReader(NamedTuple):
    """How the files of a kind are known and read.

    folders: whether a folder is one. suffix: of files that are nothing else. holds: whether a table is one. read: its
    rows. task: of train's path and rows and of dev's rows.
    """

    kind: TaskKind
    folders: bool
    holds: Callable[[Table], bool]
    read: Callable[[Path, Described], Rows]
    task: Callable[[Path, Described, Rows, Rows], Task]
    suffix: str = ""


READERS = (
    GroupedReader(choices.KIND, True, choices_files.holds, choices_files.read, choices_files.task_of),
    GroupedReader(ranking.KIND, False, ranking_files.holds, ranking_files.read, ranking_files.task_of),
    GroupedReader(
        answers.KIND, False, answers_files.holds, answers_files.read, answers_files.task_of, answers_files.SUFFIX
    ),
)


def reader_named(path: str | Path, word: str | None) -> GroupedReader | None:
    """For what `label_kind` names, a folder or a suffix; None where the columns of a file decide, or another kind."""
    suffix = Path(path).suffix.lower()
    folder = Path(path).is_dir() and suffix not in SUFFIXES

    def is_for(reader: GroupedReader) -> bool:
        return word is None and (
            (folder and reader.folders) or (not folder and suffix != "" and suffix == reader.suffix)
        )

    return next((each for each in READERS if each.kind.word == word or is_for(each)), None)


def reader_of(table: Table) -> GroupedReader | None:
    """For a table with these columns; None for an ordinary one."""
    return next((each for each in READERS if each.holds(table)), None)


def read_grouped_files(
    reader: GroupedReader, files: Sequence[str | Path | None], dev_share: float | None, described: Described
) -> Datasets:
    """Train and dev; without the second file, `dev_share` of the examples of train are dev."""
    path = Path(str(files[0]))
    train = reader.read(path, described)
    if files[1] is None:
        task = reader.task(path, described, train, train)
        rest, held = split_dev(train, dev_share or 0.0, task, path)
        return Datasets(task, rest, {"dev": held})
    dev = reader.read(Path(files[1]), described)
    return Datasets(reader.task(path, described, train, dev), train, {"dev": dev})


def read_grouped_file(
    reader: GroupedReader, path: str | Path, known: Task | None, described: Described
) -> tuple[Task, Rows]:
    """One labelled file, for a task that is known or for what the file itself says."""
    rows = reader.read(Path(path), described)
    return known or reader.task(Path(path), described, rows, rows), rows
