"""Choose an exit threshold on the held-out part of train, report it on dev: the job of python -m ofa_bert exits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from paddle import nn

from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.held_out import HeldOut
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.layout import default_criterion
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, check_threshold
from ofa_bert.exits.policy_file import policy_json
from ofa_bert.exits.sweep import Row, answers_at, choose, plot, policies, row, run_length, taken, worth_asking
from ofa_bert.exits.token_table import TABLE, TokenTable, calibrate, error_histogram, learn
from ofa_bert.files import lock
from ofa_bert.files.atomic import EXIT_POLICY, atomic_directory, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.weights import write_weights
from ofa_bert.models.directories import load_model
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.exits.heads import Exits, exits_in, extract_exits, load_exits
from ofa_bert.models.record import ModelRecord, best_of, check_task, numbers
from ofa_bert.models.supernet import extract, whole
from ofa_bert.options import to_json
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Datasets, Example, Task
from ofa_bert.training.evaluation import score_logits
from ofa_bert.training.exits.chosen_on import ChosenOn
from ofa_bert.training.exits.jobs import ExitChoiceJob
from ofa_bert.training.exits.subject import ExitRoute, Subject

logger = logging.getLogger(__name__)


class ExitChoice(TypedDict):
    """What exits.json says. chosen: an exit policy; held_out: mode -> rows; dev: without exits and with them.

    chosen_on: how many held-out examples, the score there without exits and with the chosen ones, its 95 % interval.
    """

    task: str
    name: str
    chosen: Mapping[str, object]
    held_out: Mapping[str, object]
    chosen_on: Mapping[str, object]
    dev: Mapping[str, Mapping[str, object]]
    config: Mapping[str, object]
    versions: Mapping[str, str]


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
    held_out = subject.outputs(subject.held_out, "held out")
    tried = wanted or policies(criterion, job.tolerance, held_out, job.thresholds, datasets.task.kind_name)
    ways = _ways(job, tried, held_out, subject)
    sweeps = _sweep(ways, held_out, subject)
    chosen = _choose(job, sweeps[job.mode])
    way = ways[job.mode][chosen]
    table = ways["predicted"][chosen].table if "predicted" in ways else None
    answered = answers_at(held_out, way.places(held_out, subject.held_out))
    chosen_on = ChosenOn.of(subject.task, answered, held_out.logits[-1], subject.held_out.labels)
    chosen_on.warn_of_few()
    report = _report(subject, way)
    if table is not None:
        report["prediction"] = _prediction_errors(subject, way, table)
    mode = "threshold" if way.table is None else "predicted"
    about = policy_json(
        way.policy, mode, way.ask, sub_model, exits.layout, depths(model, exits), datasets.task, str(where)
    )
    results: ExitChoice = {
        "task": datasets.task.name,
        "name": name,
        "chosen": about,
        "held_out": {"examples": len(subject.held_out), **sweeps},
        "chosen_on": chosen_on.to_json(),
        "dev": report,
        "config": to_json(job),
        "versions": versions(),
    }
    _write(Path(job.output_dir), way.policy.criterion, table, results, sweeps, sweeps[job.mode][chosen], chosen_on)
    return results


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
    """Mode -> a row for each way, on the held-out part: scores, layers and measured time."""
    named = {f"{mode} {i}": way for mode, each in ways.items() for i, way in enumerate(each)}
    times = subject.milliseconds(subject.held_out, named)
    base = times["threshold 0"]
    last = str(subject.timing.batch_sizes[-1])
    sweeps = {}
    for mode, each in ways.items():
        sweeps[mode] = [
            {
                "threshold": way.policy.threshold,
                "ask": list(way.ask),
                **row(subject.task, held_out, way.places(held_out, subject.held_out), subject.held_out.labels),
                "ms": times[f"{mode} {i}"],
                "speedup": base[last] / times[f"{mode} {i}"][last],
            }
            for i, way in enumerate(each)
        ]
    return sweeps


def _choose(job: ExitChoiceJob, rows: Sequence[Row]) -> int:
    if job.wanted_threshold is not None:
        return len(rows) - 1
    drop = job.target_drop
    if drop is None and job.target_speedup is None:
        drop = 0.01
    return choose(rows, drop, job.target_speedup)


def _report(subject: Subject, way: ExitRoute) -> dict[str, dict[str, object]]:
    """Dev, really run at the last of the batch sizes: with early exits and without."""
    size = subject.timing.batch_sizes[-1]
    labels = {name: encoded.labels for name, encoded in subject.dev.items()}
    possible = depths(subject.model, subject.exits)
    ways = {"full": ExitRoute(Policy.never_leaves(len(possible) - 1, kind=subject.task.kind_name), ()), "exits": way}
    report: dict[str, dict[str, object]] = {}
    for name, each in ways.items():
        answers = {split: subject.run(encoded, each, size) for split, encoded in subject.dev.items()}
        layers = np.concatenate([found.layers for found in answers.values()])
        scores = score_logits(subject.task, {split: found.logits for split, found in answers.items()}, labels)
        report[name] = {**scores, **run_length(layers, possible)}
    times = subject.milliseconds(next(iter(subject.dev.values())), ways)
    for name, ms in times.items():
        report[name]["ms"] = ms
        report[name]["time_saving"] = {size: 1 - ms[size] / times["full"][size] for size in ms}
    return report


def _prediction_errors(subject: Subject, way: ExitRoute, table: TokenTable) -> dict[str, object]:
    """How far predicted and needed exits lie apart on the first dev split, in layers; also with the mean as a guess."""
    encoded = next(iter(subject.dev.values()))
    outputs = subject.outputs(encoded, "dev")
    layers = np.asarray(outputs.layers)
    needed, predicted = layers[taken(way.policy, outputs, way.ask)], layers[table.predict(encoded.input_ids)]
    return {
        "error_histogram": error_histogram(predicted, needed),
        "right": float((predicted == needed).mean()),
        "mean_error": float(np.abs(predicted - needed).mean()),
        "mean_error_of_the_mean": float(np.abs(np.round(needed.mean()) - needed).mean()),
    }


def _write(
    output: Path, criterion: str, table: TokenTable | None, results: ExitChoice, sweeps: Mapping[str, Sequence[Row]],
    chosen: Row, chosen_on: ChosenOn,
) -> None:  # fmt: skip
    with atomic_directory(output) as new:
        write_json_atomic(new / EXIT_POLICY, results["chosen"])
        write_json_atomic(new / "exits.json", results)
        if table is not None:
            write_weights(new / TABLE, table.arrays())
        title = f"{results['task']}, {results['name']}: {criterion} on {chosen_on.examples} held-out training examples"
        plot(sweeps, chosen, new / "exits.png", title, (chosen_on.low, chosen_on.high))


def printable(results: ExitChoice) -> list[dict[str, str]]:
    """Full model and early exits on dev, and what the threshold was chosen on, for `reporting.table`."""
    shown = []
    title, held_out = ChosenOn.from_json(results["chosen_on"]).column()
    for name, entry in (("full", results["dev"]["full"]), ("with exits", results["dev"]["exits"])):
        scores = {k: f"{v:.4f}" for k, v in entry.items() if isinstance(v, float) and k not in _NOT_SCORES}
        fields = Fields(entry, f"on dev, {name}")
        times = {f"ms, batch {size}": f"{ms:.2f}" for size, ms in numbers(fields.mapping("ms")).items()}
        saved = {f"time saved, batch {size}": f"{x:.1%}" for size, x in numbers(fields.mapping("time_saving")).items()}
        layers = {
            "mean layers": f"{fields.number('mean_layers'):.2f}",
            "layers saved": f"{fields.number('saving'):.1%}",
        }
        shown.append({"on dev": name, **scores, **layers, **times, **saved, title: held_out[name]})
    return shown


_NOT_SCORES = ("score", "mean_layers", "saving")
