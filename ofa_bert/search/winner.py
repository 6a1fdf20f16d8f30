"""What becomes of a search's winner: a short finetune by distillation on request, its directory, its score on dev."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import paddle
from paddle import nn

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.source import DataSource
from ofa_bert.errors import RunError
from ofa_bert.exits.layout import EXITS
from ofa_bert.exits.outputs import Outputs, unpack
from ofa_bert.exits.policy import Policy
from ofa_bert.exits.policy_file import policy_json
from ofa_bert.export.job import ExportJob
from ofa_bert.files.atomic import EXIT_POLICY, atomic_directory, write_json_atomic
from ofa_bert.latency.device import Measurer
from ofa_bert.latency.exits import mean_ms
from ofa_bert.models.directories import save_model
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.exits.heads import Exits, exits_of_sub_model
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import extract, forward
from ofa_bert.search.costs.latency import COST as LATENCY
from ofa_bert.search.deployed import Engine
from ofa_bert.search.finetune import Finetuned
from ofa_bert.search.front import Point
from ofa_bert.search.run_modes import RunMode, RunModes
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.accelerator import Device
from ofa_bert.system.machine import processor
from ofa_bert.training.evaluation import predict, score_splits
from ofa_bert.training.exits.states import Frozen, collect

logger = logging.getLogger(__name__)

POLICY = "exit_policy"
_NEXT_TRIES, _MOST_TRIES = 4, 10  # points of the front that are measured one after the other; and in all
DIRECTORY = "sub_model"  # the winner as a model that export_model.py and run_glue.py take


class Measured(TypedDict):
    """Milliseconds; measured_ms is None where the table was made on another kind of machine."""

    predicted_ms: float
    measured_ms: float | None


class Tried(Measured):
    sub_model: Mapping[str, list[int]]


class Latency(TypedDict, total=False):
    """What results.json says of the measurements: the winner's, and those of the points that were beyond the limit."""

    latency: Measured
    beyond_budget: list[Tried]


class OnDev(TypedDict, total=False):
    """What results.json says of the winner on dev. exit_policy: the directory of one that was written."""

    dev: Mapping[str, float]
    dev_layers: float
    dev_of_grid: Mapping[str, object]
    exit_policy: str


class WinnerResults(OnDev, Latency, total=False):
    """export: the words of the command that exports it."""

    winner: Mapping[str, object]
    finetune: Finetuned
    export: list[str]


def affordable(
    supernet: Supernet, ranked: Sequence[Point], ways: RunModes, limit_ms: float | None
) -> tuple[Point, list[Tried]]:
    """The first of the points, best first, that keeps the limit when it is measured; and all that were measured.

    A table predicts to some percent, and the best points lie right below the limit. After some tries those are passed
    over that the worst error seen would take beyond it. RunError when none of _MOST_TRIES keeps it.
    """
    tried: list[Tried] = []
    times: list[float] = []
    if not ways.tables:
        return ranked[0], tried
    limit, worst = float("inf") if limit_ms is None else limit_ms, 1.0
    for point in ranked:
        predicted = point.costs[LATENCY.name]
        if len(tried) >= _NEXT_TRIES and predicted * worst > limit:
            continue
        found = _measured(supernet, point, ways)
        tried.append({"sub_model": point.sub_model.to_json(), **found})
        measured = found["measured_ms"]
        if measured is None or measured <= limit:
            return point, tried
        times.append(measured)
        logger.info("%.3g ms predicted, %.3g ms measured: beyond `max_latency_ms` %g", predicted, measured, limit)
        worst = max(worst, measured / predicted)
        if len(tried) == _MOST_TRIES:
            break
    fastest = min(times)
    raise RunError(
        f"`max_latency_ms` {limit:g}: the latency table puts {len(ranked)} of the front within it, but of the"
        f" {len(tried)} that were measured the fastest takes {fastest:.3g} ms; make the table again on an idle machine,"
        " or give more room"
    )


def way_of_point(point: Point) -> RunMode:
    return RunMode.from_json(point.more["way"]) if "way" in point.more else RunMode("fp32")


def _measured(supernet: Supernet, point: Point, ways: RunModes) -> Measured:
    way, small = way_of_point(point), extract(supernet.model, point.sub_model)
    small.eval()
    exits = exits_of_sub_model(supernet.exits, small, point.sub_model)
    table, predicted = ways.tables[way.precision], point.costs[LATENCY.name]
    return checked_latency(table, small, exits, way, predicted, point.more["shares"])


def latency_of(tried: Sequence[Tried]) -> WinnerResults:
    """Of the points that were measured, the last of which is the winner."""
    found: WinnerResults = {}
    if tried:
        last = tried[-1]
        found["latency"] = {"predicted_ms": last["predicted_ms"], "measured_ms": last["measured_ms"]}
    if len(tried) > 1:
        found["beyond_budget"] = list(tried[:-1])
    return found


def finish(
    output: Path,
    supernet: Supernet,
    winner: Point,
    engines: Mapping[str, Engine],
    cache: Path,
) -> OnDev:
    """Write the winner, score it on dev. cache: where token ids are kept."""
    sub_model = winner.sub_model
    way = way_of_point(winner)
    supernet.model.eval()
    splits = supernet.dev(cache)
    outputs = {name: _outputs(supernet, sub_model, engines.get(way.precision), each) for name, each in splits.items()}
    answers = {name: way.logits(found) for name, found in outputs.items()}
    dev = score_splits(supernet.task, answers, splits)
    results: OnDev = {"dev": dev, "dev_layers": _mean_layers(way, outputs)}
    # The supernet's training measured its own sub-models there; nothing is chosen by these numbers.
    names = set(supernet.space.sub_models())
    results["dev_of_grid"] = {name: found for name, found in supernet.record.scores.items() if name in names}
    small = extract(supernet.model, sub_model)
    small.eval()
    exits = exits_of_sub_model(supernet.exits, small, sub_model)
    save_model(
        output / DIRECTORY,
        small,
        supernet.tokenizer,
        _record(supernet, sub_model, exits, dev if way == RunMode("fp32") else None),
        {} if exits is None else {EXITS: exits},
    )
    if exits is not None and way.policy is not None:
        results["exit_policy"] = _write_policy(output / POLICY, supernet, sub_model, small, exits, way.policy, way.ask)
    return results


