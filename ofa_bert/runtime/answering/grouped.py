"""What is asked of a model whose examples have several rows: questions with choices, queries with passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ofa_bert.data.file_text import whole_characters
from ofa_bert.errors import UserError
from ofa_bert.numerics import Floats, Ints
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.base import TaskKind
from ofa_bert.tasks.questions import FEWEST, Question


class Ranked(NamedTuple):
    """A passage, where it stood among those that were given, and how well it answers: the model's own number.

    >>> from ofa_bert import Ranked
    >>> best = Ranked(place=1, score=2.5, passage="the film was good")
    >>> best.place, best.passage
    (1, 'the film was good')
    """

    place: int
    score: float
    passage: str


def check_questions(items: Sequence[object]) -> list[Question]:
    """UserError for what is neither a Question nor a tuple of a text and its choices."""
    if isinstance(items, str):
        raise UserError(f"questions must be a list, not the single text {shown(items)}")
    found = []
    for position, item in enumerate(items):
        question = item if isinstance(item, Question) else _of_pair(item)
        if question is None:
            raise UserError(f"question {position}: {shown(item)} is no Question and no tuple of a text and its choices")
        if len(question.choices) < FEWEST:
            raise UserError(f"question {position}: has {len(question.choices)} choice(s), must have {FEWEST} or more")
        whole = (whole_characters(text) for text in question.choices)
        found.append(Question(whole_characters(question.text), tuple(whole), whole_characters(question.question)))
    return found


def _of_pair(item: object) -> Question | None:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        return None
    text, choices = item
    if not isinstance(text, str) or not isinstance(choices, (tuple, list)):
        return None
    return Question(text, tuple(choices)) if all(isinstance(choice, str) for choice in choices) else None


def rows_of(questions: Sequence[Question]) -> tuple[list[tuple[str, str]], Ints]:
    """(a pair of texts for each choice, the question [N] that each is of)."""
    rows = [row for question in questions for row in question.rows()]
    group = np.repeat(np.arange(len(questions)), [len(question.choices) for question in questions])
    return rows, np.asarray(group, dtype=np.int64)


def check_ranks(kind: TaskKind) -> None:
    if not kind.grouped or kind.together or kind.per_token:
        raise UserError(f"rank: the model's task has {kind.word}; only one with label_kind ranking orders passages")


def ranked(passages: Sequence[str], scores: Floats) -> list[Ranked]:
    """Best first; equal ones as they were given."""
    order = np.argsort(-scores, kind="stable")
    return [Ranked(int(place), float(scores[place]), passages[place]) for place in order]
