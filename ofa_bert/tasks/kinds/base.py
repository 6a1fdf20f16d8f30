"""What a kind of task declares and does: labels in files, answers from logits, metrics; NumPy alone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json
from ofa_bert.numerics import Array, Bools, Floats, Ints
from ofa_bert.reporting import shown
from ofa_bert.tasks.heads import ONE_LABEL


class Span(NamedTuple):
    """A part of a text, text[start:end] in characters; `name`: its place among the names that such parts have."""

    start: int
    end: int
    name: int


class Spans(tuple[Span, ...]):
    """The label of a text whose parts are found: those parts, none inside another, in the text's order."""

    __slots__ = ()


class Gold(NamedTuple):
    """A right answer: text, which stands in the context from character `start` on."""

    text: str
    start: int


class Golds(tuple[Gold, ...]):
    """The label of a question about a context: its right answers, none where the context has none."""

    __slots__ = ()


Label = int | float | tuple[float, ...] | Spans | Golds  # of one example, as arrays of labels are made of
Metric = Callable[[Array, Array], float]  # predictions, labels -> a fraction
Values = tuple[Json, ...]  # what stands in the label columns of a row: texts; JSON has other values too
# What a row says, before the labels are known: the one label or number, or each label of a set.
Said = tuple[str, ...]


class LabelColumns(NamedTuple):
    """Where a table has its labels. separator: between the labels of one cell, if it holds several as a text."""

    path: Path
    names: tuple[str, ...]
    separator: str | None = None


class Words(NamedTuple):
    """The words of one text, as its tokenizer parts it, that are left when it is cut to its length."""

    pieces: Ints  # [W] int64: the place of each word's first piece among the text's tokens
    spans: Ints  # [W, 2] int64: its start and end in the text, in characters


@dataclass(frozen=True)
class Entity:
    """A part of a text that a model found: text[start:end] in characters. score: mean probability of its words' tags.

    >>> from ofa_bert import Entity
    >>> Entity("PER", "Ada Lovelace", start=0, end=12, score=0.98).to_json()
    {'label': 'PER', 'text': 'Ada Lovelace', 'start': 0, 'end': 12, 'score': 0.98}
    """

    label: str
    text: str
    start: int
    end: int
    score: float

    def to_json(self) -> dict[str, str | int | float]:
        return dict(vars(self))


@dataclass(frozen=True)
class Extract:
    """The answer to a question: context[start:end] in characters, "" where there is none. score: its probability.

    >>> from ofa_bert import Extract
    >>> Extract("in 1843", start=30, end=37, score=0.91).to_json()
    {'answer': 'in 1843', 'start': 30, 'end': 37, 'score': 0.91}
    """

    text: str
    start: int
    end: int
    score: float

    def to_json(self) -> dict[str, str | int | float]:
        return {"answer": self.text, "start": self.start, "end": self.end, "score": self.score}


@dataclass(frozen=True)
class Answer:
    """What a model says about one text: a class, a number, a set of labels or entities, as the task asks for."""

    label: str | None = None  # a class
    probability: float | None = None  # of that class
    value: float | None = None  # a number
    probabilities: tuple[float, ...] = ()  # of all labels, in their order; empty for a number
    labels: tuple[str, ...] | None = None  # a set, in the labels' order
    choice: int | None = None  # of those that a question gives, counted from 0
    entities: tuple[Entity, ...] | None = None  # in the text's order
    extract: Extract | None = None  # of a context


