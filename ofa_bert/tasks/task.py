"""What a task is: kind, labels, metrics and columns; and examples of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds import registry
from ofa_bert.tasks.kinds.base import Label, TaskKind


@dataclass(frozen=True)
class Task:
    """What is predicted of which columns. `kind_name` is one of tasks/kinds; unless given, what the labels say."""

    name: str
    labels: tuple[str, ...]  # output i of the classifier is labels[i]; none for a number
    metrics: tuple[str, ...]  # the first one chooses the best model
    text_columns: tuple[str, ...]  # one column, or two for a sentence pair
    kind_name: str = ""
    thresholds: tuple[float, ...] = ()  # what a model's answers are decided by, where the kind tunes that

    def __post_init__(self) -> None:
        if not self.kind_name:
            object.__setattr__(self, "kind_name", registry.kind_of_labels(self.labels).name)

    @property
    def kind(self) -> TaskKind:
        return registry.kind_named(self.kind_name)

    @property
    def num_labels(self) -> int:
        """Width of the classifier: the labels, or 1 for a number."""
        return self.kind.width(self.labels)

    @property
    def choices(self) -> int:
        """Between how many a single decision is made; 1 where a number is predicted."""
        return self.kind.choices(self.num_labels)

    def tuned(self, labels: np.ndarray, answers: Callable[[], Iterable[np.ndarray]]) -> Task:
        """The task with thresholds chosen on logits [N, C] of texts with these labels, several models' if need be.

        `answers` is only called where the kind has thresholds to tune. Nothing may have been trained on the texts.
        """
        if not self.kind.held_out_share:
            return self
        found = list(answers())
        return replace(self, thresholds=self.kind.tune(np.concatenate(found), np.concatenate([labels] * len(found))))

    def to_json(self) -> dict:
        """A plain dictionary; `from_json` gives the equal task back."""
        return {
            "name": self.name,
            "kind": self.kind_name,
            "labels": list(self.labels),
            "metrics": list(self.metrics),
            "text_columns": list(self.text_columns),
            **({"thresholds": list(self.thresholds)} if self.thresholds else {}),
        }

    @classmethod
    def from_json(cls, value: dict) -> Task:
        """Raises UserError when the dictionary does not describe a task. Older ones do not say their kind."""
        try:
            name = value["name"]
            lists = [value[key] for key in ("labels", "metrics", "text_columns")]
            kind, thresholds = value.get("kind"), value.get("thresholds", [])
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"not a task: {shown(value)}; a task has name, labels, metrics and text_columns") from error
        whole = isinstance(name, str) and all(
            isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items) for items in lists
        )
        if kind is not None and kind not in registry.KINDS:
            raise UserError(f"not a task: kind {shown(kind)}; it must be one of {', '.join(registry.KINDS)}")
        labels, metrics, columns = lists
        known = registry.kind_named(kind).metrics if kind else registry.KNOWN_METRICS
        if not whole or not metrics or not set(metrics) <= set(known) or len(columns) not in (1, 2):
            raise UserError(
                f"not a task: {shown(value)}; name is a text, labels, metrics and text_columns are lists of "
                f"texts, metrics come from {', '.join(known)}, and there are one or two text_columns"
            )
        if not _are_thresholds(thresholds, labels):
            raise UserError(
                f"not a task: thresholds {shown(thresholds)}; they are probabilities, one for each of {len(labels)}"
                " labels"
            )
        return cls(name, tuple(labels), tuple(metrics), tuple(columns), kind or "", tuple(map(float, thresholds)))


def _are_thresholds(value: Any, labels: list[str]) -> bool:
    if not isinstance(value, (list, tuple)) or (value and len(value) != len(labels)):
        return False
    return all(type(item) in (int, float) and 0 <= item <= 1 for item in value)


def task_of(about: Mapping[str, Any], width: int) -> Task:
    """The task of an ofa_config.json or a manifest; where it says none, what a classifier of that width can be.

    UserError for a task that is none, or is of another width.
    """
    if about.get("task"):
        task = Task.from_json(about["task"])
        if task.num_labels != width:
            raise UserError(f"task {task.name} needs {task.num_labels} outputs, the model has {width}; export it again")
        return task
    found = about.get("labels")
    labels = tuple(found) if isinstance(found, (list, tuple)) else ()
    kind = registry.kind_of_labels(labels) if labels else registry.kind_of_width(width)
    return Task("", kind.names(labels, width), kind.usual_metrics, ("text",), kind.name)


@dataclass(frozen=True)
class Example:
    """One sentence or pair; `label` is the index of the class, the number, or 1.0 for each label that it has."""

    text: str
    text_pair: str | None
    label: Label


@dataclass(frozen=True)
class Datasets:
    """`dev` maps a split's name to its examples: {"dev": ...}, or "matched" and "mismatched" for MNLI."""

    task: Task
    train: tuple[Example, ...]
    dev: dict[str, tuple[Example, ...]]
