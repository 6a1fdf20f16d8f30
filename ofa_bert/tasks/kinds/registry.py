"""The kinds of task by name. A new one is a file beside this one and its name in the two lines below."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds import answers, choices, classification, multilabel, ranking, regression, tokens
from ofa_bert.tasks.kinds.base import LabelColumns, TaskKind, Values

# The first that claims a label column has it.
_EVERY: dict[str, TaskKind] = {
    each.KIND.name: each.KIND for each in (tokens, multilabel, regression, classification, choices, ranking, answers)
}

KINDS: tuple[str, ...] = tuple(_EVERY)
LEAVING = tuple(name for name, kind in _EVERY.items() if kind.exits)  # those whose texts may leave a model early
WORDS: tuple[str, ...] = tuple(kind.word for kind in _EVERY.values())
KNOWN_METRICS = tuple(name for kind in _EVERY.values() for name in kind.metrics)
DEFAULT: TaskKind = classification.KIND


def kind_named(name: str) -> TaskKind:
    """ValueError for a name that none has."""
    if name not in KINDS:
        raise ValueError(f"no kind of task {name!r}; there are {', '.join(KINDS)}")
    return _EVERY[name]


def kind_of_labels(labels: Sequence[str]) -> TaskKind:
    """Of a task that does not say its kind: one with labels has classes, one without predicts a number."""
    return DEFAULT if labels else regression.KIND


def kind_of_width(width: int) -> TaskKind:
    """Of a classifier that nothing is known of but its width."""
    return DEFAULT if width > 1 else regression.KIND


def kind_for(
    word: str | None, columns: LabelColumns, rows: Sequence[tuple[int, Values]], labels: Sequence[str] | None = None
) -> TaskKind:
    """What `label_kind` says, or what the label columns of a table look like; `labels`: those that a model knows."""
    if word is not None and word not in WORDS:
        raise UserError(f"label_kind {shown(word)}: must be one of {', '.join(WORDS)}")
    every = [kind for kind in _EVERY.values() if labels is None or kind.fits(labels)]
    named = [kind for kind in every if kind.word == word]
    fitting = [kind for kind in every if not kind.grouped]  # the others have files of their own
    if word is not None and not named:
        raise UserError(f"label_kind {word} contradicts the labels {shown(list(labels or ()))}")
    if named or len(fitting) == 1:
        return (named or fitting)[0]
    return next(kind for kind in fitting if kind.claims(columns, rows))
