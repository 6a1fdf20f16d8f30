"""What a task is: kind, labels, metrics and columns; and examples of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.numerics import Array, Floats
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds import registry
from ofa_bert.tasks.kinds.base import Label, TaskKind


@dataclass(frozen=True)
class Task:
    """What is predicted of which columns. `kind_name` is one of tasks/kinds; unless given, what the labels say.

    >>> from ofa_bert import Task
    >>> task = Task("reviews", labels=("bad", "good"), metrics=("accuracy",), text_columns=("text",))
    >>> task.num_labels, Task.from_json(task.to_json()) == task
    (2, True)
    """

    name: str
    labels: tuple[str, ...]  # output i of the classifier is labels[i]; none for a number
    metrics: tuple[str, ...]  # the first one chooses the best model
    text_columns: tuple[str, ...]  # one column, or two for a sentence pair
    kind_name: str = ""
    thresholds: tuple[float, ...] = ()  # what a model's answers are decided by, where the kind tunes that
    objective: str = ""  # one of the kind's, where it has several; unless given, the first
    metric: str = ""  # of `metrics` the first, where somebody chose it
    doc_stride: int = 0  # tokens between the windows of a context, where a kind reads in windows

    def __post_init__(self) -> None:
        if not self.kind_name:
            object.__setattr__(self, "kind_name", registry.kind_of_labels(self.labels).name)
        if not self.objective and self.kind_name in registry.KINDS and self.kind.objectives:
            object.__setattr__(self, "objective", self.kind.objectives[0])

    @property
    def kind(self) -> TaskKind:
        return registry.kind_named(self.kind_name)

    def judged_by(self, metric: str) -> Task:
        """The task whose best model is chosen by that metric; the others stay. UserError for one that it has not."""
        if metric not in self.kind.metrics:
            raise UserError(
                f"`metric` {metric}: task {self.name} has {self.kind.word}, whose metrics are"
                f" {', '.join(self.kind.metrics)}"
            )
        return replace(self, metrics=(metric, *(name for name in self.metrics if name != metric)), metric=metric)

    @property
    def num_labels(self) -> int:
        """Width of the classifier: the labels, or 1 for a number."""
        return self.kind.width(self.labels)

    @property
    def choices(self) -> int:
        """Between how many a single decision is made; 1 where a number is predicted."""
        return self.kind.choices(self.num_labels)

    @property
    def share_to_tune(self) -> float:
        """How much of train must be held out for its thresholds; 0 without any."""
        return self.kind.share_to_tune(self.objective)

    def tuned(self, labels: Array, answers: Callable[[], Iterable[Floats]]) -> Task:
        """The task with thresholds chosen on logits [N, C] of texts with these labels, several models' if need be.

        `answers` is only called where the kind has thresholds to tune. Nothing may have been trained on the texts.
        """
        if not self.share_to_tune:
            return self
        found = list(answers())
        return replace(self, thresholds=self.kind.tune(np.concatenate(found), np.concatenate([labels] * len(found))))

    def to_json(self) -> dict[str, object]:
        """A plain dictionary; `from_json` gives the equal task back."""
        return {
            "name": self.name,
            "kind": self.kind_name,
            "labels": list(self.labels),
            "metrics": list(self.metrics),
            "text_columns": list(self.text_columns),
            **({"thresholds": list(self.thresholds)} if self.thresholds else {}),
            **({"objective": self.objective} if self.objective else {}),
            **({"metric": self.metric} if self.metric else {}),
            **({"doc_stride": self.doc_stride} if self.doc_stride else {}),
        }

    @classmethod
    def from_json(cls, value: object) -> Task:
        """Raises UserError when the dictionary does not describe a task. Older ones do not say their kind."""
        if not isinstance(value, Mapping) or not {"name", "labels", "metrics", "text_columns"} <= set(value):
            raise UserError(f"not a task: {shown(value)}; a task has name, labels, metrics and text_columns")
        name, kind = value["name"], value.get("kind")
        labels, metrics, columns = (_texts(value[key]) for key in ("labels", "metrics", "text_columns"))
        if kind is not None and kind not in registry.KINDS:
            raise UserError(f"not a task: kind {shown(kind)}; it must be one of {', '.join(registry.KINDS)}")
        known = registry.kind_named(kind).metrics if kind else registry.KNOWN_METRICS
        whole = isinstance(name, str) and set(metrics or ()) <= set(known) and len(columns or ()) <= 2
        if not whole or labels is None or not metrics or not columns:
            raise UserError(
                f"not a task: {shown(value)}; name is a text, labels, metrics and text_columns are lists of "
                f"texts, metrics come from {', '.join(known)}, and there are one or two text_columns"
            )
        of_kind = registry.kind_named(kind) if kind else registry.kind_of_labels(labels)
        thresholds = _thresholds(value.get("thresholds", []), of_kind.decided_by(labels))
        objective, stride = _objective(value.get("objective", ""), kind), _stride(value.get("doc_stride", 0))
        chosen = _chosen(value.get("metric", ""), metrics)
        return cls(name, labels, metrics, columns, kind or "", thresholds, objective, chosen, stride)


def _texts(value: object) -> tuple[str, ...] | None:
    """A list of texts; None for anything else."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _thresholds(value: object, labels: int) -> tuple[float, ...]:
    if isinstance(value, (list, tuple)) and len(value) in (0, labels):
        found = tuple(float(item) for item in value if type(item) in (int, float) and 0 <= item <= 1)
        if len(found) == len(value):
            return found
    raise UserError(f"not a task: thresholds {shown(value)}; they are probabilities, one for each of {labels} labels")


