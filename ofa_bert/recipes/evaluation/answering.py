"""What models and bundles answer to labelled data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ofa_bert.bundle.manifest import MANIFEST
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.errors import UserError
from ofa_bert.models.sub_model_choice import SubModelChoice
from ofa_bert.recipes.evaluate_job import BundleRun, EvaluateJob
from ofa_bert.runtime.answering.labelled import Answered, answered
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.task import Example, Task

Splits = Mapping[str, tuple[Example, ...]]


@dataclass(frozen=True)
class Subject:
    """What was scored, the task as it decides it, the data, and its answers to each split."""

    what: str
    task: Task
    splits: Splits
    answers: Mapping[str, Answered]


def subject_of(job: EvaluateJob) -> Subject:
    return of_model(job) if job.bundle is None else of_bundle(job, job.bundle)


def second_of(job: EvaluateJob, path: str) -> Subject:
    """The model or bundle in the directory `path`, whole, on the job's data."""
    if Path(path, MANIFEST).is_file():
        run = BundleRun(precision=job.beside_precision)
        return of_bundle(replace(job, bundle=path, model_name_or_path=None, run=run, choice=SubModelChoice()), path)
    # Here and not at the top: bundles are evaluated where no Paddle is.
    from ofa_bert.models.device import select_device

    select_device(job.device)
    return of_model(replace(job, bundle=None, model_name_or_path=path, run=BundleRun(), choice=SubModelChoice()))


def of_bundle(job: EvaluateJob, bundle: str) -> Subject:
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
    return Subject(what, task, splits, answers)


def of_model(job: EvaluateJob) -> Subject:
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
    return Subject(shown, task, splits, answers)
