"""The nine tasks of GLUE."""

from __future__ import annotations

import re

from ofa_bert.errors import UserError
from ofa_bert.tasks.task import CLASS_METRICS, REGRESSION_METRICS, Task

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


# What others call the classes that GLUE numbers; lower case, words joined by "_".
_NOT, _ENTAILS = ("not_entailment", "non_entailment", "no_entailment"), ("entailment", "entailed", "entails")
_ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "sst-2": {"0": ("negative", "neg"), "1": ("positive", "pos")},
    "cola": {"0": ("unacceptable",), "1": ("acceptable",)},
    "mrpc": {"0": ("not_equivalent", "not_paraphrase"), "1": ("equivalent", "paraphrase")},
    "qqp": {"0": ("not_duplicate", "non_duplicate"), "1": ("duplicate",)},
    "wnli": {"0": _NOT, "1": _ENTAILS},
    "qnli": {"entailment": _ENTAILS, "not_entailment": _NOT},
    "rte": {"entailment": _ENTAILS, "not_entailment": _NOT},
}


def aliases(task: Task) -> dict[str, set[str]]:
    """For each class of a task the names that mean it, in lower case with words joined by "_"; its own among them."""
    more = _ALIASES.get(task.name, {})
    return {label: {joined(label), *more.get(label, ())} for label in task.labels}


def joined(name: str) -> str:
    """The name as `aliases` has it."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())
