"""python -m ofa_bert evaluate: what a model or a bundle scores on labelled data, in all and label by label."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa_bert.data.encoding.encoded import rows_of
from ofa_bert.data.table_files import Table
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic, write_text_atomic
from ofa_bert.options import to_json
from ofa_bert.recipes.evaluate_job import EvaluateJob
from ofa_bert.recipes.evaluation import pictures
from ofa_bert.recipes.evaluation.answering import Subject, second_of, subject_of
from ofa_bert.recipes.evaluation.comparison import Beside, beside
from ofa_bert.recipes.evaluation.rows import parted, rows_text, wrong
from ofa_bert.recipes.evaluation.scores import SplitScores, split_scores
from ofa_bert.system import packages
from ofa_bert.system.provenance import versions

logger = logging.getLogger(__name__)

SCORES = "scores.json"
# What there is of a split, by the beginnings of its files' names.
_KINDS = {
    "confusion": "which labels are taken for which",
    "calibration": "how sure answers are, and how often right",
    "values": "answers against the right numbers",
    "wrong": "examples that are answered wrongly, the surest first",
    "parted": "examples that only one of the two models answers rightly",
}
_SUFFIXES = (".png", ".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Scored:
    """What was scored and how it did. beside: how another model did, split by split; empty without one."""

    task: str
    what: str
    splits: tuple[SplitScores, ...]
    beside: tuple[Beside, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {
            "task": self.task,
            "what": self.what,
            "splits": [each.to_json() for each in self.splits],
            **({"beside": [each.to_json() for each in self.beside]} if self.beside else {}),
        }


@lock.writer("output_dir")
def evaluate(job: EvaluateJob) -> Scored:
    """Score, write what `output` and `output_dir` name, and return the scores."""
    packages.require("sklearn")  # now, not when every text is answered
    if job.output_dir is not None:
        packages.require("matplotlib")
    first = subject_of(job)
    second = None if job.beside is None else second_of(job, job.beside)
    if second is not None and (second.task.kind, second.task.labels) != (first.task.kind, first.task.labels):
        raise UserError(
            f"`beside` {job.beside}: its labels are {list(second.task.labels)}, not {list(first.task.labels)}"
        )
    found = Scored(first.task.name, first.what, _scores(first), _beside(first, second))
    about = {**found.to_json(), "config": to_json(job), "versions": versions()}
    if job.output is not None:
        write_json_atomic(Path(job.output), about)
    if job.output_dir is not None:
        table = job.data.table(first.task)
        _write(Path(job.output_dir), first, second, found, table)
        write_json_atomic(Path(job.output_dir, SCORES), about)
    return found


def _scores(subject: Subject) -> tuple[SplitScores, ...]:
    return tuple(
        split_scores(subject.task, name, len(rows_of(examples)), *subject.answers[name])
        for name, examples in subject.splits.items()
    )


def _beside(first: Subject, second: Subject | None) -> tuple[Beside, ...]:
    if second is None:
        return ()
    return tuple(
        beside(first.task, name, second.what, logits, second.answers[name][0], labels, second.task.thresholds)
        for name, (logits, labels) in first.answers.items()
    )


def _write(output: Path, first: Subject, second: Subject | None, found: Scored, table: Table | None) -> None:
    """Pictures and tables of each split."""
    output.mkdir(parents=True, exist_ok=True)
    task = first.task
    for each in found.splits:
        for name in (f"{kind}-{each.split}{suffix}" for kind in _KINDS for suffix in _SUFFIXES):
            (output / name).unlink(missing_ok=True)  # of an evaluation before this one
        logits, labels = first.answers[each.split]
        title = f"{task.name}, {each.split}"
        if each.confusion is not None and each.calibration is not None:
            pictures.confusion_picture(each.confusion, task.labels, title, output / f"confusion-{each.split}.png")
            pictures.calibration_picture(each.calibration, title, output / f"calibration-{each.split}.png")
        if not task.kind.exits:
            logger.info("a task with %s gets no tables of wrong rows", task.kind.word)
            continue
        examples = first.splits[each.split]
        if task.kind.right(logits, labels, task.thresholds) is None:
            numbers = np.asarray(task.kind.predictions(logits, task.thresholds))
            pictures.numbers_picture(numbers, labels, title, output / f"values-{each.split}.png")
        tables = {"wrong": wrong(task, logits, labels)}
        if second is not None:
            others = second.answers[each.split][0]
            tables["parted"] = parted(task, logits, others, labels, second.task.thresholds)
        for name, (order, cells) in tables.items():
            if len(order):
                suffix, text = rows_text(task, examples, table, order, cells)
                write_text_atomic(output / f"{name}-{each.split}{suffix}", text)


def files_in(output: str) -> Mapping[str, str]:
    """What each file of an output directory is."""
    said = {**_KINDS, "scores": "everything that is said here"}
    return {
        path.name: said[path.stem.partition("-")[0]]
        for path in sorted(Path(output).iterdir())
        if path.stem.partition("-")[0] in said
    }
