"""Questions with choices: JSONL of one's own, SWAG's CSV, COPA's JSONL, and RACE's folders of JSON files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ofa_bert.data.readers.objects import Described, Record, at, names_of, records, text_of, texts_of
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json, read_object
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.choices import KIND
from ofa_bert.tasks.questions import FEWEST, Question
from ofa_bert.tasks.task import Example, Task

TEXT_COLUMNS = ("text", "choices")
_ENDING = re.compile(r"ending\d+")
_COPA = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}  # as its authors ask it
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Asked(NamedTuple):
    """A question and where it stands. answer: the place of the right choice; None where the file does not say it."""

    where: str
    question: Question
    answer: int | None


def task_of(path: Path, described: Described, train: Sequence[Example], dev: Sequence[Example]) -> Task:
    return Task(described.task_name or "custom", (), KIND.usual_metrics, TEXT_COLUMNS, KIND.name)


def holds(table: Table) -> bool:
    return _layout(table) is not None


def read(path: Path, described: Described) -> tuple[Example, ...]:
    """A row for each choice; those of a question have the same `group`. UserError for a question without an answer."""
    if described.text_columns or described.label_columns:
        raise UserError(f"{path}: text_columns and label_columns: files with choices have columns of their own")
    return rows_of(path, _race(path) if path.is_dir() else asked(read_table(path)))


def rows_of(path: Path, every: Iterable[Asked]) -> tuple[Example, ...]:
    examples: list[Example] = []
    for number, (where, question, answer) in enumerate(every):
        if answer is None:
            raise UserError(f"{where}: no answer; `label` is the place of the right choice, from 0, or its text")
        for place, (text, pair) in enumerate(question.rows()):
            examples.append(Example(text, pair, float(place == answer), number))
    if not examples:
        raise UserError(f"{path}: no questions")
    return tuple(examples)


def questions(table: Table) -> list[Question]:
    """Of a table whose answers, if there are any, nobody looks at."""
    return [_layout_of(table)(row, at(table.path, line)) for line, row in records(table)]


def asked(table: Table) -> Iterator[Asked]:
    layout, name = _layout_of(table), "label" if "label" in names_of(table) else "answer"
    for line, row in records(table):
        where = at(table.path, line)
        question = layout(row, where)
        yield Asked(where, question, _answer(row.get(name), question.choices, where))


def _layout_of(table: Table) -> Callable[[Record, str], Question]:
    found = _layout(table)
    if found is None:
        raise UserError(
            f"{table.path}: holds no questions with choices but {shown(sorted(names_of(table)))}; give JSONL with text,"
            " choices and label, SWAG's CSV (sent1, sent2, ending0, ...), or COPA's JSONL (premise, choice1, ...)"
        )
    return found


def _layout(table: Table) -> Callable[[Record, str], Question] | None:
    names = names_of(table)
    if table.objects and set(TEXT_COLUMNS) <= names:
        return _own
    if {"sent1", "ending0", "ending1"} <= names:
        return _swag
    return _copa if {"premise", "choice1", "choice2"} <= names else None


def _own(row: Record, where: str) -> Question:
    asks = text_of(row, "question", where) if row.get("question") else ""
    return Question(text_of(row, "text", where), texts_of(row, "choices", where, FEWEST), asks)


def _swag(row: Record, where: str) -> Question:
    endings = sorted((name for name in row if _ENDING.fullmatch(name)), key=lambda name: int(name[6:]))
    start = row.get("sent2")
    begun = start.strip() if isinstance(start, str) else ""
    return Question(text_of(row, "sent1", where), tuple(text_of(row, name, where) for name in endings), begun)


def _copa(row: Record, where: str) -> Question:
    asks = row.get("question")
    if asks not in _COPA:
        raise UserError(f"{where}: 'question' is {shown(asks)}, must be cause or effect")
    choices = tuple(text_of(row, name, where) for name in ("choice1", "choice2"))
    return Question(text_of(row, "premise", where), choices, _COPA[str(asks)])


def _answer(value: Json, choices: Sequence[str], where: str) -> int | None:
    """The place that a label says: a place, or the text of a choice."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and choices.count(value.strip()) == 1:
        return choices.index(value.strip())
    place = value
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        place = int(value)
    if type(place) is not int or not 0 <= place < len(choices):
        raise UserError(
            f"{where}: label {shown(value)}: must be the text of one choice, or its place, 0 to {len(choices) - 1}"
        )
    return place


def _race(folder: Path) -> Iterator[Asked]:
    """Every question of every article below the folder, files by name."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".json") and path.is_file())
    if not files:
        raise UserError(f"{folder}: holds no .txt or .json files, as RACE's folders do")
    for path in files:
        article = read_object(path)
        asks, answers = texts_of(article, "questions", str(path)), texts_of(article, "answers", str(path))
        options = article.get("options")
        if not isinstance(options, list) or not len(options) == len(asks) == len(answers):
            raise UserError(f"{path}: must have as many lists of options as questions and answers")
        for place, (question, letter) in enumerate(zip(asks, answers)):
            where = f"{path}, question {place}"
            choices = texts_of({"options": options[place]}, "options", where, FEWEST)
            if len(letter) != 1 or letter not in _LETTERS[: len(choices)]:
                raise UserError(f"{where}: answer {shown(letter)}: must be a letter, A to {_LETTERS[len(choices) - 1]}")
            yield Asked(where, Question(text_of(article, "article", where), choices, question), _LETTERS.index(letter))
