"""python -m ofa_bert evaluate: what a model or a bundle scores on labelled data, in all and label by label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ofa_bert.data.batches import encode, rows_of
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.numerics import Array, Floats
from ofa_bert.options import to_json
from ofa_bert.recipes.evaluate_job import EvaluateJob
from ofa_bert.runtime.answering.labelled import Answered, answered
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.system import packages
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.kinds.tokens import scores_of_names
from ofa_bert.tasks.metrics import compute
from ofa_bert.tasks.task import Example, Task

Splits = Mapping[str, tuple[Example, ...]]


@dataclass(frozen=True)
class LabelScores:
    """Of one label: how many examples have it, how much of what is called so is so, and how much of it is found."""

    label: str
    examples: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class SplitScores:
    """Of one split: every metric of the task, as fractions, and for tasks with labels each label's own."""

    split: str
    examples: int
    scores: Mapping[str, float]
    labels: tuple[LabelScores, ...]


@dataclass(frozen=True)
class Scored:
    """What was scored and how it did."""

    task: str
    what: str
    splits: tuple[SplitScores, ...]


def evaluate(job: EvaluateJob) -> Scored:
    """Score, write `output` when it is named, and return the scores."""
    packages.require("sklearn")  # now, not when every text is answered
    found = _of_model(job) if job.bundle is None else _of_bundle(job, job.bundle)
    if job.output is not None:
        splits = [
            {
                "split": each.split,
                "examples": each.examples,
                "scores": dict(each.scores),
                "labels": [vars(label) for label in each.labels],
            }
            for each in found.splits
        ]
        about = {"task": found.task, "what": found.what, "splits": splits}
        write_json_atomic(Path(job.output), {**about, "config": to_json(job), "versions": versions()})
    return found


def _of_bundle(job: EvaluateJob, bundle: str) -> Scored:
    how = job.run
    with Predictor(
        bundle,
        how.backend,
        how.precision,
        device=job.device,
        batch_size=job.batch_size,
        exit_threshold=how.exit_threshold,
    ) as predictor:
        known = predictor.manifest.task
        task, splits = job.data.load(known)
        if known is None and task.num_labels != predictor.task.num_labels:
            raise UserError(
                f"{bundle}: answers with {predictor.task.num_labels} numbers, the data need {task.num_labels}"
            )
        answers = {name: answered(predictor, examples) for name, examples in splits.items()}
    what = f"{bundle}, {how.precision}" + (f", exits {how.exit_threshold}" if how.exit_threshold else "")
    return Scored(task.name, what, _scored(task, splits, answers))


def _of_model(job: EvaluateJob) -> Scored:
    # Here and not at the top: a bundle is evaluated where no Paddle is.
    from ofa_bert.models.directories import load_model
    from ofa_bert.models.encoder import longest_input, shape_of
    from ofa_bert.models.pretrained import locate
    from ofa_bert.models.record import best_of, check_task
    from ofa_bert.models.supernet import forward, whole
    from ofa_bert.training.evaluation import predict

    where = best_of(job.model_name_or_path or "")
    record = locate(where, job.model_type).record
    task, splits = job.data.load(record.task)
    model, tokenizer, record = load_model(where, job.model_type, task=task)
    task = check_task(where, record, task)
    if model.config.num_labels != task.num_labels:
        raise UserError(
            f"{where}: answers with {model.config.num_labels} numbers, the data need {task.num_labels}; give data with"
            " its labels, or a model of this task"
        )
    # An exported sub-model is whole in itself; its indices are those of the model that it was cut from.
    chosen = job.choice.of(where, record, record.shape or shape_of(model))
    sub_model = whole(model) if record.is_sub_model else chosen
    length = job.max_seq_length or min(record.max_seq_length or longest_input(model), longest_input(model))
    if length > longest_input(model):
        raise UserError(f"`max_seq_length` {length}: the model has positions for {longest_input(model)} tokens")
    model.eval()
    answers: dict[str, Answered] = {}
    for name, examples in splits.items():
        encoded = encode(examples, tokenizer, length, stride=task.doc_stride)
        logits = predict(
            lambda batch: forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits,
            encoded,
            task.num_labels,
            tokenizer.pad_token_id,
            job.batch_size,
            name,
        )
        answers[name] = encoded.by_example(logits), encoded.scored
    shown = where if job.choice.is_whole else f"{where}, sub-model {chosen.to_json()}"
    return Scored(task.name, shown, _scored(task, splits, answers))


def _scored(task: Task, splits: Splits, answers: Mapping[str, Answered]) -> tuple[SplitScores, ...]:
    found = []
    for name, examples in splits.items():
        logits, labels = answers[name]
        scores = compute(task, logits, labels)
        found.append(SplitScores(name, len(rows_of(examples)), scores, label_scores(task, logits, labels)))
    return tuple(found)


def label_scores(task: Task, logits: Floats, labels: Array) -> tuple[LabelScores, ...]:
    """Precision, recall and F1 of every label, by logits [N, C]; () for a task without labels."""
    if not task.labels:
        return ()
    if task.kind.per_token:
        return tuple(LabelScores(*each) for each in scores_of_names(logits.argmax(-1), labels, task.labels))
    from sklearn.metrics import precision_recall_fscore_support  # takes a second, and some commands score nothing

    predictions = task.kind.predictions(logits, task.thresholds)
    numbers = list(range(len(task.labels)))
    each = precision_recall_fscore_support(labels, predictions, labels=numbers, zero_division=0.0)
    return tuple(
        LabelScores(label, int(count), float(precision), float(recall), float(f1))
        for label, precision, recall, f1, count in zip(task.labels, *each)
    )
