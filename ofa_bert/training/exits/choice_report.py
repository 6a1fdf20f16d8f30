"""What a choice of thresholds leaves to read: dev, really run; the curves; exits.json and exits.png."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from ofa_bert.drawing import save
from ofa_bert.exits.curves import Curves, curves_figure
from ofa_bert.exits.policy import Policy
from ofa_bert.exits.sweep import Row, row, run_length, taken
from ofa_bert.exits.token_table import TABLE, TokenTable, error_histogram
from ofa_bert.files.atomic import EXIT_POLICY, atomic_directory, write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.weights import write_weights
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.record import numbers
from ofa_bert.training.evaluation import score_logits
from ofa_bert.training.exits.chosen_on import ChosenOn
from ofa_bert.training.exits.subject import ExitRoute, Subject

PICTURE = "exits.png"


class ExitChoice(TypedDict):
    """What exits.json says. chosen: an exit policy; held_out: mode -> rows; dev: without exits and with them.

    dev_curves: as held_out, without times; drawn alone. chosen_on: how many held-out examples, the score there without
    exits and with the chosen ones, its 95 % interval, what the chosen ones promise to lose at most.
    """

    task: str
    name: str
    chosen: Mapping[str, object]
    held_out: Mapping[str, object]
    chosen_on: Mapping[str, object]
    dev: Mapping[str, Mapping[str, object]]
    dev_curves: Mapping[str, Sequence[Row]]
    config: Mapping[str, object]
    versions: Mapping[str, str]


def dev_report(subject: Subject, way: ExitRoute) -> dict[str, dict[str, object]]:
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


def dev_curves(subject: Subject, ways: Mapping[str, Sequence[ExitRoute]]) -> dict[str, list[dict[str, object]]]:
    """Mode -> a row for each way on dev, to be drawn beside the held-out ones: nothing is chosen by them.

    Of several splits the mean.
    """
    every = [(subject.outputs(encoded, "dev"), encoded) for encoded in subject.dev.values()]
    sizes = [len(encoded) for _, encoded in every]

    def mean(way: ExitRoute) -> dict[str, object]:
        rows: list[Row] = [row(subject.task, found, way.places(found, part), part.labels) for found, part in every]
        return {
            "threshold": way.policy.threshold,
            "score": float(np.mean([each["score"] for each in rows])),
            "mean_layers": float(np.average([each["mean_layers"] for each in rows], weights=sizes)),
        }

    return {mode: [mean(way) for way in each] for mode, each in ways.items()}


def prediction_errors(subject: Subject, way: ExitRoute, table: TokenTable) -> dict[str, object]:
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


def write_choice(output: Path, results: ExitChoice, table: TokenTable | None, curves: Curves) -> None:
    with atomic_directory(output) as new:
        write_json_atomic(new / EXIT_POLICY, results["chosen"])
        write_json_atomic(new / "exits.json", results)
        if table is not None:
            write_weights(new / TABLE, table.arrays())
        save(curves_figure(curves), new / PICTURE)


# What the columns of `printable` mean, for `reporting.legend`.
COLUMNS = {
    "on dev": "full: every text runs all layers; with exits: as chosen. Dev chose nothing",
    "mean layers": "that ran, of all texts",
    "layers saved": "share of the layers that did not run",
    "ms, batch ": "milliseconds a text, both rows run in turn",
    "time saved, batch ": "share of the full model's time",
    "score on ": "of the examples that chose the threshold; in brackets where it may really lie (95 %)",
}


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
