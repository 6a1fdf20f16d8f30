"""What a task is (labels, metrics, columns) and the nine tasks of GLUE."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.errors import UserError

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
            raise UserError(f"not a task: {value!r}; a task has name, labels, metrics and text_columns") from error
        whole = isinstance(name, str) and all(
            isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items) for items in lists
        )
        labels, metrics, columns = lists
        if not whole or not metrics or not set(metrics) <= set(KNOWN_METRICS) or len(columns) not in (1, 2):
            raise UserError(
                f"not a task: {value!r}; name is a text, labels, metrics and text_columns are lists of "
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


# The order of the labels is PaddleNLP's, so that a classifier trained there means the same here.
_GLUE = {
    task.name: task
    for task in (
        Task("cola", ("0", "1"), ("matthews",), ("sentence",)),
        Task("sst-2", ("0", "1"), CLASS_METRICS, ("sentence",)),
        Task("mrpc", ("0", "1"), ("accuracy", "f1"), ("#1 String", "#2 String")),
        Task("sts-b", (), REGRESSION_METRICS, ("sentence1", "sentence2")),
        Task("qqp", ("0", "1"), ("accuracy", "f1"), ("question1", "question2")),
        Task("mnli", ("contradiction", "entailment", "neutral"), CLASS_METRICS, ("sentence1", "sentence2")),
        Task("qnli", ("entailment", "not_entailment"), CLASS_METRICS, ("question", "sentence")),
        Task("rte", ("entailment", "not_entailment"), CLASS_METRICS, ("sentence1", "sentence2")),
        Task("wnli", ("0", "1"), CLASS_METRICS, ("sentence1", "sentence2")),
    )
}
_GLUE_NAMES = {name.replace("-", ""): name for name in _GLUE}


def is_glue(name: str) -> bool:
    return _squeeze(name) in _GLUE_NAMES


def glue_task(name: str) -> Task:
    """The GLUE task of that name; case, dashes and underscores do not matter ("SST-2" = "sst2").

    Raises UserError listing the nine names.
    """
    if not is_glue(name):
        raise UserError(f"unknown GLUE task {name!r}; there are {', '.join(_GLUE)}")
    return _GLUE[_GLUE_NAMES[_squeeze(name)]]


def _squeeze(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
