"""Choose an exit threshold on the held-out part of train, report it on dev: the job of python -m ofa_bert exits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.held_out import HeldOut
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.curves import Curves
from ofa_bert.exits.kept_curve import KeptCurve
from ofa_bert.exits.layout import default_criterion
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, check_threshold
from ofa_bert.exits.policy_file import policy_json
from ofa_bert.exits.sweep import Row, answers_at, choose, policies, row, taken, worth_asking
from ofa_bert.exits.token_table import calibrate, learn
from ofa_bert.files import lock
from ofa_bert.models.directories import load_model
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.exits.heads import Exits, exits_in, extract_exits, load_exits
from ofa_bert.models.record import ModelRecord, best_of, check_task
from ofa_bert.models.supernet import extract, whole
from ofa_bert.options import to_json
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.intervals import interval
from ofa_bert.tasks.task import Datasets, Example, Task
from ofa_bert.training.exits.choice_report import ExitChoice, dev_curves, dev_report, prediction_errors, write_choice
from ofa_bert.training.exits.chosen_on import ChosenOn
from ofa_bert.training.exits.jobs import ExitChoiceJob
from ofa_bert.training.exits.promises import bounds_of, check_enough, confidence_of, warn_of_none
from ofa_bert.training.exits.subject import ExitRoute, Subject

logger = logging.getLogger(__name__)


@lock.writer("output_dir", beside=True)
def choose_exits(job: ExitChoiceJob, datasets: Datasets) -> ExitChoice:
    """Sweep, choose, report; returns what exits.json says."""
    where = best_of(job.model_name_or_path)
    model, tokenizer, record = load_model(where, job.model_type)
    model.eval()
    exits, trained = load_exits(where, record, model), exits_in(where, record)
    datasets = replace(datasets, task=check_task(where, record, datasets.task))
    name, sub_model, model, exits = _cut(job, record, model, exits)
    criterion = _criterion(job, trained.training, datasets.task)
    wanted = _wanted(job, criterion, datasets.task, len(exits.layout.layers))
    as_trained = trained.held_out or HeldOut(0, 0)
    subject = _subject(job, datasets, as_trained, model, exits, tokenizer, record.max_seq_length)
    as_trained.check(where, subject.held_out)
    check_enough(job, len(subject.held_out))
    held_out = subject.outputs(subject.held_out, "held out")
    tried = wanted or policies(criterion, job.tolerance, held_out, job.thresholds, datasets.task.kind_name)
    ways = _ways(job, tried, held_out, subject)
    sweeps = _sweep(ways, held_out, subject)
    bounds = {mode: bounds_of(subject, held_out, each, confidence_of(job)) for mode, each in ways.items()}
    chosen = _choose(job, sweeps[job.mode], bounds[job.mode])
    warn_of_none(job, chosen, bounds[job.mode])
    way = ways[job.mode][chosen]
    table = ways["predicted"][chosen].table if "predicted" in ways else None
    answered = answers_at(held_out, way.places(held_out, subject.held_out))
    whole_answers, labels = held_out.logits[-1], subject.held_out.labels
    promise = bounds[job.mode][chosen], confidence_of(job)
    chosen_on = ChosenOn.of(subject.task, answered, whole_answers, labels, *promise)
    chosen_on.warn_of_few()
    report = dev_report(subject, way)
    if table is not None:
        report["prediction"] = prediction_errors(subject, way, table)
    mode = "threshold" if way.table is None else "predicted"
    curve = KeptCurve.of(
        datasets.task.metrics[0], len(subject.held_out), confidence_of(job), sweeps["threshold"], bounds["threshold"]
    )
    about = policy_json(
        way.policy, mode, way.ask, sub_model, exits.layout, depths(model, exits), datasets.task, str(where), curve
    )
    results: ExitChoice = {
        "task": datasets.task.name,
        "name": name,
        "chosen": about,
        "held_out": {"examples": len(subject.held_out), **sweeps},
        "chosen_on": chosen_on.to_json(),
        "dev": report,
        "dev_curves": dev_curves(subject, ways),
        "config": to_json(job),
        "versions": versions(),
    }
    write_choice(Path(job.output_dir), results, table, _curves(job, subject, results, sweeps, sweeps[job.mode][chosen]))
    return results


def _curves(
    job: ExitChoiceJob, subject: Subject, results: ExitChoice, sweeps: Mapping[str, Sequence[Row]], chosen: Row
) -> Curves:
    """What the picture shows."""
    about = f"{results['task']}, {results['name']}: threshold {chosen['threshold']:.3g}, chosen on the held-out part"
    drop = None if job.wanted_threshold is not None else job.allowed_drop
    examples = sum(len(encoded) for encoded in subject.dev.values())
    return Curves(
        about, subject.task.metrics[0], sweeps, chosen, len(subject.held_out), results["dev_curves"], examples, drop,
        job.target_speedup,
    )  # fmt: skip


def _cut(
    job: ExitChoiceJob, record: ModelRecord, model: nn.Layer, exits: Exits
) -> tuple[str, SubModelConfig, nn.Layer, Exits]:
    """The sub-model that the command line asks for, as a model of its own; its indices are the full model's."""
    space = record.space
    if space is None:
        if job.width_mult != 1 or job.depth_mult != 1:
            raise UserError(
                f"{job.model_name_or_path}: is no supernet; leave out `width_mult` and `depth_mult`, or train exits"
                " on a supernet"
            )
        return "model", record.sub_model or whole(model), model, exits
    sub_model = space.sub_model(job.width_mult, job.depth_mult)
    name = next(name for name, other in space.sub_models().items() if other == sub_model)
    small = extract(model, sub_model)
    return name, sub_model, small, extract_exits(exits, small, sub_model)


