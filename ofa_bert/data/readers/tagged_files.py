"""Your own files whose words have tags, or whose texts have labelled parts.

CoNLL: a word a line, sentences between blank lines. JSONL: {"tokens": [...], "tags": [...]}, or {"text": ...,
"entities": [{"start": 0, "end": 3, "label": "PER"}]}, in characters. PaddleNLP's .tsv: characters and tags with \\x02
between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeGuard

from ofa_bert.data.file_text import read_text, whole_characters
from ofa_bert.data.readers.tags import Part, how_written, joined, parts_of
from ofa_bert.data.table_files import Table, lines_of, read_table
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import Json
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.base import LabelColumns, Said
from ofa_bert.tasks.kinds.tokens import KIND, tags_of
from ofa_bert.tasks.task import Example, Task

CONLL = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".bilou", ".bmes")
_TEXT = ".txt"  # CoNLL as well, if the first word has a tag
_BETWEEN = "\x02"  # characters, and tags, in PaddleNLP's files
_WORDS, _TAGS = ("tokens", "words"), ("tags", "ner_tags", "labels", "label")
_TEXTS, _PARTS = ("text", "sentence"), ("entities", "spans", "labels", "label")
_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")


class Tagged(NamedTuple):
    """A text of a file, as of `TaskKind.said`, and the line that it begins in."""

    line: int
    text: str
    said: Said


class TaggedFile(NamedTuple):
    path: Path
    rows: list[Tagged]
    text_column: str  # where a file to predict has its texts
    label_column: str

    @property
    def columns(self) -> LabelColumns:
        return LabelColumns(self.path, (self.label_column,))


def holds_tags(path: str | Path, label_kind: str | None, label_columns: Sequence[str] | None) -> bool:
    """Whether a file is one of these: as `label_kind` says, else by its suffix, or by its first row."""
    suffix = Path(path).suffix.lower()
    if label_kind is not None:
        return label_kind == KIND.word
    if suffix in CONLL:
        return True
    if suffix == _TEXT:
        return _begins_with_tag(read_text(Path(path)))
    if suffix == ".tsv":
        return _BETWEEN in read_text(Path(path))
    return suffix == ".jsonl" and _says_parts(read_table(path), label_columns)


def _begins_with_tag(content: str) -> bool:
    lines = (line.split() for line in lines_of(content) if line.strip() and not line.startswith("-DOCSTART-"))
    first = next(lines, [])
    try:
        return len(first) > 1 and bool(how_written(first[-1:])(first[-1]))
    except ValueError:
        return False


def _says_parts(table: Table, label_columns: Sequence[str] | None) -> bool:
    first = dict(zip(table.header, table.rows[0][1]))
    if any(_are_texts(first.get(name)) and first.get(name) for name in _WORDS):
        return any(name in first for name in (label_columns or _TAGS))
    found = [first.get(name) for name in (label_columns or _PARTS)]
    return any(isinstance(value, list) and value and isinstance(value[0], dict) for value in found)


def read_tagged(
    path: str | Path, text_columns: Sequence[str] | None, label_columns: Sequence[str] | None
) -> TaggedFile:
    """UserError, with file and line, for whatever is wrong with it."""
    path = Path(path)
    for name, columns in (("text_columns", text_columns), ("label_column", label_columns)):
        if columns and len(columns) > 1:
            raise UserError(f"{name} {' '.join(columns)}: words and tags stand in one column each; name one")
    text, label = (columns[0] if columns else None for columns in (text_columns, label_columns))
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return _of_table(read_table(path), text, label)
    if suffix not in (".tsv", _TEXT, *CONLL):
        known = ", ".join((*CONLL, _TEXT))
        raise UserError(
            f"{path}: label_kind {KIND.word} is read from CoNLL files ({known} or .tsv), .jsonl, and PaddleNLP's .tsv"
        )
    content = read_text(path)
    rows = list(_paddlenlp(path, content) if _BETWEEN in content else _conll(path, content, text, label))
    if not rows:
        raise UserError(f"{path}: no examples")
    return TaggedFile(path, rows, "text", label or "label")


def tagged_examples(file: TaggedFile, task: Task) -> tuple[Example, ...]:
    if not any(row.text.strip() for row in file.rows):
        raise UserError(f"{file.path}: no words: every text is empty")
    read, examples = KIND.reader(task.labels, task.name), []
    for row in file.rows:
        try:
            examples.append(Example(row.text, None, read(row.said)))
        except ValueError as error:
            raise UserError(f"{file.path}:{row.line}: {error}") from error
    return tuple(examples)


def tagged_task(file: TaggedFile, labels: Sequence[str] | None, name: str) -> Task:
    """The task of a training file; labels: of its parts, in their order, or the tags that they make."""
    if labels is None:
        found = KIND.find_labels(file.columns, [(row.line, row.said) for row in file.rows], guessed=False)
    else:
        found = tuple(labels) if KIND.fits(labels) else tags_of(labels)
    return Task(name, found, KIND.usual_metrics, (file.text_column,), KIND.name)


def _of_table(table: Table, text: str | None, label: str | None) -> TaggedFile:
    known = (*table.header, *table.keys)
    words = text or next((name for name in _WORDS if name in known), None)
    first = table.rows[0][1][table.column(words)] if words else None
    if words and isinstance(first, list):
        label = label or next((name for name in _TAGS if name in known), _TAGS[0])
        rows = _from_lists(table, words, label)
        return TaggedFile(table.path, rows, "text", label)
    text = text or next((name for name in _TEXTS if name in known), _TEXTS[0])
    label = label or next((name for name in _PARTS if name in known), _PARTS[0])
    return TaggedFile(table.path, _from_spans(table, text, label), text, label)


def _from_lists(table: Table, words: str, label: str) -> list[Tagged]:
    places, found = (table.column(words), table.column(label)), []
    for line, row in table.rows:
        said, tags = (row[place] for place in places)
        where = f"{table.path}:{line}"
        if not _are_texts(said) or not _are_texts(tags):
            raise UserError(
                f'{where}: {words!r} and {label!r} must be lists of texts, such as ["Ada"] and ["B-PER"]; they are'
                f" {shown(said)} and {shown(tags)}"
            )
        found.append((line, said, tags))
    return list(_tagged(table.path, found))


def _from_spans(table: Table, text: str, label: str) -> list[Tagged]:
    places, found = (table.column(text), table.column(label)), []
    for line, row in table.rows:
        content, parts = (row[place] for place in places)
        where = f"{table.path}:{line}"
        if not isinstance(content, str):
            raise UserError(f"{where}: column {text!r} holds no text: {shown(content)}")
        if not isinstance(parts, list):
            raise UserError(
                f"{where}: column {label!r} is {shown(parts)}, must be a list of parts such as"
                ' [{"start": 0, "end": 3, "label": "PER"}]'
            )
        read = sorted(_part(each, content, f"{where}: {label}[{place}]") for place, each in enumerate(parts))
        for one, other in pairwise(read):
            if other.start < one.end:
                raise UserError(f"{where}: two parts overlap, {shown(one.said())} and {shown(other.said())}; keep one")
        found.append(Tagged(line, content, tuple(part.said() for part in read)))
    return found


def _part(value: Json, text: str, where: str) -> Part:
    fields = Fields(value, where, "parts have start and end, in characters of the text, and label")
    start = fields.whole("start", 0, len(text))
    end = fields.whole("end", 0, len(text))
    name = whole_characters(fields.text("label"))
    if start >= end:
        fields.wrong("end", f"behind start {start}")
    if not name.strip():
        fields.wrong("label", "a name")
    return Part(start, end, name.strip())


def _are_texts(value: Json) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


Sentence = tuple[int, Sequence[str], Sequence[str]]  # line, words, tags


def _tagged(path: Path, sentences: Sequence[Sentence], blank: bool = True) -> Iterator[Tagged]:
    cut = how_written(tag for _, _, tags in sentences for tag in tags)
    for line, words, tags in sentences:
        if len(words) != len(tags):
            raise UserError(f"{path}:{line}: {len(words)} words and {len(tags)} tags; each word has one")
        text, spans = joined(words, blank)
        try:
            parts = parts_of(tags, spans, cut)
        except ValueError as error:
            raise UserError(f"{path}:{line}: {error}") from error
        yield Tagged(line, text, tuple(part.said() for part in parts))


def _paddlenlp(path: Path, content: str) -> Iterator[Tagged]:
    sentences = []
    for number, line in enumerate(lines_of(content), 1):
        cells = line.split("\t")
        if not line.strip() or (number == 1 and _BETWEEN not in line):  # a header: text_a, label
            continue
        if len(cells) != 2:
            raise UserError(f"{path}:{number}: {len(cells)} columns; PaddleNLP's format has two, characters and tags")
        sentences.append((number, cells[0].split(_BETWEEN), cells[1].split(_BETWEEN)))
    return _tagged(path, sentences, blank=False)


def _conll(path: Path, content: str, text: str | None, label: str | None) -> Iterator[Tagged]:
    header: list[str] = []
    sentences: list[tuple[int, list[str], list[str]]] = []
    begun = False
    tags_at: list[int] = []  # the line of each tag, for messages
    for number, line in enumerate(lines_of(content), 1):
        named = _COLUMNS.fullmatch(line.strip())
        if named:
            header = named[1].split()
        if not line.strip() or line.startswith("-DOCSTART-"):
            begun = False
            continue
        if named or (header and line.startswith("#")):
            continue
        cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
        word, tag = (
            _cell(f"{path}:{number}", cells, header, name, default) for name, default in ((text, 0), (label, -1))
        )
        if not begun:
            sentences.append((number, [], []))
            begun = True
        sentences[-1][1].append(word)
        sentences[-1][2].append(tag)
        tags_at.append(number)
    _check_tags(path, sentences, tags_at)
    return _tagged(path, sentences)


def _check_tags(path: Path, sentences: Sequence[Sentence], lines: Sequence[int]) -> None:
    """UserError with the very line: a sentence has many."""
    tags = [tag for _, _, own in sentences for tag in own]
    cut = how_written(tags)
    for line, tag in zip(lines, tags):
        try:
            cut(tag)
        except ValueError as error:
            raise UserError(f"{path}:{line}: {error}") from error


def _cell(where: str, cells: Sequence[str], header: Sequence[str], name: str | None, default: int) -> str:
    """A word or a tag of a line. Columns are numbers from 0, or names of a line # global.columns = FORM NER."""
    place = default
    if name is not None and name in header:
        place = header.index(name)
    elif name is not None and name.isdecimal():
        place = int(name)
    elif name is not None:
        known = f"the columns {', '.join(header)}" if header else "no line # global.columns = ... with names"
        raise UserError(f"{where}: no column {name!r}: the file has {known}; or count columns from 0")
    if len(cells) < 2 or place >= len(cells):
        raise UserError(
            f"{where}: {len(cells)} column(s) in {shown(' '.join(cells))}; a word and its tag are wanted"
            + (f", in column {place} as well" if place >= len(cells) else "")
        )
    return whole_characters(cells[place].strip())
