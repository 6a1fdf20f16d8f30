"""Parts of a text with a name, such as persons and places: every word has a tag, and tags make parts.

The labels are O, and B-<name> and I-<name> of each name side by side: tag 1 + 2 k begins a part of name k, the next
one goes on with it. Files may write their tags otherwise (see data/readers/tags.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.numerics import Array, Floats, log_softmax
from ofa_bert.tasks.heads import TAGS
from ofa_bert.tasks.kinds import classification
from ofa_bert.tasks.kinds.base import (
    Answer,
    Entity,
    Label,
    LabelColumns,
    Said,
    Span,
    Spans,
    TaskKind,
    Values,
    Words,
    another_kind,
)
from ofa_bert.tasks.label_text import counted, in_order, unknown

OUTSIDE, BEGINS, GOES_ON = "O", "B-", "I-"
IGNORED = -100  # among tags: of tokens that count for nothing, as padding, special tokens and later pieces of a word
_WORD = classification.KIND  # a word is one of several classes


def tags_of(names: Sequence[str]) -> tuple[str, ...]:
    """The labels of a task that finds parts with these names."""
    return (OUTSIDE, *(begin + name for name in names for begin in (BEGINS, GOES_ON)))


def names_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The names in the labels of such a task: the inverse of `tags_of`."""
    return tuple(label.removeprefix(BEGINS) for label in labels[1::2])


def parts(tags: Sequence[int] | Array) -> list[tuple[int, int, int]]:
    """(first word, word behind the last one, number of the name) of every part that tags of words make.

    A tag that goes on with nothing begins a part, as in CoNLL's own evaluation and in seqeval.
    """
    found: list[tuple[int, int, int]] = []
    open_name = -1
    for place, tag in enumerate(map(int, tags)):
        name = (tag - 1) // 2 if tag else -1
        if name >= 0 and (tag % 2 or name != open_name):
            found.append((place, place + 1, name))
        elif name >= 0:
            found[-1] = (found[-1][0], place + 1, name)
        open_name = name
    return found


# Metrics get the predicted tags [M] of the words of all texts, and for each its true tag and its text: [M, 2].


def _by_text(predictions: Array, labels: Array) -> tuple[list[list[str]], list[list[str]]]:
    """True and predicted tags of each text, as seqeval takes them; names are told apart by their numbers."""
    tags = [
        OUTSIDE,
        *(f"{'I' if tag % 2 == 0 else 'B'}-{(tag - 1) // 2}" for tag in range(1, 1 + _most(predictions, labels))),
    ]
    ends = np.flatnonzero(np.diff(labels[:, 1])) + 1
    true, said = (
        [[tags[tag] for tag in part] for part in np.split(side, ends)] for side in (labels[:, 0], predictions)
    )
    return true, said


def _most(predictions: Array, labels: Array) -> int:
    return int(max(predictions.max(initial=0), labels[:, 0].max(initial=0)))


# seqeval is imported where it is used: it brings scikit-learn, and who predicts needs neither.
def f1(predictions: Array, labels: Array) -> float:
    """F1 of parts: one counts when its words and its name are right; 0 where there are none."""
    from seqeval.metrics import f1_score

    return float(f1_score(*_by_text(predictions, labels), zero_division=0))


def precision(predictions: Array, labels: Array) -> float:
    """Share of the found parts that are right."""
    from seqeval.metrics import precision_score

    return float(precision_score(*_by_text(predictions, labels), zero_division=0))


def recall(predictions: Array, labels: Array) -> float:
    """Share of the true parts that are found."""
    from seqeval.metrics import recall_score

    return float(recall_score(*_by_text(predictions, labels), zero_division=0))


def token_accuracy(predictions: Array, labels: Array) -> float:
    """Share of the words whose tag is right."""
    return float((predictions == labels[:, 0]).mean())


