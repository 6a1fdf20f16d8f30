"""SuperGLUE's official files: train.jsonl and val.jsonl of a task's directory.

WiC and WSC ask about words that stand at given places. These words are marked in the text: WiC's word with
underscores in both sentences, WSC's name with underscores and its pronoun with brackets, as RoBERTa's authors do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ofa_bert.data.file_text import whole_characters
from ofa_bert.data.readers import choices_files
from ofa_bert.data.readers.answers_files import example_of
from ofa_bert.data.readers.objects import Record, at, records, text_of
from ofa_bert.data.table_files import Table, read_table
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import Json
from ofa_bert.reporting import shown
from ofa_bert.tasks.task import Datasets, Example, Task

TRAIN, DEV = "train.jsonl", "val.jsonl"
_CURE = "take SuperGLUE's official files"
_WINOGRAD_MARKS = {1: ("_", "_"), 2: ("[", "]")}  # of the name, of the pronoun
Pair = tuple[str, str | None]


def has_superglue_files(directory: Path) -> bool:
    return (directory / TRAIN).is_file()


def read_superglue_files(task: Task, directory: Path) -> Datasets:
    """UserError for files that are missing or of another task."""
    missing = [name for name in (TRAIN, DEV) if not (directory / name).is_file()]
    if missing:
        raise UserError(f"{directory}: no {', '.join(missing)}; data_dir holds SuperGLUE's files of {task.name}")
    train, dev = (_READERS[task.name](task, read_table(directory / name)) for name in (TRAIN, DEV))
    return Datasets(task, train, {"dev": dev})


def _labelled(texts: Callable[[Record, str, Task], Pair]) -> Callable[[Task, Table], tuple[Example, ...]]:
    def read(task: Task, table: Table) -> tuple[Example, ...]:
        found = []
        for line, row in records(table):
            where = at(table.path, line)
            first, second = texts(row, where, task)
            found.append(Example(first, second, _label(row.get("label"), task, where)))
        return tuple(found)

    return read


def _label(value: Json, task: Task, where: str) -> int:
    label = str(value).lower() if isinstance(value, bool) else value
    if label not in task.labels:
        raise UserError(f"{where}: label {shown(value)}: task {task.name} has {', '.join(task.labels)}")
    return task.labels.index(str(label))


def _columns(row: Record, where: str, task: Task) -> Pair:
    first, second = (text_of(row, name, where) for name in task.text_columns)
    return first, second


def _words_in_context(row: Record, where: str, task: Task) -> Pair:
    fields, marked = Fields(row, where, _CURE), []
    for number in (1, 2):
        sentence = fields.text(f"sentence{number}")
        start, end = fields.whole(f"start{number}", least=0), fields.whole(f"end{number}", least=1)
        if not start < end <= len(sentence):
            fields.wrong(f"end{number}", f"above start{number}, at most the {len(sentence)} characters of the sentence")
        marked.append(whole_characters(f"{sentence[:start]}_{sentence[start:end]}_{sentence[end:]}"))
    return marked[0], marked[1]


def _winograd(row: Record, where: str, task: Task) -> Pair:
    fields = Fields(row, where, _CURE)
    words, target = fields.text("text").split(), fields.inner("target")
    for number, (before, behind) in _WINOGRAD_MARKS.items():
        start, span = target.whole(f"span{number}_index", least=0), target.text(f"span{number}_text").split()
        last = start + len(span) - 1
        if not start <= last < len(words):
            target.wrong(f"span{number}_index", f"that of a word of the text, which has {len(words)}")
        words[start] = before + words[start]
        words[last] = _closed(words[last], span[-1], behind)
    return whole_characters(" ".join(words)), None


def _closed(word: str, span: str, mark: str) -> str:
    """The mark behind the word that was meant, before a comma that follows it."""
    end = word.rfind(span) + len(span) if span in word else len(word)
    return word[:end] + mark + word[end:]


def _choices(task: Task, table: Table) -> tuple[Example, ...]:
    return choices_files.rows_of(table.path, choices_files.asked(table))


def _answers(task: Task, table: Table) -> tuple[Example, ...]:
    """MultiRC: a row for each answer, the paragraph beside the question and the answer; a question is an example."""
    found: list[Example] = []
    for number, (paragraph, question) in enumerate(_questions(table)):
        for answer in question.each("answers"):
            asked = f"{question.text('question').strip()} {answer.text('text').strip()}"
            label = float(answer.whole("label", 0, 1))
            found.append(Example(paragraph, whole_characters(asked), label, number))
    return tuple(found)


def _questions(table: Table) -> Iterator[tuple[str, Fields]]:
    """(paragraph, question) of every question."""
    for line, row in records(table):
        passage = Fields(row, at(table.path, line), _CURE).inner("passage")
        for question in passage.each("questions"):
            yield whole_characters(passage.text("text").strip()), question


def _clozes(task: Task, table: Table) -> tuple[Example, ...]:
    """ReCoRD: a sentence with @placeholder is the question, and a name in its passage the answer.

    Its passage.entities are not read: a model finds any part of the passage.
    """
    found: list[Example] = []
    for line, row in records(table):
        fields = Fields(row, at(table.path, line), _CURE)
        context = whole_characters(fields.inner("passage").text("text"))
        for asked in fields.each("qas"):
            found.append(example_of(asked, "query", context, "start"))
            if not found[-1].label:
                asked.wrong("answers", "a list of one or more")
    return tuple(found)


_READERS: dict[str, Callable[[Task, Table], tuple[Example, ...]]] = {
    "boolq": _labelled(_columns),
    "cb": _labelled(_columns),
    "copa": _choices,
    "multirc": _answers,
    "record": _clozes,
    "rte": _labelled(_columns),
    "wic": _labelled(_words_in_context),
    "wsc": _labelled(_winograd),
}
