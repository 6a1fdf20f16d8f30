"""The eight tasks of SuperGLUE (Wang et al. 2019), with the metrics of its site, the first of which chooses."""

from __future__ import annotations

from ofa_bert.tasks.kinds import answers, choices, ranking
from ofa_bert.tasks.kinds.classification import ACCURACY
from ofa_bert.tasks.task import Task

_FALSE_TRUE = ("false", "true")
_SUPERGLUE = {
    task.name: task
    for task in (
        Task("boolq", _FALSE_TRUE, ACCURACY, ("question", "passage")),
        Task("cb", ("contradiction", "entailment", "neutral"), ("accuracy", "macro_f1"), ("premise", "hypothesis")),
        Task("copa", (), choices.KIND.usual_metrics, ("text", "choices"), choices.KIND.name),
        Task("multirc", (), ("f1a", "em"), ("query", "passage"), ranking.KIND.name, objective=ranking.BINARY),
        Task(
            "record",
            (),
            answers.KIND.usual_metrics,
            ("question", "context"),
            answers.KIND.name,
            objective=answers.ALWAYS,
            doc_stride=answers.DOC_STRIDE,
        ),
        Task("rte", ("entailment", "not_entailment"), ACCURACY, ("premise", "hypothesis")),
        Task("wic", _FALSE_TRUE, ACCURACY, ("sentence1", "sentence2")),
        Task("wsc", _FALSE_TRUE, ACCURACY, ("text",)),
    )
}
NAMES = tuple(_SUPERGLUE)


def is_superglue(name: str) -> bool:
    """RTE is GLUE's too; which of the two a directory holds, its files say."""
    return _squeeze(name) in _SUPERGLUE


def superglue_task(name: str) -> Task:
    return _SUPERGLUE[_squeeze(name)]


def _squeeze(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