def scores_of_names(
    predictions: Array, labels: Array, tags: Sequence[str]
) -> list[tuple[str, int, float, float, float]]:
    """Of each name: itself, how many true parts have it, precision, recall and F1."""
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    names = names_of(tags)
    if not (labels[:, 0].any() or predictions.any()):
        return [(name, 0, 0.0, 0.0, 0.0) for name in names]
    every = precision_recall_fscore_support(*_by_text(predictions, labels), average=None, zero_division=0)
    # seqeval has them in the order of their numbers as texts, and those alone that occur.
    found = sorted({str((int(tag) - 1) // 2) for tag in (*predictions, *labels[:, 0]) if tag})
    told = {int(number): values for number, *values in zip(found, *every)}
    rows = []
    for number, name in enumerate(names):
        share, found_share, both, count = told.get(number, (0.0, 0.0, 0.0, 0))
        rows.append((name, int(count), float(share), float(found_share), float(both)))
    return rows


@dataclass(frozen=True, eq=False)
class Tokens(TaskKind):
    """The label of a text is its `Spans`; of many, in `Encoded`, the tags [N, T] int64 of all tokens, or IGNORED."""

    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        return tuple(labels) or tuple(map(str, range(width)))

    def width(self, labels: Sequence[str]) -> int:
        return len(labels)

    def fits(self, labels: Sequence[str]) -> bool:
        return len(labels) > 1 and tuple(labels) == tags_of(names_of(labels))

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        return False  # of no table: files of tags have a reader of their own, which recognises them

    def cell(self, values: Values, columns: LabelColumns) -> Said:
        raise ValueError("tags of words are read from CoNLL files, JSONL, or PaddleNLP's .tsv, not from such a table")

    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        """`Said` of a text are its parts, "start:end:name" each."""
        names = {part.split(":", 2)[2] for _, cell in cells for part in cell}
        if not names:
            raise UserError(
                f"{columns.path}: no part of any text has a label; is {columns.names[0]!r} the label column?"
            )
        return tags_of(in_order(names))

    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], Spans]:
        numbers = {name: number for number, name in enumerate(names_of(labels))}

        def read(said: Said) -> Spans:
            found = []
            for part in said:
                start, end, name = part.split(":", 2)
                if name not in numbers:
                    raise ValueError(unknown(name, list(numbers), task))
                found.append(Span(int(start), int(end), numbers[name]))
            return Spans(found)

        return read

    def said(self, label: Label, labels: Sequence[str]) -> Said:
        if not isinstance(label, Spans):
            raise another_kind(label, self)
        names = names_of(labels)
        return tuple(f"{span.start}:{span.end}:{names[span.name]}" for span in label)

    def classes(self, label: Label) -> tuple[int, ...]:
        if not isinstance(label, Spans):
            raise another_kind(label, self)
        return tuple(sorted({1 + 2 * span.name for span in label}))

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        """How many parts have each name, as far as the texts were not cut."""
        begun = labels[(labels > 0) & (labels % 2 == 1)]
        return counted(names_of(names), np.bincount((begun - 1) // 2, minlength=len(names) // 2))

    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        return _WORD.predictions(logits, thresholds)

    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        """Of single words, without the text around them: their tags."""
        return _WORD.answers(logits, names, thresholds)

    def of_words(self, logits: Floats, words: Words, text: str, names: Sequence[str]) -> Answer:
        """The entities: as long as a word's tag goes on, up to the end of the last word."""
        shares = np.exp(log_softmax(logits)) if len(logits) else logits  # [W, C]
        tags, called = shares.argmax(-1), names_of(names)
        found = []
        for first, behind, name in parts(tags):
            start, end = int(words.spans[first, 0]), int(words.spans[behind - 1, 1])
            score = float(shares[np.arange(first, behind), tags[first:behind]].mean())
            found.append(Entity(called[name], text[start:end], start, end, score))
        return Answer(entities=tuple(found))

    def distance(self, full: Floats, other: Floats) -> float:
        """Mean KL(full || other) of the words."""
        return _WORD.distance(full, other)

    def cross_entropy(self, wanted: Floats, logits: Floats) -> float:
        return _WORD.cross_entropy(wanted, logits)

    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        return f"[[{list(names)!r}[tag] for tag in row.argmax(-1)] for row in logits]"


KIND = Tokens(
    "tokens",
    "tokens",
    {"f1": f1, "precision": precision, "recall": recall, "token_accuracy": token_accuracy},
    ("f1", "precision", "recall", "token_accuracy"),
    ("entities",),
    per_token=True,
    head=TAGS,
)
