"""Answers to questions, found in a context: of every token two logits, for the first and the last of the answer.

A long context is read in windows, each a row of the model's input. What is judged is the array of `tasks.passages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.numerics import Array, Floats
from ofa_bert.tasks import answer_metrics as metrics
from ofa_bert.tasks import passages
from ofa_bert.tasks.heads import CONTEXTS
from ofa_bert.tasks.kinds.base import (
    Answer,
    Extract,
    Gold,
    Golds,
    Label,
    LabelColumns,
    Said,
    TaskKind,
    Values,
    another_kind,
)

# What a token of a window is by its label: IGNORED of tokens.py where it cannot be an answer's, else a sum of these.
STARTS, ENDS = 1, 2
# Every question has an answer in its context, or some have none.
ALWAYS, MAY_LACK = "always", "may_lack"
DOC_STRIDE = 128  # tokens from the start of a window to that of the next, as in BERT's own program
_NONE = -1


@dataclass(frozen=True, eq=False)
class Answers(TaskKind):
    """The label of a question is its `Golds`; of windows, in `Encoded`, int64 [N, T]."""

    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        return ()

    def width(self, labels: Sequence[str]) -> int:
        return 2

    def fits(self, labels: Sequence[str]) -> bool:
        return not labels

    def decided_by(self, labels: Sequence[str]) -> int:
        return 1

    def share_to_tune(self, objective: str) -> float:
        return self.held_out_share if objective == MAY_LACK else 0.0

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        return False  # its files are known by other columns

    def cell(self, values: Values, columns: LabelColumns) -> Said:
        raise ValueError("answers in contexts are read from SQuAD's JSON and from JSONL, not from such a table")

    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        return ()

    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], Golds]:
        """`Said` of a question are its answers, "start:text" each."""

        def read(said: Said) -> Golds:
            parts = (part.split(":", 1) for part in said)
            return Golds(Gold(text, int(start)) for start, text in parts)

        return read

    def said(self, label: Label, labels: Sequence[str]) -> Said:
        if not isinstance(label, Golds):
            raise another_kind(label, self)
        return tuple(f"{gold.start}:{gold.text}" for gold in label)

    def classes(self, label: Label) -> tuple[int, ...]:
        return ()

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        return f"windows, {int((labels[:, 1:] > 0).any(axis=1).sum())} of them with their answer"

    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        """Characters [E, 2] of the contexts, -1 where there is no answer."""
        found = passages.best(logits)
        lacks = found.none > (thresholds[0] if thresholds else np.nextafter(1, 0))
        return np.where(lacks[:, None], _NONE, found.spans)

    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        """Without their texts, which whoever has the contexts puts in."""
        found, spans = passages.best(logits), self.predictions(logits, thresholds).tolist()
        return [
            Answer(extract=Extract("", start, end, float(sure)) if start != _NONE else Extract("", 0, 0, float(none)))
            for (start, end), sure, none in zip(spans, found.probability, found.none)
        ]

    def tune(self, logits: Floats, labels: Array) -> tuple[float, ...]:
        """The probability of no answer above which there is none: with the highest F1."""
        found, without = passages.best(logits), np.full([len(labels), 2], _NONE)
        order = np.argsort(found.none, kind="stable")
        gain = (metrics.f1_each(found.spans, labels) - metrics.f1_each(without, labels))[order]
        values = found.none[order]
        # Between equal values nothing can be parted.
        cuts = np.flatnonzero(np.append(np.diff(values) > 0, True))
        totals = np.append(0.0, np.cumsum(gain)[cuts])
        which = int(totals.argmax())
        if which == 0:
            return (float(values[0]) / 2,)
        place = int(cuts[which - 1])
        return (float((values[place] + values[place + 1]) / 2) if place + 1 < len(values) else 1.0,)

    def distance(self, full: Floats, other: Floats) -> float:
        """Mean KL(full || other) of start and end in the windows."""
        return passages.divergence(full, other)

    def cross_entropy(self, wanted: Floats, logits: Floats) -> float:
        return passages.cross_entropy(wanted, logits)

    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        return "[tuple(row.argmax(axis=0).tolist()) for row in logits]"


KIND = Answers(
    "answers",
    "answers",
    {"f1": metrics.f1, "exact_match": metrics.exact_match},
    ("f1", "exact_match"),
    ("answer", "start", "end", "score"),
    held_out_share=0.1,
    grouped=True,
    objectives=(ALWAYS, MAY_LACK),
    per_token=True,
    head=CONTEXTS,
)