def _record(
    supernet: Supernet, sub_model: SubModelConfig, exits: Exits | None, scores: Mapping[str, float] | None
) -> ModelRecord:
    source = supernet.record
    about = None
    if exits is not None and source.exits is not None:
        about = dataclasses.replace(source.exits, layout=exits.layout)
    return ModelRecord(
        kind="sub_model",
        task=source.task,
        model_type=source.model_type,
        max_seq_length=source.max_seq_length,
        seed=source.seed,
        shape=source.shape,
        sub_model=sub_model,
        exits=about,
        scores=scores or {},
        score=scores["score"] if scores else None,
    )


def _outputs(supernet: Supernet, sub_model: SubModelConfig, engine: Engine | None, encoded: Encoded) -> Outputs:
    if engine is not None:
        return engine.outputs(sub_model, encoded)
    if supernet.exits is not None:
        frozen = Frozen(supernet.model, encoded, {"winner on dev": sub_model}, supernet.pad_id)
        return collect(frozen, supernet.exits, sub_model, "winner on dev")

    def run(batch: Batch) -> paddle.Tensor:
        return forward(supernet.model, batch.input_ids, batch.token_type_ids, sub_model).logits

    logits = predict(run, encoded, supernet.task.num_labels, supernet.pad_id, label="winner on dev")
    return unpack(logits, supernet.task.num_labels, (sub_model.depth,))


def _mean_layers(way: RunMode, outputs: Mapping[str, Outputs]) -> float:
    layers = [np.asarray(found.layers)[way.places(found)] for found in outputs.values()]
    return float(np.concatenate(layers).mean())


def _write_policy(
    path: Path, supernet: Supernet, sub_model: SubModelConfig, small: nn.Layer, exits: Exits, policy: Policy,
    ask: Sequence[int],
) -> str:  # fmt: skip
    """The file that export_model.py `exit_policy` takes, in its directory; returns the directory."""
    layers = depths(small, exits)
    about = policy_json(policy, "threshold", ask, sub_model, exits.layout, layers, supernet.task, supernet.where)
    with atomic_directory(path) as new:
        write_json_atomic(new / EXIT_POLICY, about)
    return str(path)


def export_job(
    output: Path, supernet: Supernet, table: LatencyTable | None, way: RunMode, precision: str | None, device: Device
) -> ExportJob:
    """What makes the winner's bundle. table: of its precision. precision: where there is no table."""
    measurer = Measurer.of(table.setting) if table else None
    wanted = measurer.file_precision if measurer else precision or "fp32"
    record = supernet.record
    # Static INT8 is calibrated on training sentences.
    data = DataSource.recorded(record.settings(supernet.where)) if wanted == "int8-static" else DataSource()
    return ExportJob(
        data=data,
        model_name_or_path=str(output / DIRECTORY),
        sub_model_output_dir=str(output / "dynamic"),
        static_sub_model=str(output / "static"),
        onnx=True,
        fused=measurer is not None and measurer.device == "gpu",
        precision=(wanted,),
        exit_policy=None if supernet.exits is None or way.policy is None else str(output / POLICY),
        model_type=record.model_type,
        max_seq_length=record.max_seq_length,
        device=device,
    )


def checked_latency(
    table: LatencyTable, model: nn.Layer, exits: Exits | None, way: RunMode, predicted: float, shares: Sequence[float]
) -> Measured:
    """predicted_ms, and measured_ms of the model itself; None when the table was made on another kind of machine.

    With early exits both are means: what it takes until each exit, by the share of held-out examples that left there.
    """
    if table.setting["processor"] != processor():
        logger.warning("the latency table is of %s, so the winner cannot be measured here", table.setting["processor"])
        return {"predicted_ms": predicted, "measured_ms": None}
    device = Measurer.of(table.setting)
    if exits is not None and way.policy is not None:
        measured = mean_ms(device, model, exits, way.ask, shares)
    else:
        measured = device.measure({"winner": lambda: model}, {"winner": 0}, "winner", model.config.vocab_size)["winner"]
    return {"predicted_ms": predicted, "measured_ms": measured}


def printed(results: WinnerResults) -> str:
    """How the winner runs, its scores on dev, its latency."""
    own = "  ".join(f"{name} {value:.4f}" for name, value in results["dev"].items() if name != "score")
    tuned = f" after {results['finetune']['steps']} steps of its own" if "finetune" in results else ""
    lines = [f"winner on dev{tuned}: {own}"]
    if "exit_policy" in results:
        lines[0] += f"  after {results['dev_layers']:.2f} layers on average"
    latency = results.get("latency")
    if latency and latency["measured_ms"]:
        predicted, measured = latency["predicted_ms"], latency["measured_ms"]
        off = measured / predicted - 1
        for other in results.get("beyond_budget", ()):
            lines.append(
                f"passed over: {other['predicted_ms']:.2f} ms predicted, {other['measured_ms']:.2f} ms measured,"
                " beyond the budget"
            )
        lines.append(f"latency: {predicted:.2f} ms predicted, {measured:.2f} ms measured ({off:+.1%})")
    return "\n".join(lines)
