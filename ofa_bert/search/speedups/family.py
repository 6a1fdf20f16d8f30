"""One search, a family: for every target speed a sub-model chosen, measured, written, exported and scored on dev."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.bundle.manifest import Manifest, read_manifest
from ofa_bert.data.encoding import token_ids
from ofa_bert.drawing import save
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.export.sub_model import deploy
from ofa_bert.files.fields import Fields
from ofa_bert.files.journal import Journal
from ofa_bert.latency.device import Measurer
from ofa_bert.latency.pairs import Alternative, beside
from ofa_bert.models.supernet import extract, forward, whole
from ofa_bert.runtime.backends.registry import format_of, wants_fused
from ofa_bert.search.evaluator import InFull, expanded
from ofa_bert.search.front import Point, pareto_front
from ofa_bert.search.report import FrontRows, searched, write_front
from ofa_bert.search.run_modes import RunModes
from ofa_bert.search.setup import Supernet
from ofa_bert.search.speedups.choosing import Chooser
from ofa_bert.search.speedups.report import FamilyResults, MemberRow, family_figure
from ofa_bert.search.speedups.targets import Choice, Member, Pair, Target, near
from ofa_bert.search.winner import export_job, finish, way_of_point
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.accelerator import Device
from ofa_bert.system.machine import processor
from ofa_bert.tasks.intervals import difference
from ofa_bert.training.evaluation import predict, score_splits
from ofa_bert.training.supernet.teacher import teacher_of
from ofa_bert.training.supernet.trial import HELD_OUT

logger = logging.getLogger(__name__)

MEASURED = "measured.jsonl"  # every measurement, so that the same command chooses the same sub-models again
PICTURE = "family.png"
# The sub-models are chosen by their scores in the very precision; what they lose on dev is reported, and ends nothing.
_ANY_DROP = 100.0


@dataclass(frozen=True)
class FamilyOrder:
    """What is wanted. settings: what measurements depend on, as the study of the search keeps it."""

    output: Path
    speedups: Sequence[float]
    space: UnevenSpace
    settings: Mapping[str, object]
    device: Device

    @property
    def targets(self) -> list[Target]:
        return [Target(speedup) for speedup in sorted(self.speedups)]


class Family(FamilyResults, FrontRows):
    """What results.json says of a family and of the front that it was chosen from."""


def make_family(order: FamilyOrder, judge: InFull, points: Sequence[Point]) -> Family:
    """Choose for each target, export to `output`/x<target>, write front and picture; what results.json says of it.

    points: of the search, one for each sub-model.
    """
    supernet, ways = judge.supernet, judge.evaluator.ways
    full = Choice(supernet.space.largest, ways.precisions[0])
    full_ms = ways.tables[full.precision].predict(full.sub_model)

    def promising(those: Sequence[Point], most: int) -> list[SubModelConfig]:
        return near([point for point in those if _admits(judge, point)], full_ms, order.targets, most)

    found, grid = judge.front(points, promising)
    measurer = _Measurements(order, supernet, ways, full)
    members = _chooser(order, judge, points, found, full_ms, measurer).family()
    front = pareto_front([*found, *(member.point for member in members)])
    about = searched(supernet, judge.evaluator.cost, len(points), judge.evaluator.budget)
    rows = write_front(order.output, front, grid, None, supernet, about)
    wanted = judge.outputs(*full).logits[-1]
    family: FamilyResults = {
        "full": {
            "precision": full.precision,
            "predicted_ms": full_ms,
            "score": score_splits(supernet.task, {HELD_OUT: wanted}, {HELD_OUT: supernet.held_out})["score"],
            "examples": supernet.held_out.examples,
        },
        "teacher": _teacher_score(supernet),
        "family": [_made(order, judge, member, wanted, measurer.here) for member in members],
    }
    title = f"{supernet.task.name}: {supernet.task.metrics[0]}"
    save(family_figure(family, title, len(points)), order.output / PICTURE)
    return {**rows, **family}


def _admits(judge: InFull, point: Point) -> bool:
    return judge.evaluator.budget.admits(point.costs, point.score)


def _chooser(
    order: FamilyOrder, judge: InFull, points: Sequence[Point], found: Sequence[Point], full_ms: float,
    measurer: _Measurements,
) -> Chooser:  # fmt: skip
    """Over all that the search evaluated. found: what was on every held-out example."""
    tables = judge.evaluator.ways.tables
    scored = {Choice.of(point): point for point in found}
    known = {Choice.of(each): each for point in points for each in expanded(point, judge.evaluator.cost)}

    def score(choice: Choice) -> Point:
        (point,) = judge.points(*choice)
        return point

    return Chooser(
        targets=order.targets,
        full_ms=full_ms,
        space=order.space,
        predict=lambda choice: tables[choice.precision].predict(choice.sub_model),
        score=score,
        measure=measurer,
        admits=lambda point: _admits(judge, point),
        known={**known, **scored},
        scored=scored,
    )


class _Measurements:
    """Choices -> their milliseconds beside the full model's, on this device; each is measured once and kept in a file.

    On another kind of machine than the tables are of, what the tables predict. `here`: whether it is this one.
    """

    def __init__(self, order: FamilyOrder, supernet: Supernet, ways: RunModes, full: Choice) -> None:
        self.supernet, self.ways, self.full = supernet, ways, full
        where = ways.tables[full.precision].setting["processor"]
        self.here = where == processor()
        if not self.here:
            logger.warning("the latency tables are of %s: nothing is measured here, speeds are as predicted", where)
        self.kept = Journal(order.output / MEASURED, {**order.settings, "full": full.sub_model.to_json()})

    def __call__(self, choices: Sequence[Choice]) -> dict[Choice, Pair]:
        if not self.here:
            return {choice: Pair(self._predicted(choice), self._predicted(self.full)) for choice in choices}
        names = {choice: json.dumps([choice.precision, choice.sub_model.to_json()]) for choice in choices}
        missing = {name: self._alternative(choice) for choice, name in names.items() if name not in self.kept.records}
        vocabulary = self.supernet.space.shape.vocab_size
        for name, ms, full_ms in beside(self._alternative(self.full), missing, vocabulary):
            self.kept.add(name, {"ms": ms, "full_ms": full_ms})
        return {choice: self._read(name) for choice, name in names.items()}

    def _read(self, name: str) -> Pair:
        fields = Fields(self.kept.records[name], f"{self.kept.path}: {name}", "remove the file, it is made anew")
        return Pair(*(fields.number(each, 1e-9) for each in Pair._fields))

    def _predicted(self, choice: Choice) -> float:
        return self.ways.tables[choice.precision].predict(choice.sub_model)

    def _alternative(self, choice: Choice) -> Alternative:
        supernet = self.supernet

        def build() -> nn.Layer:
            small = extract(supernet.model, choice.sub_model)
            small.eval()
            return small

        device = Measurer.of(self.ways.tables[choice.precision].setting)
        return Alternative(device, build, 4 * count_parameters(supernet.space.shape, choice.sub_model))


def _made(order: FamilyOrder, judge: InFull, member: Member, wanted: np.ndarray, measured: bool) -> MemberRow:
    """Write the member's sub-model and bundle, score it on dev. wanted: the full model's answers [N, C]."""
    supernet, home = judge.supernet, order.output / member.target.name
    point, way = member.point, way_of_point(member.point)
    table = judge.evaluator.ways.tables[way.precision]
    on_dev = finish(home, supernet, point, judge.engines, order.output / token_ids.DIRECTORY)
    bundle = _exported(export_job(home, supernet, table, way, None, order.device), home)
    answers = judge.outputs(point.sub_model, way.precision).logits[-1]
    held = supernet.held_out
    gap = difference(supernet.task, held.by_example(answers), held.by_example(wanted), held.scored)
    return {
        "name": member.target.name,
        "target": member.target.speedup,
        "speedup": member.pair.speedup,
        "within": member.within,
        "measured": measured,
        "ms": member.pair.ms,
        "full_ms": member.pair.full_ms,
        "predicted_ms": table.predict(point.sub_model),
        "precision": way.precision,
        "sub_model": point.sub_model.to_json(),
        "costs": dict(point.costs),
        "file_bytes": _bytes_of(bundle, Measurer.of(table.setting)),
        "score": point.score,
        "difference": {"score": gap.score, "low": gap.low, "high": gap.high},
        "dev": on_dev["dev"],
        "directory": str(home),
    }


def _exported(job: ExportJob, home: Path) -> Manifest:
    """The bundle; the dynamic model stands beside it already."""
    assert job.static_sub_model is not None  # as export_job makes it
    with tempfile.TemporaryDirectory(prefix="ofa-dynamic-", dir=home) as scratch:
        deploy(dataclasses.replace(job, sub_model_output_dir=str(Path(scratch, "model")), max_drop=_ANY_DROP))
    return read_manifest(job.static_sub_model)


def _bytes_of(bundle: Manifest, device: Measurer) -> int:
    """Of the model that this device runs; bf16 is computed from FP32's files."""
    held = [model for model in bundle.models if model.format == format_of(device.backend)]
    own = [model for model in held if model.precision == device.file_precision] or held
    fitting = [model for model in own if model.fused == wants_fused(device.backend, device.device)] or own
    return bundle.bytes_of(fitting[0])


def _teacher_score(supernet: Supernet) -> float | None:
    """On the held-out examples; None where the teacher is no longer there."""
    try:
        teacher, where = teacher_of(None, supernet.where, supernet.record, supernet.model, supernet.task)
    except UserError as error:
        logger.info("the teacher is not scored: %s", error)
        return None
    if where == supernet.where:
        return None
    answers = predict(
        lambda batch: forward(teacher, batch.input_ids, batch.token_type_ids, whole(teacher)).logits,
        supernet.held_out, supernet.task.num_labels, supernet.pad_id, label="teacher",
    )  # fmt: skip
    return score_splits(supernet.task, {HELD_OUT: answers}, {HELD_OUT: supernet.held_out})["score"]
