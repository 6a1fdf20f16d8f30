"""What a task is: labels, metrics and columns; and examples of it."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.errors import UserError
from ofa_bert.reporting import shown

CLASS_METRICS = ("accuracy",)
REGRESSION_METRICS = ("pearson", "spearman")
KNOWN_METRICS = ("accuracy", "f1", "matthews", "pearson", "spearman")


@dataclass(frozen=True)
class Task:
    """A classification task, or a regression task when `labels` is empty."""

    name: str
    labels: tuple[str, ...]  # class i is labels[i]
    metrics: tuple[str, ...]  # the first one chooses the best model
    text_columns: tuple[str, ...]  # one column, or two for a sentence pair

    @property
    def is_regression(self) -> bool:
        return not self.labels

    @property
    def num_labels(self) -> int:
        """Width of the classifier: the classes, or 1 for regression."""
        return len(self.labels) or 1

    def to_json(self) -> dict:
        """A plain dictionary; `from_json` gives the equal task back."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "metrics": list(self.metrics),
            "text_columns": list(self.text_columns),
        }

    @classmethod
    def from_json(cls, value: dict) -> Task:
        """Raises UserError when the dictionary does not describe a task."""
        try:
            name = value["name"]
            lists = [value[key] for key in ("labels", "metrics", "text_columns")]
        except (KeyError, TypeError) as error:
            raise UserError(f"not a task: {shown(value)}; a task has name, labels, metrics and text_columns") from error
        whole = isinstance(name, str) and all(
            isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items) for items in lists
        )
        labels, metrics, columns = lists
        if not whole or not metrics or not set(metrics) <= set(KNOWN_METRICS) or len(columns) not in (1, 2):
            raise UserError(
                f"not a task: {shown(value)}; name is a text, labels, metrics and text_columns are lists of "
                f"texts, metrics come from {', '.join(KNOWN_METRICS)}, and there are one or two text_columns"
            )
        return cls(name, tuple(labels), tuple(metrics), tuple(columns))


@dataclass(frozen=True)
class Example:
    """One sentence or pair; `label` is the index of the class, or the number of a regression."""

    text: str
    text_pair: str | None
    label: int | float


@dataclass(frozen=True)
class Datasets:
    """`dev` maps a split's name to its examples: {"dev": ...}, or "matched" and "mismatched" for MNLI."""

    task: Task
    train: tuple[Example, ...]
    dev: dict[str, tuple[Example, ...]]