def _objective(value: object, kind: str | None) -> str:
    allowed = registry.kind_named(kind).objectives if kind else ()
    if isinstance(value, str) and value in (*allowed, ""):
        return value
    raise UserError(f"not a task: objective {shown(value)}; it must be one of {', '.join(allowed) or 'none'}")


def _chosen(value: object, metrics: Sequence[str]) -> str:
    if value == "" or (value in metrics[:1] and isinstance(value, str)):
        return value
    raise UserError(f"not a task: metric {shown(value)}; it must be the first of metrics, {shown(list(metrics))}")


def _stride(value: object) -> int:
    if type(value) is int and value >= 0:
        return value
    raise UserError(f"not a task: doc_stride {shown(value)}; it is a whole number of tokens")


def task_for(labels: tuple[str, ...], width: int) -> Task:
    """What a classifier of that width can be, of which nothing but its labels is known, or not even these."""
    kind = registry.kind_of_labels(labels) if labels else registry.kind_of_width(width)
    return Task("", kind.names(labels, width), kind.usual_metrics, ("text",), kind.name)


@dataclass(frozen=True)
class Example:
    """One sentence or pair; `label` is the index of the class, the number, 1.0 for each label that it has, or parts.

    group: what it belongs to, the same number for the choices of a question or the passages of a query; None: it is
    alone.

    >>> from ofa_bert import Example
    >>> Example("a fine film", text_pair=None, label=1).label
    1
    """

    text: str
    text_pair: str | None
    label: Label
    group: int | None = None


@dataclass(frozen=True)
class Datasets:
    """`dev` maps a split's name to its examples: {"dev": ...}, or "matched" and "mismatched" for MNLI.

    scored_on: what a log calls them, where they are another part of the data.

    >>> from ofa_bert import Datasets, Example, Task
    >>> task = Task("reviews", labels=("bad", "good"), metrics=("accuracy",), text_columns=("text",))
    >>> film = Example("a fine film", None, label=1)
    >>> datasets = Datasets(task, train=(film,), dev={"dev": (film,)})
    >>> len(datasets.train)
    1
    """

    task: Task
    train: tuple[Example, ...]
    dev: dict[str, tuple[Example, ...]]
    scored_on: str = "dev"
