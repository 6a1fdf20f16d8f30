"""Questions about contexts: SQuAD's JSON, of version 1 or 2, and JSONL with question, context and answers.

PaddleNLP's sets for finding answers (DuReader-robust, CMRC) are SQuAD's JSON too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.readers.objects import Described, at, names_of, records
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_object
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.answers import ALWAYS, DOC_STRIDE, KIND, MAY_LACK
from ofa_bert.tasks.kinds.base import Gold, Golds
from ofa_bert.tasks.task import Example, Task

TEXT_COLUMNS = ("question", "context")
SUFFIX = ".json"
_FIELD = "answers"


def task_of(path: Path, described: Described, train: Sequence[Example], dev: Sequence[Example]) -> Task:
    """Whether questions of the training file lack answers."""
    objective = ALWAYS if all(example.label for example in train) else MAY_LACK
    stride = described.doc_stride or DOC_STRIDE
    name = described.task_name or "custom"
    return Task(name, (), KIND.usual_metrics, TEXT_COLUMNS, KIND.name, objective=objective, doc_stride=stride)


def holds(table: Table) -> bool:
    return bool(table.objects) and {*TEXT_COLUMNS, _FIELD} <= names_of(table)


def read(path: Path, described: Described) -> tuple[Example, ...]:
    if described.text_columns or described.label_columns:
        raise UserError(f"{path}: text_columns and label_columns: files with answers have fields of their own")
    examples = tuple(_squad(path) if path.suffix.lower() == SUFFIX else _lines(path))
    if not examples:
        raise UserError(f"{path}: no questions")
    return examples


def _squad(path: Path) -> Iterator[Example]:
    for article in Fields(read_object(path), str(path)).each("data"):
        for paragraph in article.each("paragraphs"):
            context = whole_characters(paragraph.text("context"))
            for question in paragraph.each("qas"):
                name = question.value.get("id")
                where = f"{path}, question {shown(name)}" if isinstance(name, (str, int)) else question.where
                fields = Fields(question.value, where)
                lacks = fields.switch("is_impossible", default=False)
                yield example_of(fields, "question", context, "answer_start", lacks)


def _lines(path: Path) -> Iterator[Example]:
    table = read_table(path)
    if not holds(table):
        raise UserError(f"{path}: label_kind {KIND.word} is read from SQuAD's .json, or .jsonl with question, context"
                        " and answers")  # fmt: skip
    for line, record in records(table):
        fields = Fields(record, at(path, line))
        yield example_of(fields, "question", whole_characters(fields.text("context")), "start")


def example_of(fields: Fields, asked: str, context: str, start: str, lacks: bool = False) -> Example:
    """The question in the field `asked`, with its answers; `start`: what the place of an answer is called."""
    question = whole_characters(fields.text(asked))
    for name, text in ((asked, question), ("context", context)):
        if not text.strip():
            raise UserError(f"{fields.where}: {name} holds no text: {shown(text)}")
    found = [] if lacks else [_gold(answer, context, start) for answer in fields.each(_FIELD, default=[])]
    return Example(question, context, Golds(found))


def _gold(answer: Fields, context: str, name: str) -> Gold:
    text, start = whole_characters(answer.text("text")), answer.whole(name, least=0)
    there = context[start : start + len(text)]
    if not text or there != text:
        raise UserError(
            f"{answer.where}: text {shown(text)} does not stand at {name} {start} of the context, where"
            f" {shown(there)} stands; places are characters, counted from 0"
        )
    return Gold(text, start)