def _subject(
    job: ExitChoiceJob, datasets: Datasets, held_out: HeldOut, model: nn.Layer, exits: Exits, tokenizer: Cutter,
    length: int,
) -> Subject:  # fmt: skip
    """The held-out part is the one that training held out."""
    rest, chosen = held_out.split(job.model_name_or_path, len(datasets.train))
    few = np.random.default_rng(held_out.seed).permutation(rest)[: job.table_samples]

    def ids(examples: Sequence[Example]) -> Encoded:
        return encode(examples, tokenizer, length)

    return Subject(
        job.timing,
        datasets.task,
        model,
        exits,
        tokenizer.pad_token_id,
        ids([datasets.train[i] for i in np.sort(few)]),
        ids([datasets.train[i] for i in chosen]),
        {name: ids(examples) for name, examples in datasets.dev.items()},
    )


def _criterion(job: ExitChoiceJob, training: str, task: Task) -> str:
    chosen = job.criterion if job.geep_threshold is None else registry.default("geep").name
    if chosen is None:
        chosen = default_criterion(training, task.choices)
    if task.choices == 1 and chosen not in registry.FOR_NUMBERS:
        raise UserError(
            f"`criterion` {chosen}: {task.name} predicts a number, which has no probabilities; use"
            f" {' or '.join(registry.FOR_NUMBERS)}"
        )
    return chosen


def _wanted(job: ExitChoiceJob, criterion: str, task: Task, exits: int) -> list[Policy] | None:
    """Without early exits, and with the threshold that the command line gives; None when it gives none."""
    threshold = job.wanted_threshold
    if threshold is None:
        return None
    note = check_threshold(criterion, threshold, task.choices, exits)
    if note:
        logger.warning("%s", note)
    never = Policy.never_leaves(exits, criterion, job.tolerance, task.kind_name)
    return [never, replace(never, threshold=threshold)]


def _ways(job: ExitChoiceJob, tried: list[Policy], held_out: Outputs, subject: Subject) -> dict[str, list[ExitRoute]]:
    """Mode -> a way for each policy, that without early exits first.

    A table is learned from the exits that training samples take; its cuts are set on the held-out part.
    """
    by_threshold = [ExitRoute(policy, worth_asking(policy, held_out)) for policy in tried]
    if not job.table_samples:
        return {"threshold": by_threshold}
    outputs = subject.outputs(subject.train, "train")
    predicted = [by_threshold[0]]
    for way in by_threshold[1:]:
        places = taken(way.policy, outputs, way.ask)
        table = learn(subject.train.input_ids, places, outputs.layers, subject.model.config.vocab_size)
        table = calibrate(table, subject.held_out.input_ids, taken(way.policy, held_out, way.ask))
        predicted.append(way._replace(table=table))
    return {"threshold": by_threshold, "predicted": predicted}


def _sweep(
    ways: Mapping[str, list[ExitRoute]], held_out: Outputs, subject: Subject
) -> dict[str, list[dict[str, object]]]:
    """Mode -> a row for each way, on the held-out part: scores with their intervals, layers and measured time."""
    named = {f"{mode} {i}": way for mode, each in ways.items() for i, way in enumerate(each)}
    times = subject.milliseconds(subject.held_out, named)
    full_ms = times["threshold 0"][str(subject.timing.batch_sizes[-1])]
    return {
        mode: [_row(way, held_out, subject, times[f"{mode} {i}"], full_ms) for i, way in enumerate(each)]
        for mode, each in ways.items()
    }


def _row(
    way: ExitRoute, held_out: Outputs, subject: Subject, ms: Mapping[str, float], full_ms: float
) -> dict[str, object]:
    """full_ms: without early exits, at the last batch size."""
    places, labels = way.places(held_out, subject.held_out), subject.held_out.labels
    low, high = interval(subject.task, answers_at(held_out, places), labels)
    return {
        "threshold": way.policy.threshold,
        "ask": list(way.ask),
        **row(subject.task, held_out, places, labels),
        "low": low,
        "high": high,
        "ms": ms,
        "speedup": full_ms / ms[str(subject.timing.batch_sizes[-1])],
    }


def _choose(job: ExitChoiceJob, rows: Sequence[Row], bounds: Sequence[float]) -> int:
    if job.wanted_threshold is not None:
        return len(rows) - 1
    return choose(rows, job.allowed_drop, job.target_speedup, bounds if job.sure else None)