@dataclass(frozen=True, eq=False)
class TaskKind(ABC):
    """A kind of task. Its name stands in the JSON of a task and is that of its files; `word` is what `label_kind` says.

    metrics: by name; usual_metrics: those of your own data, the first chooses the best model. columns: what an answer
    is in a table. held_out_share: how much of train `tune` needs where nothing else holds a part out.
    grouped: an example may have several rows of the model's input; what is judged are then arrays as of
    `tasks.groups.regrouped`. together: they have one answer. objectives: what a model can be trained for, if not one.
    per_token: the model answers [B, T, C], for every token; what counts are first pieces of words, and N below is their
    number. reported: what an evaluation tells besides a task's own metrics; of some of these less is better.
    head, problem_type: what transformers' class of such models, and its configuration, say.
    """

    name: str
    word: str
    metrics: Mapping[str, Metric]
    usual_metrics: tuple[str, ...]
    columns: tuple[str, ...]
    held_out_share: float = 0.0
    grouped: bool = False
    together: bool = False
    objectives: tuple[str, ...] = ()
    per_token: bool = False
    reported: Mapping[str, Metric] = field(default_factory=dict)
    head: str = ONE_LABEL
    problem_type: str | None = None

    @property
    def row(self) -> str | None:
        """What a row of the model's input is called where speeds are told; None where it is just a text or a pair."""
        return "pairs" if self.grouped and not self.per_token else None

    @property
    def countable(self) -> bool:
        """Whether two answers are the same or not; of numbers it says more how far they are apart."""
        return True

    @property
    def exits(self) -> bool:
        """Whether one text has one answer, so that it may leave the model early."""
        return not self.grouped and not self.per_token

    @property
    def windowed(self) -> bool:
        """Whether the rows of an example are parts of its context; what is judged is then as of `tasks.passages`."""
        return self.grouped and self.per_token

    def decided_by(self, labels: Sequence[str]) -> int:
        """How many thresholds a task has that was tuned."""
        return len(labels)

    def share_to_tune(self, objective: str) -> float:
        """How much of train must be held out to tune a task with that objective; 0 tunes nothing."""
        return self.held_out_share

    @abstractmethod
    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        """What the outputs of a classifier of that width are called; `labels` may be unknown, which is ()."""

    @abstractmethod
    def width(self, labels: Sequence[str]) -> int:
        """Outputs of the classifier."""

    def fits(self, labels: Sequence[str]) -> bool:
        """Whether a task of this kind can have these labels."""
        return bool(labels)

    def choices(self, width: int) -> int:
        """Between how many a single decision is made; 1 where a number is predicted."""
        return width

    # Labels in files.

    @abstractmethod
    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        """Whether label columns that nobody named a kind for hold this one's; rows are (line, values)."""

    @abstractmethod
    def cell(self, values: Values, columns: LabelColumns) -> Said:
        """ValueError with the reason for a row that says nothing."""

    @abstractmethod
    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        """The labels of the training split, (line, `cell`) each, in their order. `guessed`: nobody named the kind."""

    @abstractmethod
    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], Label]:
        """From what a row says to the label of an example. The function raises ValueError with the reason."""

    @abstractmethod
    def said(self, label: Label, labels: Sequence[str]) -> Said:
        """What a row with that label says: the inverse of `reader`. TypeError for another kind's label."""

    @abstractmethod
    def classes(self, label: Label) -> tuple[int, ...]:
        """Places, among the labels, of those that an example has; () where a number is predicted.

        Parts of a data set are to have them in equal shares.
        """

    @abstractmethod
    def summary(self, labels: Array, names: Sequence[str]) -> str:
        """What a log says of the labels of N > 0 examples, an array as in `Encoded`: how many of each, or the like."""

    def check_columns(self, columns: LabelColumns, labels: Sequence[str] | None) -> None:
        """Refuse what says how sets of labels are written, unless this kind has them; `labels` may be known."""
        if len(columns.names) > 1:
            raise UserError(
                f"label_columns {' '.join(columns.names)}: a row has one label here, so name one column; several are"
                " for label_kind multilabel"
            )
        if columns.separator is not None:
            raise UserError(
                f"label_separator {shown(columns.separator)}: a row has one label here; it is for label_kind multilabel"
            )

    # Answers.

    @abstractmethod
    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        """What the metrics compare with labels, from logits [N, C]."""

    @abstractmethod
    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        """One for each row of logits [N, C]."""

    def of_words(self, logits: Floats, words: Words, text: str, names: Sequence[str]) -> Answer:
        """What the logits [W, C] of a text's words say, where the model answers for every token."""
        raise TypeError(f"a task with {self.word} has no answers word by word")

    def right(self, logits: Floats, labels: Array, thresholds: Sequence[float]) -> Bools | None:
        """Which of N answers [N] are right, by logits [N, C] and labels [N]; None where one is not right or wrong."""
        return None

    def same(self, first: Floats, second: Floats, thresholds: Sequence[float]) -> Bools:
        """Which rows [N] of two sets of logits [N, C] mean the same answer."""
        pair = [self.predictions(logits, thresholds).reshape(len(logits), -1) for logits in (first, second)]
        return np.asarray((pair[0] == pair[1]).all(axis=-1))

    def undecided(self, logits: Floats) -> Bools:
        """Which rows [N] of logits [N, C] leave a choice, so that two of them may be different answers."""
        return np.ones(len(logits), dtype=bool)

    def tune(self, logits: Floats, labels: Array) -> tuple[float, ...]:
        """What answers are decided by, chosen on logits [N, C] that nothing was trained on; () decides nothing."""
        return ()

    def decisions(self, logits: Floats) -> Floats:
        """Logits [..., D, K] of the D decisions, between K choices each, that logits [..., C] are."""
        return np.asarray(logits)[..., None, :]

    @abstractmethod
    def distance(self, full: Floats, other: Floats) -> float:
        """How far answers, as logits [N, C], are from those of the full model; 0 for the same."""

    @abstractmethod
    def cross_entropy(self, wanted: Floats, logits: Floats) -> float:
        """Mean cross-entropy of logits [N, C] to wanted ones, or what stands for it where there are no classes."""

    @abstractmethod
    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        """A Python expression that makes answers of `logits`, for a reader's own program."""


def one_text(value: Json, column: str) -> str:
    """The label of a cell that holds one, without blanks around it. ValueError with the reason."""
    text = value
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"label {str(value)!r} is not a finite number")
        text = str(value)
    if not isinstance(text, str) or not text.strip():
        cure = "; a row has one label, a text or a number" if isinstance(value, (list, dict)) else ""
        raise ValueError(f"no label in column {column!r}: {shown(value)}{cure}")
    return text.strip()


def another_kind(label: Label, kind: TaskKind) -> TypeError:
    """For a label that no example of the kind has."""
    return TypeError(f"{label!r} is no label of a task with {kind.word}")
